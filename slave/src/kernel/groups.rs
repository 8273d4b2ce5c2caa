//! The groups of a task as they are counted: dense cells where they pay, a log for the rest. How both
//! are written out as one sorted segment is in [`super::segment`].
//!
//! Values are 64 bits wide while they are here. What would not fit is kept as two entries of one
//! group, which are added up in 128 bits when the segment is written: so no order of the records
//! and no cut between tasks can make a difference.

use std::array;
use std::hint::{black_box, select_unpredictable};

use tally_common::combine::Aggregates;
use tally_common::limits::MAX_AGGREGATES;
use tally_common::spec::AggregateOp;

use super::bounds::Bounds;
use super::dense::{ABSENT, Adapted, Dense, Misses};
use super::log::Log;

/// A batch's records as groups see them: ids, codes and values, one after another.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) heads: &'a [u32],
    pub(super) codes: &'a [u32],
    /// The columns of values, and for each aggregate which of them it takes.
    pub(super) values: &'a [Vec<i64>],
    pub(super) sources: &'a [usize],
}

/// See the module.
pub(super) struct Groups {
    pub(super) aggregates: Aggregates,
    pub(super) dense: Dense,
    pub(super) log: Log,
    /// Whether codes are days, whose window may begin anywhere.
    days: bool,
    pub(super) dirty: bool,
    /// Heads in the largest segment since the last [`Groups::clear`].
    pub(super) most_heads: usize,
}

/// An aggregate of one value, chosen once for a batch. `fold` starts from `EMPTY` in an empty cell.
trait Fold {
    const EMPTY: i64;
    fn fold(from: i64, with: i64) -> (i64, bool);
}

struct Sum;
struct Min;
struct Max;

impl Fold for Sum {
    const EMPTY: i64 = 0;
    #[inline(always)]
    fn fold(from: i64, with: i64) -> (i64, bool) {
        from.overflowing_add(with)
    }
}

impl Fold for Min {
    const EMPTY: i64 = i64::MAX;
    #[inline(always)]
    fn fold(from: i64, with: i64) -> (i64, bool) {
        (from.min(with), false)
    }
}

impl Fold for Max {
    const EMPTY: i64 = i64::MIN;
    #[inline(always)]
    fn fold(from: i64, with: i64) -> (i64, bool) {
        (from.max(with), false)
    }
}

impl Groups {
    pub(super) fn new(aggregates: Aggregates, bounds: &Bounds, days: bool) -> Self {
        let values = aggregates.ops().len();
        Self {
            dense: Dense::new(values, bounds.dense_heads, bounds.dense_bytes),
            log: Log::new(&aggregates, bounds.log_bytes),
            aggregates,
            days,
            dirty: false,
            most_heads: 0,
        }
    }

    /// Forgets all groups, also those that an error left behind.
    pub(super) fn clear(&mut self) {
        self.log.clear();
        self.most_heads = 0;
        if std::mem::take(&mut self.dirty) {
            self.dense.clear();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.dirty
    }

    /// Counts a batch. The log must have room for it.
    pub(super) fn add(&mut self, rows: Rows<'_>) {
        if rows.heads.is_empty() {
            return;
        }
        self.dirty = true;
        self.dense.place(rows.codes, self.days);
        let ops = self.aggregates.ops();
        let misses = match (ops, rows.sources) {
            ([op], [source]) => {
                let values = &rows.values[*source];
                let (dense, log) = (&mut self.dense, &mut self.log);
                match op {
                    AggregateOp::Sum | AggregateOp::Count => one::<Sum>(dense, log, rows, values),
                    AggregateOp::Min => one::<Min>(dense, log, rows, values),
                    AggregateOp::Max => one::<Max>(dense, log, rows, values),
                }
            }
            _ => {
                let (dense, log) = (&mut self.dense, &mut self.log);
                let sums = ops.iter().all(|op| matches!(op, AggregateOp::Sum | AggregateOp::Count));
                match ops.len() {
                    2 if sums => many_sums::<2>(dense, log, rows),
                    3 if sums => many_sums::<3>(dense, log, rows),
                    4 if sums => many_sums::<4>(dense, log, rows),
                    _ => many(ops, dense, log, rows),
                }
            }
        };
        self.dense.note(rows.heads.len(), misses);
    }

    /// Lets the dense cells follow the input; tells whether a flush would help them.
    pub(super) fn adapt(&mut self) -> bool {
        self.dense.adapt(self.days) == Adapted::Flush
    }
}

fn one<F: Fold>(dense: &mut Dense, log: &mut Log, rows: Rows<'_>, values: &[i64]) -> Misses {
    let (heads, base, shift) = (dense.heads, dense.base, dense.shift);
    touch(dense, rows);
    let cells = &mut dense.cells[..];
    let mut misses = Misses::default();
    for ((&head, &code), &value) in rows.heads.iter().zip(rows.codes).zip(values) {
        let offset = code.wrapping_sub(base);
        if (head < heads) & (offset >> shift == 0) & (value != ABSENT) {
            let cell = &mut cells[((head as usize) << shift) + offset as usize];
            // Not a branch: it would wait for the cell to come from memory, and the next with it.
            let from = select_unpredictable(*cell == ABSENT, F::EMPTY, *cell);
            let (folded, overflowed) = F::fold(from, value);
            if overflowed | (folded == ABSENT) {
                log.push(head, code, &[from]);
                *cell = value;
            } else {
                *cell = folded;
            }
        } else {
            log.push(head, code, &[value]);
            misses.heads += u64::from(head >= heads);
            misses.below += u64::from((head < heads) & (code < base));
            misses.above += u64::from((head < heads) & (code >= base));
        }
    }
    misses
}

/// Reads one value of each record's cell, if it has one: with nothing else to do in between, the
/// processor fetches many of them at once.
fn touch(dense: &Dense, rows: Rows<'_>) {
    let (heads, base, shift) = (dense.heads, dense.base, dense.shift);
    let len = dense.values();
    let read = rows.heads.iter().zip(rows.codes).fold(0, |read, (&head, &code)| {
        let offset = code.wrapping_sub(base);
        let within = (head < heads) & (offset >> shift == 0);
        let at = (((head as usize) << shift) + offset as usize) * len;
        let at = select_unpredictable(within, at, 0);
        read ^ dense.cells.get(at).copied().unwrap_or(0)
    });
    black_box(read);
}

/// The common case of [`many`]: a few sums, whose number is known here.
fn many_sums<const K: usize>(dense: &mut Dense, log: &mut Log, rows: Rows<'_>) -> Misses {
    let (heads, base, shift) = (dense.heads, dense.base, dense.shift);
    touch(dense, rows);
    let mut misses = Misses::default();
    let columns: [&[i64]; K] = array::from_fn(|k| &rows.values[rows.sources[k]][..]);
    for (i, (&head, &code)) in rows.heads.iter().zip(rows.codes).enumerate() {
        let row: [i64; K] = columns.map(|column| column[i]);
        let offset = code.wrapping_sub(base);
        let within = (head < heads) & (offset >> shift == 0) & (row[0] != ABSENT);
        let at =
            if within { (((head as usize) << shift) + offset as usize) * K } else { usize::MAX };
        if let Some(cell) = dense.cells.get_mut(at..).and_then(|cells| cells.first_chunk_mut::<K>())
        {
            let empty = cell[0] == ABSENT;
            let sums: [(i64, bool); K] =
                array::from_fn(|k| Sum::fold(select_unpredictable(empty, 0, cell[k]), row[k]));
            let overflowed = sums.iter().fold(false, |any, sum| any | sum.1);
            if overflowed | (sums[0].0 == ABSENT) {
                log.push(head, code, cell);
                *cell = row;
            } else {
                *cell = sums.map(|sum| sum.0);
            }
        } else {
            log.push(head, code, &row);
            misses.heads += u64::from(head >= heads);
            misses.below += u64::from((head < heads) & (code < base));
            misses.above += u64::from((head < heads) & (code >= base));
        }
    }
    misses
}

fn many(ops: &[AggregateOp], dense: &mut Dense, log: &mut Log, rows: Rows<'_>) -> Misses {
    let (heads, base, shift, k) = (dense.heads, dense.base, dense.shift, ops.len());
    touch(dense, rows);
    let mut misses = Misses::default();
    let mut row = [0; MAX_AGGREGATES];
    let row = &mut row[..k];
    for (i, (&head, &code)) in rows.heads.iter().zip(rows.codes).enumerate() {
        for (value, &source) in row.iter_mut().zip(rows.sources) {
            *value = rows.values[source][i];
        }
        let offset = code.wrapping_sub(base);
        if (head < heads) & (offset >> shift == 0) & (row[0] != ABSENT) {
            let at = (((head as usize) << shift) + offset as usize) * k;
            let cell = &mut dense.cells[at..at + k];
            if cell[0] == ABSENT {
                cell.copy_from_slice(row);
            } else if !fold_all(ops, cell, row) {
                log.push(head, code, cell);
                cell.copy_from_slice(row);
            }
        } else {
            log.push(head, code, row);
            misses.heads += u64::from(head >= heads);
            misses.below += u64::from((head < heads) & (code < base));
            misses.above += u64::from((head < heads) & (code >= base));
        }
    }
    misses
}

/// Folds a row into a cell, or leaves the cell as it is and gives false if that does not fit.
#[inline]
fn fold_all(ops: &[AggregateOp], cell: &mut [i64], row: &[i64]) -> bool {
    let mut folded = [0; MAX_AGGREGATES];
    let mut overflowed = false;
    for (((out, op), &from), &with) in folded.iter_mut().zip(ops).zip(&*cell).zip(row) {
        let (value, over) = match op {
            AggregateOp::Sum | AggregateOp::Count => Sum::fold(from, with),
            AggregateOp::Min => Min::fold(from, with),
            AggregateOp::Max => Max::fold(from, with),
        };
        *out = value;
        overflowed |= over;
    }
    let fits = !overflowed & (folded[0] != ABSENT);
    if fits {
        cell.copy_from_slice(&folded[..cell.len()]);
    }
    fits
}
