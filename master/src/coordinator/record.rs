//! The ledger's facts as the store keeps them.

use std::sync::Arc;

use tracing::error;

use tally_common::id::{JobId, MessageId, TaskNumber};

use super::Coordinator;
use super::execute::explain;
use crate::ledger::{Check, Fact, Outcome, UploadId};
use crate::metrics;
use crate::runs::run_path;
use crate::store::{KeptRow, Row};

impl Coordinator {
    /// Puts a fact among those that are written next.
    pub(super) fn record(&mut self, fact: Fact) {
        metrics::fact(&fact);
        match fact {
            Fact::JobOpened { job, .. } => self.record_opened(job),
            Fact::TaskCut { job, number, .. } => {
                if let Some(task) = self.jobs.get(&job).and_then(|job| job.task(number)) {
                    let (input, cut) = (task.input, task.cut);
                    self.rows.push(Row::Task { job, number, input, cut });
                }
            }
            Fact::InputComplete { job, .. } => {
                if let Some(known) = self.jobs.get(&job) {
                    let (taken, received) = (known.taken, known.received);
                    self.rows.push(Row::Complete { job, taken, received });
                }
            }
            // Written with what is known of the run, when that is in its place; and the result is
            // shown with the job that has ended, which comes in the same transaction.
            Fact::PartialKept { .. } | Fact::ResultWritten { .. } => {}
            Fact::RunLost { job, number } | Fact::Disowned { job, number } => {
                if let Some(known) = self.jobs.get_mut(&job) {
                    known.open.insert(MessageId::of_task(job, number), number);
                    known.stale |= known.merging;
                }
                self.rows.push(Row::Lost { job, number });
            }
            Fact::Ended { job, outcome } => self.record_ended(job, &outcome),
            Fact::Deleted { job } => {
                let gone_ms = self.clock.unix_ms();
                self.rows.push(Row::Deleted { job, gone_ms });
            }
        }
    }

    fn record_opened(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        let new = &job.new;
        self.rows.push(Row::Opened {
            job: id,
            name: new.name.clone(),
            priority: new.priority,
            spec: new.spec.draft().clone(),
            opened_ms: job.opened_ms,
            expected: new.expected,
            keep_input: new.keep_input,
            resumable: new.resumable,
            in_place: new.in_place.clone(),
            result_path: new.result_path.clone(),
            ingest: new.ingest.clone(),
            repairs: new.repairs,
            first_task: new.first_task,
            owner: new.owner.clone(),
        });
        if let Some(key) = &job.key {
            self.rows.push(Row::Key {
                key: key.clone(),
                job: id,
                fingerprint: new.fingerprint(),
                created_ms: job.opened_ms,
            });
        }
    }

    /// From here on the job says how it ended, though nobody is shown that before it is durable.
    fn record_ended(&mut self, id: JobId, outcome: &Outcome) {
        let (now, ended_ms) = (self.clock.now(), self.clock.unix_ms());
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if let Outcome::Failed(failure) = outcome {
            job.error = Some(explain(failure, job));
        }
        job.ended = Some((now, ended_ms));
        metrics::job_ended(outcome, job.earlier + now.saturating_sub(job.opened));
        job.expires_ms = Some(ended_ms + self.config.retain.as_millis() as u64);
        let revises = job.revises.take().filter(|_| *outcome == Outcome::Succeeded);
        if let Some(view) = revises {
            let shown = Arc::new((*view).clone());
            self.rows.push(Row::Revised { view });
            self.then(move |this| {
                this.feed.job(shown);
            });
        }
        if let Some(view) = self.view(id) {
            self.rows.push(Row::Ended { view: Box::new((*view).clone()), ended_ms });
        }
    }

    /// Puts a run in its place, where it is before the store says so: a run that the store does not
    /// know is of no harm. `false` where that failed.
    pub(super) fn place_run(
        &mut self,
        id: JobId,
        number: TaskNumber,
        (upload, check): (UploadId, Check),
    ) -> bool {
        let Some(job) = self.jobs.get(&id) else { return false };
        let Some(held) = self.uploads.get_mut(&upload) else { return false };
        if let Err(error) = held.run.place(&run_path(&job.folder, number)) {
            error!(job = %id, number, %error, "a run could not be kept; its task is counted again");
            self.lost.push((id, number));
            if let Some(reply) = self.uploads.remove(&upload).and_then(|held| held.reply) {
                self.reply(reply, crate::cluster::Verdict::Duplicate);
            }
            return false;
        }
        let head = held.run.head;
        let kept = KeptRow {
            totals: held.run.totals,
            groups: head.groups,
            run: (head.bytes, head.crc32c),
            slave: held.by.clone(),
            attempt: head.attempt,
            check,
        };
        self.rows.push(Row::Kept { job: id, number, kept });
        true
    }
}
