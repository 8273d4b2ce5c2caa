//! What the coordinator knows of a job besides the ledger's facts: names, files, checksums.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::Span;

use tally_common::api::{
    IngestCounts, IngestView, JobState, JobView, Progress, Receipt, RejectView, ResultInfo, Share,
    TaskCounts, timestamp,
};
use tally_common::id::{JobId, MessageId, TaskNumber};
use tally_common::spec::Spec;

use super::message::{InputInfo, Meter, NewJob};
use super::repair::Base;
use crate::feed::{FeedEvent, Sampler};
use crate::intake::{Cut, Taken};
use crate::ledger::JobSummary;
use crate::spool::Piece;
use crate::store::{KeptRow, StoredTask};
use crate::trace;

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
    /// How long it had been open when this process took it up.
    pub(super) earlier: Duration,
    pub(super) ended: Option<(Duration, u64)>,
    pub(super) expires_ms: Option<u64>,
    /// The key under which it was submitted.
    pub(super) key: Option<String>,
    /// What the inputs came to, once all of them are there.
    pub(super) taken: Taken,
    pub(super) complete: bool,
    /// What is durable of its upload, as it was sent.
    pub(super) received: Taken,
    /// To whoever uploads.
    pub(super) pieces: Option<mpsc::WeakSender<Piece>>,
    /// When somebody uploaded last: milliseconds since 1970.
    pub(super) touched_ms: u64,
    /// It failed because its input never came whole.
    pub(super) input_lost: bool,
    /// What it is added to, where it repairs another job.
    pub(super) base: Option<Base>,
    /// That job as it is shown from when this one succeeds.
    pub(super) revises: Option<Box<JobView>>,
    /// A merge is under way.
    pub(super) merging: bool,
    /// What it merges holds no more.
    pub(super) stale: bool,
    pub(super) shares: BTreeMap<String, Share>,
    pub(super) result: Option<ResultInfo>,
    /// What it came to in its table, once all is applied.
    pub(super) ingested: Option<IngestCounts>,
    pub(super) rejects: Vec<RejectView>,
    pub(super) error: Option<String>,
    pub(super) view: watch::Sender<Arc<JobView>>,
    /// Something has changed since the view was made.
    pub(super) dirty: bool,
    /// How it went on.
    pub(super) sampler: Sampler,
    /// What listeners were told last, and when.
    pub(super) news: Option<(Duration, watch::Sender<Arc<FeedEvent>>)>,
    /// What happens to it is part of this.
    pub(super) span: Span,
}

impl Job {
    /// The name of a slave that is not there any more.
    pub(super) const LEFT: &str = "a slave that has left";

    pub(super) fn new(
        id: JobId,
        new: NewJob,
        folder: PathBuf,
        (opened, opened_ms): (Duration, u64),
        key: Option<String>,
    ) -> Self {
        let view = watch::Sender::new(Arc::new(blank_view(id, &new, opened_ms)));
        Self {
            id,
            spec_hash: new.spec.hash(),
            span: trace::job(id, &new),
            new,
            folder,
            meter: Arc::default(),
            inputs: Vec::new(),
            tasks: Vec::new(),
            open: HashMap::new(),
            opened,
            opened_ms,
            earlier: Duration::ZERO,
            ended: None,
            expires_ms: None,
            key,
            taken: Taken::default(),
            complete: false,
            received: Taken::default(),
            pieces: None,
            touched_ms: opened_ms,
            input_lost: false,
            base: None,
            revises: None,
            merging: false,
            stale: false,
            shares: BTreeMap::new(),
            result: None,
            ingested: None,
            rejects: Vec::new(),
            error: None,
            view,
            dirty: true,
            sampler: Sampler::default(),
            news: None,
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

    pub(super) fn task(&self, number: TaskNumber) -> Option<&Task> {
        self.tasks.get(number as usize)
    }

    /// Adds a task as it was when the master stopped.
    pub(super) fn restore_task(
        &mut self,
        number: TaskNumber,
        stored: &StoredTask,
        kept: Option<&KeptRow>,
    ) {
        self.tasks.push(Task { input: stored.input, cut: stored.cut });
        match kept {
            Some(kept) => self.credit(&kept.slave, kept.totals.bytes, kept.totals.records),
            None => {
                self.open.insert(MessageId::of_task(self.id, number), number);
            }
        }
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
    pub(super) fn end(&mut self) {
        self.meter.cancelled.store(true, Ordering::Relaxed);
        self.span = Span::none();
        self.tasks = Vec::new();
        self.open = HashMap::new();
        self.inputs = Vec::new();
    }

    /// The job as it is shown. `running` are the bytes that running attempts have counted; `applied` is
    /// what of its rows is in its table so far.
    pub(super) fn make_view(
        &self,
        summary: &JobSummary,
        now: Duration,
        running: u64,
        waiting_for: Option<&str>,
        applied: Option<IngestCounts>,
    ) -> JobView {
        let totals = summary.totals;
        let elapsed = self.ended.map_or(now, |(ended, _)| ended).saturating_sub(self.opened);
        let elapsed = elapsed + self.earlier;
        let received = self.meter.received.load(Ordering::Relaxed);
        let waits = !summary.state.ended() && summary.state != JobState::Merging;
        let broken = summary.state == JobState::Receiving && self.pieces.is_none();
        let upload = (broken && self.new.resumable).then_some("the upload to be taken up again");
        JobView {
            state: summary.state,
            ended_at: self.ended.map(|(_, ms)| timestamp(ms)),
            expires_at: self.expires_ms.map(timestamp),
            error: self.error.clone(),
            waiting_for: waiting_for.filter(|_| waits).or(upload).map(str::to_owned),
            input_lost: self.input_lost,
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
                repaired: 0,
                blank_lines: totals.blank_lines,
                bytes: self.taken.bytes,
                crc32c: self.taken.crc32c,
                verified: summary.verified.into(),
                unverified: summary.unverified.into(),
            },
            result: self.result.clone(),
            rejects: self.rejects.clone(),
            slaves: self.shares.values().cloned().collect(),
            ingest: ingest_view(&self.new, self.ingested.or(applied).unwrap_or_default()),
            ..blank_view(self.id, &self.new, self.opened_ms)
        }
    }
}

/// Which table a job's rows go into, if they do, and what that has come to.
fn ingest_view(new: &NewJob, counts: IngestCounts) -> Option<IngestView> {
    let (table, mode) = new.ingest.as_ref()?;
    Some(IngestView { table: table.clone(), mode: *mode, counts })
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
        expires_at: None,
        keep_input: new.keep_input,
        repairs: new.repairs,
        ingest: ingest_view(new, IngestCounts::default()),
        in_place: new.in_place.as_ref().map(|path| path.display().to_string()),
        result_path: new.result_path.as_ref().map(|path| path.display().to_string()),
        repaired_by: None,
        owner: new.owner.as_ref().map(|owner| owner.as_str().to_owned()),
        error: None,
        waiting_for: None,
        input_lost: false,
        progress: Progress::default(),
        tasks: TaskCounts::default(),
        receipt: Receipt::default(),
        result: None,
        rejects: Vec::new(),
        slaves: Vec::new(),
    }
}
