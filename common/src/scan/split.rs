//! Splitting: where the fields of the records in a window of input lie.

use super::blocks::{BLOCK, Blocks, Portable, index_best};
#[cfg(test)]
use super::state::At;

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
    /// Whether they hold any CR; perhaps only what follows them does.
    pub returns: bool,
}

/// One record of a [`FieldIndex`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Offset of its first byte in the window.
    pub start: usize,
    /// Offset one past its last byte, its terminator not included.
    pub end: usize,
    /// Offset of the separator behind each of its fields.
    separators: &'a [u32],
}

impl Record<'_> {
    /// Number of its fields, at least 1.
    #[inline]
    pub fn fields(&self) -> usize {
        self.separators.len()
    }

    /// Whether it is a blank line.
    #[inline]
    pub fn is_blank(&self) -> bool {
        self.separators.len() == 1 && self.start == self.end
    }

    /// The range of field `i` in the window, its quotes included.
    ///
    /// # Panics
    /// Where it has no such field.
    #[inline]
    pub fn field(&self, i: usize) -> (usize, usize) {
        let start = if i == 0 { self.start } else { self.separators[i - 1] as usize + 1 };
        // The last field ends with the record: before the CR of a CRLF.
        let end = (self.separators[i] as usize).min(self.end);
        (start, end)
    }
}

impl FieldIndex {
    /// Forgets all records, keeps the memory.
    pub fn clear(&mut self) {
        self.separators.clear();
        self.records.clear();
        self.quotes = false;
        self.returns = false;
    }

    /// Number of records.
    #[inline]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Record `r` of `window`, which must be the one that was indexed.
    ///
    /// # Panics
    /// Where there is no such record.
    #[inline]
    pub fn record(&self, r: usize, window: &[u8]) -> Record<'_> {
        let from = if r == 0 { 0 } else { self.records[r - 1] as usize };
        let start = if from == 0 { 0 } else { self.separators[from - 1] as usize + 1 };
        let separators = &self.separators[from..self.records[r] as usize];
        let mut end = separators.last().map_or(start, |end| *end as usize);
        // A CR right before an LF outside quotes is outside quotes itself.
        if end > start && end < window.len() && window[end] == b'\n' && window[end - 1] == b'\r' {
            end -= 1;
        }
        Record { start, end, separators }
    }
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

/// Indexes the whole records at the start of `window` (which begins at a record boundary) into
/// `index`, replacing what it held. With `last`, the window ends the input and a last record without
/// a terminator counts; else what follows the last terminator is left for the next window, and so is
/// a record that ends in a CR at the window's very end, whose LF may follow.
///
/// `window` is at most `u32::MAX` bytes long.
pub fn split(window: &[u8], delimiter: u8, last: bool, index: &mut FieldIndex) -> Split {
    index_best(window, delimiter, last, index)
}

/// The bits up to and with bit `i`.
#[inline(always)]
fn up_to(i: u32) -> u64 {
    u64::MAX >> (63 - i)
}

/// The state of [`index_records`] between blocks.
struct Indexing<'a> {
    index: &'a mut FieldIndex,
    /// All ones within quotes, else zero.
    quoted: u64,
    /// 1 where the byte before is a separator or a closing quote, else 0: a quote may follow.
    may_open: u64,
    /// Line breaks so far.
    lines: u64,
    /// A quote was seen since the last terminator.
    quote_pending: bool,
    done: Split,
}

/// [`split`] over blocks of one kind.
#[inline(always)]
pub(super) fn index_records<B: Blocks>(
    window: &[u8],
    delimiter: u8,
    last: bool,
    index: &mut FieldIndex,
) -> Split {
    index.clear();
    let done = Split::default();
    let (quoted, may_open, lines, quote_pending) = (0, 1, 0, false);
    let mut state = Indexing { index, quoted, may_open, lines, quote_pending, done };
    let mut at = 0;
    while at < window.len() {
        at = match window[at..].first_chunk::<BLOCK>() {
            Some(block) => state.block::<B>(window, at, block, BLOCK, delimiter, last),
            None => {
                // Zeros are no byte of interest.
                let mut block = [0; BLOCK];
                let rest = &window[at..];
                block[..rest.len()].copy_from_slice(rest);
                state.block::<B>(window, at, &block, rest.len(), delimiter, last)
            }
        };
    }
    state.finish(window.len(), last)
}

impl Indexing<'_> {
    /// Indexes one block, of which `len` bytes count; gives the offset where to go on.
    #[inline(always)]
    fn block<B: Blocks>(
        &mut self,
        window: &[u8],
        at: usize,
        block: &[u8; BLOCK],
        len: usize,
        delimiter: u8,
        last: bool,
    ) -> usize {
        let masks = B::masks(block, delimiter);
        let mut breaks = masks.lf;
        if masks.cr != 0 {
            self.index.returns = true;
            let next_lf = u64::from(window.get(at + BLOCK) == Some(&b'\n'));
            let mut lone = masks.cr & !((masks.lf >> 1) | (next_lf << 63));
            if !last && at + len == window.len() {
                // Its LF may come with the next window.
                lone &= !(1 << (len - 1));
            }
            breaks |= lone;
        }
        let mut bits = len as u32;
        let mut outside = u64::MAX;
        let mut closing_last = 0;
        if masks.quote != 0 || self.quoted != 0 {
            let quoted = B::parity(masks.quote) ^ self.quoted;
            outside = !quoted;
            let opening = masks.quote & quoted;
            let closing = masks.quote & !quoted;
            let before = ((masks.delimiter | breaks) & outside) | closing;
            let stray = opening & !((before << 1) | self.may_open);
            if stray != 0 {
                // All is well up to the stray quote; from there it is byte by byte.
                bits = stray.trailing_zeros();
            } else {
                self.quoted = ((quoted as i64) >> 63) as u64;
                closing_last = closing >> 63;
            }
        }
        let counted = if bits == 0 { 0 } else { up_to(bits - 1) };
        let terminators = breaks & outside & counted;
        let separators = ((masks.delimiter & outside) | terminators) & counted;
        self.take::<B>(at as u32, separators, terminators, breaks & counted, masks.quote & counted);
        if bits < len as u32 {
            return self.stray(window, at + bits as usize, delimiter, last);
        }
        if len < BLOCK {
            // The window ends here; the parity of the padding is that of the last byte.
            return at + len;
        }
        self.may_open = (separators >> 63) | closing_last;
        at + BLOCK
    }

    /// Takes in what was found in a block that begins at `base`.
    #[inline(always)]
    fn take<B: Blocks>(
        &mut self,
        base: u32,
        separators: u64,
        terminators: u64,
        breaks: u64,
        quotes: u64,
    ) {
        let before = self.index.separators.len() as u32;
        B::push(&mut self.index.separators, separators, base);
        if terminators != 0 {
            // The ranks of the terminators among the separators, counted from 1.
            let ranks = B::pick(terminators, separators);
            B::push(&mut self.index.records, ranks, before + 1);
            let end = 63 - terminators.leading_zeros();
            self.done.consumed = (base + end) as usize + 1;
            self.done.lines = self.lines + u64::from((breaks & up_to(end)).count_ones());
            self.index.quotes |= self.quote_pending | (quotes & up_to(end) != 0);
            self.quote_pending = quotes & !up_to(end) != 0;
        } else {
            self.quote_pending |= quotes != 0;
        }
        self.lines += u64::from(breaks.count_ones());
    }

    /// Steps over the rest of an unquoted field that has a quote at `at`; gives the offset behind
    /// the separator that ends it.
    #[cold]
    #[inline(never)]
    fn stray(&mut self, window: &[u8], at: usize, delimiter: u8, last: bool) -> usize {
        self.quoted = 0;
        for (i, &byte) in window.iter().enumerate().skip(at) {
            let next = window.get(i + 1);
            let breaks = match byte {
                b'\n' => true,
                b'\r' => next.map_or(last, |next| *next != b'\n'),
                _ => false,
            };
            let separator = u64::from(breaks || byte == delimiter);
            let (breaks, quote) = (u64::from(breaks), u64::from(byte == b'"'));
            self.take::<Portable>(i as u32, separator, breaks, breaks, quote);
            if separator != 0 {
                self.may_open = 1;
                return i + 1;
            }
        }
        self.may_open = 0;
        window.len()
    }

    #[inline(always)]
    fn finish(mut self, len: usize, last: bool) -> Split {
        let whole = self.index.records.last().map_or(0, |end| *end as usize);
        if last && self.done.consumed < len {
            self.index.separators.push(len as u32);
            self.index.records.push(self.index.separators.len() as u32);
            self.index.quotes |= self.quote_pending;
            self.done = Split { consumed: len, lines: self.lines, unterminated: self.quoted != 0 };
        } else {
            self.index.separators.truncate(whole);
        }
        self.done
    }
}

/// [`split`], byte by byte: what tests hold the other paths against.
#[cfg(test)]
pub(super) fn split_reference(
    window: &[u8],
    delimiter: u8,
    last: bool,
    index: &mut FieldIndex,
) -> Split {
    index.clear();
    let (mut state, mut done) = (At::FieldStart, Split::default());
    let (mut quotes, mut lines, mut whole) = (false, 0, 0);
    for (i, &byte) in window.iter().enumerate() {
        let breaks = match byte {
            b'\n' => true,
            b'\r' if i + 1 == window.len() => last,
            b'\r' => window[i + 1] != b'\n',
            _ => false,
        };
        lines += u64::from(breaks);
        quotes |= byte == b'"';
        let outside = state != At::Quoted;
        if outside && (breaks || byte == delimiter) {
            index.separators.push(i as u32);
            state = At::FieldStart;
            if breaks {
                whole = index.separators.len();
                index.records.push(whole as u32);
                done = Split { consumed: i + 1, lines, unterminated: false };
                index.quotes = quotes;
            }
        } else {
            state = state.after(byte);
        }
    }
    if last && done.consumed < window.len() {
        index.separators.push(window.len() as u32);
        index.records.push(index.separators.len() as u32);
        index.quotes = quotes;
        return Split { consumed: window.len(), lines, unterminated: state == At::Quoted };
    }
    index.separators.truncate(whole);
    done
}
