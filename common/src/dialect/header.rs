//! Reading a header: which delimiter the input has, and where the spec's columns stand.

use thiserror::Error;

use super::{Delimiter, Layout, fold};
use crate::limits::MAX_HEADER_BYTES;
use crate::scan::{FieldIndex, split, unquote};
use crate::spec::Spec;
use crate::value::{parse_date, parse_integer};

/// Names shown in an error before the rest is only counted.
const SHOWN_NAMES: usize = 20;

/// Bytes that are looked at to tell UTF-16 that has no mark.
const UTF16_BYTES: usize = 64;

/// A header, resolved against a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where the spec's columns stand.
    pub layout: Layout,
    /// Offset of the first byte behind the header record.
    pub body: u64,
    /// The columns' names, trimmed.
    pub names: Vec<String>,
    /// Line breaks before `body`.
    pub lines: u64,
}

/// Why a header does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// There is nothing.
    #[error("the input is empty: a header with the columns {} is needed", list(needed))]
    Empty {
        /// The columns that the spec needs.
        needed: Vec<String>,
    },
    /// Columns that the spec needs are not there.
    #[error(
        "line {line}: the header has no column {}; it has {}{}",
        list(missing),
        list(found),
        if *looks_like_data { ". Does the file lack a header line?" } else { "" }
    )]
    Missing {
        /// The header's line, from 1.
        line: u64,
        /// The columns that are not there.
        missing: Vec<String>,
        /// The columns that are.
        found: Vec<String>,
        /// One of these is a date or a number.
        looks_like_data: bool,
    },
    /// A column that the spec needs is there more than once.
    #[error("line {line}: the header has the column {name:?} twice; rename one of them")]
    Twice {
        /// The header's line, from 1.
        line: u64,
        /// The column.
        name: String,
    },
    /// It does not end.
    #[error(
        "the header is longer than {max} bytes; is this a CSV file, and is a quote in its first \
         line never closed?",
        max = MAX_HEADER_BYTES
    )]
    TooLong,
    /// It is not UTF-8.
    #[error("line {line}: the header is not valid UTF-8; convert the file to UTF-8")]
    NotUtf8 {
        /// The header's line, from 1.
        line: u64,
    },
    /// It is UTF-16.
    #[error("the input is UTF-16; convert it to UTF-8 (for example: iconv -f UTF-16 -t UTF-8)")]
    Utf16,
}

fn list(names: &[String]) -> String {
    let mut shown: Vec<_> =
        names.iter().take(SHOWN_NAMES).map(|name| format!("{name:?}")).collect();
    if names.len() > SHOWN_NAMES {
        shown.push(format!("{} more", names.len() - SHOWN_NAMES));
    }
    shown.join(", ")
}

/// A header as it stands, whether it has what a spec needs or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The byte between fields.
    pub delimiter: Delimiter,
    /// The columns' names, trimmed.
    pub names: Vec<String>,
    /// Offset of the first byte behind the header record.
    pub body: u64,
    /// Line breaks before `body`.
    pub lines: u64,
}

/// Reads the header at the start of `input` and finds the spec's columns in it. `None` means that
/// more bytes are needed; `complete` says that there will be none.
///
/// A byte order mark and blank lines before the header are skipped. The delimiter is the spec's, or
/// the one under which most of the spec's columns are found, then the one that gives most columns.
///
/// # Errors
/// [`HeaderError`].
pub fn read_header(
    input: &[u8],
    complete: bool,
    spec: &Spec,
) -> Result<Option<Header>, HeaderError> {
    let Some((best, start, line)) = find_header(input, complete, spec)? else { return Ok(None) };
    let (body, lines) = (start + best.bytes, line - 1 + best.lines);
    let layout = best.resolve(spec, line)?;
    Ok(Some(Header { layout, body: body as u64, names: best.names, lines }))
}

/// Reads the header in the same way, and leaves it at that: for those who want to see what there is in
/// an input that does not fit the spec.
///
/// # Errors
/// [`HeaderError`], but never [`HeaderError::Missing`] or [`HeaderError::Twice`].
pub fn read_names(input: &[u8], complete: bool, spec: &Spec) -> Result<Option<Names>, HeaderError> {
    let Some((best, start, line)) = find_header(input, complete, spec)? else { return Ok(None) };
    let (body, lines) = ((start + best.bytes) as u64, line - 1 + best.lines);
    Ok(Some(Names { delimiter: best.delimiter, names: best.names, body, lines }))
}

/// The header under the best delimiter, the offset where it begins and its line.
fn find_header(
    input: &[u8],
    complete: bool,
    spec: &Spec,
) -> Result<Option<(Candidate, usize, u64)>, HeaderError> {
    // Enough to tell UTF-16 and a byte order mark.
    if input.len() < 4 && !complete {
        return Ok(None);
    }
    let settled = has_utf16_mark(input) || input.len() >= UTF16_BYTES || complete;
    match looks_like_utf16(input) {
        // More bytes may tell it from an odd header.
        Some(_) if !settled => return Ok(None),
        Some(true) => return Err(HeaderError::Utf16),
        Some(false) | None => {}
    }
    let mark = if input.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let skipped = input[mark..].iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    let start = mark + skipped;
    if start == input.len() {
        let needed = wanted(spec).filter(|(_, needed)| *needed);
        let needed = needed.map(|(name, _)| name.to_owned()).collect();
        return if complete { Err(HeaderError::Empty { needed }) } else { Ok(None) };
    }
    let blank = &input[mark..start];
    // A CRLF is one line break; so is a lone CR.
    let line = 1 + count_breaks(blank);
    let window = &input[start..input.len().min(start + MAX_HEADER_BYTES)];
    let whole = complete && start + window.len() == input.len();
    let delimiters = match spec.delimiter() {
        Some(delimiter) => vec![delimiter],
        None => Delimiter::ALL.to_vec(),
    };
    let mut best: Option<Candidate> = None;
    for delimiter in delimiters {
        let Some(candidate) = Candidate::read(window, whole, delimiter, spec, line)? else {
            let endless = window.len() == MAX_HEADER_BYTES || complete;
            return if endless { Err(HeaderError::TooLong) } else { Ok(None) };
        };
        // The first of equals: the order of `Delimiter::ALL`.
        if best.as_ref().is_none_or(|best| candidate.rank() > best.rank()) {
            best = Some(candidate);
        }
    }
    Ok(best.map(|best| (best, start, line)))
}

fn count_breaks(bytes: &[u8]) -> u64 {
    let breaks = bytes.iter().enumerate().filter(|(i, byte)| match byte {
        b'\n' => true,
        b'\r' => bytes.get(i + 1) != Some(&b'\n'),
        _ => false,
    });
    breaks.count() as u64
}

fn has_utf16_mark(input: &[u8]) -> bool {
    input.starts_with(b"\xff\xfe") || input.starts_with(b"\xfe\xff")
}

/// Whether it is UTF-16, as far as its first bytes tell; `Some(false)` where they are all zero, and
/// more of them may do so.
fn looks_like_utf16(input: &[u8]) -> Option<bool> {
    if has_utf16_mark(input) {
        return Some(true);
    }
    // Without a mark: text of mostly Latin letters has a zero in every other byte.
    let head = &input[..input.len().min(UTF16_BYTES) & !1];
    let zeros = |odd: usize| head.iter().skip(odd).step_by(2).all(|byte| *byte == 0);
    let either = head.len() >= 4 && (zeros(0) || zeros(1));
    either.then(|| !head.iter().all(|byte| *byte == 0))
}

/// The columns that a spec reads, and whether there must be such a column: the keys and those of the
/// aggregates; or all columns of a table, which may lack those that can be null.
fn wanted(spec: &Spec) -> impl Iterator<Item = (&str, bool)> {
    let keys = spec.group_by().iter().map(|key| key.name.as_str());
    let values = spec.aggregates().iter().filter_map(|aggregate| aggregate.column.as_deref());
    let rows = spec.rows().unwrap_or_default().iter();
    // The keys of rows are among them.
    let keys = keys.chain(values).filter(|_| spec.rows().is_none()).map(|name| (name, true));
    keys.chain(rows.map(|column| (column.name.as_str(), !column.nullable)))
}

/// A header as one delimiter makes it.
struct Candidate {
    delimiter: Delimiter,
    names: Vec<String>,
    folded: Vec<String>,
    /// How many of the wanted columns are there.
    matched: usize,
    bytes: usize,
    lines: u64,
}

impl Candidate {
    fn read(
        window: &[u8],
        whole: bool,
        delimiter: Delimiter,
        spec: &Spec,
        line: u64,
    ) -> Result<Option<Self>, HeaderError> {
        let mut index = FieldIndex::default();
        let split = split(window, delimiter.byte(), whole, &mut index);
        if index.is_empty() || (split.unterminated && index.len() == 1) {
            return Ok(None);
        }
        let record = index.record(0, window);
        let mut scratch = Vec::new();
        let names = (0..record.fields()).map(|i| {
            let (from, to) = record.field(i);
            let name = unquote(&window[from..to], &mut scratch);
            let name = std::str::from_utf8(name).map_err(|_| HeaderError::NotUtf8 { line })?;
            Ok(name.trim().to_owned())
        });
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let folded: Vec<_> = names.iter().map(|name| fold(name)).collect();
        let matched = wanted(spec).filter(|(name, _)| folded.contains(&fold(name))).count();
        // The terminator: an LF or a CR, or none at the end of the input. An LF behind a CR belongs
        // to it and has been seen by the split.
        let end = index.separators[index.records[0] as usize - 1] as usize;
        let bytes = (end + 1).min(window.len());
        let lines = count_breaks(&window[..bytes]);
        Ok(Some(Self { delimiter, names, folded, matched, bytes, lines }))
    }

    fn rank(&self) -> (usize, usize) {
        (self.matched, self.names.len())
    }

    fn resolve(&self, spec: &Spec, line: u64) -> Result<Layout, HeaderError> {
        let mut missing: Vec<String> = Vec::new();
        for (name, needed) in wanted(spec) {
            let count = self.folded.iter().filter(|found| **found == fold(name)).count();
            if count > 1 {
                return Err(HeaderError::Twice { line, name: name.to_owned() });
            }
            if count == 0 && needed && !missing.iter().any(|known| known == name) {
                missing.push(name.to_owned());
            }
        }
        if !missing.is_empty() {
            let data = |name: &String| {
                parse_integer(name.as_bytes()).is_ok() || parse_date(name.as_bytes()).is_ok()
            };
            let looks_like_data = self.names.iter().any(data);
            let found = self.names.clone();
            return Err(HeaderError::Missing { line, missing, found, looks_like_data });
        }
        let place = |name: &str| {
            let place = self.folded.iter().position(|found| *found == fold(name));
            place.map(|place| place as u32)
        };
        // All are there: that has just been checked.
        let find = |name: &str| place(name).unwrap_or_default();
        let aggregates = spec.aggregates().iter();
        Ok(Layout {
            delimiter: self.delimiter,
            fields: self.names.len() as u32,
            keys: spec.group_by().iter().map(|key| find(&key.name)).collect(),
            values: aggregates.map(|a| a.column.as_deref().map(find)).collect(),
            rows: spec.rows().into_iter().flatten().map(|column| place(&column.name)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{KeyKind, SpecDraft};
    use crate::table::{TableColumn, TableDraft};

    fn plays() -> Spec {
        Spec::try_from(SpecDraft::plays()).unwrap()
    }

    fn read(input: &str) -> Header {
        read_header(input.as_bytes(), true, &plays()).unwrap().unwrap()
    }

    fn fails(input: &[u8]) -> String {
        read_header(input, true, &plays()).unwrap_err().to_string()
    }

    #[test]
    fn columns_are_found_wherever_they_are() {
        let header = read("number of plays;Extra; song ;DATE\n1;2;3;4\n");
        assert_eq!(header.layout.delimiter, Delimiter::Semicolon);
        assert_eq!((header.layout.keys, header.layout.values), (vec![2, 3], vec![Some(0)]));
        assert_eq!((header.layout.fields, header.body, header.lines), (4, 34, 1));
        assert_eq!(header.names, ["number of plays", "Extra", "song", "DATE"]);
    }

    #[test]
    fn a_table_may_lack_columns_that_can_be_null() {
        let mut table = TableDraft::plays();
        table.columns[2].nullable = true;
        table.columns.push(TableColumn::new("Artist", KeyKind::Text));
        let spec = Spec::try_from(SpecDraft::of_table(&table.try_into().unwrap())).unwrap();
        let read = |text: &str| read_header(text.as_bytes(), true, &spec);
        let header = read("artist;More;DATE; song\n").unwrap().unwrap();
        assert_eq!(header.layout.delimiter, Delimiter::Semicolon);
        assert_eq!(header.layout.keys, [3, 2]);
        assert_eq!(header.layout.values, [None]);
        assert_eq!(header.layout.rows, [Some(3), Some(2), None, Some(0)]);
        let header = read("Song,Date,Number of Plays,Artist\n").unwrap().unwrap();
        assert_eq!(header.layout.rows, [Some(0), Some(1), Some(2), Some(3)]);
        let error = read("Song,Date,Plays\n").unwrap_err().to_string();
        assert_eq!(
            error,
            "line 1: the header has no column \"Artist\"; it has \"Song\", \"Date\", \"Plays\""
        );
        assert!(read("Song,Date,Artist,song\n").unwrap_err().to_string().contains("twice"));
        let error = read("").unwrap_err().to_string();
        assert!(error.contains("Artist") && !error.contains("Number"), "{error}");
    }

    #[test]
    fn every_delimiter_is_sniffed() {
        for delimiter in Delimiter::ALL {
            let header = format!("Song{0}Date{0}Number of Plays\r\n", delimiter.byte() as char);
            assert_eq!(read(&header).layout.delimiter, delimiter);
        }
    }

    #[test]
    fn marks_blank_lines_quotes_and_newlines_in_names_are_no_trouble() {
        let header = read("\u{feff}\r\n\n\"Song\",\"Date\",\"Number of Plays\",\"a\nb\"\r\nx");
        assert_eq!((header.body, header.lines, header.layout.fields), (45, 4, 4));
        assert_eq!(read("Song,Date,Number of Plays").body, 25);
        assert_eq!(read("Song,Date,Number of Plays\rx").body, 26);
    }

    #[test]
    fn more_bytes_are_asked_for_until_the_header_is_whole() {
        let text = b"Song,Date,Number of Plays\r\n";
        for n in 0..text.len() - 1 {
            assert_eq!(read_header(&text[..n], false, &plays()), Ok(None), "{n}");
        }
        assert!(read_header(text, false, &plays()).unwrap().is_some());
    }

    #[test]
    fn what_begins_like_utf16_is_not_judged_by_its_first_bytes() {
        let zeros = [b"\0\0\0\0\n".as_slice(), &[0; 70]].concat();
        for text in [b"a\0b\0,Song,Date,Number of Plays\n".as_slice(), &zeros] {
            let whole = read_header(text, true, &plays()).transpose();
            let come = (0..=text.len()).map(|n| read_header(&text[..n], false, &plays()));
            assert_eq!(come.filter_map(Result::transpose).next(), whole);
        }
    }

    #[test]
    fn errors_say_what_was_expected_and_found() {
        assert!(fails(b"").contains("\"Song\", \"Date\", \"Number of Plays\""));
        assert!(fails(b"\n\n").contains("empty"));
        let error = fails(b"\nSong,Day,Number of Plays\n");
        assert_eq!(
            error,
            "line 2: the header has no column \"Date\"; it has \"Song\", \"Day\", \"Number of Plays\""
        );
        let error = fails(b"Umbrella,2020-01-01,100\n");
        assert!(error.contains("lack a header line"), "{error}");
        assert!(fails(b"Song,Date,song,Number of Plays\n").contains("\"Song\" twice"));
        assert!(fails(b"Song,Date,Number of Plays,caf\xe9\n").contains("UTF-8"));
        assert!(fails(b"\xff\xfeS\0o\0").contains("UTF-16"));
        assert!(fails(b"S\0o\0n\0g\0").contains("UTF-16"));
        assert!(fails(b"\"Song,Date\n").contains("never closed"));
        let endless = vec![b'x'; MAX_HEADER_BYTES];
        let error = read_header(&endless, false, &plays()).unwrap_err();
        assert_eq!(error, HeaderError::TooLong);
    }
}
