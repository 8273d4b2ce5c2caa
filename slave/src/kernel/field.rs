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

impl<'a> Window<'a> {
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

    /// Finds the field of `column` in each of `rows` (see [`super::batch::Batch`]). `last` tells that
    /// it is the last column.
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
        } else if last {
            spans.extend(rows.iter().map(|&base| {
                let (start, end) = self.raw(base as usize + column, true);
                Span::window(start, end)
            }));
        } else {
            spans.extend(rows.iter().map(|&base| {
                let (start, end) = self.raw(base as usize + column, false);
                Span::window(start, end)
            }));
        }
    }

    #[inline]
    fn unquoted(&self, start: usize, end: usize, scratch: &mut Vec<u8>) -> Span {
        let field = &self.bytes[start..end];
        if field.first() != Some(&b'"') {
            return Span::window(start, end);
        }
        if memchr::memchr(b'"', &field[1..]) == Some(field.len().wrapping_sub(2)) {
            return Span::window(start + 1, end - 1);
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
