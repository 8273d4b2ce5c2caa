//! One segment, read within a key range: a head at a time where tails are ordinals, else a group at a
//! time.

use std::cmp::Ordering;

use tally_common::key::{Tail, TailKind};
use tally_common::run::{BlockInfo, GroupReader, Groups, RunError, RunMeta};

use super::MergeError;
use super::ranges::{Bound, Range, Segment};
use super::tree;

/// A segment that stands at a group of the range, or at its end.
pub(super) struct Cursor<'a> {
    segment: &'a Segment,
    range: &'a Range,
    blocks: &'a [BlockInfo],
    /// Index of the block that comes after the one at hand.
    next: usize,
    /// The block at hand may hold groups beyond the range.
    may_end: bool,
    reader: GroupReader,
    /// Where tails are ordinals: those of the entry at hand that are in the range, and still to come.
    left: (usize, usize),
    /// The range has no more groups.
    ended: bool,
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
        let header = segment.input.meta.header();
        let reader = GroupReader::new(header);
        let (may_end, left, ended) = (false, (0, 0), false);
        let mut cursor = Self { segment, range, blocks, next, may_end, reader, left, ended };
        let found = match header.tail {
            TailKind::Bytes => cursor.find_group()?,
            TailKind::None | TailKind::Date => cursor.find_entry()?,
        };
        Ok(found.then_some(cursor))
    }

    /// Finds the range's first group.
    fn find_group(&mut self) -> Result<bool, MergeError> {
        let before = |from: &Bound, reader: &GroupReader| {
            from.compare(reader.head(), reader.tail()) == Ordering::Less
        };
        let mut found = self.advance()?;
        while found && self.range.from.as_ref().is_some_and(|from| before(from, &self.reader)) {
            found = self.advance()?;
        }
        Ok(found)
    }

    /// Finds the range's first entry. Those before it are not decoded.
    fn find_entry(&mut self) -> Result<bool, MergeError> {
        loop {
            if !self.step()? {
                return Ok(false);
            }
            let Some(from) = &self.range.from else { return self.enter(0) };
            match (self.reader.head().cmp(&from.head), &from.tail) {
                (Ordering::Less, _) => {}
                (Ordering::Equal, Some(tail)) => {
                    self.reader.decode().map_err(|error| self.damaged(error))?;
                    let before = self.before(tail.as_tail());
                    if before < self.reader.ordinals().len() {
                        return self.enter(before);
                    }
                }
                _ => return self.enter(0),
            }
        }
    }

    /// Groups of the entry at hand whose ordinals are smaller.
    fn before(&self, tail: Tail<'_>) -> usize {
        self.reader.ordinals().partition_point(|day| Tail::Ordinal((*day).into()) < tail)
    }

    /// Moves to the next entry without decoding it.
    #[inline]
    fn step(&mut self) -> Result<bool, MergeError> {
        let mut entered = false;
        loop {
            if self.reader.next_entry().map_err(|error| self.damaged(error))? {
                break;
            }
            if !self.next_block()? {
                self.ended = true;
                return Ok(false);
            }
            entered = true;
        }
        if entered {
            self.check_index()?;
        }
        Ok(true)
    }

    /// Decodes the entry at hand; `false` where none of its groups lies in the range.
    #[inline]
    fn enter(&mut self, from: usize) -> Result<bool, MergeError> {
        self.reader.decode().map_err(|error| self.damaged(error))?;
        self.left = (from, self.reader.ordinals().len());
        if self.may_end
            && let Some(to) = &self.range.to
        {
            let end = match (self.reader.head().cmp(&to.head), &to.tail) {
                (Ordering::Less, _) => self.left.1,
                (Ordering::Equal, Some(tail)) => self.before(tail.as_tail()),
                _ => 0,
            };
            self.left.1 = end;
            self.ended = end <= from;
        }
        Ok(!self.ended)
    }

    /// Moves to the next entry; `false` where it has another head, or the range has no more.
    #[inline]
    pub(super) fn next_entry(&mut self) -> Result<bool, MergeError> {
        Ok(self.step()? && self.enter(0)? && !self.reader.starts_head())
    }

    /// Moves to the next group; `false` where the range has no more.
    pub(super) fn advance(&mut self) -> Result<bool, MergeError> {
        let mut entered = false;
        loop {
            if self.reader.advance().map_err(|error| self.damaged(error))? {
                break;
            }
            if !self.next_block()? {
                self.ended = true;
                return Ok(false);
            }
            entered = true;
        }
        if entered {
            self.check_index()?;
        }
        let beyond =
            |to: &Bound| to.compare(self.reader.head(), self.reader.tail()) != Ordering::Less;
        self.ended = self.may_end && self.range.to.as_ref().is_some_and(beyond);
        Ok(!self.ended)
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
        let first = (self.reader.head(), self.reader.tail());
        if first == (&*block.head, block.tail.as_tail()) {
            return Ok(());
        }
        let what = "a block does not begin as the index says";
        Err(self.damaged(RunError::Corrupt { offset: block.offset, what }))
    }

    fn damaged(&self, error: RunError) -> MergeError {
        MergeError::Run { input: self.segment.number, error }
    }

    /// How the head at hand stands to the one before, in the tree's terms.
    #[inline]
    pub(super) fn code(&self) -> u64 {
        if self.ended {
            return tree::END;
        }
        tree::code(self.reader.padded_head(), self.reader.shared())
    }

    /// The same for the first head.
    pub(super) fn first_code(&self) -> u64 {
        tree::code(self.reader.padded_head(), 0)
    }

    /// Whether the group at hand is the first with its head.
    #[inline]
    pub(super) fn starts_head(&self) -> bool {
        self.reader.starts_head()
    }

    /// The head at hand.
    #[inline]
    pub(super) fn head(&self) -> &[u8] {
        self.reader.head()
    }

    /// The same with zeros behind it.
    #[inline]
    pub(super) fn padded_head(&self) -> &[u8] {
        self.reader.padded_head()
    }

    /// The position of the head's first record.
    #[inline]
    pub(super) fn first(&self) -> u64 {
        self.reader.first()
    }

    /// The first ordinal of the entry that is still to come.
    #[inline]
    pub(super) fn ordinal(&self) -> i32 {
        // An entry without any is not stopped at.
        self.reader.ordinals().get(self.left.0).copied().unwrap_or(i32::MAX)
    }

    /// Takes the groups of the entry whose ordinals are smaller than `limit`, and tells whether these
    /// are all.
    #[inline]
    pub(super) fn take(&mut self, limit: i32) -> (Groups<'_>, bool) {
        let (from, to) = self.left;
        let left = &self.reader.ordinals()[from..to];
        let end = match left.last() {
            Some(last) if *last >= limit => from + left.partition_point(|day| *day < limit),
            _ => to,
        };
        self.left.0 = end;
        (self.reader.groups(from, end), end == to)
    }

    /// Takes all groups of the entry.
    #[inline]
    pub(super) fn take_all(&mut self) -> Groups<'_> {
        let (from, to) = self.left;
        self.left.0 = to;
        self.reader.groups(from, to)
    }

    /// The tail of the group at hand.
    #[inline]
    pub(super) fn tail(&self) -> Tail<'_> {
        self.reader.tail()
    }

    /// The values of the group at hand, where tails are not ordinals.
    #[inline]
    pub(super) fn values(&self) -> &[i128] {
        self.reader.values()
    }
}
