//! Reading the groups of one block.

use std::ops::RangeInclusive;

use super::format::{RunError, RunHeader};
use super::varint::{PADDING, get, get_value, unzigzag};
use crate::key::{Tail, TailKind};
use crate::value::DAYS;

/// Ordinals that are dates.
const DATES: RangeInclusive<i64> = *DAYS.start() as i64..=*DAYS.end() as i64;

/// Reads the groups of a segment's blocks, one block after another, into memory of its own that it
/// reuses. Sees to it that their keys ascend: a merge relies on it.
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
    /// Tails left of the head entry.
    left: u8,
    /// Whether the group at hand is the first of its head entry.
    fresh: bool,
    head: Vec<u8>,
    first: u64,
    ordinal: i64,
    tail: Vec<u8>,
    values: Vec<i128>,
    /// A group has been read: the next one's key is greater.
    begun: bool,
    /// Whether the group at hand has another head than the one before.
    new_head: bool,
}

/// A group, borrowed from its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    /// Its head.
    pub head: &'a [u8],
    /// Its tail.
    pub tail: Tail<'a>,
    /// Its values, one for each aggregate.
    pub values: &'a [i128],
}

impl GroupReader {
    /// A reader of the blocks of runs with such a header.
    pub fn new(header: &RunHeader) -> Self {
        Self {
            tail_kind: header.tail,
            keeps_first: header.keeps_first,
            payload: vec![0; PADDING],
            len: 0,
            at: 0,
            offset: 0,
            left: 0,
            fresh: false,
            head: Vec::new(),
            first: 0,
            ordinal: 0,
            tail: Vec::new(),
            values: vec![0; usize::from(header.aggregates)],
            begun: false,
            new_head: false,
        }
    }

    /// Takes a block whose payload `fill` reads into the buffer it is given, with [`PADDING`] zeros
    /// behind it (as [`super::RunMeta::read_block`] does).
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
        (self.len, self.at, self.offset, self.left) = (len, 0, offset, 0);
        Ok(())
    }

    /// Moves to the next group; `false` where the block has no more.
    ///
    /// # Errors
    /// [`RunError::Corrupt`].
    #[inline]
    pub fn advance(&mut self) -> Result<bool, RunError> {
        self.fresh = self.left == 0;
        self.new_head = false;
        if self.fresh {
            if self.at >= self.len {
                return Ok(false);
            }
            self.read_head()?;
        }
        self.left -= 1;
        match self.tail_kind {
            TailKind::None => {
                if !self.new_head {
                    return Err(self.disorder());
                }
            }
            TailKind::Date => {
                let number = self.number()?;
                let before = self.ordinal;
                self.ordinal = if self.fresh {
                    unzigzag(number)
                } else {
                    self.ordinal.wrapping_add(number as i64)
                };
                if self.ordinal <= before && !self.new_head {
                    return Err(self.disorder());
                }
                if !DATES.contains(&self.ordinal) {
                    return Err(RunError::corrupt(self.offset, "there is no such date"));
                }
            }
            TailKind::Bytes => self.read_tail()?,
        }
        for value in &mut self.values {
            match get_value(&self.payload, &mut self.at) {
                Some(read) => *value = read,
                None => return Err(RunError::corrupt(self.offset, "a value does not read")),
            }
        }
        if self.at > self.len {
            return Err(RunError::corrupt(self.offset, "a group is cut off"));
        }
        Ok(true)
    }

    #[inline]
    fn number(&mut self) -> Result<u64, RunError> {
        get(&self.payload, &mut self.at)
            .ok_or_else(|| RunError::corrupt(self.offset, "a number does not read"))
    }

    fn read_head(&mut self) -> Result<(), RunError> {
        let keep = if self.at == 0 { 0 } else { self.head.len() };
        let (shared, suffix) = (self.number()?, self.number()?);
        let suffix = self.part(shared, keep, suffix)?;
        let suffix = &self.payload[suffix.0..suffix.1];
        let order = suffix.cmp(&self.head[shared as usize..]);
        if self.begun && order.is_lt() {
            return Err(self.disorder());
        }
        self.new_head = !self.begun || order.is_gt();
        self.begun = true;
        self.head.truncate(shared as usize);
        self.head.extend_from_slice(suffix);
        if self.keeps_first {
            self.first = self.number()?;
        }
        self.left = self.payload.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        if self.left == 0 {
            return Err(RunError::corrupt(self.offset, "a head has no tails"));
        }
        Ok(())
    }

    fn read_tail(&mut self) -> Result<(), RunError> {
        let keep = if self.fresh { 0 } else { self.tail.len() };
        let (shared, suffix) = (self.number()?, self.number()?);
        let suffix = self.part(shared, keep, suffix)?;
        let suffix = &self.payload[suffix.0..suffix.1];
        if !self.new_head && *suffix <= self.tail[shared as usize..] {
            return Err(self.disorder());
        }
        self.tail.truncate(shared as usize);
        self.tail.extend_from_slice(suffix);
        Ok(())
    }

    #[cold]
    fn disorder(&self) -> RunError {
        RunError::corrupt(self.offset, "its keys do not ascend")
    }

    /// The range of a key's suffix, checked together with what it shares with the key before.
    fn part(&mut self, shared: u64, keep: usize, suffix: u64) -> Result<(usize, usize), RunError> {
        let from = self.at;
        let room = (self.len.saturating_sub(from)) as u64;
        if shared > keep as u64 || suffix > room {
            return Err(RunError::corrupt(self.offset, "a key does not read"));
        }
        self.at += suffix as usize;
        Ok((from, self.at))
    }

    /// The group at hand.
    #[inline]
    pub fn group(&self) -> Group<'_> {
        let tail = match self.tail_kind {
            TailKind::Bytes => Tail::Bytes(&self.tail),
            _ => Tail::Ordinal(self.ordinal),
        };
        Group { head: &self.head, tail, values: &self.values }
    }

    /// The head of the group at hand.
    #[inline]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The position of the first record of that head in its task, where runs keep it.
    #[inline]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The tail of the group at hand, where tails are ordinals.
    #[inline]
    pub fn ordinal(&self) -> i64 {
        self.ordinal
    }

    /// The values of the group at hand.
    #[inline]
    pub fn values(&self) -> &[i128] {
        &self.values
    }

    /// Whether the group at hand begins a head entry: its head may differ from the one before.
    #[inline]
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }
}
