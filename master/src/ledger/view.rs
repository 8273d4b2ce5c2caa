//! The ledger, as it is shown: read-only summaries.

use std::time::Duration;

use tally_common::api::{JobState, Priority};
use tally_common::id::{JobId, SessionId, SlaveId, TaskNumber};
use tally_common::run::TaskTotals;

use super::job::{Job, Phase};
use super::session::Session;
use super::task::{Place, Task};
use super::{Failure, Ledger, Merge, Outcome};

/// A job, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSummary {
    /// Where its life stands.
    pub state: JobState,
    /// Which jobs go first.
    pub priority: Priority,
    /// Tasks cut so far.
    pub tasks: u32,
    /// Bytes of these.
    pub bytes_cut: u64,
    /// Tasks that have their answer.
    pub kept: u32,
    /// Tasks that a slave holds; 0 once the job has ended.
    pub running: u32,
    /// Tasks that wait for a slave or for their next attempt; 0 once the job has ended.
    pub queued: u32,
    /// Attempts that failed, and runs that were lost, and were followed by another attempt.
    pub retries: u32,
    /// Second attempts at tasks that took long.
    pub speculated: u32,
    /// Kept tasks whose answer two counts agree on.
    pub verified: u32,
    /// Those that were to have a second count, for which no other slave was there.
    pub unverified: u32,
    /// Sums over the tasks that have their answer.
    pub totals: TaskTotals,
    /// Groups in their runs.
    pub groups: u64,
    /// How it ended, if it has.
    pub outcome: Option<Outcome>,
}

impl JobSummary {
    /// Why it failed, if it has.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.outcome {
            Some(Outcome::Failed(failure)) => Some(failure),
            _ => None,
        }
    }
}

/// What became of attempts since the ledger was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Given to a slave.
    pub started: u64,
    /// Failed.
    pub failed: u64,
    /// Failed, or their answer was lost, and followed by another one.
    pub retried: u64,
    /// Second ones at a task that took long.
    pub speculated: u64,
    /// Tasks whose answer two counts agree on.
    pub verified: u64,
    /// Tasks that were to have a second count, for which no other slave was there.
    pub unverified: u64,
    /// Tasks that slaves have contradicted each other about.
    pub disputed: u64,
    /// Slaves that were set aside.
    pub set_aside: u64,
}

/// A session, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionSummary {
    /// The slave.
    pub slave: SlaveId,
    /// Its worker threads.
    pub workers: u32,
    /// Attempts that are being counted.
    pub running: u32,
    /// Attempts that wait on the slave for a worker.
    pub prefetched: u32,
    /// Partials that were kept.
    pub completed: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// It takes no more.
    pub draining: bool,
    /// Its slave is in quarantine, and gets nothing.
    pub quarantined: bool,
    /// When it was last heard of, on the ledger's clock.
    pub last_beat: Duration,
}

/// Where a task is, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// Waits for a slave.
    Queued,
    /// Failed, and waits for its next attempt.
    Waiting,
    /// One or two slaves hold it.
    Running,
    /// It has its answer.
    Kept,
}

/// A task, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskSummary {
    /// Its number within the job.
    pub number: TaskNumber,
    /// Its length in bytes.
    pub bytes: u64,
    /// Where it is.
    pub state: TaskState,
    /// Who holds it.
    pub sessions: Vec<SessionId>,
    /// Attempts so far.
    pub attempts: u32,
    /// Those that failed, and runs that were lost.
    pub failures: u32,
}

impl Ledger {
    /// A job, as it is.
    pub fn job(&self, id: &JobId) -> Option<JobSummary> {
        self.jobs.get(id).map(Job::summary)
    }

    /// All jobs that have been neither deleted nor forgotten, in order of opening.
    pub fn jobs(&self) -> impl Iterator<Item = (&JobId, JobSummary)> {
        self.opened.values().filter_map(|id| Some((id, self.job(id)?)))
    }

    /// What became of attempts so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// A session, as it is.
    pub fn session(&self, id: &SessionId) -> Option<SessionSummary> {
        self.sessions.get(id).map(Session::summary)
    }

    /// All sessions, in order of joining.
    pub fn sessions(&self) -> impl Iterator<Item = (&SessionId, SessionSummary)> {
        let mut sessions: Vec<_> = self.sessions.iter().collect();
        sessions.sort_unstable_by_key(|(_, session)| session.joined);
        sessions.into_iter().map(|(id, session)| (id, session.summary()))
    }

    /// What a job is being merged to, if it is.
    pub fn merge(&self, id: &JobId) -> Option<Merge> {
        match self.jobs.get(id)?.phase {
            Phase::Merging(merge) => Some(merge),
            _ => None,
        }
    }

    /// The tasks of a job that has not ended, in input order; of one that has, none are remembered.
    pub fn tasks(&self, id: &JobId) -> impl Iterator<Item = TaskSummary> {
        let tasks = self.jobs.get(id).map_or(&[][..], |job| &job.tasks);
        (0..).zip(tasks).map(|(number, task)| task.summary(number))
    }
}

impl Job {
    fn summary(&self) -> JobSummary {
        let open = if self.ended().is_some() { 0 } else { self.cut - self.kept };
        JobSummary {
            state: self.state(),
            priority: self.priority,
            tasks: self.cut,
            bytes_cut: self.bytes_cut,
            kept: self.kept,
            running: self.live,
            queued: open.saturating_sub(self.live),
            retries: self.retries,
            speculated: self.speculated,
            verified: self.verified,
            unverified: self.unverified,
            totals: self.totals,
            groups: self.groups,
            outcome: self.ended().cloned(),
        }
    }
}

impl Session {
    fn summary(&self) -> SessionSummary {
        let prefetched = self.waiting().len() as u32;
        SessionSummary {
            slave: self.slave,
            workers: self.workers,
            running: self.held().len() as u32 - prefetched,
            prefetched,
            completed: self.completed,
            failed: self.failed,
            draining: self.draining,
            quarantined: self.quarantined,
            last_beat: self.last_beat,
        }
    }
}

impl Task {
    fn summary(&self, number: TaskNumber) -> TaskSummary {
        TaskSummary {
            number,
            bytes: self.bytes,
            state: match self.place {
                Place::Queued => TaskState::Queued,
                Place::Waiting(_) | Place::Disputed => TaskState::Waiting,
                Place::Live => TaskState::Running,
                Place::Kept => TaskState::Kept,
            },
            sessions: self.live.iter().map(|live| live.session).collect(),
            attempts: self.attempts,
            failures: self.failures,
        }
    }
}
