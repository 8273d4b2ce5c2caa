//! CSV for spreadsheets: cells that a spreadsheet would take for a formula are handed to it as text. The data
//! itself is never changed; this is for a copy of it that somebody asked for. Sees every byte once, in pieces of
//! any size, and keeps none.
//!
//! Source: OWASP, "CSV Injection": cells that begin with `=`, `+`, `-`, `@`, a tab, CR or LF get an apostrophe
//! before them.

/// Puts an apostrophe before what begins like a formula, in headers and in columns of text.
#[derive(Clone, Debug)]
pub struct FormulaGuard {
    /// Which columns hold nothing but numbers and dates, and so are left as they are; those beyond its end are
    /// text.
    plain: Vec<bool>,
    column: usize,
    header: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing of the field has been seen.
    Start,
    /// Nothing but its quote.
    QuotedStart,
    Unquoted,
    Quoted,
    /// Behind a quote in a quoted field: the field ends there, or the quote is doubled.
    Quote,
}

const fn begins_formula(byte: u8) -> bool {
    matches!(byte, b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r' | b'\n')
}

impl FormulaGuard {
    /// For a CSV with a header, commas, and quotes as RFC 4180 has them. `plain` says of each column whether it
    /// holds nothing but numbers and dates.
    pub fn new(plain: Vec<bool>) -> Self {
        Self { plain, column: 0, header: true, state: State::Start }
    }

    /// Appends the next bytes to `out`, and what has to stand between them.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.reserve(bytes.len() + bytes.len() / 8);
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (State::Start, b'"') => State::QuotedStart,
                (State::Start | State::Unquoted | State::Quote, b',') => {
                    self.column += 1;
                    State::Start
                }
                (State::Start | State::Unquoted | State::Quote, b'\n') => {
                    (self.column, self.header) = (0, false);
                    State::Start
                }
                // A doubled quote: what it stands for begins no formula.
                (State::QuotedStart | State::Quoted, b'"') => State::Quote,
                (State::Quote, b'"') | (State::Quoted, _) => State::Quoted,
                (State::Start, _) => {
                    // Behind the last field of a line that ends with CR LF nothing has to stand.
                    if byte != b'\r' {
                        self.guard(byte, out);
                    }
                    State::Unquoted
                }
                (State::QuotedStart, _) => {
                    self.guard(byte, out);
                    State::Quoted
                }
                (State::Unquoted | State::Quote, _) => State::Unquoted,
            };
            out.push(byte);
        }
    }

    fn guard(&self, first: u8, out: &mut Vec<u8>) {
        let is_text = self.header || !self.plain.get(self.column).copied().unwrap_or(false);
        if is_text && begins_formula(first) {
            out.push(b'\'');
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn guarded(csv: &str, plain: &[bool], piece: usize) -> String {
        let mut guard = FormulaGuard::new(plain.to_vec());
        let mut out = Vec::new();
        csv.as_bytes().chunks(piece).for_each(|bytes| guard.push(bytes, &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_begins_like_a_formula_is_text() {
        let csv = "=name,\"+n\",-d\n\
                   =1+1,-5,-x\n\
                   \"=HYPERLINK(\"\"http://x\"\",\"\"a,b\"\")\",-6,\"@a\n=b\"\n\
                   \"\",7,\"\"\"=c\"\n\
                   \ta,+8,\"\r\"\n\
                   a=b,9,'=c\r\n\
                   ,,\r\n\
                   -,10,\"-\"\n";
        let safe = "'=name,\"'+n\",'-d\n\
                    '=1+1,-5,'-x\n\
                    \"'=HYPERLINK(\"\"http://x\"\",\"\"a,b\"\")\",-6,\"'@a\n=b\"\n\
                    \"\",7,\"\"\"=c\"\n\
                    '\ta,+8,\"'\r\"\n\
                    a=b,9,'=c\r\n\
                    ,,\r\n\
                    '-,10,\"'-\"\n";
        for piece in [1, 2, 7, 1000] {
            assert_eq!(guarded(csv, &[false, true], piece), safe, "{piece}");
        }
    }

    proptest! {
        #[test]
        fn no_cell_of_text_begins_a_formula_and_nothing_else_changes(
            rows in prop::collection::vec(prop::collection::vec("[-=+@,\"\t\r\na'1]{0,4}", 3), 1..8),
        ) {
            let mut csv = Vec::new();
            for row in &rows {
                for (i, field) in row.iter().enumerate() {
                    if i > 0 {
                        csv.push(b',');
                    }
                    crate::value::write_text(field.as_bytes(), &mut csv);
                }
                csv.push(b'\n');
            }
            let safe = guarded(std::str::from_utf8(&csv).unwrap(), &[false, false, true], 3);
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(safe.as_bytes());
            let read: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
            // The reader passes over blank lines, of which there is none: a row has two commas.
            prop_assert_eq!(read.len(), rows.len());
            for (n, (row, record)) in rows.iter().zip(&read).enumerate() {
                for (i, (field, cell)) in row.iter().zip(record).enumerate() {
                    let guarded = (n == 0 || i < 2)
                        && field.bytes().next().is_some_and(begins_formula);
                    prop_assert_eq!(cell.strip_prefix(if guarded { "'" } else { "" }), Some(field.as_str()));
                }
            }
        }
    }
}
