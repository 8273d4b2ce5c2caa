//! What is durable, and the master's deaths: it comes back with that and with nothing else.

use std::fmt::Write as _;

use tally_common::api::Priority;
use tally_common::id::JobId;
use tally_common::spec::MaxRejects;

use super::{World, policy};
use crate::ledger::sim::world::mail::Mail;
use crate::ledger::{Command, Event, Fact, Ledger, RestoredTask};

/// A job as it is stored.
#[derive(Clone)]
struct StoredJob {
    id: JobId,
    priority: Priority,
    max_rejects: MaxRejects,
    tasks: Vec<RestoredTask>,
    complete: bool,
    ended: bool,
}

/// A store, as simple as it can be.
#[derive(Clone, Default)]
pub(super) struct Store(Vec<StoredJob>);

impl Store {
    /// Makes the facts of an event durable.
    pub(super) fn commit(&mut self, event: &Event, commands: &[Command]) {
        for command in commands {
            if let Command::Persist(fact) = command {
                self.write(event, fact);
            }
        }
    }

    fn write(&mut self, event: &Event, fact: &Fact) {
        if let (Fact::JobOpened { job, priority }, Event::JobOpened { max_rejects, .. }) =
            (fact, event)
        {
            let (id, priority, max_rejects) = (*job, *priority, *max_rejects);
            let (tasks, complete, ended) = (Vec::new(), false, false);
            let opened = StoredJob { id, priority, max_rejects, tasks, complete, ended };
            return self.0.push(opened);
        }
        let (Fact::JobOpened { job, .. }
        | Fact::TaskCut { job, .. }
        | Fact::InputComplete { job, .. }
        | Fact::PartialKept { job, .. }
        | Fact::RunLost { job, .. }
        | Fact::ResultWritten { job }
        | Fact::Ended { job, .. }
        | Fact::Deleted { job }) = fact;
        let Some(stored) = self.0.iter_mut().find(|stored| stored.id == *job) else { return };
        match fact {
            Fact::TaskCut { number, bytes, .. } => {
                assert_eq!(*number as usize, stored.tasks.len(), "a task is stored out of order");
                stored.tasks.push(RestoredTask { bytes: *bytes, kept: None });
            }
            Fact::InputComplete { .. } => stored.complete = true,
            Fact::PartialKept { number, totals, groups, .. } => {
                stored.tasks[*number as usize].kept = Some((*totals, *groups));
            }
            Fact::RunLost { number, .. } => stored.tasks[*number as usize].kept = None,
            Fact::Ended { .. } => stored.ended = true,
            Fact::Deleted { job } => self.0.retain(|stored| stored.id != *job),
            Fact::JobOpened { .. } | Fact::ResultWritten { .. } => {}
        }
    }
}

impl World {
    /// The master dies and comes back, perhaps to die once more before it has taken everything up.
    pub(super) fn restart(&mut self) {
        loop {
            self.die();
            let open: Vec<_> = self.store.0.iter().filter(|job| !job.ended).cloned().collect();
            let again = self.random.one_in(5);
            let taken_up = if again { self.random.below(open.len() as u64 + 1) } else { u64::MAX };
            for stored in open.into_iter().take(taken_up as usize) {
                let StoredJob { id: job, priority, max_rejects, tasks, complete, .. } = stored;
                let restored = Event::JobRestored { job, priority, max_rejects, tasks, complete };
                self.apply_whole(restored, true);
            }
            if !again {
                break;
            }
        }
        // Some uploads can not be taken up again.
        for job in self.jobs.clone() {
            let receiving = self
                .store
                .0
                .iter()
                .any(|stored| stored.id == job && !stored.complete && !stored.ended);
            if receiving && self.random.one_in(3) {
                self.apply_whole(Event::InputFailed { job, error: "cut off".to_owned() }, true);
            }
        }
    }

    fn die(&mut self) {
        if let Some(story) = &mut self.story {
            let _ = writeln!(story, "{:?} the master dies", self.now);
        }
        self.ledger = Ledger::new(policy(self.mistake));
        self.oracle.restarted(self.now);
        let sessions = std::mem::take(&mut self.sessions);
        self.gone.extend(sessions.into_iter().map(|(_, slave, _)| slave));
        // Merges died with it. What slaves have counted they hand in when they are back; a job that
        // was never acknowledged, nobody asks for.
        self.mail.retain(|_, mail| matches!(mail, Mail::Partial { .. }));
        let known = &self.store.0;
        self.jobs.retain(|id| known.iter().any(|stored| stored.id == *id));
    }

    /// Whoever sent this got no answer.
    pub(super) fn send_again(&mut self, event: &Event) {
        if let Event::PartialArrived { session, message_id, attempt, totals, .. } = *event {
            let right = totals.bytes == self.tasks[&message_id].bytes;
            let partial = Mail::Partial { session, message_id, attempt, right };
            self.send(100, 5000, partial);
        }
    }

    /// What follows from the event becomes durable, and nobody hears of it.
    pub(super) fn crash_behind_the_commit(&mut self, event: Event) {
        let commands = self.commands(&event);
        self.oracle.committed(&event, &commands, self.now);
        self.send_again(&event);
        self.restart();
    }
}
