//! Cutting: after which byte a stream of CSV may be cut, without splitting it into fields.

use memchr::{memchr, memrchr};

use super::blocks::{BLOCK, Blocks, advance_best};
use super::state::At;

/// Finds where a stream may be cut.
#[derive(Clone, Debug)]
pub struct Cutter {
    delimiter: u8,
    state: CutState,
    pending: u64,
}

/// Where the stream stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct CutState {
    at: At,
    /// The last byte was a CR outside quotes: whether it ends a record, the next byte tells.
    held_cr: bool,
}

impl Cutter {
    /// A cutter for a stream that begins at a record boundary.
    pub fn new(delimiter: u8) -> Self {
        Self { delimiter, state: CutState { at: At::FieldStart, held_cr: false }, pending: 0 }
    }

    /// Takes the next bytes of the stream; gives the offset in `chunk` behind the last record
    /// terminator in it, if there is one. That is 0 where the chunk before ended in a CR that turns
    /// out to have been a terminator.
    pub fn push(&mut self, chunk: &[u8]) -> Option<usize> {
        let cut = self.find(chunk);
        self.pending = match cut {
            Some(cut) => (chunk.len() - cut) as u64,
            None => self.pending + chunk.len() as u64,
        };
        cut
    }

    /// Bytes taken since the last record ended.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    fn find(&mut self, chunk: &[u8]) -> Option<usize> {
        let first = *chunk.first()?;
        let mut cut = None;
        if std::mem::take(&mut self.state.held_cr) && first != b'\n' {
            self.state.at = At::FieldStart;
            cut = Some(0);
        }
        if self.state.at != At::Quoted && memchr(b'"', chunk).is_none() {
            return self.unquoted(chunk).or(cut);
        }
        let (state, found) = advance_best(self.state, chunk, self.delimiter);
        self.state = state;
        found.or(cut)
    }

    /// A chunk without quotes, from outside quotes on: every line break ends a record.
    fn unquoted(&mut self, chunk: &[u8]) -> Option<usize> {
        self.state.held_cr = chunk.ends_with(b"\r");
        let settled = &chunk[..chunk.len() - usize::from(self.state.held_cr)];
        let lf = memrchr(b'\n', settled).map_or(0, |lf| lf + 1);
        let cr = memrchr(b'\r', &settled[lf..]).map_or(0, |cr| lf + cr + 1);
        let end = lf.max(cr);
        let last = settled.last();
        self.state.at = match last {
            Some(b'\n' | b'\r') => At::FieldStart,
            Some(last) if *last == self.delimiter => At::FieldStart,
            Some(_) => At::Unquoted,
            None => self.state.at,
        };
        (end > 0).then_some(end)
    }
}

/// Takes a chunk, from any state on, over blocks of one kind.
#[inline(always)]
pub(super) fn advance<B: Blocks>(
    mut state: CutState,
    chunk: &[u8],
    delimiter: u8,
) -> (CutState, Option<usize>) {
    let (mut at, mut cut) = (0, None);
    while at < chunk.len() {
        let mut padded = [0; BLOCK];
        let rest = &chunk[at..];
        let len = rest.len().min(BLOCK);
        let block = match rest.first_chunk::<BLOCK>() {
            Some(block) => block,
            None => {
                padded[..len].copy_from_slice(rest);
                &padded
            }
        };
        let masks = B::masks(block, delimiter);
        let ends = at + len == chunk.len();
        let next_lf = u64::from(chunk.get(at + BLOCK) == Some(&b'\n'));
        let mut lone = masks.cr & !((masks.lf >> 1) | (next_lf << 63));
        let end_bit = 1u64 << (len - 1);
        let cr_at_end = ends && lone & end_bit != 0;
        if cr_at_end {
            lone &= !end_bit;
        }
        let breaks = masks.lf | lone;
        let carry = if state.at == At::Quoted { u64::MAX } else { 0 };
        let may_open = u64::from(matches!(state.at, At::FieldStart | At::QuoteInQuoted));
        let quoted = B::parity(masks.quote) ^ carry;
        let opening = masks.quote & quoted;
        let closing = masks.quote & !quoted;
        let before = ((masks.delimiter | breaks) & !quoted) | closing;
        let stray = opening & !((before << 1) | may_open);
        let counted = match stray {
            0 => u64::MAX >> (BLOCK - len),
            _ => (stray & stray.wrapping_neg()) - 1,
        };
        let terminators = breaks & !quoted & counted;
        if terminators != 0 {
            cut = Some(at + BLOCK - terminators.leading_zeros() as usize);
        }
        if stray != 0 {
            (state, at, cut) =
                step_over(chunk, at + stray.trailing_zeros() as usize, delimiter, cut);
            continue;
        }
        let is = |mask: u64| mask & end_bit != 0;
        state.at = if is(quoted) {
            At::Quoted
        } else if is(closing) {
            At::QuoteInQuoted
        } else if is(before) {
            At::FieldStart
        } else {
            At::Unquoted
        };
        state.held_cr = cr_at_end && !is(quoted);
        at += len;
    }
    (state, cut)
}

/// Steps over the rest of an unquoted field that has a quote at `at`.
#[cold]
#[inline(never)]
fn step_over(
    chunk: &[u8],
    at: usize,
    delimiter: u8,
    mut cut: Option<usize>,
) -> (CutState, usize, Option<usize>) {
    for (i, &byte) in chunk.iter().enumerate().skip(at) {
        let breaks = match (byte, chunk.get(i + 1)) {
            (b'\n', _) => true,
            (b'\r', None) => {
                let state = CutState { at: At::Unquoted, held_cr: true };
                return (state, chunk.len(), cut);
            }
            (b'\r', Some(next)) => *next != b'\n',
            _ => false,
        };
        if breaks {
            cut = Some(i + 1);
        }
        if breaks || byte == delimiter {
            return (CutState { at: At::FieldStart, held_cr: false }, i + 1, cut);
        }
    }
    (CutState { at: At::Unquoted, held_cr: false }, chunk.len(), cut)
}

/// [`advance`] with portable blocks, for tests.
#[cfg(test)]
pub(super) fn push_portable(cutter: &mut Cutter, chunk: &[u8]) -> Option<usize> {
    let first = *chunk.first()?;
    let mut cut = None;
    if std::mem::take(&mut cutter.state.held_cr) && first != b'\n' {
        cutter.state.at = At::FieldStart;
        cut = Some(0);
    }
    let (state, found) = advance::<super::blocks::Portable>(cutter.state, chunk, cutter.delimiter);
    cutter.state = state;
    found.or(cut)
}
