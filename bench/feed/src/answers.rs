//! The answers of simulated slaves: each distinct task is counted once, by the kernel that real slaves
//! have, and its run is handed in whenever the same task comes again.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use bytes::Bytes;
use uuid::Uuid;

use tally_common::dialect::{Delimiter, Layout};
use tally_common::id::{JobId, MessageId, SessionId, TaskNumber};
use tally_common::run::{RunHeader, RunWriter, TaskTotals};
use tally_common::spec::Spec;
use tally_proto::convert::{Assignment, PartialHead};
use tally_proto::v1::TaskReceipt;
use tally_slave::kernel::Kernel;

/// What a run depends on, besides its message id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    spec: u64,
    number: TaskNumber,
    bytes: u64,
    crc32c: u32,
}

impl Key {
    fn of(assignment: &Assignment) -> Self {
        let &Assignment { number, bytes, crc32c, .. } = assignment;
        Self { spec: assignment.spec.hash(), number, bytes, crc32c }
    }
}

/// A task that has been counted.
#[derive(Clone)]
pub(crate) struct Answer {
    totals: TaskTotals,
    groups: u64,
    /// The run without its header, which is the only part that knows the message id.
    rest: Bytes,
}

/// A partial, ready to be handed in.
pub(crate) struct Partial {
    pub(crate) head: PartialHead,
    pub(crate) frames: [Bytes; 2],
}

impl Answer {
    /// Counts a task.
    pub(crate) fn count(assignment: &Assignment, task: &[Bytes]) -> anyhow::Result<Self> {
        let header = RunHeader::of(&assignment.spec, MessageId::from_uuid(Uuid::nil()));
        let mut run = RunWriter::new(Vec::new(), header)?;
        let mut kernel = Kernel::new(&assignment.spec);
        kernel.begin(assignment.number, &assignment.layout)?;
        for piece in task {
            kernel.feed(piece, &mut run)?;
        }
        let totals = kernel.finish(&mut run)?;
        let (run, summary) = run.finish(totals)?;
        let rest = Bytes::from(run).slice(header.encode().len()..);
        Ok(Self { totals, groups: summary.groups, rest })
    }

    /// As the answer to one assignment of that task.
    pub(crate) fn partial(&self, assignment: &Assignment, session: SessionId) -> Partial {
        let message_id = assignment.message_id;
        let header = Bytes::from(RunHeader::of(&assignment.spec, message_id).encode());
        let crc32c = crc32c::crc32c_append(crc32c::crc32c(&header), &self.rest);
        let head = PartialHead {
            message_id,
            attempt: assignment.attempt,
            session,
            bytes: (header.len() + self.rest.len()) as u64,
            crc32c,
            groups: self.groups,
            records: self.totals.records,
            rejects: self.totals.rejects,
        };
        Partial { head, frames: [header, self.rest.clone()] }
    }
}

/// All answers so far.
#[derive(Default)]
pub(crate) struct Answers {
    known: Mutex<HashMap<Key, Answer>>,
    counted: AtomicU64,
}

impl Answers {
    pub(crate) fn find(&self, assignment: &Assignment) -> Option<Answer> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&Key::of(assignment)).cloned()
    }

    /// Counts a task that has not come before.
    pub(crate) fn learn(&self, assignment: &Assignment, task: &[Bytes]) -> anyhow::Result<Answer> {
        let answer = Answer::count(assignment, task).context("a task can not be counted")?;
        self.counted.fetch_add(1, Ordering::Relaxed);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(Key::of(assignment), answer.clone());
        Ok(answer)
    }

    /// Counts beforehand what will be assigned of a job on a file of plays.
    pub(crate) fn prepare(
        &self,
        spec: &Spec,
        file: &Path,
        tasks: &[TaskReceipt],
    ) -> anyhow::Result<()> {
        let file = File::open(file)?;
        let nobody = Uuid::nil();
        for task in tasks {
            let (delimiter, keys, values) = (Delimiter::Comma, vec![1], vec![Some(2)]);
            let assignment = Assignment {
                message_id: MessageId::from_uuid(nobody),
                job: JobId::from_uuid(nobody),
                number: task.number,
                attempt: 0,
                bytes: task.bytes,
                crc32c: task.crc32c,
                spec: spec.clone(),
                layout: Layout { delimiter, fields: 3, keys, values, rows: Vec::new() },
                trace: None,
            };
            if self.find(&assignment).is_none() {
                let mut bytes = vec![0; usize::try_from(task.bytes)?];
                file.read_exact_at(&mut bytes, task.byte_offset)?;
                self.learn(&assignment, &[bytes.into()])?;
            }
        }
        Ok(())
    }

    /// How many tasks have been counted, and not only answered.
    pub(crate) fn counted(&self) -> u64 {
        self.counted.load(Ordering::Relaxed)
    }
}
