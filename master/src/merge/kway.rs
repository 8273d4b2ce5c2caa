//! The merge of segments within one key range: heads are compared as strings, once for each segment
//! that has them; the tails of the segments that share a head as numbers or bytes.

use std::cmp::Ordering::Less;
use std::sync::atomic::{AtomicBool, Ordering};

use tally_common::combine::{Aggregates, Combine};
use tally_common::key::Tail;
use tally_common::run::GroupSink;
use tally_common::spec::Spec;

use super::MergeError;
use super::cursor::Cursor;
use super::heap::IndexHeap;
use super::ranges::{Range, Segment};

/// Up to so many segments that share a head, the smallest tail is found by looking at all.
const FEW: usize = 8;

/// Merges the groups of `segments` within `range` into `sink`, and ends a segment there.
pub(super) fn merge(
    spec: &Spec,
    segments: &[Segment],
    range: &Range,
    cancelled: &AtomicBool,
    sink: &mut impl GroupSink,
) -> Result<(), MergeError> {
    let mut cursors = Vec::with_capacity(segments.len());
    for segment in segments {
        cursors.extend(Cursor::open(segment, range)?);
    }
    let mut merge = Merge {
        combine: Aggregates::of(spec),
        heads: IndexHeap::default(),
        same: Vec::new(),
        head: Vec::new(),
        ordinal: None,
        tail: Vec::new(),
        values: vec![0; spec.aggregates().len()],
    };
    for i in 0..cursors.len() {
        merge.heads.push(i, |a, b| cursors[a].compare_heads(&cursors[b]) == Less);
    }
    while merge.next_head(&cursors) {
        if cancelled.load(Ordering::Relaxed) {
            return Err(MergeError::Cancelled);
        }
        let first = merge.same.iter().map(|&i| cursors[i].first()).min().unwrap_or(0);
        sink.start_head(&merge.head, first)?;
        match merge.same[..] {
            [only] => merge.copy(&mut cursors, only, sink)?,
            _ if merge.same.len() <= FEW => merge.few(&mut cursors, sink)?,
            _ => merge.many(&mut cursors, sink)?,
        }
    }
    sink.end_segment()?;
    Ok(())
}

struct Merge {
    combine: Aggregates,
    /// The cursors that stand at a head that is still to come.
    heads: IndexHeap,
    /// The cursors that stand at the head at hand.
    same: Vec<usize>,
    head: Vec<u8>,
    /// The tail and values of the group at hand, while others are combined with it.
    ordinal: Option<i64>,
    tail: Vec<u8>,
    values: Vec<i128>,
}

impl Merge {
    /// Takes the cursors with the smallest head off the heap.
    fn next_head(&mut self, cursors: &[Cursor<'_>]) -> bool {
        let less = |a: usize, b: usize| cursors[a].compare_heads(&cursors[b]) == Less;
        let Some(first) = self.heads.pop(less) else { return false };
        self.same.clear();
        self.same.push(first);
        self.head.clear();
        self.head.extend_from_slice(cursors[first].head());
        while let Some(next) = self.heads.peek()
            && cursors[next].compare_heads(&cursors[first]).is_eq()
        {
            self.heads.pop(less);
            self.same.push(next);
        }
        true
    }

    /// Moves a cursor on; `false` where it has left the head, and is back on the heap or at its end.
    #[inline]
    fn advance(&mut self, cursors: &mut [Cursor<'_>], i: usize) -> Result<bool, MergeError> {
        if !cursors[i].advance()? {
            return Ok(false);
        }
        if cursors[i].leaves(&self.head) {
            self.heads.push(i, |a, b| cursors[a].compare_heads(&cursors[b]) == Less);
            return Ok(false);
        }
        Ok(true)
    }

    /// One segment alone has the head.
    fn copy(
        &mut self,
        cursors: &mut [Cursor<'_>],
        i: usize,
        sink: &mut impl GroupSink,
    ) -> Result<(), MergeError> {
        loop {
            let cursor = &cursors[i];
            match cursor.tail() {
                Tail::Ordinal(tail) => sink.push_ordinal(tail, cursor.values())?,
                Tail::Bytes(tail) => sink.push_bytes(tail, cursor.values())?,
            }
            if !self.advance(cursors, i)? {
                return Ok(());
            }
        }
    }

    /// A few segments have the head.
    fn few(
        &mut self,
        cursors: &mut [Cursor<'_>],
        sink: &mut impl GroupSink,
    ) -> Result<(), MergeError> {
        while let [first, rest @ ..] = &self.same[..] {
            let mut least = *first;
            for &i in rest {
                if cursors[i].tail() < cursors[least].tail() {
                    least = i;
                }
            }
            self.take(&cursors[least]);
            let mut at = 0;
            while at < self.same.len() {
                let i = self.same[at];
                // The one that was taken is advanced as the others are, without being added twice.
                if self.is_at_hand(&cursors[i]) {
                    if i != least {
                        self.combine.combine(&mut self.values, cursors[i].values());
                    }
                    if !self.advance(cursors, i)? {
                        self.same.swap_remove(at);
                        continue;
                    }
                }
                at += 1;
            }
            self.give(sink)?;
        }
        Ok(())
    }

    /// Many segments have the head.
    fn many(
        &mut self,
        cursors: &mut [Cursor<'_>],
        sink: &mut impl GroupSink,
    ) -> Result<(), MergeError> {
        let mut heap = IndexHeap::default();
        for &i in &self.same {
            heap.push(i, |a, b| cursors[a].tail() < cursors[b].tail());
        }
        while let Some(least) = heap.peek() {
            self.take(&cursors[least]);
            let mut fresh = true;
            while let Some(i) = heap.peek()
                && self.is_at_hand(&cursors[i])
            {
                if !std::mem::take(&mut fresh) {
                    self.combine.combine(&mut self.values, cursors[i].values());
                }
                if self.advance(cursors, i)? {
                    heap.sink(|a, b| cursors[a].tail() < cursors[b].tail());
                } else {
                    heap.pop(|a, b| cursors[a].tail() < cursors[b].tail());
                }
            }
            self.give(sink)?;
        }
        Ok(())
    }

    /// Makes the group at which a cursor stands the one at hand.
    #[inline]
    fn take(&mut self, cursor: &Cursor<'_>) {
        match cursor.tail() {
            Tail::Ordinal(ordinal) => self.ordinal = Some(ordinal),
            Tail::Bytes(bytes) => {
                self.ordinal = None;
                self.tail.clear();
                self.tail.extend_from_slice(bytes);
            }
        }
        self.values.copy_from_slice(cursor.values());
    }

    /// Whether a cursor stands at the group at hand.
    #[inline]
    fn is_at_hand(&self, cursor: &Cursor<'_>) -> bool {
        match cursor.tail() {
            Tail::Ordinal(ordinal) => self.ordinal == Some(ordinal),
            Tail::Bytes(bytes) => self.tail == bytes,
        }
    }

    /// Gives the group at hand away.
    #[inline]
    fn give(&mut self, sink: &mut impl GroupSink) -> Result<(), MergeError> {
        match self.ordinal {
            Some(ordinal) => sink.push_ordinal(ordinal, &self.values)?,
            None => sink.push_bytes(&self.tail, &self.values)?,
        }
        Ok(())
    }
}
