//! How attempts end: with a partial, a failure, too late, or with their session.

use tally_common::id::{Attempt, JobId, MessageId, SessionId, SlaveId, TaskNumber};
use tally_common::run::TaskTotals;

use super::session::{Held, Session};
use super::task::Place;
use super::verify::{Check, Opinion};
use super::{Command, Digest, Fact, Failure, Ledger, Refusal, UploadId};

/// Slaves that may come back that are remembered; with more, all are forgotten.
const MAX_LOST: usize = 4096;

/// A partial that has arrived.
pub(super) struct Arrived {
    pub(super) session: SessionId,
    pub(super) message_id: MessageId,
    pub(super) attempt: Attempt,
    pub(super) totals: TaskTotals,
    pub(super) groups: u64,
    pub(super) upload: UploadId,
    pub(super) digest: Option<Digest>,
}

/// An answer that is kept.
pub(super) struct Answer {
    pub(super) totals: TaskTotals,
    pub(super) groups: u64,
    pub(super) upload: UploadId,
    pub(super) took: Option<std::time::Duration>,
    pub(super) by: [Option<SlaveId>; 2],
    pub(super) check: Check,
}

impl Ledger {
    /// The first valid partial of an open task is its answer, whoever sent it and however late.
    pub(super) fn partial(&mut self, arrived: &Arrived) {
        let &Arrived { session, message_id, attempt, totals, groups, upload, digest } = arrived;
        let by = self.author(session);
        let held = self.release(session, message_id, attempt);
        let open = self.tasks.get(&message_id).copied().and_then(|(id, number)| {
            let task = self.jobs.get(&id)?.task(number)?;
            let open = !matches!(task.place, Place::Kept | Place::Disputed);
            (open && self.believes(by)).then(|| (id, number, task.check(&totals, groups)))
        });
        let Some((id, number, checked)) = open else {
            return self.commands.push(Command::DropUpload { upload, reply: Refusal::Duplicate });
        };
        if let Err(reason) = checked {
            let reply = Refusal::Rejected(reason.clone());
            self.commands.push(Command::DropUpload { upload, reply });
            if let Some((slave, held)) = held {
                self.fail_attempt(session, slave, &held, reason);
            }
            return self.false_partial(session);
        }
        let started = held.and_then(|(_, held)| held.started);
        let took = started.map(|started| self.now.saturating_sub(started));
        if let (Some(digest), Some(by)) = (digest.filter(|_| self.picks(message_id)), by) {
            let opinion = Opinion { by, digest, totals, groups, upload, took };
            return self.opine(id, number, (session, attempt), opinion);
        }
        self.credit(session);
        let (by, check) = ([by, None], Check::None);
        self.keep_answer(id, number, Answer { totals, groups, upload, took, by, check });
    }

    /// A session has handed in what counts.
    pub(super) fn credit(&mut self, session: SessionId) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.completed += 1;
            self.false_partials.remove(&session.slave);
        }
    }

    /// A task has its answer.
    pub(super) fn keep_answer(&mut self, id: JobId, number: TaskNumber, answer: Answer) {
        let Answer { totals, groups, upload, took, by, check } = answer;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let others = job.keep(number, totals, groups);
        job.vouch(number, by, check);
        if job.queue.is_empty() {
            // It may have been the last that waited.
            self.rota.remove(id);
        }
        if let Some(took) = took {
            job.took(took);
        }
        let message_id = MessageId::of_task(id, number);
        self.persist(Fact::PartialKept { job: id, number, totals, groups, check });
        self.commands.push(Command::KeepRun { job: id, number, message_id, upload, check, took });
        for other in others {
            // The slot of the attempt that gave the answer is free already.
            self.take_back(other.session, message_id, other.attempt);
        }
        self.merge_if_counted(id);
    }

    pub(super) fn attempt_failed(
        &mut self,
        session: SessionId,
        message_id: MessageId,
        attempt: Attempt,
        error: String,
    ) {
        // One that was taken back meanwhile is of no interest.
        if let Some((slave, held)) = self.release(session, message_id, attempt) {
            self.fail_attempt(session, slave, &held, error);
        }
    }

    /// An attempt, whose slot is free already, has failed: the next one, or the end of the job.
    pub(super) fn fail_attempt(
        &mut self,
        from: SessionId,
        slave: SlaveId,
        held: &Held,
        error: String,
    ) {
        let Held { job: id, number, message_id, attempt, .. } = *held;
        let max_attempts = self.policy.max_attempts;
        if let Some(session) = self.sessions.get_mut(&from) {
            session.failed += 1;
        }
        let Some(job) = self.live_job(id) else { return };
        let Some(failures) = job.fail_attempt(number, attempt, slave) else { return };
        let last = job.task(number).is_none_or(|task| task.live.is_empty());
        let poison = last && failures >= max_attempts;
        job.retries += u32::from(!poison);
        self.counts.failed += 1;
        self.counts.retried += u64::from(!poison);
        if poison && self.settle(id, number) {
            // One slave has counted it; that no second one could is not to cost the job.
            return;
        }
        if poison {
            return self.fail(id, Failure::Poison { number, attempts: failures, error });
        }
        // Where another attempt is under way it may yet succeed.
        if last {
            // The last bits of a UUID v5 are as good as drawn, and the same in every run.
            let jitter = message_id.uuid().as_u64_pair().1.wrapping_add(u64::from(attempt));
            self.wait(id, number, failures - 1, jitter);
        }
    }

    fn wait(&mut self, id: JobId, number: TaskNumber, retry: u32, jitter: u64) {
        let until = self.now + self.policy.retry.wait(retry, jitter);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.wait(number, until);
            self.retries.insert((until, id, number));
        }
    }

    /// Puts tasks whose wait is over back into the queue.
    pub(super) fn end_waits(&mut self) {
        while let Some(&(until, id, number)) = self.retries.first()
            && until <= self.now
        {
            self.retries.pop_first();
            let task = self.jobs.get(&id).and_then(|job| job.task(number));
            if task.is_some_and(|task| task.place == Place::Waiting(until)) {
                self.enqueue(id, number);
            }
        }
    }

    /// Frees the slot of an attempt; whose it was and what was in it, if there was one.
    fn release(
        &mut self,
        session: SessionId,
        message_id: MessageId,
        attempt: Attempt,
    ) -> Option<(SlaveId, Held)> {
        let now = self.now;
        let session = self.sessions.get_mut(&session)?;
        Some((session.slave, session.release(message_id, attempt, now)?))
    }

    /// Frees the slot of an attempt and tells its slave to stop.
    pub(super) fn take_back(
        &mut self,
        session: SessionId,
        message_id: MessageId,
        attempt: Attempt,
    ) -> Option<(SlaveId, Held)> {
        let released = self.release(session, message_id, attempt)?;
        self.commands.push(Command::CancelAttempt { session, message_id, attempt });
        Some(released)
    }

    /// An attempt, whose slot is free already, had not begun: nothing was lost but a place in line.
    pub(super) fn forgo(&mut self, held: &Held) {
        if self.live_job(held.job).is_some_and(|job| job.forgo(held.number, held.attempt)) {
            self.enqueue(held.job, held.number);
        }
    }

    /// A slave takes no more: what it had only fetched goes to others at once.
    pub(super) fn draining(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.draining = true;
        self.give_back_waiting(id);
    }

    /// Gives what a slave had only fetched to others: that is no failure.
    pub(super) fn give_back_waiting(&mut self, id: SessionId) {
        let waiting = self.sessions.get(&id).map(Session::waiting).unwrap_or_default().to_vec();
        for held in waiting {
            self.take_back(id, held.message_id, held.attempt);
            self.forgo(&held);
        }
    }

    /// A session is over. What it was counting has failed, for it may be what killed the slave; what
    /// it had only fetched has not.
    pub(super) fn session_over(&mut self, id: SessionId, why: &str) {
        let Some(session) = self.sessions.remove(&id) else { return };
        let slave = session.slave;
        self.remember(id, slave);
        for held in session.into_held() {
            if held.started.is_some() {
                if self.lost.len() >= MAX_LOST {
                    self.lost.clear();
                }
                self.lost.entry(slave).or_default().push((held.job, held.number));
                self.fail_attempt(id, slave, &held, format!("{why} while it counted the task"));
            } else {
                self.forgo(&held);
            }
        }
    }

    /// A slave has come back that was counting when its session ended: the same process, so the tasks
    /// have not killed it. It was the network, and no failure of theirs.
    pub(super) fn forgive(&mut self, slave: SlaveId) {
        for (id, number) in self.lost.remove(&slave).unwrap_or_default() {
            if let Some(job) = self.live_job(id) {
                job.forgive(number, slave);
            }
        }
    }

    /// Ends sessions that have been silent for too long.
    pub(super) fn end_silent_sessions(&mut self) {
        let silence = self.policy.heartbeat * self.policy.missed_beats;
        let silent = self.sessions.iter().filter(|(_, s)| self.now > s.last_beat + silence);
        let silent: Vec<SessionId> = silent.map(|(id, _)| *id).collect();
        for session in silent {
            let reason = format!("no heartbeat for {} ms", silence.as_millis());
            self.commands.push(Command::EndSession { session, reason });
            self.session_over(session, "the slave fell silent");
        }
    }

    /// Takes back attempts that have taken longer than the slowest slave that is waited for.
    pub(super) fn end_late_attempts(&mut self) {
        let mut late = Vec::new();
        for (id, session) in &self.sessions {
            for held in session.held() {
                let task = self.jobs.get(&held.job).and_then(|job| job.task(held.number));
                let limit = self.policy.attempt_limit(task.map_or(0, |task| task.bytes));
                if held.started.is_some_and(|started| self.now > started + limit) {
                    late.push((*id, held.message_id, held.attempt, limit));
                }
            }
        }
        for (id, message_id, attempt, limit) in late {
            // Its job may have ended with another one of these.
            if let Some((slave, held)) = self.take_back(id, message_id, attempt) {
                let error = format!("not counted within {} s", limit.as_secs());
                self.fail_attempt(id, slave, &held, error);
            }
        }
    }
}
