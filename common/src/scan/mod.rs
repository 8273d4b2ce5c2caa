//! Finding records and fields in CSV bytes: RFC 4180 as DESIGN calls it, agreeing with the `csv`
//! crate on every input.
//!
//! A record ends at LF, CRLF or a lone CR outside quotes. A quote opens a quoted field only where a
//! field begins; anywhere else in an unquoted field it is a byte like any other. What follows a
//! closing quote up to the next separator belongs to the field as it stands.

/// Where the fields of the whole records in one window of input lie.
#[derive(Clone, Debug, Default)]
pub struct FieldIndex {
    /// Offset in the window of each separator outside quotes, ascending: delimiters and record
    /// terminators (the LF of a CRLF; the window's length where the last record has none).
    pub separators: Vec<u32>,
    /// For each record, the index into `separators` one past its terminator: record `r` owns
    /// `separators[records[r - 1]..records[r]]` (from 0 for the first). A blank line is a record
    /// with one empty field.
    pub records: Vec<u32>,
    /// Whether the indexed records hold any quote.
    pub quotes: bool,
}

/// What one call of [`split`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Bytes of the window that the indexed records take up; the next window begins there.
    pub consumed: usize,
    /// Line breaks (LF, CRLF or lone CR, quoted ones too) among the consumed bytes.
    pub lines: u64,
    /// The window's last record is within an open quote where the input ends. Only with `last`.
    pub unterminated: bool,
}

impl FieldIndex {
    /// Forgets all records, keeps the memory.
    pub fn clear(&mut self) {
        self.separators.clear();
        self.records.clear();
        self.quotes = false;
    }
}

/// Indexes the whole records at the start of `window` (which begins at a record boundary) into
/// `index`, replacing what it held. With `last`, the window ends the input and a last record without
/// a terminator counts; else what follows the last terminator is left for the next window, and so is
/// a record that ends in a CR at the window's very end, whose LF may follow.
///
/// `window` is at most `u32::MAX` bytes long.
pub fn split(window: &[u8], delimiter: u8, last: bool, index: &mut FieldIndex) -> Split {
    split_portable(window, delimiter, last, index)
}

/// As [`split`], byte by byte.
pub fn split_portable(window: &[u8], delimiter: u8, last: bool, index: &mut FieldIndex) -> Split {
    #[derive(Clone, Copy, PartialEq)]
    enum At {
        FieldStart,
        Unquoted,
        Quoted,
        QuoteInQuoted,
    }
    index.clear();
    let mut state = At::FieldStart;
    let mut done = Split::default();
    let (mut quotes, mut lines) = (false, 0);
    let mut whole = 0;
    for (i, &byte) in window.iter().enumerate() {
        let breaks = match byte {
            b'\n' => true,
            b'\r' if i + 1 == window.len() => last,
            b'\r' => window[i + 1] != b'\n',
            _ => false,
        };
        lines += u64::from(breaks);
        quotes |= byte == b'"';
        state = match (state, byte) {
            (At::Quoted, b'"') => At::QuoteInQuoted,
            (At::Quoted, _) | (At::QuoteInQuoted, b'"') => At::Quoted,
            (At::FieldStart, b'"') => At::Quoted,
            _ if byte == delimiter => {
                index.separators.push(i as u32);
                At::FieldStart
            }
            _ if breaks => {
                index.separators.push(i as u32);
                index.records.push(index.separators.len() as u32);
                done.consumed = i + 1;
                done.lines = lines;
                index.quotes = quotes;
                whole = index.separators.len();
                At::FieldStart
            }
            // The CR of a CRLF, or one whose LF may follow in the next window.
            (state, b'\r') => state,
            _ => At::Unquoted,
        };
    }
    if last && done.consumed < window.len() {
        index.separators.push(window.len() as u32);
        index.records.push(index.separators.len() as u32);
        index.quotes = quotes;
        let unterminated = state == At::Quoted;
        return Split { consumed: window.len(), lines, unterminated };
    }
    index.separators.truncate(whole);
    done
}
