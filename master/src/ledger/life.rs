//! A job's life: opened or restored, received, counted, merged, ended, forgotten or deleted.

use tally_common::api::Priority;
use tally_common::id::{JobId, MessageId, TaskNumber};
use tally_common::spec::MaxRejects;

use super::job::{Job, Phase};
use super::{Command, Fact, Failure, Ledger, Merge, Outcome, OwnerId, RestoredTask};

/// A job as the store remembers it.
pub(super) struct Restored {
    pub(super) priority: Priority,
    pub(super) owner: OwnerId,
    pub(super) max_rejects: MaxRejects,
    pub(super) tasks: Vec<RestoredTask>,
    pub(super) complete: bool,
}

impl Ledger {
    pub(super) fn open(
        &mut self,
        id: JobId,
        priority: Priority,
        owner: OwnerId,
        max_rejects: MaxRejects,
    ) {
        if self.jobs.contains_key(&id) {
            return;
        }
        self.add_job(id, Job::new(self.opened_ever + 1, priority, owner, max_rejects));
        self.persist(Fact::JobOpened { job: id, priority });
    }

    /// A job goes on where a master that has stopped left it. What the store remembers of it is not
    /// said again.
    pub(super) fn restore(&mut self, id: JobId, restored: Restored) {
        if self.jobs.contains_key(&id) {
            return;
        }
        let Restored { priority, owner, max_rejects, .. } = restored;
        self.add_job(id, Job::new(self.opened_ever + 1, priority, owner, max_rejects));
        for (number, task) in (0..).zip(restored.tasks) {
            self.add_task(id, number, task.bytes);
            if let (Some((totals, groups)), Some(job)) = (task.kept, self.jobs.get_mut(&id)) {
                job.keep(number, totals, groups);
                job.vouch(number, [task.by, None], task.check);
            }
        }
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.queue.is_empty() {
            // Tasks that are kept were queued for a moment.
            self.rota.remove(id);
        }
        if restored.complete {
            job.phase = Phase::Running;
            self.merge_if_counted(id);
        }
    }

    fn add_job(&mut self, id: JobId, job: Job) {
        self.opened_ever = job.opened;
        self.opened.insert(job.opened, id);
        self.jobs.insert(id, job);
    }

    fn add_task(&mut self, id: JobId, number: TaskNumber, bytes: u64) {
        let message_id = MessageId::of_task(id, number);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.add_task(message_id, bytes);
            self.tasks.insert(message_id, (id, number));
            self.enqueue(id, number);
        }
    }

    pub(super) fn task_cut(&mut self, id: JobId, number: TaskNumber, bytes: u64) {
        let Some(job) = self.live_job(id) else { return };
        let due = job.cut;
        if number < due {
            // A repeat has nothing to add.
            return;
        }
        if number > due || job.phase != Phase::Receiving {
            // Some of the input would never be counted, and nobody would notice.
            let error = format!("task {number} was cut when {due} tasks were known");
            return self.fail(id, Failure::Input(error));
        }
        self.persist(Fact::TaskCut { job: id, number, bytes });
        self.add_task(id, number, bytes);
    }

    pub(super) fn input_complete(&mut self, id: JobId) {
        let Some(job) = self.live_job(id) else { return };
        if job.phase == Phase::Receiving {
            job.phase = Phase::Running;
            let tasks = job.cut;
            self.persist(Fact::InputComplete { job: id, tasks });
            self.merge_if_counted(id);
        }
    }

    /// Starts the merge once the input is complete and every task has its answer.
    pub(super) fn merge_if_counted(&mut self, id: JobId) {
        let Some(job) = self.live_job(id) else { return };
        if job.phase != Phase::Running || job.kept < job.cut {
            return;
        }
        let within = job.max_rejects.allows(job.totals.rejects, job.totals.records);
        let outcome = if within { Merge::Result } else { Merge::RejectsOnly };
        job.phase = Phase::Merging(outcome);
        self.commands.push(Command::StartMerge { job: id, outcome });
    }

    /// A merge is done. One of a job that no longer merges was given up meanwhile.
    pub(super) fn merge_done(&mut self, id: JobId) {
        let Some(job) = self.live_job(id) else { return };
        match job.phase {
            Phase::Merging(Merge::Result) => {
                self.persist(Fact::ResultWritten { job: id });
                self.end(id, Outcome::Succeeded);
            }
            Phase::Merging(Merge::RejectsOnly) => {
                let (rejects, records) = (job.totals.rejects, job.totals.records);
                let allowed = job.max_rejects;
                self.fail(id, Failure::TooManyRejects { rejects, records, allowed });
            }
            Phase::Receiving | Phase::Running | Phase::Ended(_) => {}
        }
    }

    pub(super) fn merge_failed(&mut self, id: JobId, error: String) {
        let merges = |job: &&mut Job| matches!(job.phase, Phase::Merging(_));
        if self.live_job(id).filter(merges).is_some() {
            self.fail(id, Failure::Merge(error));
        }
    }

    /// A kept run no longer holds. That is no slave's fault, but it counts as a failure of the task:
    /// a disk that damages every run must not keep slaves busy for ever.
    pub(super) fn run_lost(&mut self, id: JobId, number: TaskNumber) {
        let max_attempts = self.policy.max_attempts;
        let Some(job) = self.live_job(id) else { return };
        let Some(failures) = job.lose(number) else { return };
        self.persist(Fact::RunLost { job: id, number });
        if failures >= max_attempts {
            let error = "its run was damaged on the master's disk".to_owned();
            return self.fail(id, Failure::Poison { number, attempts: failures, error });
        }
        if let Some(job) = self.live_job(id) {
            job.retries += 1;
            self.counts.retried += 1;
        }
        self.enqueue(id, number);
    }

    pub(super) fn fail(&mut self, id: JobId, failure: Failure) {
        self.end(id, Outcome::Failed(failure));
    }

    /// Ends a job that has not ended: forgets its tasks and takes back their attempts.
    pub(super) fn end(&mut self, id: JobId, outcome: Outcome) {
        let Some(job) = self.live_job(id) else { return };
        let tasks = job.end(outcome.clone());
        self.rota.remove(id);
        for task in tasks {
            self.tasks.remove(&task.message_id);
            for opinion in &task.opinions {
                self.drop_opinion(opinion.upload);
            }
            for live in task.live {
                self.take_back(live.session, task.message_id, live.attempt);
            }
        }
        if !self.doubtful.is_empty() {
            self.doubtful.retain(|(job, _)| *job != id);
        }
        self.persist(Fact::Ended { job: id, outcome: outcome.clone() });
        self.commands.push(Command::JobEnded { job: id, outcome });
    }

    /// Takes a job that has ended out of memory; whether there was one.
    pub(super) fn remove_ended(&mut self, id: JobId) -> bool {
        let Some(job) = self.jobs.get(&id).filter(|job| job.ended().is_some()) else {
            return false;
        };
        self.opened.remove(&job.opened);
        self.jobs.remove(&id);
        true
    }

    /// Deletes a job; one that has not ended is cancelled first.
    pub(super) fn delete(&mut self, id: JobId) {
        self.end(id, Outcome::Cancelled);
        if self.remove_ended(id) {
            self.persist(Fact::Deleted { job: id });
            self.commands.push(Command::DropJob { job: id });
        }
    }
}
