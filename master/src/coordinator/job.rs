//! What the coordinator knows of a job besides the ledger's facts: names, files, checksums.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use tally_common::api::{
    JobState, JobView, Progress, Receipt, RejectView, ResultInfo, Share, TaskCounts, timestamp,
};
use tally_common::id::{JobId, MessageId, TaskNumber};
use tally_common::spec::Spec;

use super::message::{InputInfo, Meter, NewJob};
use crate::intake::{Cut, Taken};
use crate::ledger::JobSummary;

/// A task's place in its job's inputs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    /// Index of the input.
    pub(crate) input: u32,
    /// Its bytes there.
    pub(crate) cut: Cut,
}

/// A job as the coordinator keeps it.
pub(super) struct Job {
    pub(super) id: JobId,
    pub(super) new: NewJob,
    pub(super) spec_hash: u64,
    pub(super) folder: PathBuf,
    pub(super) meter: Arc<Meter>,
    pub(super) inputs: Vec<Arc<InputInfo>>,
    pub(super) tasks: Vec<Task>,
    /// Of the tasks that have no answer yet.
    pub(super) open: HashMap<MessageId, TaskNumber>,
    pub(super) opened: Duration,
    pub(super) opened_ms: u64,
    pub(super) ended: Option<(Duration, u64)>,
    /// What the inputs came to, once all of them are there.
    pub(super) taken: Taken,
    pub(super) shares: BTreeMap<String, Share>,
    pub(super) result: Option<ResultInfo>,
    pub(super) rejects: Vec<RejectView>,
    pub(super) error: Option<String>,
    pub(super) view: watch::Sender<Arc<JobView>>,
    /// Something has changed since the view was made.
    pub(super) dirty: bool,
}

impl Job {
    pub(super) fn new(
        id: JobId,
        new: NewJob,
        folder: PathBuf,
        (opened, opened_ms): (Duration, u64),
    ) -> Self {
        let view = watch::Sender::new(Arc::new(blank_view(id, &new, opened_ms)));
        Self {
            id,
            spec_hash: new.spec.hash(),
            new,
            folder,
            meter: Arc::default(),
            inputs: Vec::new(),
            tasks: Vec::new(),
            open: HashMap::new(),
            opened,
            opened_ms,
            ended: None,
            taken: Taken { bytes: 0, crc32c: 0 },
            shares: BTreeMap::new(),
            result: None,
            rejects: Vec::new(),
            error: None,
            view,
            dirty: true,
        }
    }

    pub(super) fn spec(&self) -> &Spec {
        &self.new.spec
    }

    /// Adds a task; it is one of the input that was announced last.
    pub(super) fn add_task(&mut self, cut: Cut) -> TaskNumber {
        let number = self.tasks.len() as TaskNumber;
        let input = (self.inputs.len() - 1) as u32;
        self.tasks.push(Task { input, cut });
        self.open.insert(MessageId::of_task(self.id, number), number);
        number
    }

    /// A slave has answered a task.
    pub(super) fn credit(&mut self, slave: &str, bytes: u64, records: u64) {
        let share = self.shares.entry(slave.to_owned()).or_insert_with(|| Share {
            name: slave.to_owned(),
            tasks: 0,
            bytes: 0,
            records: 0,
        });
        share.tasks += 1;
        share.bytes += bytes;
        share.records += records;
    }

    /// Forgets what only a job that goes on needs.
    pub(super) fn end(&mut self, at: (Duration, u64)) {
        self.ended = Some(at);
        self.meter.cancelled.store(true, Ordering::Relaxed);
        self.tasks = Vec::new();
        self.open = HashMap::new();
        self.inputs = Vec::new();
    }

    /// The job as it is shown. `running` are the bytes that running attempts have counted.
    pub(super) fn make_view(
        &self,
        summary: &JobSummary,
        now: Duration,
        running: u64,
        slaves: usize,
    ) -> JobView {
        let totals = summary.totals;
        let elapsed = self.ended.map_or(now, |(ended, _)| ended).saturating_sub(self.opened);
        let received = self.meter.received.load(Ordering::Relaxed);
        let waits = !summary.state.ended() && summary.state != JobState::Merging && slaves == 0;
        JobView {
            state: summary.state,
            ended_at: self.ended.map(|(_, ms)| timestamp(ms)),
            error: self.error.clone(),
            waiting_for: waits.then(|| "a slave to join".to_owned()),
            progress: Progress::new(
                received,
                self.new.expected,
                totals.bytes + running,
                elapsed.as_millis() as u64,
                totals.records,
            ),
            tasks: TaskCounts {
                cut: summary.tasks,
                queued: summary.queued,
                running: summary.running,
                done: summary.kept,
                retried: summary.retries,
            },
            receipt: Receipt {
                records: totals.records,
                counted: totals.records - totals.rejects,
                rejected: totals.rejects,
                blank_lines: totals.blank_lines,
                bytes: self.taken.bytes,
                crc32c: self.taken.crc32c,
            },
            result: self.result.clone(),
            rejects: self.rejects.clone(),
            slaves: self.shares.values().cloned().collect(),
            ..blank_view(self.id, &self.new, self.opened_ms)
        }
    }
}

fn blank_view(id: JobId, new: &NewJob, opened_ms: u64) -> JobView {
    JobView {
        id,
        name: new.name.clone(),
        state: JobState::Receiving,
        priority: new.priority,
        spec: new.spec.draft().clone(),
        opened_at: timestamp(opened_ms),
        ended_at: None,
        error: None,
        waiting_for: None,
        progress: Progress::default(),
        tasks: TaskCounts::default(),
        receipt: Receipt::default(),
        result: None,
        rejects: Vec::new(),
        slaves: Vec::new(),
    }
}
