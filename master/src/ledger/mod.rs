//! The ledger: the state of all jobs, tasks, attempts and sessions. Pure: [`Ledger::apply`] takes an
//! event and the time and gives commands; it never reads a clock, opens a file, waits, or draws a
//! random number. Whoever executes the commands makes a decision of none of them.

mod assign;
mod attempts;
mod command;
mod event;
#[cfg(any(test, debug_assertions))]
mod invariants;
mod job;
mod life;
mod policy;
mod quarantine;
mod restore;
mod rota;
mod session;
#[cfg(test)]
mod sim;
mod speculate;
mod task;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tally_common::id::{JobId, MessageId, SessionId, SlaveId, TaskNumber};

pub use command::{Command, Fact, Failure, Merge, Outcome, Refusal};
pub use event::{Event, RestoredTask, UploadId};
pub use policy::Policy;
pub use view::{JobSummary, SessionSummary, TaskState, TaskSummary};

use attempts::Arrived;
use job::Job;
use quarantine::Record;
use rota::Rota;
use session::Session;

/// The ledger.
#[derive(Debug)]
pub struct Ledger {
    policy: Policy,
    /// The time of the event at hand; never goes back.
    now: Duration,
    jobs: BTreeMap<JobId, Job>,
    /// The same jobs in order of opening.
    opened: Vec<JobId>,
    sessions: BTreeMap<SessionId, Session>,
    /// Sessions that have ever joined, so that each knows its place in the order of joining.
    joined: u64,
    /// Tasks of the jobs that have not ended. Only looked up, never walked.
    tasks: HashMap<MessageId, (JobId, TaskNumber)>,
    /// Whose turn it is, among the jobs with a task in their queue.
    rota: Rota,
    /// Tasks that wait until they are tried again, by when. An entry whose task has moved on
    /// meanwhile means nothing.
    retries: BTreeSet<(Duration, JobId, TaskNumber)>,
    /// When time was looked at last.
    ticked: Duration,
    /// What is held against slaves, over all their sessions.
    records: BTreeMap<SlaveId, Record>,
    /// What the event at hand has led to so far.
    commands: Vec<Command>,
}

impl Ledger {
    /// A ledger without jobs or sessions.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            now: Duration::ZERO,
            jobs: BTreeMap::new(),
            opened: Vec::new(),
            sessions: BTreeMap::new(),
            joined: 0,
            tasks: HashMap::new(),
            rota: Rota::default(),
            retries: BTreeSet::new(),
            ticked: Duration::ZERO,
            records: BTreeMap::new(),
            commands: Vec::new(),
        }
    }

    /// Takes an event in. `now` is the time since some fixed moment, such as the coordinator's start;
    /// where it goes back it counts as standing still. The commands are to be carried out in order,
    /// and what a [`Command::Persist`] says is to be durable before the commands after it are.
    pub fn apply(&mut self, event: Event, now: Duration) -> Vec<Command> {
        self.now = self.now.max(now);
        let moves_tasks = !matches!(event, Event::Beat { .. });
        self.take(event);
        if moves_tasks {
            self.end_waits();
            self.dispatch();
            #[cfg(any(test, debug_assertions))]
            self.check_invariants();
        }
        std::mem::take(&mut self.commands)
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::JobOpened { job, priority, max_rejects } => {
                self.open(job, priority, max_rejects);
            }
            Event::JobRestored { job, priority, max_rejects, tasks, complete } => {
                self.restore(job, priority, max_rejects, &tasks, complete);
            }
            Event::Forget { job } => self.forget(job),
            Event::TaskCut { job, number, bytes } => self.task_cut(job, number, bytes),
            Event::InputComplete { job } => self.input_complete(job),
            Event::InputFailed { job, error } => self.fail(job, Failure::Input(error)),
            Event::SlaveJoined { session, slave, workers } => {
                self.joined += 1;
                let mut joined = Session::new(slave, workers, self.joined, self.now);
                joined.quarantined = self.is_quarantined(slave);
                self.sessions.entry(session).or_insert(joined);
            }
            Event::Beat { session } => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.last_beat = self.now;
                }
            }
            Event::SlaveDraining { session } => self.draining(session),
            Event::SlaveLeft { session } => self.session_over(session, "the slave left"),
            Event::TaskFailed { session, message_id, attempt, error } => {
                self.attempt_failed(session, message_id, attempt, error);
            }
            Event::PartialArrived { session, message_id, attempt, totals, groups, upload } => {
                self.partial(&Arrived { session, message_id, attempt, totals, groups, upload });
            }
            Event::PartialRefused { session, message_id, attempt, reason } => {
                self.partial_refused(session, message_id, attempt, reason);
            }
            Event::RunLost { job, number } => self.run_lost(job, number),
            Event::MergeDone { job } => self.merge_done(job),
            Event::MergeFailed { job, error } => self.merge_failed(job, error),
            Event::Cancel { job } => self.end(job, Outcome::Cancelled),
            Event::Delete { job } => self.delete(job),
            Event::Tick => {
                self.sleep_through_pause();
                self.end_quarantines();
                self.end_silent_sessions();
                self.end_late_attempts();
            }
        }
    }

    fn persist(&mut self, fact: Fact) {
        self.commands.push(Command::Persist(fact));
    }

    /// A job that has not ended.
    fn live_job(&mut self, id: JobId) -> Option<&mut Job> {
        self.jobs.get_mut(&id).filter(|job| job.ended().is_none())
    }

    /// Puts a task into its job's queue, and the job on the rota.
    fn enqueue(&mut self, id: JobId, number: TaskNumber) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.enqueue(number);
            self.rota.add(job.priority, id);
        }
    }
}
