//! One segment, read group by group within a key range.

use std::cmp::Ordering;

use tally_common::key::Tail;
use tally_common::run::{BlockInfo, GroupReader, RunError, RunMeta};

use super::MergeError;
use super::ranges::{Range, Segment};

/// A segment that stands at a group of the range.
pub(super) struct Cursor<'a> {
    segment: &'a Segment,
    range: &'a Range,
    blocks: &'a [BlockInfo],
    /// Index of the block that comes after the one at hand.
    next: usize,
    /// The block at hand may hold groups beyond the range.
    may_end: bool,
    reader: GroupReader,
    /// Bytes that all heads of the range begin with.
    skip: usize,
    /// The eight bytes of the head behind these, as a number that sorts as they do.
    prefix: u64,
}

impl<'a> Cursor<'a> {
    /// A cursor at the segment's first group in the range; `None` where there is none.
    pub(super) fn open(segment: &'a Segment, range: &'a Range) -> Result<Option<Self>, MergeError> {
        let blocks = segment.blocks();
        // The last block that begins at or before the range may hold its first group.
        let next = match &range.from {
            Some(from) => {
                let before = |block: &BlockInfo| {
                    from.compare(&block.head, block.tail.as_tail()) != Ordering::Greater
                };
                blocks.partition_point(before).saturating_sub(1)
            }
            None => 0,
        };
        let reader = GroupReader::new(segment.input.meta.header());
        let (skip, may_end, prefix) = (range.common_prefix(), false, 0);
        let mut cursor = Self { segment, range, blocks, next, may_end, reader, skip, prefix };
        let mut found = cursor.advance()?;
        while found && cursor.is_before_range() {
            found = cursor.advance()?;
        }
        Ok(found.then_some(cursor))
    }

    fn is_before_range(&self) -> bool {
        let group = self.reader.group();
        let before =
            |from: &super::ranges::Bound| from.compare(group.head, group.tail) == Ordering::Less;
        self.range.from.as_ref().is_some_and(before)
    }

    /// Moves to the next group; `false` where the range has no more.
    #[inline]
    pub(super) fn advance(&mut self) -> Result<bool, MergeError> {
        let mut entered = false;
        loop {
            let more = self.reader.advance().map_err(|error| self.damaged(error))?;
            if more {
                break;
            }
            if !self.next_block()? {
                return Ok(false);
            }
            entered = true;
        }
        if entered {
            self.check_index()?;
        }
        if self.reader.is_fresh() {
            self.prefix = prefix(self.reader.head(), self.skip);
        }
        Ok(!(self.may_end && self.is_beyond_range()))
    }

    #[cold]
    fn next_block(&mut self) -> Result<bool, MergeError> {
        let Some(block) = self.blocks.get(self.next) else { return Ok(false) };
        let run = &*self.segment.input.run;
        let loaded = self.reader.load(block.offset, block.len, |buffer| {
            RunMeta::read_block(run, block.offset, block.len, buffer)
        });
        loaded.map_err(|error| self.damaged(error))?;
        self.next += 1;
        // Where the block after it begins within the range, or at its end, all of it lies before.
        self.may_end = match (&self.range.to, self.blocks.get(self.next)) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(to), Some(after)) => {
                to.compare(&after.head, after.tail.as_tail()) == Ordering::Greater
            }
        };
        Ok(true)
    }

    /// The block at hand begins with the group that the index gives: ranges rely on it.
    fn check_index(&self) -> Result<(), MergeError> {
        // A block was entered, so there is one before the next.
        let Some(block) = self.blocks.get(self.next - 1) else { return Ok(()) };
        let group = self.reader.group();
        if (group.head, group.tail) == (&*block.head, block.tail.as_tail()) {
            return Ok(());
        }
        let what = "a block does not begin as the index says";
        Err(self.damaged(RunError::Corrupt { offset: block.offset, what }))
    }

    fn is_beyond_range(&self) -> bool {
        let group = self.reader.group();
        let beyond =
            |to: &super::ranges::Bound| to.compare(group.head, group.tail) != Ordering::Less;
        self.range.to.as_ref().is_some_and(beyond)
    }

    fn damaged(&self, error: RunError) -> MergeError {
        MergeError::Run { input: self.segment.number, error }
    }

    /// How the heads of two cursors stand to each other.
    #[inline]
    pub(super) fn compare_heads(&self, other: &Self) -> Ordering {
        self.prefix.cmp(&other.prefix).then_with(|| self.head().cmp(other.head()))
    }

    /// Whether the group at hand has another head than `head`, which the one before had.
    #[inline]
    pub(super) fn leaves(&self, head: &[u8]) -> bool {
        self.reader.is_fresh() && self.reader.head() != head
    }

    /// The head of the group at hand.
    #[inline]
    pub(super) fn head(&self) -> &[u8] {
        self.reader.head()
    }

    /// The position of the head's first record.
    pub(super) fn first(&self) -> u64 {
        self.reader.first()
    }

    /// The tail of the group at hand.
    #[inline]
    pub(super) fn tail(&self) -> Tail<'_> {
        self.reader.group().tail
    }

    /// The values of the group at hand.
    #[inline]
    pub(super) fn values(&self) -> &[i128] {
        self.reader.values()
    }
}

/// Eight bytes of `head` from `skip` on, as a number; zeros where there are fewer.
fn prefix(head: &[u8], skip: usize) -> u64 {
    let rest = head.get(skip..).unwrap_or_default();
    match rest.first_chunk() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => {
            let mut bytes = [0; 8];
            bytes[..rest.len()].copy_from_slice(rest);
            u64::from_be_bytes(bytes)
        }
    }
}
