//! Carrying out the ledger's commands: what they change outside, and nothing that they decide.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tracing::{debug, info, warn};

use tally_common::api::{JobState, ResultInfo, Total};
use tally_common::id::{Attempt, JobId, MessageId, SessionId, TaskNumber};
use tally_proto::convert::Assignment;

use super::{Coordinator, Job, Message, Upload};
use crate::clock::Stopwatch;
use crate::cluster::Verdict;
use crate::finish::{self, FinishError, FinishJob, Finished};
use crate::ledger::{Command, Event, Failure, Merge, Outcome, Refusal, UploadId};
use crate::metrics;
use crate::removal::{remove, remove_gently};
use crate::tables::TablesError;
use crate::trace;

/// Pause before a repair is brought to its end once more, where the store could not be read.
const AGAIN: Duration = Duration::from_secs(1);

impl Coordinator {
    pub(super) fn execute(&mut self, command: Command) {
        metrics::command(&command);
        match command {
            Command::Assign { session, job, number, message_id, attempt } => {
                self.assign(session, job, number, (message_id, attempt));
            }
            Command::CancelAttempt { session, message_id, attempt } => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.cancel(message_id, attempt);
                }
            }
            Command::KeepRun { job, number, message_id, upload, .. } => {
                self.run_kept(job, number, message_id, upload);
            }
            Command::HoldUpload { upload } => self.hold_upload(upload),
            Command::Recount { job, number } => self.recount(job, number),
            Command::SetAside { slave, reason, thrown, left } => {
                self.set_aside(slave, &reason, thrown, left);
            }
            Command::DropUpload { upload, reply } => self.drop_upload(upload, reply),
            Command::StartMerge { job, outcome } => self.start_merge(job, outcome),
            Command::EndSession { session, reason } => {
                if let Some(mut ended) = self.sessions.remove(&session) {
                    self.survey.left(ended.all_counted());
                    warn!(%session, name = %ended.hello.name, %reason, "session ended");
                    ended.end(&reason);
                }
            }
            Command::JobEnded { job, outcome } => self.job_ended(job, &outcome),
            Command::DropJob { job } => self.drop_job(job),
            // Recorded when it was decided.
            Command::Persist(_) => {}
        }
    }

    fn assign(
        &mut self,
        session: SessionId,
        job: JobId,
        number: TaskNumber,
        (message_id, attempt): (MessageId, Attempt),
    ) {
        let (Some(known), Some(job)) = (self.sessions.get_mut(&session), self.jobs.get(&job))
        else {
            return;
        };
        let Some(task) = job.tasks.get(number as usize) else { return };
        let assignment = Assignment {
            message_id,
            job: job.id,
            // First appearances are numbered through over a job and its repairs.
            number: job.new.first_task + number,
            attempt,
            bytes: task.cut.len,
            crc32c: task.cut.crc32c,
            spec: job.spec().clone(),
            layout: job.inputs[task.input as usize].layout.clone(),
            trace: None,
        };
        if !known.assign(assignment, number, &job.span) {
            // It will be found dead by its missing heartbeats, and its tasks handed out again.
            warn!(%session, name = %known.hello.name, "a slave does not read its commands");
        }
    }

    /// A run is in its place and the store says so.
    fn run_kept(&mut self, id: JobId, number: TaskNumber, message_id: MessageId, upload: UploadId) {
        let Some(Upload { run, reply, by }) = self.uploads.remove(&upload) else { return };
        let (head, totals) = (run.head, run.totals);
        if let Some(session) = self.sessions.get_mut(&head.session) {
            session.release(message_id, "accepted");
            session.bytes += totals.bytes;
            session.records += totals.records;
        }
        debug!(job = %id, number, slave = by, groups = head.groups, "partial kept");
        // It may have been cancelled in the same moment.
        if let Some(job) = self.jobs.get_mut(&id) {
            job.open.remove(&message_id);
            job.dirty = true;
            job.credit(&by, totals.bytes, totals.records);
        }
        if let Some(reply) = reply {
            let _ = reply.send(Verdict::Accepted);
        }
    }

    fn drop_upload(&mut self, upload: UploadId, reply: Refusal) {
        let Some(Upload { run, reply: waiting, .. }) = self.uploads.remove(&upload) else { return };
        // One that was held has had its answer.
        let Some(waiting) = waiting else { return };
        debug!(message_id = %run.head.message_id, ?reply, "partial dropped");
        if let Some(session) = self.sessions.get_mut(&run.head.session) {
            let duplicate = matches!(reply, Refusal::Duplicate);
            let verdict = if duplicate { "duplicate" } else { "rejected" };
            session.release(run.head.message_id, verdict);
        }
        let _ = waiting.send(match reply {
            Refusal::Duplicate => Verdict::Duplicate,
            Refusal::Rejected(reason) => Verdict::Rejected(reason),
        });
    }

    /// A slave's attempt has failed: it holds the task no longer.
    pub(super) fn attempt_failed(&mut self, session: SessionId, id: MessageId, attempt: Attempt) {
        if let Some(known) = self.sessions.get_mut(&session) {
            known.failed(id, attempt);
        }
    }

    fn start_merge(&mut self, id: JobId, merge: Merge) {
        let Some(summary) = self.ledger.job(&id) else { return };
        let Some(job) = self.jobs.get_mut(&id) else { return };
        // The run that would have completed the job was lost in the same moment.
        if summary.state != JobState::Merging || std::mem::replace(&mut job.merging, true) {
            return;
        }
        if let Some(base) = &job.base
            && summary.totals.records > base.outstanding
        {
            let (records, rejects) = (summary.totals.records, base.outstanding);
            let error = format!(
                "the repair has {records} records where only {rejects} rejects are open; \
                 nothing of it is counted"
            );
            return self.apply(Event::MergeFailed { job: id, error });
        }
        let finish = FinishJob {
            id,
            spec: job.spec().clone(),
            folder: job.folder.clone(),
            result_path: job.new.result_path.clone(),
            inputs: job.inputs.clone(),
            tasks: job.tasks.clone(),
            base: job.base.as_ref().map(|base| base.runs.clone()).unwrap_or_default(),
            ingest: job.new.ingest.clone(),
            tables: self.tables.clone(),
            merge,
            threads: self.config.merge_threads,
            meter: Arc::clone(&job.meter),
            disk: Arc::clone(&self.disk),
            durable: self.config.durable,
        };
        let Some(own) = self.own.upgrade() else { return };
        let span = trace::merge(&job.span, id, finish.tasks.len());
        spawn_blocking(move || {
            let watch = Stopwatch::start();
            let finished = span.in_scope(|| finish::run(&finish));
            drop(span);
            metrics::merged(watch.elapsed());
            // A coordinator that has stopped needs no answer.
            let _ = own.blocking_send(Message::Finished { job: id, finished });
        });
    }

    pub(super) async fn finished(&mut self, id: JobId, finished: Result<Finished, FinishError>) {
        let repaired = match self.repaired(id).await {
            Ok(repaired) => repaired,
            Err(error) => {
                warn!(job = %id, %error, "a repair can not end yet: the store can not be read");
                return self.finished_later(id, finished);
            }
        };
        let Some(job) = self.live(id) else { return };
        job.merging = false;
        if std::mem::take(&mut job.stale) {
            // Some of what it has merged was thrown away meanwhile.
            if let Some(merge) = self.ledger.merge(&id) {
                self.start_merge(id, merge);
            }
            return;
        }
        match finished {
            Ok(Finished { result, rejects, ingested }) => {
                job.rejects = rejects;
                job.ingested = ingested;
                let names = job.spec().aggregates().iter().map(|aggregate| aggregate.name.clone());
                job.result = result.map(|summary| ResultInfo {
                    rows: summary.rows,
                    bytes: summary.bytes,
                    sha256: hex(&summary.sha256),
                    totals: names
                        .zip(&summary.totals)
                        .map(|(name, value)| Total { name, value: value.to_string() })
                        .collect(),
                });
                let revised = repaired.and_then(|view| self.revise(id, view));
                if let Some(job) = self.live(id) {
                    job.revises = revised;
                }
                self.apply(Event::MergeDone { job: id });
            }
            Err(FinishError::Run { number, error }) => {
                warn!(job = %id, number, %error, "a kept run does not hold; its task is counted again");
                let message_id = MessageId::of_task(id, number);
                job.open.insert(message_id, number);
                self.apply(Event::RunLost { job: id, number });
            }
            // It goes on after the next start.
            Err(FinishError::Tables(TablesError::Stopped)) => {
                warn!(job = %id, "an ingest was interrupted, as the master stops");
            }
            Err(error) => self.apply(Event::MergeFailed { job: id, error: error.to_string() }),
        }
    }

    /// Hears once more that a job has been merged, in a moment.
    fn finished_later(&self, job: JobId, finished: Result<Finished, FinishError>) {
        let Some(own) = self.own.upgrade() else { return };
        tokio::spawn(async move {
            tokio::time::sleep(AGAIN).await;
            // A coordinator that has stopped needs no answer.
            let _ = own.send(Message::Finished { job, finished }).await;
        });
    }

    fn job_ended(&mut self, id: JobId, outcome: &Outcome) {
        info!(job = %id, ?outcome, "job ended");
        self.publish(id);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.span.record("outcome", metrics::outcome_name(outcome));
        job.end();
        let folder = job.folder.clone();
        let rejects = !job.rejects.is_empty();
        // What only counting needed. Result and rejects stay; so do the runs, where a repair may
        // need them.
        let keep_runs = (rejects || job.new.repairs.is_some()) && job.new.ingest.is_none();
        let keep_input = job.new.keep_input && *outcome == Outcome::Succeeded;
        let elsewhere = job.new.result_path.clone();
        let history = serde_json::to_vec(job.sampler.history()).unwrap_or_default();
        spawn_blocking(move || {
            // Of a job that could not even be opened there is no folder.
            let _ = std::fs::write(finish::history_path(&folder), history);
            if !keep_runs {
                remove_gently(&folder.join("runs"));
            }
            if !keep_input {
                remove_gently(&folder.join("spool"));
            }
            remove(&folder.join("scratch"));
            // A master that died while it merged may have left it.
            if let Some(path) = elsewhere {
                finish::forget_unfinished(id, &path);
            }
        });
        if self.store.is_some() {
            // From here on the store shows it.
            if let Some(key) = self.jobs.remove(&id).and_then(|job| job.key)
                // A repeat of a request whose upload was lost may have made another job meanwhile.
                && self.keys.get(&key) == Some(&id)
            {
                self.keys.remove(&key);
            }
            self.apply(Event::Forget { job: id });
        }
    }

    fn drop_job(&mut self, id: JobId) {
        info!(job = %id, "job deleted");
        self.jobs.remove(&id);
        self.feed.deleted(id);
        let folder = self.job_folder(id);
        spawn_blocking(move || remove(&folder));
    }
}

/// A failure with what it is about, so that the reader need not fetch another file to see what is
/// wrong: the first rejects, or the bytes that no slave could count.
pub(super) fn explain(failure: &Failure, job: &Job) -> String {
    /// Rejects named within the message; the job's view has some more.
    const NAMED: usize = 3;
    if let Failure::Poison { number, .. } = failure
        && let Some(task) = job.task(*number)
    {
        let (from, to) = (task.cut.offset, task.cut.offset + task.cut.len);
        let input = job.inputs.get(task.input as usize).map_or("the input", |input| &input.name);
        return format!("{failure} (bytes {from} to {to} of {input})");
    }
    if job.rejects.is_empty() {
        return failure.to_string();
    }
    let first = job.rejects.iter().take(NAMED).map(|reject| {
        let column = reject.column.as_ref().map(|name| format!(", column {name:?}"));
        let column = column.unwrap_or_default();
        format!("line {}{column}: {}", reject.line, reject.reason)
    });
    format!("{failure}: {}", first.collect::<Vec<_>>().join("; "))
}

/// Bytes as hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
