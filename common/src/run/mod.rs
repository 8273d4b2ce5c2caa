//! Runs: the sorted, aggregated answer to one task, as it stands on disk and goes over the wire.

mod batch;
mod block;
mod columns;
mod entry;
mod format;
mod meta;
#[cfg(test)]
mod tests;
mod varint;
mod writer;

use std::io;

use crate::limits::MAX_AGGREGATES;
use crate::reject::Reject;

pub use batch::{Batch, Group, Groups, NARROW};
pub use block::GroupReader;
pub use format::{ReadAt, RunError, RunHeader};
pub use meta::{BlockInfo, OwnedTail, RunMeta};
pub use writer::{RunSummary, RunWriter};

/// Where sorted groups go: a run's writer, or a test's list.
///
/// Calls come as: for each segment, heads in strictly ascending order; for each head its tails in
/// strictly ascending order; then [`GroupSink::end_segment`]. Rejects may come at any time, in input
/// order. `values` has one entry for each aggregate of the spec.
pub trait GroupSink {
    /// Begins the groups of a head (see [`crate::key`]). `first` is the position of the head's first
    /// record (`task number << 32 | byte offset in the task`) where the spec's order is first-seen,
    /// else 0.
    ///
    /// # Errors
    /// Whatever the sink's writer gives.
    fn start_head(&mut self, head: &[u8], first: u64) -> io::Result<()>;

    /// One group, of a tail that is an ordinal.
    ///
    /// # Errors
    /// Whatever the sink's writer gives.
    fn push_ordinal(&mut self, tail: i64, values: &[i128]) -> io::Result<()>;

    /// Several groups of the head, of tails that are ordinals.
    ///
    /// # Errors
    /// Whatever the sink's writer gives.
    fn push_batch(&mut self, batch: Batch<'_, i64>) -> io::Result<()> {
        let mut values = [0; MAX_AGGREGATES];
        for (i, tail) in batch.tails.iter().enumerate() {
            let count = batch.columns().zip(&mut values).map(|(column, to)| *to = column[i].into());
            let count = count.count();
            self.push_ordinal(i64::from(*tail), &values[..count])?;
        }
        Ok(())
    }

    /// One group, of a tail that is bytes.
    ///
    /// # Errors
    /// Whatever the sink's writer gives.
    fn push_bytes(&mut self, tail: &[u8], values: &[i128]) -> io::Result<()>;

    /// Ends a sorted segment. A partial has more than one where its groups outgrew the slave's
    /// memory; each is merged as if it were a partial of its own.
    ///
    /// # Errors
    /// Whatever the sink's writer gives.
    fn end_segment(&mut self) -> io::Result<()>;

    /// Keeps a reject.
    ///
    /// # Errors
    /// Whatever the sink's writer gives.
    fn reject(&mut self, reject: Reject) -> io::Result<()>;
}

/// What a task's records came to: the numbers that a receipt adds up.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct TaskTotals {
    /// Records found, rejected ones included, blank lines not.
    pub records: u64,
    /// Records that could not be counted.
    pub rejects: u64,
    /// Blank lines, which are skipped.
    pub blank_lines: u64,
    /// Line breaks in the task's bytes.
    pub lines: u64,
    /// Bytes of the task.
    pub bytes: u64,
}
