//! What a result looks like from afar: where its rows are, its largest keys, what comes to each day. Made
//! while the result is written, so that a look at it never reads all of it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use tally_common::key::decode_integer;
use tally_common::run::Batch;
use tally_common::spec::{AggregateOp, KeyKind, Spec};

/// Bytes of rows between two marks, at least.
const MARK_BYTES: usize = if cfg!(test) { 64 } else { 64 << 10 };

/// Keys that are named.
const TOP: usize = 100;

/// Days that are added up in cells side by side: a lifetime of them. What lies further apart is kept in a
/// map.
const WINDOW: usize = 1 << 16;

/// No value has come to a day. Values are sums of what fits 64 bits, and never that small.
const NONE: i128 = i128::MIN;

/// Where a row begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its first byte in the result.
    pub offset: u64,
    /// Rows before it.
    pub row: u64,
}

/// What a result looks like from afar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Where rows begin, now and then, in order.
    pub marks: Vec<Mark>,
    /// Different values of the first group-by column.
    pub keys: u64,
    /// Those with the largest values of the first aggregate, largest first: the bare text, or the 8 bytes of
    /// an encoded integer.
    pub top: Vec<(Vec<u8>, i128)>,
    /// The first aggregate by day (since 1970), where a group-by column holds dates.
    pub days: BTreeMap<i32, i128>,
}

/// A key and what comes to it. The largest is the one with the largest value, and of several the first.
type Candidate = (i128, Reverse<Vec<u8>>);

/// The keys with the largest values so far.
#[derive(Clone, Debug, Default)]
struct Top(BinaryHeap<Reverse<Candidate>>);

impl Top {
    #[inline]
    fn offer(&mut self, head: &[u8], value: i128) {
        if self.0.len() == TOP
            && self.0.peek().is_some_and(|Reverse((least, key))| {
                (value, Reverse(head)) < (*least, Reverse(key.0.as_slice()))
            })
        {
            return;
        }
        if self.0.len() == TOP {
            self.0.pop();
        }
        self.0.push(Reverse((value, Reverse(head.to_vec()))));
    }
}

/// Values by day.
#[derive(Clone, Debug)]
struct Days {
    op: AggregateOp,
    /// The day of the first cell.
    first: i32,
    cells: Vec<i128>,
    /// Days that do not fit the window.
    far: BTreeMap<i32, i128>,
}

impl Days {
    fn add(&mut self, day: i32, value: i128) {
        if self.reach(day, day) {
            self.add_near(day, value);
        } else {
            let cell = self.far.entry(day).or_insert(NONE);
            *cell = if *cell == NONE { value } else { self.op.combine(*cell, value) };
        }
    }

    #[inline]
    fn add_near(&mut self, day: i32, value: i128) {
        let cell = &mut self.cells[(day - self.first) as usize];
        *cell = if *cell == NONE { value } else { self.op.combine(*cell, value) };
    }

    /// Makes cells for days from `least` to `most`; `false` where there would be too many.
    #[inline]
    fn reach(&mut self, least: i32, most: i32) -> bool {
        let end = self.first + self.cells.len() as i32;
        (self.first <= least && most < end) || self.grow(least, most)
    }

    #[cold]
    fn grow(&mut self, least: i32, most: i32) -> bool {
        let (mut first, mut end) = (i64::from(least), i64::from(most) + 1);
        if !self.cells.is_empty() {
            first = first.min(self.first.into());
            end = end.max(i64::from(self.first) + self.cells.len() as i64);
        }
        if end - first > WINDOW as i64 {
            return false;
        }
        let mut cells = vec![NONE; (end - first) as usize];
        let at = (i64::from(self.first) - first) as usize;
        cells[at.min((end - first) as usize)..][..self.cells.len()].copy_from_slice(&self.cells);
        // A day is within 32 bits, and so is the smaller of two.
        (self.first, self.cells) = (first as i32, cells);
        true
    }

    fn each(&self) -> impl Iterator<Item = (i32, i128)> {
        let near = (self.first..).zip(&self.cells).filter(|(_, value)| **value != NONE);
        near.chain(self.far.iter().map(|(day, value)| (*day, value)))
            .map(|(day, value)| (day, *value))
    }
}

/// The outline of a part of the result, as it is written. The first and the last head of a part may have
/// more groups in the parts beside it.
#[derive(Clone, Debug)]
pub(super) struct Sketch {
    op: AggregateOp,
    /// Which group-by column the days are in.
    date: Option<usize>,
    heads: u64,
    first: Option<(Vec<u8>, i128)>,
    last: Option<(Vec<u8>, i128)>,
    top: Top,
    days: Days,
    /// What has come to the head at hand.
    value: Option<i128>,
    /// Where rows begin in the part.
    marks: Vec<(usize, u64)>,
}

impl Sketch {
    pub(super) fn new(spec: &Spec) -> Self {
        let op = spec.aggregates()[0].op;
        Self {
            op,
            date: spec.group_by().iter().position(|column| column.kind == KeyKind::Date),
            heads: 0,
            first: None,
            last: None,
            top: Top::default(),
            days: Days { op, first: 0, cells: Vec::new(), far: BTreeMap::new() },
            value: None,
            marks: Vec::new(),
        }
    }

    /// A row begins there, the next one of so many.
    #[inline]
    pub(super) fn row(&mut self, at: usize, rows: u64) {
        if self.marks.last().is_none_or(|(last, _)| at - last >= MARK_BYTES) {
            self.marks.push((at, rows));
        }
    }

    /// All groups of a head have come, as far as they are in the part.
    #[inline]
    pub(super) fn end_head(&mut self, head: &[u8]) {
        let Some(value) = self.value.take() else { return };
        if self.date == Some(0)
            && let Ok(day) = decode_integer(head)
        {
            self.days.add(day as i32, value);
        }
        self.heads += 1;
        if self.heads == 1 {
            self.first = Some((head.to_vec(), value));
            return;
        }
        match &mut self.last {
            Some((last, sum)) => {
                self.top.offer(last, *sum);
                last.clear();
                last.extend_from_slice(head);
                *sum = value;
            }
            None => self.last = Some((head.to_vec(), value)),
        }
    }

    #[inline]
    fn add(&mut self, value: i128) {
        self.value = Some(self.value.map_or(value, |sum| self.op.combine(sum, value)));
    }

    /// A group of the head at hand, with a date where its second column holds one.
    #[inline]
    pub(super) fn push(&mut self, tail: i64, value: i128) {
        self.add(value);
        if self.date == Some(1) {
            self.days.add(tail as i32, value);
        }
    }

    /// A group whose tail is bytes, of which `day` stands in the first column with dates.
    pub(super) fn push_bytes(&mut self, day: Option<i64>, value: i128) {
        self.add(value);
        if let Some(day) = day {
            self.days.add(day as i32, value);
        }
    }

    /// Which of the tail's columns holds the dates.
    pub(super) fn date_in_tail(&self) -> Option<usize> {
        self.date?.checked_sub(1)
    }

    /// Several groups of the head at hand.
    #[inline]
    pub(super) fn push_batch(&mut self, batch: &Batch<'_, i64>) {
        let values = batch.column(0);
        let (Some(least), Some(most)) = (batch.tails.first(), batch.tails.last()) else { return };
        if self.date != Some(1) || !self.days.reach(*least, *most) {
            for (tail, value) in batch.tails.iter().zip(values) {
                self.push(i64::from(*tail), i128::from(*value));
            }
            return;
        }
        for (tail, value) in batch.tails.iter().zip(values) {
            self.days.add_near(*tail, i128::from(*value));
        }
        let all = match self.op {
            // Narrow values: so many as fit a batch do not overflow 128 bits.
            AggregateOp::Sum | AggregateOp::Count => {
                values.iter().map(|value| i128::from(*value)).sum()
            }
            AggregateOp::Min => values.iter().copied().min().unwrap_or(i64::MAX).into(),
            AggregateOp::Max => values.iter().copied().max().unwrap_or(i64::MIN).into(),
        };
        self.add(all);
    }
}

/// Puts the sketches of all parts together, in order.
#[derive(Debug)]
pub(super) struct Outliner {
    op: AggregateOp,
    outline: Outline,
    top: Top,
    /// The last head so far, which may go on in the next part.
    open: Option<(Vec<u8>, i128)>,
}

impl Outliner {
    pub(super) fn new(spec: &Spec) -> Self {
        let op = spec.aggregates()[0].op;
        Self { op, outline: Outline::default(), top: Top::default(), open: None }
    }

    /// Adds the sketch of a part that begins at `offset` in the result, behind `rows`.
    pub(super) fn add(&mut self, sketch: Sketch, offset: u64, rows: u64) {
        let marks = sketch.marks.iter();
        let marks = marks.map(|(at, row)| Mark { offset: offset + *at as u64, row: rows + row });
        self.outline.marks.extend(marks);
        for (day, value) in sketch.days.each() {
            let cell = self.outline.days.entry(day).or_insert(NONE);
            *cell = if *cell == NONE { value } else { self.op.combine(*cell, value) };
        }
        let Some((first, value)) = sketch.first else { return };
        self.outline.keys += sketch.heads;
        match &mut self.open {
            Some((open, sum)) if *open == first => {
                *sum = self.op.combine(*sum, value);
                self.outline.keys -= 1;
            }
            _ => self.next(Some((first, value))),
        }
        if sketch.last.is_some() {
            self.next(sketch.last);
        }
        for Reverse((value, Reverse(head))) in sketch.top.0 {
            self.top.offer(&head, value);
        }
    }

    /// The open head has all of its groups; another one follows.
    fn next(&mut self, open: Option<(Vec<u8>, i128)>) {
        if let Some((head, value)) = std::mem::replace(&mut self.open, open) {
            self.top.offer(&head, value);
        }
    }

    pub(super) fn finish(mut self) -> Outline {
        self.next(None);
        let mut top: Vec<Candidate> = self.top.0.into_iter().map(|Reverse(known)| known).collect();
        top.sort_unstable_by(|a, b| b.cmp(a));
        let top = top.into_iter().map(|(value, Reverse(head))| (head, value)).collect();
        Outline { top, ..self.outline }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use tally_common::spec::SpecDraft;

    use super::*;

    fn plays() -> Spec {
        Spec::try_from(SpecDraft::plays()).unwrap()
    }

    proptest! {
        #[test]
        fn parts_make_no_difference(
            groups in prop::collection::btree_map(
                ("[a-c]{1,4}", prop_oneof![0i32..900, -2_000_000i32..2_000_000]), -50i128..50, 1..400),
            ends in prop::collection::btree_set(1usize..400, 0..6),
        ) {
            let groups: Vec<_> = groups.into_iter().collect();
            let mut ends: Vec<usize> = ends.into_iter().filter(|end| *end < groups.len()).collect();
            ends.push(groups.len());
            let mut outliner = Outliner::new(&plays());
            let (mut from, mut keys, mut days) = (0, BTreeMap::new(), BTreeMap::new());
            for end in ends {
                let mut sketch = Sketch::new(&plays());
                let mut head = None;
                for (i, ((song, day), value)) in groups[from..end].iter().enumerate() {
                    if let Some(before) = head.replace(song)
                        && before != song
                    {
                        sketch.end_head(before.as_bytes());
                    }
                    sketch.row(i * 10, i as u64);
                    sketch.push((*day).into(), *value);
                    *keys.entry(song.clone().into_bytes()).or_insert(0) += value;
                    *days.entry(*day).or_insert(0) += value;
                }
                sketch.end_head(head.unwrap().as_bytes());
                outliner.add(sketch, 100 + from as u64 * 10, from as u64);
                from = end;
            }
            let outline = outliner.finish();
            prop_assert_eq!(outline.keys, keys.len() as u64);
            let mut top: Vec<_> = keys.into_iter().collect();
            top.sort_by_key(|(_, value)| Reverse(*value));
            top.truncate(TOP);
            prop_assert_eq!(outline.top, top);
            prop_assert_eq!(outline.days, days);
            for mark in &outline.marks {
                prop_assert_eq!(mark.offset, 100 + mark.row * 10);
            }
        }
    }
}
