//! The merge of segments within one key range: heads first, through a tree of losers; then the tails of
//! the segments that share a head, which are added up in cells where they are ordinals, and compared
//! where they are bytes.

use std::sync::atomic::{AtomicBool, Ordering};

use tally_common::combine::{Aggregates, Combine};
use tally_common::key::{Tail, TailKind};
use tally_common::run::{GroupSink, Groups};
use tally_common::spec::Spec;

use super::MergeError;
use super::cursor::Cursor;
use super::heap::IndexHeap;
use super::ranges::{Range, Segment};
use super::tree::{Heads, Tree};
use super::window::{Window, push_wide};

/// Up to so many segments that share a head, the smallest tail is found by looking at all.
const FEW: usize = 8;

impl Heads for Vec<Cursor<'_>> {
    #[inline]
    fn padded(&self, sequence: usize) -> &[u8] {
        self[sequence].padded_head()
    }
}

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
    let codes = cursors.iter().map(Cursor::first_code).collect();
    let mut tree = Tree::new(&cursors, codes);
    let mut same = Vec::new();
    let mut merge = Tails::new(spec);
    loop {
        tree.smallest(&mut same);
        let Some(&smallest) = same.first() else { break };
        if cancelled.load(Ordering::Relaxed) {
            return Err(MergeError::Cancelled);
        }
        let first = same.iter().map(|&i| cursors[i].first()).min().unwrap_or(0);
        sink.start_head(cursors[smallest].head(), first)?;
        merge.head(&mut cursors, &same, sink)?;
        for &i in &same {
            tree.set(i, cursors[i].code());
        }
        tree.replay(&same, &cursors);
    }
    sink.end_segment()?;
    Ok(())
}

/// Merges the tails of one head at a time.
struct Tails {
    kind: TailKind,
    combine: Aggregates,
    window: Window,
    /// The cursors that stand at the head at hand.
    same: Vec<usize>,
    /// The tail and values of the group at hand, while others are combined with it.
    tail: Vec<u8>,
    values: Vec<i128>,
}

impl Tails {
    fn new(spec: &Spec) -> Self {
        let combine = Aggregates::of(spec);
        Self {
            kind: TailKind::of(spec),
            window: Window::new(combine.ops()),
            combine,
            same: Vec::new(),
            tail: Vec::new(),
            values: vec![0; spec.aggregates().len()],
        }
    }

    /// Merges the groups of the head at which `same` stand; they go on to their next ones.
    #[inline]
    fn head(
        &mut self,
        cursors: &mut [Cursor<'_>],
        same: &[usize],
        sink: &mut impl GroupSink,
    ) -> Result<(), MergeError> {
        self.same.clear();
        self.same.extend_from_slice(same);
        if self.kind != TailKind::Bytes {
            return self.ordinals(cursors, sink);
        }
        match same {
            [only] => self.copy(&mut cursors[*only], sink),
            _ if same.len() <= FEW => self.few(cursors, sink),
            _ => self.many(cursors, sink),
        }
    }

    /// Tails are ordinals.
    #[inline]
    fn ordinals(
        &mut self,
        cursors: &mut [Cursor<'_>],
        sink: &mut impl GroupSink,
    ) -> Result<(), MergeError> {
        while self.same.len() > 1 {
            let first = self.same.iter().map(|&i| cursors[i].ordinal()).min().unwrap_or(0);
            let limit = self.window.begin(first);
            let mut at = 0;
            while let Some(&i) = self.same.get(at) {
                if add(&mut self.window, &mut cursors[i], limit)? {
                    at += 1;
                } else {
                    self.same.swap_remove(at);
                }
            }
            self.window.give(sink)?;
        }
        let [only] = self.same[..] else { return Ok(()) };
        // It alone has the head, or what is left of it.
        loop {
            match cursors[only].take_all() {
                Groups::Narrow(batch) => sink.push_batch(batch)?,
                Groups::Wide(batch) => push_wide(batch, sink)?,
            }
            if !cursors[only].next_entry()? {
                return Ok(());
            }
        }
    }

    /// Moves a cursor on; `false` where it has left the head.
    #[inline]
    fn advance(cursor: &mut Cursor<'_>) -> Result<bool, MergeError> {
        Ok(cursor.advance()? && !cursor.starts_head())
    }

    /// One segment alone has the head.
    fn copy(
        &mut self,
        cursor: &mut Cursor<'_>,
        sink: &mut impl GroupSink,
    ) -> Result<(), MergeError> {
        loop {
            if let Tail::Bytes(tail) = cursor.tail() {
                sink.push_bytes(tail, cursor.values())?;
            }
            if !Self::advance(cursor)? {
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
                    if !Self::advance(&mut cursors[i])? {
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
                if Self::advance(&mut cursors[i])? {
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
        self.tail.clear();
        if let Tail::Bytes(bytes) = cursor.tail() {
            self.tail.extend_from_slice(bytes);
        }
        self.values.copy_from_slice(cursor.values());
    }

    /// Whether a cursor stands at the group at hand.
    #[inline]
    fn is_at_hand(&self, cursor: &Cursor<'_>) -> bool {
        cursor.tail() == Tail::Bytes(&self.tail)
    }

    /// Gives the group at hand away.
    #[inline]
    fn give(&mut self, sink: &mut impl GroupSink) -> Result<(), MergeError> {
        Ok(sink.push_bytes(&self.tail, &self.values)?)
    }
}

/// Adds what a cursor has of its head below `limit`; `false` where that is all of it.
#[inline]
fn add(window: &mut Window, cursor: &mut Cursor<'_>, limit: i32) -> Result<bool, MergeError> {
    loop {
        let (groups, all) = cursor.take(limit);
        window.add(groups);
        if !all {
            return Ok(true);
        }
        if !cursor.next_entry()? {
            return Ok(false);
        }
    }
}
