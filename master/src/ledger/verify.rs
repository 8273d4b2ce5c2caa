//! Tasks that are counted twice, by two slaves, so that one that lies is found out: a share of them that no
//! slave can tell from the others. Answers are compared by a digest of all that they say, which is made
//! elsewhere. Where two differ the master counts the task itself, and whoever said something else is set
//! aside: its sessions end, and its answers are counted again.
//!
//! Nobody is waited for: where no other slave is there, the one answer is kept, and counted as unverified.
//! Two slaves that tell the same lie about the same task are not found out by it.

use std::time::Duration;

use tally_common::id::{Attempt, JobId, MessageId, SessionId, SlaveId, TaskNumber};
use tally_common::run::TaskTotals;

use super::attempts::Answer;
use super::job::Phase;
use super::session::Session;
use super::task::Place;
use super::{Command, Fact, Failure, Ledger, Refusal, UploadId};

/// Sessions that have ended whose slaves are remembered; with more, all are forgotten, and what they still
/// send is counted again.
const MAX_PAST: usize = 4096;

/// Slaves that were set aside that are remembered. A slave has a new id with each start; whoever lets
/// slaves in keeps their names.
const MAX_ASIDE: usize = 4096;

/// How the reason begins for which the session of a slave ends that has lied.
pub const SET_ASIDE: &str = "the slave is set aside";

/// All that a partial says, in 32 bytes: groups, values, rejects and totals, but not how they are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

/// What a second count said of a kept answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// There was to be none.
    #[default]
    None,
    /// The same.
    Agreed,
    /// Nothing: no other slave was there.
    Alone,
}

/// An answer that waits for another slave's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opinion {
    pub(super) by: SlaveId,
    pub(super) digest: Digest,
    pub(super) totals: TaskTotals,
    pub(super) groups: u64,
    pub(super) upload: UploadId,
    pub(super) took: Option<Duration>,
}

impl Opinion {
    fn kept(self, second: Option<SlaveId>, check: Check) -> Answer {
        let Self { by, totals, groups, upload, took, .. } = self;
        Answer { totals, groups, upload, took, by: [Some(by), second], check }
    }
}

/// What the master itself has counted.
pub(super) struct Truth {
    pub(super) totals: TaskTotals,
    pub(super) groups: u64,
    pub(super) upload: UploadId,
    pub(super) digest: Digest,
}

impl Ledger {
    pub(super) fn picks(&self, task: MessageId) -> bool {
        self.policy.sample.picks(task)
    }

    /// Whose a session is or was, as far as is known.
    pub(super) fn author(&self, session: SessionId) -> Option<SlaveId> {
        let live = self.sessions.get(&session).map(|session| session.slave);
        live.or_else(|| self.past.get(&session).copied())
    }

    /// Whether what a slave says may count. Where tasks are counted twice, somebody must answer for each
    /// answer: one of a session from before the last start is counted again.
    pub(super) fn believes(&self, by: Option<SlaveId>) -> bool {
        match by {
            Some(by) => !self.aside.contains(&by),
            None => !self.policy.sample.is_on(),
        }
    }

    /// A session has ended.
    pub(super) fn remember(&mut self, session: SessionId, slave: SlaveId) {
        if !self.policy.sample.is_on() {
            return;
        }
        if self.past.len() >= MAX_PAST {
            self.past.clear();
        }
        self.past.insert(session, slave);
    }

    /// A slave has answered a task that is counted twice, by an attempt whose slot is free already.
    pub(super) fn opine(
        &mut self,
        id: JobId,
        number: TaskNumber,
        answered: (SessionId, Attempt),
        opinion: Opinion,
    ) {
        let message_id = MessageId::of_task(id, number);
        self.end_own_attempts(id, number, answered, opinion.by);
        let upload = opinion.upload;
        let Some(task) = self.jobs.get_mut(&id).and_then(|job| job.task_mut(number)) else {
            return;
        };
        let first = task.opinions.first().copied();
        if first.is_none_or(|first| first.by != opinion.by) {
            self.credit(answered.0);
        }
        let Some(task) = self.jobs.get_mut(&id).and_then(|job| job.task_mut(number)) else {
            return;
        };
        match first {
            None => {
                task.opinions.push(opinion);
                let last_chance = task.failures >= self.policy.max_attempts;
                self.commands.push(Command::HoldUpload { upload });
                self.doubtful.insert((id, number));
                if last_chance && self.is_unheld(id, number) {
                    self.settle(id, number);
                    return;
                }
            }
            Some(first) if first.by == opinion.by => {
                let reply = Refusal::Duplicate;
                self.commands.push(Command::DropUpload { upload, reply });
            }
            Some(first) if (first.digest, first.totals) == (opinion.digest, opinion.totals) => {
                task.opinions.clear();
                self.doubtful.remove(&(id, number));
                self.counts.verified += 1;
                self.keep_answer(id, number, first.kept(Some(opinion.by), Check::Agreed));
                let reply = Refusal::Duplicate;
                self.commands.push(Command::DropUpload { upload, reply });
                return;
            }
            Some(_) => {
                task.opinions.push(opinion);
                self.doubtful.remove(&(id, number));
                self.counts.disputed += 1;
                // Neither is told what the other has said.
                self.commands.push(Command::HoldUpload { upload });
                let live = self.jobs.get_mut(&id).map(|job| job.dispute(number));
                for live in live.unwrap_or_default() {
                    self.take_back(live.session, message_id, live.attempt);
                }
                self.leave_rota_if_idle(id);
                self.commands.push(Command::Recount { job: id, number });
                return;
            }
        }
        if self.is_unheld(id, number) {
            self.enqueue(id, number);
        }
    }

    /// Ends what else a slave has of a task that it has answered.
    fn end_own_attempts(
        &mut self,
        id: JobId,
        number: TaskNumber,
        answered: (SessionId, Attempt),
        by: SlaveId,
    ) {
        let message_id = MessageId::of_task(id, number);
        let live = self.jobs.get(&id).and_then(|job| job.task(number)).map(|task| &task.live);
        for live in live.cloned().unwrap_or_default() {
            if (live.session, live.attempt) != answered {
                if self.sessions.get(&live.session).is_none_or(|session| session.slave != by) {
                    continue;
                }
                self.take_back(live.session, message_id, live.attempt);
            }
            if let Some(job) = self.jobs.get_mut(&id) {
                job.forgo(number, live.attempt);
            }
        }
    }

    /// Whether a task was being counted, and nobody does so any more.
    fn is_unheld(&self, id: JobId, number: TaskNumber) -> bool {
        let task = self.jobs.get(&id).and_then(|job| job.task(number));
        task.is_some_and(|task| task.place == Place::Live && task.live.is_empty())
    }

    /// A job whose queue is empty has no turn.
    fn leave_rota_if_idle(&mut self, id: JobId) {
        if self.jobs.get(&id).is_some_and(|job| job.queue.is_empty()) {
            self.rota.remove(id);
        }
    }

    /// Keeps the one answer that a task has, without a second; whether it has one.
    pub(super) fn settle(&mut self, id: JobId, number: TaskNumber) -> bool {
        let task = self.jobs.get_mut(&id).and_then(|job| job.task_mut(number));
        let Some(opinion) = task.and_then(|task| task.opinions.pop()) else { return false };
        self.doubtful.remove(&(id, number));
        self.counts.unverified += 1;
        self.keep_answer(id, number, opinion.kept(None, Check::Alone));
        true
    }

    /// Keeps answers whose task no other slave could count.
    pub(super) fn settle_those_alone(&mut self) {
        // What is held when the master stops is counted again after its next start.
        if self.doubtful.is_empty() || self.leaving {
            return;
        }
        let mut working = self.sessions.values().filter(|session| session.takes_work());
        let first = working.next().map(|session| session.slave);
        if working.any(|session| Some(session.slave) != first) {
            // Of two slaves one is another than the one that has answered.
            return;
        }
        let alone = |(id, number): &(JobId, TaskNumber)| {
            let task = self.jobs.get(id).and_then(|job| job.task(*number));
            task.is_some_and(|task| {
                let by = task.opinions.first().map(|opinion| opinion.by);
                task.place != Place::Live && (first.is_none() || first == by)
            })
        };
        let alone: Vec<_> = self.doubtful.iter().copied().filter(alone).collect();
        for (id, number) in alone {
            self.settle(id, number);
        }
    }

    /// Forgets an answer that was held.
    pub(super) fn drop_opinion(&mut self, upload: UploadId) {
        self.commands.push(Command::DropUpload { upload, reply: Refusal::Duplicate });
    }

    /// Takes the answers to a task that slaves contradict each other about; `None` where nobody asks any
    /// more.
    fn disputed(&mut self, id: JobId, number: TaskNumber) -> Option<Vec<Opinion>> {
        let task = self.live_job(id)?.task_mut(number)?;
        (task.place == Place::Disputed).then(|| std::mem::take(&mut task.opinions))
    }

    /// The master has counted a task itself: what it says holds, and who said otherwise has lied.
    pub(super) fn recounted(&mut self, id: JobId, number: TaskNumber, truth: Truth) {
        let Some(opinions) = self.disputed(id, number) else {
            return self.drop_opinion(truth.upload);
        };
        let Truth { totals, groups, upload, digest } = truth;
        let honest = |opinion: &Opinion| (opinion.digest, opinion.totals) == (digest, totals);
        let (right, wrong): (Vec<_>, Vec<_>) = opinions.into_iter().partition(honest);
        self.counts.verified += 1;
        let answer = match right.first() {
            Some(first) => first.kept(None, Check::Agreed),
            None => {
                let check = Check::Agreed;
                Answer { totals, groups, upload, took: None, by: [None; 2], check }
            }
        };
        let kept = answer.upload;
        self.keep_answer(id, number, answer);
        let uploads = right.iter().chain(&wrong).map(|opinion| opinion.upload);
        for other in uploads.chain([upload]).filter(|upload| *upload != kept) {
            self.drop_opinion(other);
        }
        for liar in wrong {
            let reason = format!("its answer to task {number} of job {id} was false");
            // Under how many ids it is known is not how many have lied.
            self.counts.set_aside += u64::from(!self.aside.contains(&liar.by));
            self.set_aside(liar.by, &reason);
        }
    }

    /// The master could not count a task itself. Nobody is called a liar for it: the task begins anew.
    pub(super) fn recount_failed(&mut self, id: JobId, number: TaskNumber, error: String) {
        let Some(opinions) = self.disputed(id, number) else { return };
        for opinion in opinions {
            self.drop_opinion(opinion.upload);
        }
        let max_attempts = self.policy.max_attempts;
        let Some(task) = self.live_job(id).and_then(|job| job.task_mut(number)) else { return };
        task.failures += 1;
        let attempts = task.failures;
        if attempts >= max_attempts {
            return self.fail(id, Failure::Poison { number, attempts, error });
        }
        self.enqueue(id, number);
    }

    /// A slave has lied: nothing that it says or has said is believed any more.
    pub(super) fn set_aside(&mut self, slave: SlaveId, reason: &str) {
        if self.aside.contains(&slave) {
            return;
        }
        if self.aside.len() >= MAX_ASIDE {
            self.aside.clear();
        }
        self.aside.insert(slave);
        let of = |(_, session): &(&SessionId, &Session)| session.slave == slave;
        let sessions: Vec<_> = self.sessions.iter().filter(of).map(|(id, _)| *id).collect();
        for session in sessions {
            let reason = format!("{SET_ASIDE}: {reason}");
            self.commands.push(Command::EndSession { session, reason });
            self.session_over(session, "the slave was set aside");
        }
        let open: Vec<JobId> =
            self.jobs.iter().filter(|(_, job)| job.ended().is_none()).map(|(id, _)| *id).collect();
        let (mut thrown, mut left) = (0, Vec::new());
        for id in open {
            match self.throw_answers(id, slave) {
                Some(count) => thrown += count,
                None => left.push(id),
            }
        }
        let reason = reason.to_owned();
        self.commands.push(Command::SetAside { slave, reason, thrown, left });
    }

    /// Throws away what a slave has answered in a job; how many were kept. `None` where it has, and they
    /// are being applied already.
    fn throw_answers(&mut self, id: JobId, slave: SlaveId) -> Option<u32> {
        let max_attempts = self.policy.max_attempts;
        let job = self.live_job(id)?;
        let (mut kept, mut held) = (Vec::new(), Vec::new());
        for (number, task) in (0..).zip(&mut job.tasks) {
            if task.place == Place::Kept && task.by.contains(&Some(slave)) {
                kept.push(number);
            } else if task.place != Place::Disputed {
                // What is disputed is judged by what the master counts.
                let opinions = task.opinions.extract_if(.., |opinion| opinion.by == slave);
                held.extend(opinions.map(|opinion| (number, opinion.upload)));
            }
        }
        if job.applies && matches!(job.phase, Phase::Merging(_)) && !kept.is_empty() {
            return None;
        }
        for number in &kept {
            job.lose(*number);
            if let Some(task) = job.task_mut(*number) {
                // That is not the task's fault.
                task.failures = (task.failures - 1).min(max_attempts.saturating_sub(1));
            }
            job.retries += 1;
        }
        self.counts.retried += kept.len() as u64;
        for (number, upload) in held {
            self.doubtful.remove(&(id, number));
            self.drop_opinion(upload);
        }
        for number in &kept {
            self.persist(Fact::Disowned { job: id, number: *number });
            self.enqueue(id, *number);
        }
        Some(kept.len() as u32)
    }
}
