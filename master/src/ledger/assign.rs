//! Who counts what: waiting tasks to free slaves, fairly between owners and their jobs, evenly between slaves.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tally_common::id::{JobId, MessageId, SessionId, SlaveId, TaskNumber};

use super::job::Job;
use super::session::{Held, Session};
use super::{Command, Ledger};

/// A session with room, ordered by how much it holds for its size, then by when it joined.
type Candidate = (u64, u64, SessionId);

impl Ledger {
    /// Gives out what can be given out. First a task for each worker that has none, be it one that
    /// waits on another slave; only then tasks fetched ahead, and last second attempts: so no slave
    /// sits on work while another has none.
    pub(super) fn dispatch(&mut self) {
        self.settle_those_alone();
        let mut waits_elsewhere = self.any_waiting();
        if !self.rota.is_empty() || waits_elsewhere {
            self.fill(Session::free_workers, |ledger, session| {
                if ledger.assign_next(session) {
                    return true;
                }
                let moved = waits_elsewhere && ledger.move_waiting(session);
                waits_elsewhere &= moved || ledger.any_waiting();
                moved
            });
        }
        if !self.rota.is_empty() {
            self.fill(Session::room, Self::assign_next);
        }
        self.speculate();
    }

    fn any_waiting(&self) -> bool {
        self.sessions.values().any(|session| !session.waiting().is_empty())
    }

    /// Serves the sessions with room, the emptiest first, until nobody gets anything any more.
    fn fill(
        &mut self,
        room: fn(&Session) -> u32,
        mut serve: impl FnMut(&mut Self, SessionId) -> bool,
    ) {
        let mut open: BinaryHeap<Reverse<Candidate>> =
            self.sessions_with(room).map(Reverse).collect();
        while let Some(Reverse((_, joined, id))) = open.pop() {
            // One that gets nothing now gets nothing in this round: nothing new comes up in it.
            if serve(self, id)
                && let Some(session) = self.sessions.get(&id)
                && room(session) > 0
            {
                open.push(Reverse((session.load(), joined, id)));
            }
        }
    }

    /// The sessions with room of a kind, in no order.
    pub(super) fn sessions_with(
        &self,
        room: fn(&Session) -> u32,
    ) -> impl Iterator<Item = Candidate> {
        let free = self.sessions.iter().filter(move |(_, session)| room(session) > 0);
        free.map(|(id, session)| (session.load(), session.joined, *id))
    }

    fn assign_next(&mut self, session: SessionId) -> bool {
        let Some((id, number)) = self.next_task(session) else { return false };
        self.rota.served(id);
        self.assign(session, id, number);
        true
    }

    /// The next task for a session: by priority, then by owner in turn, by job of that owner in
    /// turn, and by number.
    fn next_task(&self, session: SessionId) -> Option<(JobId, TaskNumber)> {
        let slave = self.sessions.get(&session)?.slave;
        self.rota.iter().find_map(|id| {
            let job = self.jobs.get(&id)?;
            let fit = job.queue.iter().find(|number| self.suits(job, **number, slave));
            fit.map(|number| (id, *number))
        })
    }

    /// Whether a slave may have a task: one that has failed it gets it again only where there is no
    /// other that has not.
    fn suits(&self, job: &Job, number: TaskNumber, slave: SlaveId) -> bool {
        if job.answered_by(number, slave) {
            return false;
        }
        let fresh = |other: &Session| {
            let barred = job.failed_on(number, other.slave) || job.answered_by(number, other.slave);
            other.takes_work() && !barred
        };
        !job.failed_on(number, slave) || !self.sessions.values().any(fresh)
    }

    /// Gives a task to a session. The task is in its job's queue, or is to have a second attempt.
    pub(super) fn assign(&mut self, session: SessionId, id: JobId, number: TaskNumber) {
        let (Some(job), Some(known)) = (self.jobs.get_mut(&id), self.sessions.get_mut(&session))
        else {
            return;
        };
        let message_id = MessageId::of_task(id, number);
        let Some(attempt) = job.assign(number, session) else { return };
        self.counts.started += 1;
        if job.queue.is_empty() {
            self.rota.remove(id);
        }
        known.hold(Held { job: id, number, message_id, attempt, started: None }, self.now);
        self.commands.push(Command::Assign { session, job: id, number, message_id, attempt });
    }

    /// Moves a task that waits on the slave with the most of these to one that has nothing to do.
    fn move_waiting(&mut self, to: SessionId) -> bool {
        let Some(slave) = self.sessions.get(&to).map(|session| session.slave) else { return false };
        let may = |held: &&Held| {
            let barred = |job: &Job| {
                job.failed_on(held.number, slave) || job.answered_by(held.number, slave)
            };
            self.jobs.get(&held.job).is_some_and(|job| !barred(job))
        };
        // The last in its line is the one that its slave would have begun last.
        let last = |session: &Session| session.waiting().iter().rev().find(may).copied();
        let found = self
            .sessions
            .iter()
            .filter_map(|(id, session)| Some((session, *id, last(session)?)))
            .max_by_key(|(session, ..)| (session.waiting().len(), Reverse(session.joined)));
        let Some((_, from, held)) = found else { return false };
        self.take_back(from, held.message_id, held.attempt);
        self.forgo(&held);
        self.assign(to, held.job, held.number);
        true
    }
}
