//! The groups of the entry at hand, one by one and all at once.

use super::super::batch::{Batch, Group, Groups};
use super::super::columns::STRIDE;
use super::super::format::RunError;
use super::super::varint::get;
use super::GroupReader;
use crate::key::{Tail, TailKind};

impl GroupReader {
    /// Moves to the next group; `false` where the block has no more.
    ///
    /// # Errors
    /// [`RunError::Corrupt`].
    pub fn advance(&mut self) -> Result<bool, RunError> {
        if self.pos + 1 < self.count {
            self.step()?;
            self.gather();
            return Ok(true);
        }
        if !self.next_entry()? {
            return Ok(false);
        }
        self.decode()?;
        self.gather();
        Ok(true)
    }

    /// Moves to the next group of the entry, which must have one.
    fn step(&mut self) -> Result<(), RunError> {
        self.pos += 1;
        if self.tail_kind == TailKind::Bytes { self.read_tail() } else { Ok(()) }
    }

    /// Reads the tail of the group at hand.
    pub(super) fn read_tail(&mut self) -> Result<(), RunError> {
        let begins = self.pos == 0;
        let keep = if begins { 0 } else { self.tail.len() };
        let mut number = || get(&self.payload, &mut self.tails_at);
        let (Some(shared), Some(suffix)) = (number(), number()) else {
            return Err(self.bad_key());
        };
        let room = self.values_at.saturating_sub(self.tails_at) as u64;
        if shared > keep as u64 || suffix > room {
            return Err(self.bad_key());
        }
        let end = self.tails_at + suffix as usize;
        let suffix = &self.payload[self.tails_at..end];
        self.tails_at = end;
        let ordered = (begins && !self.chained) || *suffix > self.tail[shared as usize..];
        if !ordered {
            return Err(self.disorder());
        }
        self.tail.truncate(shared as usize);
        self.tail.extend_from_slice(suffix);
        if self.pos + 1 == self.count && self.tails_at != self.values_at {
            return Err(self.corrupt("the tails of a head do not fill their room"));
        }
        Ok(())
    }

    /// Gathers the values of the group at hand from their columns.
    fn gather(&mut self) {
        for (i, value) in self.values.iter_mut().enumerate() {
            let at = i * STRIDE + self.pos;
            *value = if self.is_wide { self.wide[at] } else { i128::from(self.narrow[at]) };
        }
    }

    /// The group that [`Self::advance`] moved to.
    pub fn group(&self) -> Group<'_> {
        Group { head: self.head(), tail: self.tail(), values: &self.values }
    }

    /// The head of the entry at hand.
    #[inline]
    pub fn head(&self) -> &[u8] {
        &self.head[..self.head_len]
    }

    /// The same with eight zero bytes behind it, for who looks at it a word at a time.
    #[inline]
    pub fn padded_head(&self) -> &[u8] {
        &self.head[..self.head_len + super::HEAD_PADDING]
    }

    /// Whether the group at hand, or the entry, is the first with that head.
    #[inline]
    pub fn starts_head(&self) -> bool {
        self.new_head && self.pos == 0
    }

    /// How many bytes it has in common with the head of the entry before.
    #[inline]
    pub fn shared(&self) -> usize {
        self.shared
    }

    /// The position of the first record of that head in its task, where runs keep it.
    #[inline]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The tail of the group at hand; of an entry that is not decoded, its first ordinal.
    #[inline]
    pub fn tail(&self) -> Tail<'_> {
        match self.tail_kind {
            TailKind::None => Tail::Ordinal(0),
            TailKind::Date => Tail::Ordinal(self.ordinals[self.pos].into()),
            TailKind::Bytes => Tail::Bytes(&self.tail),
        }
    }

    /// The values of the group that [`Self::advance`] moved to.
    #[inline]
    pub fn values(&self) -> &[i128] {
        &self.values
    }

    /// The ordinals of the entry at hand.
    #[inline]
    pub fn ordinals(&self) -> &[i32] {
        &self.ordinals[..self.count]
    }

    /// Some of the entry's groups, where tails are ordinals.
    #[inline]
    pub fn groups(&self, from: usize, to: usize) -> Groups<'_> {
        let tails = &self.ordinals[from..to];
        let count = self.values.len();
        if self.is_wide {
            Groups::Wide(Batch::new(tails, &self.wide[from..], STRIDE, count))
        } else {
            Groups::Narrow(Batch::new(tails, &self.narrow[from..], STRIDE, count))
        }
    }
}
