//! Records and fields of one indexed window. Nothing is copied but fields that hold a quote within.

use tally_common::scan::{FieldIndex, append_unquoted};

/// Whole records and where their fields are.
#[derive(Clone, Copy)]
pub(super) struct Window<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) index: &'a FieldIndex,
}

/// Where a key's bytes are: in the window, or in the batch's scratch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    at: u32,
    len: u32,
}

const IN_SCRATCH: u32 = 1 << 31;

impl Span {
    #[inline]
    fn window(start: usize, end: usize) -> Self {
        Self { at: start as u32, len: (end - start) as u32 }
    }

    /// What was appended to the scratch since it had `start` bytes.
    #[inline]
    pub(super) fn scratch(start: usize, scratch: &[u8]) -> Self {
        Self { at: start as u32 | IN_SCRATCH, len: (scratch.len() - start) as u32 }
    }

    /// The buffer and the range in it.
    #[inline]
    pub(super) fn place<'a>(self, window: &'a [u8], scratch: &'a [u8]) -> (&'a [u8], usize, usize) {
        let start = (self.at & !IN_SCRATCH) as usize;
        let buffer = if self.at & IN_SCRATCH == 0 { window } else { scratch };
        (buffer, start, start + self.len as usize)
    }
}

/// Where the fields of one column are, for numbers and dates: with the quotes around them taken off.
/// Whether there may be quotes at all, and CRs before the record's end, is decided once for a window.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a, const QUOTES: bool, const RETURNS: bool> {
    bytes: &'a [u8],
    separators: &'a [u32],
    column: usize,
}

impl<const QUOTES: bool, const RETURNS: bool> Fields<'_, QUOTES, RETURNS> {
    /// The field of the record whose first separator is `base`.
    #[inline(always)]
    pub(super) fn place(&self, base: u32) -> (usize, usize) {
        let at = base as usize + self.column;
        let start = if at == 0 { 0 } else { self.separators[at - 1] as usize + 1 };
        let mut end = self.separators[at] as usize;
        if RETURNS {
            let crlf = end > start
                && self.bytes[end - 1] == b'\r'
                && self.bytes.get(end).is_some_and(|&byte| byte == b'\n');
            end -= usize::from(crlf);
        }
        if QUOTES { strip(self.bytes, start, end) } else { (start, end) }
    }
}

/// Takes the quotes off where they are around a field. There may be others within.
#[inline(always)]
fn strip(bytes: &[u8], start: usize, end: usize) -> (usize, usize) {
    let quoted = end >= start + 2 && (bytes[start] == b'"') & (bytes[end - 1] == b'"');
    (start + usize::from(quoted), end - usize::from(quoted))
}

/// Whether there is a quote in `bytes[start..end]`.
#[inline(always)]
fn has_quote(bytes: &[u8], start: usize, end: usize) -> bool {
    let field = &bytes[start..end];
    match bytes[start..].first_chunk::<NEAR>() {
        Some(chunk) if field.len() <= NEAR => {
            let (words, _) = chunk.as_chunks();
            let found = words.iter().zip(KEPT[field.len()]).fold(0, |found, (word, kept)| {
                let other = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'"'));
                // The high bit of a byte that is zero now, and perhaps of some above it in its word.
                found | (other.wrapping_sub(ONES) & !other & kept)
            });
            found & (ONES << 7) != 0
        }
        _ => memchr::memchr(b'"', field).is_some(),
    }
}

/// Bytes in which a quote is looked for at once.
const NEAR: usize = 32;

const ONES: u64 = 0x0101_0101_0101_0101;

/// The bits of the first bytes, by how many they are.
const KEPT: [[u64; NEAR / 8]; NEAR + 1] = {
    let mut kept = [[0; NEAR / 8]; NEAR + 1];
    let mut len = 0;
    while len <= NEAR {
        let mut byte = 0;
        while byte < len {
            kept[len][byte / 8] |= 0xff << (8 * (byte % 8));
            byte += 1;
        }
        len += 1;
    }
    kept
};

/// Evaluates a body with the [`Fields`] of a column that fit the window.
macro_rules! with_fields {
    ($window:expr, $column:expr, $last:expr, |$fields:ident| $body:expr) => {
        match ($window.index.quotes, $last && $window.index.returns) {
            (false, false) => {
                let $fields = $window.fields::<false, false>($column);
                $body
            }
            (false, true) => {
                let $fields = $window.fields::<false, true>($column);
                $body
            }
            (true, false) => {
                let $fields = $window.fields::<true, false>($column);
                $body
            }
            (true, true) => {
                let $fields = $window.fields::<true, true>($column);
                $body
            }
        }
    };
}
pub(super) use with_fields;

impl<'a> Window<'a> {
    #[inline(always)]
    pub(super) fn fields<const QUOTES: bool, const RETURNS: bool>(
        &self,
        column: usize,
    ) -> Fields<'a, QUOTES, RETURNS> {
        Fields { bytes: self.bytes, separators: &self.index.separators, column }
    }

    /// Where the field that the `at`-th separator ends begins.
    #[inline]
    pub(super) fn start(&self, at: usize) -> usize {
        if at == 0 { 0 } else { self.index.separators[at - 1] as usize + 1 }
    }

    /// Where the record that the `at`-th separator terminates ends, without CR and LF.
    #[inline]
    pub(super) fn record_end(&self, at: usize, start: usize) -> usize {
        let end = self.index.separators[at] as usize;
        let crlf = end > start
            && self.bytes[end - 1] == b'\r'
            && self.bytes.get(end).is_some_and(|&byte| byte == b'\n');
        end - usize::from(crlf)
    }

    /// The field that the `at`-th separator ends, as it stands in the input, quotes included.
    #[inline]
    fn raw(&self, at: usize, last: bool) -> (usize, usize) {
        let start = self.start(at);
        let end =
            if last { self.record_end(at, start) } else { self.index.separators[at] as usize };
        (start, end)
    }

    /// Finds the text of `column` in each of `rows` (see [`super::batch::Batch`]). `last` tells that
    /// it is the last column.
    #[inline(always)]
    pub(super) fn locate(
        &self,
        rows: &[u32],
        column: usize,
        last: bool,
        scratch: &mut Vec<u8>,
        spans: &mut Vec<Span>,
    ) {
        spans.clear();
        if self.index.quotes {
            spans.extend(rows.iter().map(|&base| {
                let (start, end) = self.raw(base as usize + column, last);
                self.unquoted(start, end, scratch)
            }));
        } else {
            with_fields!(self, column, last, |fields| {
                spans.extend(rows.iter().map(|&base| {
                    let (start, end) = fields.place(base);
                    Span::window(start, end)
                }));
            });
        }
    }

    #[inline(always)]
    fn unquoted(&self, start: usize, end: usize, scratch: &mut Vec<u8>) -> Span {
        let (inner, inner_end) = strip(self.bytes, start, end);
        if inner > start && !has_quote(self.bytes, inner, inner_end) {
            return Span::window(inner, inner_end);
        }
        let field = &self.bytes[start..end];
        if field.first() != Some(&b'"') {
            return Span::window(start, end);
        }
        let from = scratch.len();
        append_unquoted(&field[1..], scratch);
        Span::scratch(from, scratch)
    }

    /// One field's value; `scratch` is used where it has to be put together.
    pub(super) fn value<'s>(
        &'s self,
        base: u32,
        column: usize,
        last: bool,
        scratch: &'s mut Vec<u8>,
    ) -> &'s [u8] {
        let (start, end) = self.raw(base as usize + column, last);
        if !self.index.quotes {
            return &self.bytes[start..end];
        }
        scratch.clear();
        let span = self.unquoted(start, end, scratch);
        let (buffer, start, end) = span.place(self.bytes, scratch);
        &buffer[start..end]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn quotes_are_found(
            bytes in prop::collection::vec(
                prop_oneof![3 => any::<u8>(), 1 => 0x20u8..0x24], 0..80),
            from in 0usize..80,
            to in 0usize..80,
        ) {
            let (from, to) = (from.min(bytes.len()), to.min(bytes.len()));
            let (from, to) = (from.min(to), from.max(to));
            prop_assert_eq!(has_quote(&bytes, from, to), bytes[from..to].contains(&b'"'));
        }
    }
}
