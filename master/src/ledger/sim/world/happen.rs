//! What users, inputs and slaves do of their own accord.

use tally_common::api::Priority;
use tally_common::id::{JobId, MessageId, SessionId, SlaveId, TaskNumber};
use tally_common::spec::MaxRejects;

use super::{Nature, Task, World};
use crate::ledger::sim::store::StoredJob;
use crate::ledger::{Event, OwnerId};

impl World {
    pub(super) fn happen(&mut self) {
        let job = self.random.pick(&self.jobs);
        match (self.random.below(24), job) {
            (0..=1, _) if self.jobs.len() < 4 => self.open(),
            (2..=9, Some(job)) => self.cut(job),
            (10, Some(job)) => self.apply(Event::InputComplete { job }),
            (11..=13, _) if self.sessions.len() < 4 => self.join(),
            (14..=15, _) => self.disturb(),
            (16, Some(job)) if self.random.one_in(4) => self.apply(Event::Cancel { job }),
            (17, Some(job)) if self.random.one_in(6) => self.delete(job),
            (18, Some(job)) if self.receives(job) && self.random.one_in(4) => {
                self.apply(Event::InputFailed { job, error: "broken off".into() });
            }
            (19, Some(job)) if self.random.one_in(3) => {
                let number = self.random.below(8) as u32;
                self.apply(Event::RunLost { job, number });
            }
            // What has ended is in the store; of what has not, nothing may be forgotten.
            (20, Some(job)) => self.apply(Event::Forget { job }),
            (21, Some(job)) if self.random.one_in(4) => self.repeat(job),
            _ => {}
        }
    }

    fn receives(&self, job: JobId) -> bool {
        self.store.job(job).is_some_and(StoredJob::receiving)
    }

    pub(super) fn open(&mut self) {
        let job = JobId::from_uuid(self.uuid());
        let priorities = [Priority::High, Priority::Default, Priority::Low];
        let priority = self.random.pick(&priorities).unwrap_or_default();
        let maxima =
            [MaxRejects::Count(0), MaxRejects::Count(3), MaxRejects::PartsPerMillion(9000)];
        let max_rejects = self.random.pick(&maxima).unwrap_or_default();
        self.jobs.push(job);
        let owner = OwnerId(self.random.below(3));
        self.specs.insert(job, (max_rejects, owner));
        self.apply(Event::JobOpened { job, priority, owner, max_rejects });
    }

    /// A live job is opened or restored once more, which changes nothing.
    fn repeat(&mut self, job: JobId) {
        let (priority, owner, max_rejects) = (Priority::Low, OwnerId(7), MaxRejects::Count(7));
        if self.ledger.job(&job).is_some() && self.random.one_in(2) {
            self.apply(Event::JobOpened { job, priority, owner, max_rejects });
        } else if self.ledger.job(&job).is_some() {
            let (tasks, complete) = (Vec::new(), true);
            self.apply(Event::JobRestored { job, priority, owner, max_rejects, tasks, complete });
        }
    }

    /// Some more of a job's input arrives.
    pub(super) fn cut(&mut self, job: JobId) {
        for _ in 0..1 + self.random.below(4) {
            // It goes on from what is stored: a cut that was lost is made again, anywhere else.
            let stored = self.store.job(job).filter(|job| job.receiving());
            let Some(number) = stored.map(|job| job.tasks.len() as TaskNumber) else { return };
            let bytes = 1 + self.random.below(1000);
            let rejects = if self.random.one_in(8) { self.random.below(bytes.min(5)) } else { 0 };
            let nature = match self.random.below(60) {
                _ if self.steady => Nature::Harmless,
                0 => Nature::Failing,
                1 => Nature::Deadly,
                2..=4 => Nature::Hard,
                _ => Nature::Harmless,
            };
            let message_id = MessageId::of_task(job, number);
            self.tasks.insert(message_id, Task { bytes, rejects, nature });
            self.apply(Event::TaskCut { job, number, bytes });
            if self.random.one_in(10) {
                self.apply(Event::TaskCut { job, number, bytes });
            }
        }
    }

    pub(super) fn join(&mut self) {
        let session = SessionId::from_uuid(self.uuid());
        let back = self.random.one_in(2).then(|| self.gone.pop()).flatten();
        // Who was set aside is not let in.
        let back = back.filter(|slave| !self.aside.contains(slave));
        let slave = back.unwrap_or_else(|| SlaveId::from_uuid(self.uuid()));
        if back.is_none() && self.random.one_in(4) {
            self.bad.insert(slave);
        }
        if back.is_none() && self.twice && !self.steady && self.random.one_in(3) {
            self.liars.insert(slave);
        }
        let workers = 1 + self.random.below(3) as u32;
        self.sessions.push((session, slave, true));
        self.apply(Event::SlaveJoined { session, slave, workers });
    }

    fn disturb(&mut self) {
        if self.sessions.is_empty() {
            return;
        }
        let i = self.random.below(self.sessions.len() as u64) as usize;
        let (session, ..) = self.sessions[i];
        match self.random.below(3) {
            0 => self.leave(session),
            // Falls silent; what it has sent is still on its way.
            1 => self.sessions[i].2 = false,
            _ => self.apply(Event::SlaveDraining { session }),
        }
    }

    pub(super) fn leave(&mut self, session: SessionId) {
        self.forget(session);
        self.apply(Event::SlaveLeft { session });
    }

    pub(super) fn forget(&mut self, session: SessionId) {
        let gone =
            self.sessions.iter().filter(|(id, ..)| *id == session).map(|(_, slave, _)| *slave);
        self.gone.extend(gone);
        self.sessions.retain(|(id, ..)| *id != session);
    }
}
