//! What all of an input will come to, from what a sample of it came to.

use super::estimate::{Seen, digits, distinct, scale};
use super::records::{Plan, Records, group_of, width_of};
use super::{Sample, Surroundings};
use crate::api::Prediction;
use crate::limits::{MAX_TASK_BYTES, MIN_TASK_BYTES};
use crate::spec::{AggregateOp, KeyKind, Spec};
use crate::value::write_text;

/// Tasks that intake aims for, for each worker.
const TASKS_A_WORKER: u64 = 4;

/// Bytes that a run takes for a value and for a tail that is a date, roughly: columns are as wide as their
/// widest number.
const RUN_NUMBER_BYTES: u64 = 4;

/// Bytes that a run takes for a head besides its text: its length, and the widths of its columns.
const RUN_HEAD_BYTES: u64 = 8;

impl Surroundings {
    fn seconds(&self, bytes: u64, groups: u64) -> Option<f64> {
        let positive = |rate: &f64| *rate > 0.0;
        let counting = bytes as f64 / self.bytes_per_second.filter(positive)?;
        let merging =
            self.groups_per_second.filter(positive).map_or(0.0, |rate| groups as f64 / rate);
        Some(counting + merging)
    }
}

/// The groups of a sample.
pub(super) struct Groups {
    pub(super) seen: Seen,
    /// The values of the first group-by column.
    heads: Seen,
    /// Bytes of all seen groups' keys in the result.
    key_bytes: u64,
    /// Bytes of the result's header.
    header_bytes: u64,
    ops: Vec<AggregateOp>,
    /// The groups' other columns are one date.
    date_tail: bool,
}

impl Groups {
    pub(super) fn of(found: &mut Records, plan: &Plan<'_>, spec: &Spec) -> Self {
        let mut key_bytes = 0;
        let seen = Seen::of(&mut found.marks, group_of, |mark| key_bytes += width_of(mark));
        let head = plan.keys.first().and_then(|(column, _)| found.columns.get_mut(*column));
        let heads = head.map(|head| Seen::of(&mut head.marks, |mark| mark, |_| {}));
        let mut header = Vec::new();
        for name in spec.output_names() {
            write_text(name.as_bytes(), &mut header);
            header.push(b',');
        }
        let date_tail = matches!(plan.keys[..], [_, (_, KeyKind::Date)]);
        Self {
            seen,
            heads: heads.unwrap_or_default(),
            key_bytes,
            header_bytes: header.len() as u64,
            ops: spec.aggregates().iter().map(|aggregate| aggregate.op).collect(),
            date_tail,
        }
    }

    /// `None` where the size of the input is not known, or nothing of it.
    pub(super) fn predict(
        &self,
        sample: &Sample<'_>,
        found: &Records,
        plan: &Plan<'_>,
        around: &Surroundings,
    ) -> Option<Prediction> {
        let bytes = match (sample.whole, sample.size) {
            (true, _) => sample.bytes.len() as u64,
            (false, size) => size?.max(sample.bytes.len() as u64),
        };
        // Both without the header.
        let (seen, all) = ((found.bytes - plan.body) as u64, bytes - plan.body as u64);
        if seen == 0 && all > 0 {
            return None;
        }
        let records = scale(found.records, seen, all);
        let rejected = scale(found.rejected, seen, all);
        let counted = records.saturating_sub(rejected);
        let drawn = found.marks.len() as u64;
        let groups = distinct(self.seen.once, self.seen.more, drawn, counted);
        let key_width = self.key_bytes as f64 / self.seen.all().max(1) as f64;
        let row_width = key_width + self.values_width(found, groups, counted);
        let result_bytes = self.header_bytes + (groups as f64 * row_width).round() as u64;
        // The input as it is spooled, the runs, the result, all of which there are before the first go;
        // and the rejects, which are listed with all their bytes.
        let rejects = scale(seen, found.records, rejected);
        let runs = self.run_bytes(found, bytes, counted, around.workers);
        Some(Prediction {
            bytes,
            records,
            groups,
            rejected,
            result_bytes,
            disk_bytes: bytes + runs + result_bytes + rejects,
            disk_room: around.disk_room,
            seconds: around.seconds(bytes, groups),
        })
    }

    /// Bytes of a row's values, with a separator before each; the last one's is the line's end, which
    /// the key's width has.
    fn values_width(&self, found: &Records, groups: u64, counted: u64) -> f64 {
        let drawn = found.marks.len().max(1) as f64;
        let together = counted as f64 / groups.max(1) as f64;
        let width = |(op, sum): (&AggregateOp, &f64)| {
            let mean = sum / drawn;
            digits(match op {
                AggregateOp::Sum | AggregateOp::Count => mean * together,
                AggregateOp::Min | AggregateOp::Max => mean,
            })
        };
        let values: f64 = self.ops.iter().zip(&found.sums).map(width).sum();
        values + self.ops.len() as f64
    }

    /// Bytes of all runs: each task's has a group once, and so all together have it as often as there are
    /// tasks with it.
    fn run_bytes(&self, found: &Records, bytes: u64, counted: u64, workers: u32) -> u64 {
        let wanted = bytes / (TASKS_A_WORKER * u64::from(workers.max(1)));
        let tasks = bytes.div_ceil(wanted.clamp(MIN_TASK_BYTES, MAX_TASK_BYTES)).max(1);
        let (drawn, of_task) = (found.marks.len() as u64, counted.div_ceil(tasks));
        let in_task = |seen: Seen| distinct(seen.once, seen.more, drawn, of_task).min(of_task);
        let (groups, heads) = (in_task(self.seen), in_task(self.heads));
        let key = self.key_bytes / self.seen.all().max(1);
        let values = RUN_NUMBER_BYTES * self.ops.len() as u64;
        // Without a date, the tail is the key but for its head.
        let tail = if self.date_tail { RUN_NUMBER_BYTES } else { key };
        tasks * (groups * (tail + values) + heads * (key + RUN_HEAD_BYTES))
    }
}
