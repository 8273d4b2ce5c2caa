//! Second attempts at stragglers, for slaves that would have nothing to do. The first partial wins.

use std::collections::BTreeMap;
use std::time::Duration;

use tally_common::id::{JobId, MessageId, SessionId, TaskNumber};

use super::Ledger;
use super::job::Job;
use super::session::Session;
use super::task::Task;

/// An attempt that takes much longer than others of its job.
struct Straggler {
    started: Duration,
    job: JobId,
    number: TaskNumber,
    message_id: MessageId,
}

impl Ledger {
    /// Gives each straggler a second attempt where another slave has a free worker. It is called when
    /// all else has been given out, so a free worker means that there is nothing better to do.
    pub(super) fn speculate(&mut self) {
        if self.sessions_with(Session::free_workers).next().is_none() {
            return;
        }
        let mut stragglers = self.stragglers();
        stragglers.sort_by_key(|straggler| (straggler.started, straggler.job, straggler.number));
        for straggler in stragglers {
            if let Some(session) = self.second_slave(&straggler) {
                if let Some(job) = self.jobs.get_mut(&straggler.job) {
                    job.speculated += 1;
                    self.counts.speculated += 1;
                }
                self.assign(session, straggler.job, straggler.number);
            }
        }
    }

    /// Attempts that are alone at their task and have outrun their job's patience.
    fn stragglers(&self) -> Vec<Straggler> {
        let mut patience: BTreeMap<JobId, Option<Duration>> = BTreeMap::new();
        let mut found = Vec::new();
        for held in self.sessions.values().flat_map(Session::held) {
            let (Some(job), Some(started)) = (self.jobs.get(&held.job), held.started) else {
                continue;
            };
            let limit = patience.entry(held.job).or_insert_with(|| self.patience(job));
            let late = limit.is_some_and(|limit| self.now > started + limit);
            // One that has failed too often has its last attempt.
            let may =
                |task: &Task| task.live.len() == 1 && task.failures < self.policy.max_attempts;
            if late && job.task(held.number).is_some_and(may) {
                let (job, number, message_id) = (held.job, held.number, held.message_id);
                found.push(Straggler { started, job, number, message_id });
            }
        }
        found
    }

    /// How long an attempt may take before a second one starts: none does while no attempt of the
    /// job has finished.
    fn patience(&self, job: &Job) -> Option<Duration> {
        let usual = job.median()? * self.policy.straggler_factor;
        Some(usual.max(self.policy.straggler_floor))
    }

    /// The emptiest session with a free worker whose slave neither holds the task nor has failed it.
    fn second_slave(&self, straggler: &Straggler) -> Option<SessionId> {
        let holders: Vec<_> = self
            .sessions
            .values()
            .filter(|session| session.holds(straggler.message_id))
            .map(|session| session.slave)
            .collect();
        let job = self.jobs.get(&straggler.job)?;
        let fits = |id: &SessionId| {
            self.sessions.get(id).is_some_and(|session| {
                !holders.contains(&session.slave)
                    && !job.failed_on(straggler.number, session.slave)
                    && !job.answered_by(straggler.number, session.slave)
            })
        };
        let free = self.sessions_with(Session::free_workers).filter(|(.., id)| fits(id));
        free.min().map(|(.., id)| id)
    }
}
