//! The merge: from sorted runs to one sorted CSV, streaming, by key range on all cores. Sync; holds a
//! block of each segment and a range of output for each thread, whatever the number of groups.
//!
//! Every step is a merge of segments into a [`tally_common::run::GroupSink`]: the sink is a CSV
//! writer, a run (where there are too many segments to merge at once), or a sorter (where heads are
//! wanted in order of first appearance).

mod cascade;
mod csv;
mod cursor;
mod digest;
mod each;
mod first_seen;
mod heap;
mod kway;
mod outline;
mod parallel;
mod ranges;
mod rows;
#[cfg(test)]
mod tests;
mod text;
mod tree;
mod window;

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use thiserror::Error;

use tally_common::run::{NARROW, ReadAt, RunError, RunMeta};
use tally_common::spec::{Order, Spec};

use csv::CsvSink;
pub(crate) use digest::digest;
pub(crate) use each::each_group;
use outline::Outliner;
pub use outline::{Mark, Outline};
use ranges::Segment;
pub(crate) use rows::each_row;

/// Segments that are merged at once: each has a file and a block of 64 KiB a thread.
const FAN_IN: usize = 256;
// Sums of as many narrow values fit.
const _: () = assert!(FAN_IN as u128 * NARROW as u128 <= 1 << 63);

/// Memory of the sorter for first-seen order, all threads together, in bytes.
const SORT_BYTES: usize = 96 << 20;

/// A run to be merged.
#[derive(Clone)]
pub struct MergeInput {
    /// Its bytes.
    pub run: Arc<dyn ReadAt + Send + Sync>,
    /// What it holds, and where.
    pub meta: Arc<RunMeta>,
}

/// How to merge.
#[derive(Clone, Copy, Debug)]
pub struct MergeOptions<'a> {
    /// Threads that merge, at least 1; the caller's thread writes.
    pub threads: usize,
    /// Set by somebody else where the result is no longer wanted.
    pub cancelled: &'a AtomicBool,
    /// An existing folder for intermediate runs. What is left in it is of no use.
    pub scratch_dir: &'a Path,
}

/// What a merge wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MergeSummary {
    /// Rows, the header not included.
    pub rows: u64,
    /// Bytes, the header included.
    pub bytes: u64,
    /// SHA-256 of these bytes.
    pub sha256: [u8; 32],
    /// For each aggregate its value over all groups; zeros where there are none.
    pub totals: Vec<i128>,
    /// Where its rows are, and what stands out.
    pub outline: Outline,
}

/// Why a merge gave up.
#[derive(Debug, Error)]
pub enum MergeError {
    /// The disk said no.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A run does not hold.
    #[error("run {input}: {error}")]
    Run {
        /// Its index among the inputs.
        input: usize,
        /// What is wrong with it.
        error: RunError,
    },
    /// A total does not fit 64 bits. Of several, the one that comes first in the result.
    #[error("{aggregate:?} of the group {group} is {total}, which does not fit 64 bits")]
    Overflow {
        /// The output column.
        aggregate: String,
        /// The group, as `Column "value", …`.
        group: String,
        /// The exact total.
        total: i128,
    },
    /// The result is no longer wanted.
    #[error("the merge was cancelled")]
    Cancelled,
    /// A thread panicked: a bug, and one that must not hold the merge up for ever.
    #[error("a thread of the merge panicked")]
    Panicked,
}

/// Merges `inputs` into a CSV with a header, in the order that the spec wants. `out` is not flushed.
///
/// # Errors
/// [`MergeError`]; what has been written by then is of no use.
pub fn merge_to_csv(
    spec: &Spec,
    inputs: &[MergeInput],
    out: &mut (impl Write + Send),
    options: &MergeOptions<'_>,
) -> Result<MergeSummary, MergeError> {
    merge_with(spec, inputs, out, options, FAN_IN, SORT_BYTES)
}

fn merge_with(
    spec: &Spec,
    inputs: &[MergeInput],
    out: &mut (impl Write + Send),
    options: &MergeOptions<'_>,
    fan_in: usize,
    sort_bytes: usize,
) -> Result<MergeSummary, MergeError> {
    let segments = ranges::segments(inputs);
    let segments = cascade::narrow(spec, segments, options, fan_in)?;
    let (segments, prefix) = match spec.order() {
        Order::Sorted => (segments, 0),
        Order::FirstSeen => {
            let sorted = first_seen::sort(spec, &segments, options, sort_bytes)?;
            (cascade::narrow(spec, sorted, options, fan_in)?, first_seen::PREFIX)
        }
    };
    write_csv(spec, &segments, prefix, out, options)
}

/// Merges segments into CSV; `prefix` bytes at the start of each head only order it.
fn write_csv(
    spec: &Spec,
    segments: &[Segment],
    prefix: usize,
    out: &mut (impl Write + Send),
    options: &MergeOptions<'_>,
) -> Result<MergeSummary, MergeError> {
    let mut hash = Sha256::new();
    let mut summary = MergeSummary::default();
    let header = csv::header(spec);
    let mut totals = csv::Totals::new(spec);
    let mut outliner = Outliner::new(spec);
    let mut take = |bytes: &[u8]| {
        hash.update(bytes);
        out.write_all(bytes)
    };
    take(&header)?;
    let mut bytes = header.len() as u64;
    // What has been written is written over: fresh memory costs more than the rows in it.
    let buffers = Mutex::new(Vec::new());
    let ranges = ranges::plan(segments, ranges::target(segments.len()), true);
    parallel::in_order(
        ranges.len(),
        options,
        |i| {
            let buffer =
                buffers.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
            let mut sink = CsvSink::new(spec, prefix, buffer);
            kway::merge(spec, segments, &ranges[i], options.cancelled, &mut sink)?;
            sink.finish()
        },
        |part| {
            outliner.add(part.sketch, bytes, summary.rows);
            take(&part.buffer[..part.len])?;
            bytes += part.len as u64;
            buffers.lock().unwrap_or_else(PoisonError::into_inner).push(part.buffer);
            summary.rows += part.rows;
            totals.add(&part.totals);
            Ok(())
        },
    )?;
    summary.bytes = bytes;
    summary.totals = totals.finish();
    summary.outline = outliner.finish();
    summary.sha256 = hash.finalize().into();
    Ok(summary)
}
