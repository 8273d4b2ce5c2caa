//! The steps of a count, one by one, on small inputs that are the same on every machine: for the
//! micro-benchmarks (`cargo bench -p tally-micro`) and for the guard (`bench/guard`).

mod input;
pub mod plain;

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tally_common::dialect::{Delimiter, Layout};
use tally_common::id::MessageId;
use tally_common::limits::FRAME_BYTES;
use tally_common::run::{RunHeader, RunMeta, RunWriter};
use tally_common::scan::{FieldIndex, cut::Cutter, split};
use tally_common::spec::{Aggregate, AggregateOp, KeyColumn, KeyKind, Spec, SpecDraft};
use tally_master::merge::{MergeInput, MergeOptions, MergeSummary, merge_to_csv};
use tally_slave::kernel::{Bounds, Kernel};
use uuid::Uuid;

pub use input::Shape;

/// Any of the errors that a step may have. None is expected.
pub type Anything = Box<dyn Error>;

/// An input and what is to be computed of it.
pub struct Case {
    /// Its records, without a header.
    pub body: Vec<u8>,
    spec: Spec,
    layout: Layout,
}

impl Case {
    /// A case of so many rows.
    ///
    /// # Errors
    /// Where the spec does not hold, which would be a mistake here.
    pub fn new(shape: Shape, rows: u32) -> Result<Self, Anything> {
        let body = input::body(shape, rows);
        let delimiter = Delimiter::Comma;
        if shape != Shape::Wide {
            let (keys, values) = (vec![0, 1], vec![Some(2)]);
            let layout = Layout { delimiter, fields: 3, keys, values, rows: Vec::new() };
            return Ok(Self { body, spec: Spec::try_from(SpecDraft::plays())?, layout });
        }
        let key = |name: &str| KeyColumn { name: name.into(), kind: KeyKind::Text };
        let aggregate = |op, column: Option<&str>, name: &str| Aggregate {
            op,
            column: column.map(Into::into),
            name: name.into(),
        };
        let spec = Spec::try_from(SpecDraft {
            group_by: vec![key("Artist"), key("Song")],
            aggregates: vec![
                aggregate(AggregateOp::Sum, Some("Plays"), "Plays"),
                aggregate(AggregateOp::Sum, Some("Seconds"), "Seconds"),
                aggregate(AggregateOp::Count, None, "Records"),
            ],
            ..SpecDraft::default()
        })?;
        let (keys, values) = (vec![1, 2], vec![Some(4), Some(6), None]);
        Ok(Self {
            body,
            spec,
            layout: Layout {
                delimiter,
                fields: input::WIDE_COLUMNS,
                keys,
                values,
                rows: Vec::new(),
            },
        })
    }

    /// Finds all fields; gives how many there are.
    pub fn split(&self, index: &mut FieldIndex) -> usize {
        let (mut rest, mut fields) = (&self.body[..], 0);
        while !rest.is_empty() {
            let window = &rest[..rest.len().min(Bounds::default().window_bytes)];
            let split = split(window, b',', window.len() == rest.len(), index);
            fields += index.separators.len();
            rest = &rest[split.consumed..];
        }
        fields
    }

    /// Finds the last place where the input may be cut.
    pub fn cut(&self) -> Option<usize> {
        let mut cutter = Cutter::new(b',');
        self.body.chunks(128 << 10).filter_map(|piece| cutter.push(piece)).last()
    }

    /// A kernel for it.
    pub fn kernel(&self) -> Kernel {
        Kernel::new(&self.spec)
    }

    /// Counts it as one task into a run.
    ///
    /// # Errors
    /// None is expected.
    pub fn count(&self, kernel: &mut Kernel) -> Result<Vec<u8>, Anything> {
        let header = RunHeader::of(&self.spec, MessageId::from_uuid(Uuid::nil()));
        let mut run = RunWriter::new(Vec::new(), header)?;
        kernel.begin(0, &self.layout)?;
        for frame in self.body.chunks(FRAME_BYTES) {
            kernel.feed(frame, &mut run)?;
        }
        let totals = kernel.finish(&mut run)?;
        Ok(run.finish(totals)?.0)
    }

    /// Counts it as so many tasks, each into a run of its own, ready to be merged.
    ///
    /// # Errors
    /// None is expected.
    pub fn runs(&self, tasks: usize) -> Result<Vec<MergeInput>, Anything> {
        let mut kernel = self.kernel();
        let mut rest = &self.body[..];
        let mut runs = Vec::new();
        for task in (1..=tasks).rev() {
            let from = rest.len() / task;
            let end = rest[from..].iter().position(|&byte| byte == b'\n');
            let (mine, after) = rest.split_at(end.map_or(rest.len(), |end| from + end + 1));
            let part =
                Self { body: mine.to_vec(), spec: self.spec.clone(), layout: self.layout.clone() };
            let run = part.count(&mut kernel)?;
            let meta = Arc::new(RunMeta::read(&run)?);
            runs.push(MergeInput { run: Arc::new(run), meta });
            rest = after;
        }
        Ok(runs)
    }

    /// Merges runs into a CSV that is hashed and thrown away.
    ///
    /// # Errors
    /// None is expected.
    pub fn merge(&self, runs: &[MergeInput]) -> Result<MergeSummary, Anything> {
        let cancelled = AtomicBool::new(false);
        let options = MergeOptions {
            threads: 1,
            cancelled: &cancelled,
            scratch_dir: Path::new("/nonexistent"),
        };
        Ok(merge_to_csv(&self.spec, runs, &mut io::sink(), &options)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_and_plain_hash_find_the_same_groups() -> Result<(), Anything> {
        for (name, shape) in Shape::ALL {
            let case = Case::new(shape, 20_000)?;
            let merged = case.merge(&case.runs(3)?)?;
            if shape != Shape::Wide && shape != Shape::Quoted {
                let groups = plain::count(&case.body);
                assert_eq!(merged.rows, groups.len() as u64, "{name}");
                let sum: i128 = groups.iter().map(|(_, sum)| i128::from(*sum)).sum();
                assert_eq!(merged.totals, [sum], "{name}");
            }
        }
        Ok(())
    }
}
