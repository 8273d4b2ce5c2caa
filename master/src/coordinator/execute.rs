//! Carrying out the ledger's commands: what they change outside, and nothing that they decide.

use std::path::Path;

use tokio::task::spawn_blocking;
use tracing::{debug, error, info, warn};

use tally_common::api::{ResultInfo, SlaveView, Total};
use tally_common::id::{Attempt, JobId, MessageId, SessionId, TaskNumber};
use tally_proto::convert::Assignment;

use super::{Coordinator, Message};
use crate::cluster::Verdict;
use crate::finish::{self, FinishError, FinishJob, Finished};
use crate::ledger::{Command, Event, Merge, Outcome, Refusal, UploadId};
use crate::runs::run_path;

impl Coordinator {
    /// Applies an event and executes what follows from it.
    pub(super) fn apply(&mut self, event: Event) {
        for command in self.ledger.apply(event, self.clock.now()) {
            self.execute(command);
        }
        // Only now: the commands of one event belong together, and none of them may find that
        // another event has come between.
        while let Some((job, number)) = self.lost.pop() {
            self.apply(Event::RunLost { job, number });
        }
    }

    fn execute(&mut self, command: Command) {
        match command {
            Command::Assign { session, job, number, message_id, attempt } => {
                self.assign(session, job, number, (message_id, attempt));
            }
            Command::CancelAttempt { session, message_id, attempt } => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.cancel(message_id, attempt);
                }
            }
            Command::KeepRun { job, number, message_id, upload } => {
                self.keep_run(job, number, message_id, upload);
            }
            Command::DropUpload { upload, reply } => self.drop_upload(upload, reply),
            Command::StartMerge { job, outcome } => self.start_merge(job, outcome),
            Command::EndSession { session, reason } => {
                if let Some(mut ended) = self.sessions.remove(&session) {
                    warn!(%session, name = %ended.hello.name, %reason, "session ended");
                    ended.end(&reason);
                }
            }
            Command::JobEnded { job, outcome } => self.job_ended(job, &outcome),
            Command::DropJob { job } => self.drop_job(job),
            // The ledger's facts are kept in memory as yet: there is nothing to write before the
            // commands that follow are carried out.
            Command::Persist(fact) => debug!(?fact, "fact"),
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
            number,
            attempt,
            bytes: task.cut.len,
            crc32c: task.cut.crc32c,
            spec: job.spec().clone(),
            layout: job.inputs[task.input as usize].layout.clone(),
        };
        if !known.assign(assignment) {
            // It will be found dead by its missing heartbeats, and its tasks handed out again.
            warn!(%session, name = %known.hello.name, "a slave does not read its commands");
        }
    }

    fn keep_run(&mut self, id: JobId, number: TaskNumber, message_id: MessageId, upload: UploadId) {
        let Some((run, reply)) = self.uploads.remove(&upload) else { return };
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let (head, totals) = (run.head, run.totals);
        if let Err(error) = run.keep(&run_path(&job.folder, number)) {
            error!(job = %id, number, %error, "a run could not be kept; its task is counted again");
            let _ = reply.send(Verdict::Duplicate);
            self.lost.push((id, number));
            return;
        }
        job.open.remove(&message_id);
        job.dirty = true;
        let mut name = "a slave that has left";
        if let Some(session) = self.sessions.get_mut(&head.session) {
            session.release(message_id);
            session.bytes += totals.bytes;
            session.records += totals.records;
            name = &session.hello.name;
        }
        job.credit(name, totals.bytes, totals.records);
        debug!(job = %id, number, slave = name, groups = head.groups, "partial kept");
        let _ = reply.send(Verdict::Accepted);
    }

    fn drop_upload(&mut self, upload: UploadId, reply: Refusal) {
        let Some((run, waiting)) = self.uploads.remove(&upload) else { return };
        debug!(message_id = %run.head.message_id, ?reply, "partial dropped");
        if let Some(session) = self.sessions.get_mut(&run.head.session) {
            session.release(run.head.message_id);
        }
        let _ = waiting.send(match reply {
            Refusal::Duplicate => Verdict::Duplicate,
            Refusal::Rejected(reason) => Verdict::Rejected(reason),
        });
    }

    fn start_merge(&mut self, id: JobId, merge: Merge) {
        // The run that would have completed the job could not be kept.
        if self.lost.iter().any(|(job, _)| *job == id) {
            return;
        }
        let Some(job) = self.jobs.get(&id) else { return };
        let finish = FinishJob {
            id,
            spec: job.spec().clone(),
            folder: job.folder.clone(),
            inputs: job.inputs.clone(),
            tasks: job.tasks.clone(),
            merge,
            threads: self.config.merge_threads,
            meter: std::sync::Arc::clone(&job.meter),
        };
        let Some(own) = self.own.upgrade() else { return };
        spawn_blocking(move || {
            let finished = finish::run(&finish);
            // A coordinator that has stopped needs no answer.
            let _ = own.blocking_send(Message::Finished { job: id, finished });
        });
    }

    pub(super) fn finished(&mut self, id: JobId, finished: Result<Finished, FinishError>) {
        let Some(job) = self.live(id) else { return };
        match finished {
            Ok(Finished { result, rejects }) => {
                job.rejects = rejects;
                let names = job.spec().aggregates().iter().map(|aggregate| aggregate.name.clone());
                job.result = result.map(|summary| ResultInfo {
                    rows: summary.rows,
                    bytes: summary.bytes,
                    sha256: summary.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
                    totals: names
                        .zip(&summary.totals)
                        .map(|(name, value)| Total { name, value: value.to_string() })
                        .collect(),
                });
                self.apply(Event::MergeDone { job: id });
            }
            Err(FinishError::Run { number, error }) => {
                warn!(job = %id, number, %error, "a kept run does not hold; its task is counted again");
                let message_id = MessageId::of_task(id, number);
                job.open.insert(message_id, number);
                self.apply(Event::RunLost { job: id, number });
            }
            Err(error) => self.apply(Event::MergeFailed { job: id, error: error.to_string() }),
        }
    }

    fn job_ended(&mut self, id: JobId, outcome: &Outcome) {
        let at = (self.clock.now(), self.clock.unix_ms());
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if let Outcome::Failed(failure) = outcome {
            job.error = Some(explain(failure.to_string(), job));
        }
        info!(job = %id, ?outcome, "job ended");
        job.end(at);
        let folder = job.folder.clone();
        // What only counting needed; result and rejects stay.
        spawn_blocking(move || {
            remove(&folder.join("runs"));
            remove(&folder.join("spool"));
            remove(&folder.join("scratch"));
        });
        self.publish(id);
    }

    fn drop_job(&mut self, id: JobId) {
        if let Some(job) = self.jobs.remove(&id) {
            info!(job = %id, "job deleted");
            spawn_blocking(move || remove(&job.folder));
        }
    }

    pub(super) fn slave_views(&self) -> Vec<SlaveView> {
        let now = self.clock.now();
        let sessions = self.ledger.sessions().filter_map(|(id, summary)| {
            let session = self.sessions.get(id)?;
            Some(SlaveView {
                id: session.hello.slave,
                session: *id,
                name: session.hello.name.clone(),
                version: session.hello.version.clone(),
                workers: session.hello.workers,
                running: summary.running,
                prefetched: summary.prefetched,
                completed: summary.completed,
                failed: summary.failed,
                draining: summary.draining,
                last_heard_ms: now.saturating_sub(summary.last_beat).as_millis() as u64,
                bytes: session.bytes,
                records: session.records,
            })
        });
        sessions.collect()
    }
}

/// A failure with the first rejects, where it is about these: the reader should not have to fetch
/// another file to see what is wrong.
fn explain(failure: String, job: &super::Job) -> String {
    /// Rejects named within the message; the job's view has some more.
    const NAMED: usize = 3;
    if job.rejects.is_empty() {
        return failure;
    }
    let first = job.rejects.iter().take(NAMED).map(|reject| {
        let column = reject.column.as_ref().map(|name| format!(", column {name:?}"));
        let column = column.unwrap_or_default();
        format!("line {}{column}: {}", reject.line, reject.reason)
    });
    format!("{failure}: {}", first.collect::<Vec<_>>().join("; "))
}

fn remove(path: &Path) {
    let removed =
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    if let Err(error) = removed
        && error.kind() != std::io::ErrorKind::NotFound
    {
        warn!(path = %path.display(), %error, "could not be removed");
    }
}
