//! Adding up the groups of one head that several segments have: their tails are numbers close to each
//! other, so each has a cell of its own, and none has to be compared with another.

use std::io;
use std::ops::Add;

use tally_common::run::{Batch, GroupSink, Groups};
use tally_common::spec::AggregateOp;

/// Tails that are added up at a time: the days of eleven years.
const CELLS: usize = 4096;

/// Groups of the head at hand, by tail.
pub(super) struct Window {
    /// The tail of the first cell.
    first: i32,
    /// A bit for each cell that is in use.
    used: Vec<u64>,
    /// Words of these that may have any.
    words: usize,
    narrow: Cells<i64>,
    /// Has all the values, once there is one that is not narrow.
    wide: Cells<i128>,
    is_wide: bool,
    /// The tails in use, in order.
    tails: Vec<i32>,
}

impl Window {
    pub(super) fn new(ops: &[AggregateOp]) -> Self {
        Self {
            first: 0,
            used: vec![0; CELLS / 64],
            words: 0,
            narrow: Cells::new(ops, CELLS),
            wide: Cells::new(ops, 0),
            is_wide: false,
            tails: Vec::with_capacity(CELLS),
        }
    }

    /// Begins with a tail; gives the tail that is the first one beyond.
    #[inline]
    pub(super) fn begin(&mut self, first: i32) -> i32 {
        self.first = first;
        first.saturating_add(CELLS as i32)
    }

    /// Adds groups that lie within.
    #[inline]
    pub(super) fn add(&mut self, groups: Groups<'_>) {
        let (Groups::Narrow(Batch { tails, .. }) | Groups::Wide(Batch { tails, .. })) = groups;
        let Some(last) = tails.last() else { return };
        if matches!(groups, Groups::Wide(_)) && !self.is_wide {
            self.widen();
        }
        self.words = self.words.max(self.cell(*last) / 64 + 1);
        for tail in tails {
            let cell = self.cell(*tail);
            self.used[cell / 64] |= 1 << (cell % 64);
        }
        match groups {
            Groups::Narrow(batch) if !self.is_wide => self.narrow.add(self.first, &batch),
            Groups::Narrow(batch) => self.wide.add(self.first, &batch),
            Groups::Wide(batch) => self.wide.add(self.first, &batch),
        }
    }

    #[inline]
    fn cell(&self, tail: i32) -> usize {
        (tail - self.first) as usize % CELLS
    }

    /// Goes on with wide values.
    #[cold]
    fn widen(&mut self) {
        self.is_wide = true;
        self.wide.grow(CELLS);
        self.list();
        self.narrow.take(self.first, &self.tails);
        self.wide.add(self.first, &self.narrow.batch(&self.tails));
    }

    /// Lists the tails in use.
    #[inline]
    fn list(&mut self) {
        self.tails.clear();
        for (word, used) in self.used[..self.words].iter().enumerate() {
            let mut rest = *used;
            while rest != 0 {
                let cell = word * 64 + rest.trailing_zeros() as usize;
                self.tails.push(self.first + cell as i32);
                rest &= rest - 1;
            }
        }
    }

    /// Hands on what was added up, and forgets it.
    #[inline]
    pub(super) fn give(&mut self, sink: &mut impl GroupSink) -> io::Result<()> {
        self.list();
        self.used[..self.words].fill(0);
        self.words = 0;
        if !self.is_wide {
            self.narrow.take(self.first, &self.tails);
            return sink.push_batch(self.narrow.batch(&self.tails));
        }
        self.is_wide = false;
        self.wide.take(self.first, &self.tails);
        push_wide(self.wide.batch(&self.tails), sink)
    }
}

/// Hands on groups with values that are not narrow.
#[cold]
pub(super) fn push_wide(batch: Batch<'_, i128>, sink: &mut impl GroupSink) -> io::Result<()> {
    let mut values = Vec::new();
    for (i, tail) in batch.tails.iter().enumerate() {
        values.clear();
        values.extend(batch.columns().map(|column| column[i]));
        sink.push_ordinal(i64::from(*tail), &values)?;
    }
    Ok(())
}

/// The values of a window's cells.
struct Cells<V> {
    ops: Vec<AggregateOp>,
    /// Column by column. Cells not in use have what changes nothing where it is combined.
    values: Vec<V>,
    cells: usize,
    /// The values in use, column by column.
    out: Vec<V>,
}

impl<V: Value> Cells<V> {
    fn new(ops: &[AggregateOp], cells: usize) -> Self {
        let mut new = Self { ops: ops.to_vec(), values: Vec::new(), cells: 0, out: Vec::new() };
        new.grow(cells);
        new
    }

    fn grow(&mut self, cells: usize) {
        if self.cells < cells {
            self.cells = cells;
            self.values.clear();
            for op in &self.ops {
                self.values.resize(self.values.len() + cells, neutral(*op));
            }
        }
    }

    /// Combines the values of a batch with those of their cells.
    #[inline]
    fn add<W: Copy + Into<V>>(&mut self, first: i32, batch: &Batch<'_, W>) {
        let columns = self.values.chunks_exact_mut(self.cells).zip(batch.columns());
        for (op, (cells, values)) in self.ops.iter().zip(columns) {
            let each = batch.tails.iter().zip(values);
            let each = each.map(|(tail, value)| ((tail - first) as usize, (*value).into()));
            match op {
                AggregateOp::Sum | AggregateOp::Count => {
                    each.for_each(|(at, value)| cells[at] = cells[at] + value);
                }
                AggregateOp::Min => each.for_each(|(at, value)| cells[at] = cells[at].min(value)),
                AggregateOp::Max => each.for_each(|(at, value)| cells[at] = cells[at].max(value)),
            }
        }
    }

    /// Takes the values of some tails out of their cells.
    #[inline]
    fn take(&mut self, first: i32, tails: &[i32]) {
        self.out.clear();
        for (op, cells) in self.ops.iter().zip(self.values.chunks_exact_mut(self.cells)) {
            let empty = neutral(*op);
            self.out.extend(
                tails
                    .iter()
                    .map(|tail| std::mem::replace(&mut cells[(tail - first) as usize], empty)),
            );
        }
    }

    /// The values that were taken.
    #[inline]
    fn batch<'a>(&'a self, tails: &'a [i32]) -> Batch<'a, V> {
        Batch::new(tails, &self.out, tails.len(), self.ops.len())
    }
}

/// What cells hold. Narrow values do not overflow: there are not as many segments.
trait Value: Copy + Ord + Add<Output = Self> {
    const ZERO: Self;
    const LEAST: Self;
    const GREATEST: Self;
}

impl Value for i64 {
    const ZERO: Self = 0;
    const LEAST: Self = i64::MIN;
    const GREATEST: Self = i64::MAX;
}

impl Value for i128 {
    const ZERO: Self = 0;
    const LEAST: Self = i128::MIN;
    const GREATEST: Self = i128::MAX;
}

/// What changes nothing where it is combined.
fn neutral<V: Value>(op: AggregateOp) -> V {
    match op {
        AggregateOp::Sum | AggregateOp::Count => V::ZERO,
        AggregateOp::Min => V::GREATEST,
        AggregateOp::Max => V::LEAST,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use tally_common::run::NARROW;

    use super::*;

    const OPS: [AggregateOp; 3] = [AggregateOp::Sum, AggregateOp::Min, AggregateOp::Max];

    /// Keeps what it is given.
    #[derive(Default)]
    struct Kept(Vec<(i64, [i128; 3])>);

    impl GroupSink for Kept {
        fn start_head(&mut self, _: &[u8], _: u64) -> io::Result<()> {
            Ok(())
        }

        fn push_ordinal(&mut self, tail: i64, values: &[i128]) -> io::Result<()> {
            self.0.push((tail, [values[0], values[1], values[2]]));
            Ok(())
        }

        fn push_bytes(&mut self, _: &[u8], _: &[i128]) -> io::Result<()> {
            Ok(())
        }

        fn end_segment(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn reject(&mut self, _: tally_common::reject::Reject) -> io::Result<()> {
            Ok(())
        }
    }

    fn value() -> impl Strategy<Value = i128> {
        let narrow = prop_oneof![-9i64..9, Just(NARROW - 1), Just(-NARROW)];
        let wide = any::<i128>().prop_map(|value| value >> 28);
        prop_oneof![40 => narrow.prop_map(i128::from), 1 => wide]
    }

    proptest! {
        #[test]
        fn what_is_added_up_is_what_a_map_has(
            heads in prop::collection::vec(
                prop::collection::vec(
                    prop::collection::btree_map(0..CELLS as i32, value(), 0..60),
                    0..8,
                ),
                1..4,
            ),
            first in -700_000i32..2_000_000,
        ) {
            let mut window = Window::new(&OPS);
            // One head after the other: nothing of the one before is left.
            for batches in heads {
                let mut expected = BTreeMap::<i64, [i128; 3]>::new();
                window.begin(first);
                for batch in batches {
                    let tails: Vec<i32> = batch.keys().map(|tail| first + tail).collect();
                    let wide: Vec<i128> = batch.values().copied().collect();
                    for (tail, value) in tails.iter().zip(&wide) {
                        let all = expected.entry((*tail).into()).or_insert([0, *value, *value]);
                        *all = [all[0] + value, all[1].min(*value), all[2].max(*value)];
                    }
                    let fits = |value: &i128| (-i128::from(NARROW)..i128::from(NARROW)).contains(value);
                    // The three columns are one and the same.
                    if wide.iter().all(fits) {
                        let narrow: Vec<i64> = wide.iter().map(|value| *value as i64).collect();
                        window.add(Groups::Narrow(Batch::new(&tails, &narrow, 0, 3)));
                    } else {
                        window.add(Groups::Wide(Batch::new(&tails, &wide, 0, 3)));
                    }
                }
                let mut kept = Kept::default();
                window.give(&mut kept)?;
                prop_assert_eq!(kept.0, expected.into_iter().collect::<Vec<_>>());
            }
        }
    }
}
