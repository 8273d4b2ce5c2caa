//! A master that stops at any moment and starts again from its store.

use tally_common::id::{JobId, MessageId, TaskNumber};

use super::{Mail, World};
use crate::ledger::sim::mistake::Mistake;
use crate::ledger::sim::store::StoredJob;
use crate::ledger::{Command, Event, Ledger};

/// When the master stops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Crash {
    /// The facts and the commands of the event at hand are lost.
    BeforeCommit,
    /// Some of its commands are lost, or all, or none.
    AfterCommit,
}

impl World {
    /// Whether the master stops with an event.
    pub(super) fn crash(&mut self, event: &Event) -> Option<Crash> {
        let one_in = match event {
            _ if self.calm => return None,
            Event::Beat { .. } => return None,
            Event::Tick => 1500,
            // Bad luck seldom comes alone.
            Event::JobRestored { .. } => 12,
            Event::MergeDone { .. } | Event::RunLost { .. } => 8,
            _ => 100,
        };
        let crash = self.random.one_in(one_in);
        let before = crash && self.random.one_in(2);
        crash.then_some(if before { Crash::BeforeCommit } else { Crash::AfterCommit })
    }

    /// The event at hand has never been.
    pub(super) fn lose(&mut self, event: &Event, commands: &[Command]) {
        if self.mistake == Some(Mistake::SplitsTransactions) {
            let first = commands.iter().position(|c| matches!(c, Command::Persist(_)));
            self.commit(first.map(|first| &commands[first..=first]).unwrap_or_default());
        }
        self.oracle.seen.crashes_before_commit += 1;
        self.crashed(event);
    }

    pub(super) fn crashed(&mut self, event: &Event) {
        self.oracle.seen.restarts_in_recovery +=
            u64::from(matches!(event, Event::JobRestored { .. }));
        if let Event::PartialArrived { session, message_id, attempt, totals, digest, .. } = *event
            && self.random.one_in(2)
        {
            // Its slave has heard no verdict and sends it again.
            let right = totals == self.tasks[&message_id].totals();
            let lie = digest.map_or(0, super::lie_of);
            self.send(10, 20_000, Mail::Partial { session, message_id, attempt, right, lie });
        }
        self.restart();
    }

    /// A new ledger hears of the open jobs that are stored, and of nothing else.
    fn restart(&mut self) {
        self.restarts += 1;
        self.life_began = self.next + 1;
        let life = self.restarts;
        self.oracle.restart();
        self.ledger = Ledger::new(self.policy.clone());
        self.aside.clear();
        self.gone.extend(self.sessions.drain(..).map(|(_, slave, _)| slave));
        // Merges die with the master; what slaves have sent is still on its way.
        self.mail.retain(|_, mail| mail.is_from_a_slave());
        self.jobs = self.store.jobs().map(|job| job.id).collect();
        self.now += self.random.millis(0, 10_000);
        self.damage();
        if let Some(story) = &mut self.story {
            story.push_str("the master starts again\n");
        }
        let open = self.store.jobs().filter(|job| job.ended.is_none());
        for id in open.map(|job| job.id).collect::<Vec<_>>() {
            let Some(job) = self.store.job(id) else { continue };
            let (max_rejects, owner) = self.specs[&id];
            self.apply(job.restored(max_rejects, owner));
            if self.restarts > life {
                // It did not come far.
                return;
            }
        }
        let restored = self.ledger.jobs().map(|(id, _)| *id);
        let stored = self.store.jobs().filter(|job| job.ended.is_none()).map(|job| job.id);
        assert!(restored.eq(stored), "the order of opening is lost");
        self.look_after();
    }

    /// A disk may lose what was written just before its machine went down.
    fn damage(&mut self) {
        let kept: Vec<MessageId> = self.runs.keys().copied().collect();
        if let Some(run) = self.random.pick(&kept).filter(|_| self.random.one_in(4)) {
            self.runs.remove(&run);
        }
    }

    /// What the master finds when it looks at its disk; and slaves come back.
    fn look_after(&mut self) {
        let life = self.restarts;
        for (job, number) in self.missing_runs() {
            self.apply(Event::RunLost { job, number });
        }
        let receiving = self.store.jobs().filter(|job| job.receiving());
        for job in receiving.map(|job| job.id).collect::<Vec<_>>() {
            // The others' sources go on.
            if self.random.one_in(4) {
                self.oracle.seen.inputs_lost_by_restarts += 1;
                let error = "the master stopped while the input arrived".to_owned();
                self.apply(Event::InputFailed { job, error });
            }
        }
        for _ in 0..self.random.below(3) {
            if self.restarts == life {
                self.join();
            }
        }
    }

    /// Kept runs that are not on the disk, or do not hold.
    fn missing_runs(&self) -> Vec<(JobId, TaskNumber)> {
        let missing = |job: &StoredJob| {
            let kept = (0..).zip(job.answers()).filter(|(_, (_, kept))| kept.is_some());
            let lost = kept.filter(|(_, (message_id, _))| !self.runs.contains_key(message_id));
            lost.map(|(number, _)| (job.id, number)).collect::<Vec<_>>()
        };
        self.store.jobs().filter(|job| job.ended.is_none()).flat_map(missing).collect()
    }

    /// A merge reads all runs of its job, and finds what does not hold.
    pub(super) fn merge(&mut self, job: JobId) {
        let tasks = self.store.job(job).map_or(0, |job| job.tasks.len() as u64);
        let missing = (0..tasks as TaskNumber)
            .find(|number| !self.runs.contains_key(&MessageId::of_task(job, *number)));
        let mail = match (missing, self.random.below(12)) {
            (Some(number), _) => Mail::RunLost { job, number },
            (None, 0) if !self.calm && tasks > 0 => {
                Mail::RunLost { job, number: self.random.below(tasks) as TaskNumber }
            }
            (None, 1) if !self.calm => Mail::MergeFailed { job },
            _ => Mail::Merged { job },
        };
        self.send(1, 2000, mail);
    }

    /// A user deletes a job. Of one that the ledger has forgotten, the store alone knows.
    pub(super) fn delete(&mut self, job: JobId) {
        self.jobs.retain(|other| *other != job);
        let ended = self.store.job(job).is_some_and(|job| job.ended.is_some());
        if ended && self.ledger.job(&job).is_none() {
            self.store.remove(job);
            self.oracle.removed(job);
        } else {
            self.apply(Event::Delete { job });
        }
    }
}
