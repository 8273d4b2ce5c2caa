//! Reading the groups of one block, a head entry at a time.
//!
//! ```text
//! entry    shared, length, suffix of the head, position of its first record (where it is kept),
//!          number of groups, widths, tails, a column of values for each aggregate
//! widths   that of the tails in the low four bits, that of the first column above; a byte for each
//!          further column
//! tails    dates: the first relative to the block's first, a column of distances less one;
//!          bytes: their length together, then shared, length, suffix of each; else nothing
//! ```
//! What is shared is all that two heads or tails have in common. Wide numbers have 16 bytes.

mod decode;
mod groups;

use std::ops::RangeInclusive;

use super::columns::{self, STRIDE, Width};
use super::format::{RunError, RunHeader};
use super::varint::{PADDING, common_prefix, get, unzigzag};
use crate::key::TailKind;
use crate::limits::MAX_AGGREGATES;
use crate::value::DAYS;

/// Ordinals that are dates.
const DATES: RangeInclusive<i64> = *DAYS.start() as i64..=*DAYS.end() as i64;

/// Bytes of a head's suffix that are moved at once.
const SUFFIX: usize = 16;

/// Zero bytes behind a head, for who looks at it a word at a time.
const HEAD_PADDING: usize = 8;

const _: () = assert!(PADDING >= columns::BEYOND && PADDING >= SUFFIX);

/// Reads the groups of a segment's blocks, one block after another, into memory of its own that it
/// reuses. Sees to it that their keys ascend: a merge relies on it.
///
/// It is read either group by group ([`GroupReader::advance`]), or entry by entry:
/// [`GroupReader::next_entry`] finds one, [`GroupReader::decode`] reads it. Entries that come before
/// all that are wanted need not be decoded.
#[derive(Clone, Debug)]
pub struct GroupReader {
    tail_kind: TailKind,
    keeps_first: bool,
    /// The payload, with zeros behind it.
    payload: Vec<u8>,
    len: usize,
    at: usize,
    /// Where the block begins in the run, for errors.
    offset: u64,
    /// The head, with at least [`HEAD_PADDING`] zeros behind it.
    head: Vec<u8>,
    head_len: usize,
    shared: usize,
    first: u64,
    /// An entry has been found: the next one's head is not smaller.
    begun: bool,
    new_head: bool,
    /// The block's first date.
    base: i64,
    count: usize,
    /// Groups of the entry that come before the one at hand.
    pos: usize,
    /// Where the entry's tails are, and its values.
    tails_at: usize,
    values_at: usize,
    widths: [Width; 1 + MAX_AGGREGATES],
    /// The last ordinal of the entry before, and of the one at hand, where they were decoded.
    before: i64,
    last: i64,
    ordinals: Vec<i32>,
    tail: Vec<u8>,
    /// The tail that comes next has to be greater than the one at hand.
    chained: bool,
    /// The values of the entry, column by column: these where all are narrow, else those.
    narrow: Vec<i64>,
    wide: Vec<i128>,
    is_wide: bool,
    /// The values of the group at hand.
    values: Vec<i128>,
}

impl GroupReader {
    /// A reader of the blocks of runs with such a header.
    pub fn new(header: &RunHeader) -> Self {
        let aggregates = usize::from(header.aggregates);
        Self {
            tail_kind: header.tail,
            keeps_first: header.keeps_first,
            payload: vec![0; PADDING],
            len: 0,
            at: 0,
            offset: 0,
            head: vec![0; SUFFIX + HEAD_PADDING],
            head_len: 0,
            shared: 0,
            first: 0,
            begun: false,
            new_head: false,
            base: 0,
            count: 0,
            pos: 0,
            tails_at: 0,
            values_at: 0,
            widths: [Width::WIDE; 1 + MAX_AGGREGATES],
            before: i64::MIN,
            last: i64::MIN,
            ordinals: vec![0; STRIDE],
            tail: Vec::new(),
            chained: false,
            narrow: vec![0; aggregates * STRIDE],
            wide: Vec::new(),
            is_wide: false,
            values: vec![0; aggregates],
        }
    }

    /// Takes a block whose payload `fill` reads into the buffer it is given, with zeros behind it (as
    /// [`super::RunMeta::read_block`] does).
    ///
    /// # Errors
    /// What `fill` gives.
    pub fn load(
        &mut self,
        offset: u64,
        len: usize,
        fill: impl FnOnce(&mut Vec<u8>) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        fill(&mut self.payload)?;
        self.payload.resize(len + PADDING, 0);
        (self.len, self.at, self.offset) = (len, 0, offset);
        (self.count, self.pos) = (0, 0);
        Ok(())
    }

    /// Finds the next head entry; `false` where the block has no more.
    ///
    /// # Errors
    /// [`RunError::Corrupt`].
    #[inline]
    pub fn next_entry(&mut self) -> Result<bool, RunError> {
        if self.at >= self.len {
            return Ok(false);
        }
        // Whether the tails of an entry that goes on with the same head can be compared.
        self.chained = self.pos + 1 == self.count && self.last != i64::MIN;
        let begins = self.at == 0;
        self.read_head(begins)?;
        self.chained &= !self.new_head;
        if self.keeps_first {
            self.first = self.number()?;
        }
        let shape = self.payload.get(self.at..).and_then(<[u8]>::first_chunk);
        let [count, widths] = *shape.ok_or_else(|| self.corrupt("an entry is cut off"))?;
        self.at += 2;
        (self.count, self.pos) = (usize::from(count), 0);
        self.before = std::mem::replace(&mut self.last, i64::MIN);
        let mut group = self.width(1, widths >> 4)?;
        for i in 2..=self.values.len() {
            let width = self.payload.get(self.at).copied().unwrap_or(u8::MAX);
            self.at += 1;
            group += self.width(i, width)?;
        }
        if count == 0 || (self.tail_kind == TailKind::None && count > 1) {
            return Err(self.corrupt("a head has no tails, or too many"));
        }
        let tails = self.width(0, widths & 15)?;
        let tails = match self.tail_kind {
            TailKind::None => 0,
            TailKind::Date => {
                let day = unzigzag(self.number()?);
                if begins {
                    self.base = 0;
                }
                let day = self.base.wrapping_add(day);
                if !DATES.contains(&day) || self.widths[0].bytes() > 4 {
                    return Err(self.no_date());
                }
                if begins {
                    self.base = day;
                }
                self.ordinals[0] = day as i32;
                (self.count - 1) * tails
            }
            TailKind::Bytes => usize::try_from(self.number()?).unwrap_or(usize::MAX),
        };
        self.tails_at = self.at;
        // Past the tails and past the values; neither is believed to be that long.
        self.values_at = self.at.saturating_add(tails);
        self.at = self.values_at.saturating_add(self.count * group);
        if self.at > self.len {
            return Err(self.corrupt("a group is cut off"));
        }
        Ok(true)
    }

    /// Takes the width of a column; gives its bytes.
    #[inline]
    fn width(&mut self, column: usize, code: u8) -> Result<usize, RunError> {
        let width = Width::of_code(code).ok_or_else(|| self.corrupt("there is no such width"))?;
        self.widths[column] = width;
        Ok(width.bytes())
    }

    #[inline]
    fn read_head(&mut self, begins: bool) -> Result<(), RunError> {
        let (shared, suffix) = match self.payload.get(self.at..).and_then(<[u8]>::first_chunk) {
            Some([shared, suffix]) if (shared | suffix) & 0x80 == 0 => {
                self.at += 2;
                (usize::from(*shared), usize::from(*suffix))
            }
            _ => {
                let (shared, suffix) = (self.number()?, self.number()?);
                let size = |n| usize::try_from(n).unwrap_or(usize::MAX);
                (size(shared), size(suffix))
            }
        };
        let before = &self.head[..self.head_len];
        let rest = self.payload.get(self.at..self.len).unwrap_or_default();
        let Some(bytes) = rest.get(..suffix) else { return Err(self.bad_key()) };
        if begins || !self.begun {
            // A block begins with a whole head, whatever came before it.
            if shared != 0 {
                return Err(self.bad_key());
            }
            if self.begun && bytes < before {
                return Err(self.disorder());
            }
            self.new_head = !self.begun || bytes > before;
            self.shared = if self.begun { common_prefix(bytes, before) } else { 0 };
            self.begun = true;
        } else {
            if shared > before.len() {
                return Err(self.bad_key());
            }
            // It is all that is shared, so one byte tells the order.
            let greater = match (bytes.first(), before.get(shared)) {
                (Some(byte), Some(before)) => byte > before,
                (Some(_), None) => true,
                (None, _) => false,
            };
            let same = bytes.is_empty() && shared == before.len();
            if !greater && !same {
                return Err(self.disorder());
            }
            self.new_head = greater;
            self.shared = shared;
        }
        self.head_len = shared + suffix;
        if self.head.len() < self.head_len + SUFFIX + HEAD_PADDING {
            self.head.resize(2 * self.head_len + SUFFIX + HEAD_PADDING, 0);
        }
        let moved = if suffix <= SUFFIX { SUFFIX } else { suffix };
        self.head[shared..shared + moved].copy_from_slice(&self.payload[self.at..self.at + moved]);
        self.head[self.head_len..self.head_len + HEAD_PADDING].fill(0);
        self.at += suffix;
        Ok(())
    }

    #[inline]
    fn number(&mut self) -> Result<u64, RunError> {
        get(&self.payload, &mut self.at).ok_or_else(|| self.corrupt("a number does not read"))
    }

    #[cold]
    fn corrupt(&self, what: &'static str) -> RunError {
        RunError::corrupt(self.offset, what)
    }

    fn disorder(&self) -> RunError {
        self.corrupt("its keys do not ascend")
    }

    fn no_date(&self) -> RunError {
        self.corrupt("there is no such date")
    }

    fn bad_key(&self) -> RunError {
        self.corrupt("a key does not read")
    }
}
