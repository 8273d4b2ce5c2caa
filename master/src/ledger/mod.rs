//! The ledger: the state of all jobs, tasks, attempts and sessions. Pure: [`Ledger::apply`] takes an
//! event and the time and gives commands; it never reads a clock, opens a file, waits, or draws a
//! random number. Whoever executes the commands makes a decision of none of them.
//!
//! What must outlive the process leaves as facts ([`Command::Persist`]). A master that starts again
//! gives each open job back with [`Event::JobRestored`], and nothing else: slaves join anew, failures
//! are forgotten, and partials of sessions from before count like any others.

mod assign;
mod attempts;
mod command;
mod event;
#[cfg(any(test, debug_assertions))]
mod invariants;
mod job;
mod life;
mod pause;
mod policy;
mod quarantine;
mod rota;
mod sample;
mod session;
#[cfg(test)]
mod sim;
mod speculate;
mod task;
#[cfg(test)]
mod tests;
mod verify;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tally_common::id::{JobId, MessageId, SessionId, SlaveId, TaskNumber};

pub use command::{Command, Fact, Failure, Merge, Outcome, Refusal};
pub use event::{Event, OwnerId, RestoredTask, UploadId};
pub use policy::Policy;
pub use sample::Sample;
pub use verify::{Check, Digest, SET_ASIDE};
pub use view::{Counts, JobSummary, SessionSummary, TaskState, TaskSummary};

use attempts::Arrived;
use job::Job;
use life::Restored;
use rota::Rota;
use session::Session;
use verify::Truth;

/// The ledger.
#[derive(Debug)]
pub struct Ledger {
    policy: Policy,
    /// The time of the event at hand; never goes back.
    now: Duration,
    /// When the last tick came, or a pause was noticed; at first, the first event.
    awake: Option<Duration>,
    jobs: BTreeMap<JobId, Job>,
    /// The same jobs in order of opening.
    opened: BTreeMap<u64, JobId>,
    /// Jobs that have ever been opened, so that each knows its place in that order.
    opened_ever: u64,
    sessions: BTreeMap<SessionId, Session>,
    /// Sessions that have ever joined, so that each knows its place in the order of joining.
    joined: u64,
    /// False partials of each slave since its last right one, where there are any. By slave, not
    /// session: connecting again clears nobody.
    false_partials: BTreeMap<SlaveId, u32>,
    /// Tasks that slaves were counting when their sessions ended, for when they come back.
    lost: BTreeMap<SlaveId, Vec<(JobId, TaskNumber)>>,
    /// Slaves in quarantine, and when that ends.
    quarantined: BTreeMap<SlaveId, Duration>,
    /// Slaves that have lied.
    aside: BTreeSet<SlaveId>,
    /// Whose the sessions were that have ended; only where tasks are counted twice.
    past: BTreeMap<SessionId, SlaveId>,
    /// Tasks with one answer that wait for another slave's.
    doubtful: BTreeSet<(JobId, TaskNumber)>,
    /// The master is stopping.
    leaving: bool,
    /// Tasks of the jobs that have not ended. Only looked up, never walked.
    tasks: HashMap<MessageId, (JobId, TaskNumber)>,
    /// Whose turn it is, among the jobs with a task in their queue.
    rota: Rota,
    /// Tasks that wait until they are tried again, by when. An entry whose task has moved on
    /// meanwhile means nothing.
    retries: BTreeSet<(Duration, JobId, TaskNumber)>,
    /// What became of attempts, over all jobs that there ever were.
    counts: Counts,
    /// What the event at hand has led to so far.
    commands: Vec<Command>,
}

impl Ledger {
    /// A ledger without jobs or sessions.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            now: Duration::ZERO,
            awake: None,
            jobs: BTreeMap::new(),
            opened: BTreeMap::new(),
            opened_ever: 0,
            sessions: BTreeMap::new(),
            joined: 0,
            false_partials: BTreeMap::new(),
            lost: BTreeMap::new(),
            quarantined: BTreeMap::new(),
            aside: BTreeSet::new(),
            past: BTreeMap::new(),
            doubtful: BTreeSet::new(),
            leaving: false,
            tasks: HashMap::new(),
            rota: Rota::default(),
            retries: BTreeSet::new(),
            counts: Counts::default(),
            commands: Vec::new(),
        }
    }

    /// Takes an event in. `now` is the time since some fixed moment, such as the coordinator's start;
    /// where it goes back it counts as standing still. The commands are to be carried out in order,
    /// and what a [`Command::Persist`] says is to be durable before the commands after it are. The
    /// facts of one event are one transaction: all of them or none.
    pub fn apply(&mut self, event: Event, now: Duration) -> Vec<Command> {
        self.now = self.now.max(now);
        self.notice_pause();
        let beat = matches!(event, Event::Beat { .. });
        #[cfg(any(test, debug_assertions))]
        let tick = matches!(event, Event::Tick);
        if !beat {
            self.end_quarantines();
        }
        self.take(event);
        // A beat moves no task, and there are many.
        if !beat {
            self.end_waits();
            self.dispatch();
            // Looking at everything would take a large debug build most of its time.
            #[cfg(any(test, debug_assertions))]
            if tick || self.tasks.len() < invariants::MANY_TASKS {
                self.check_invariants();
            }
        }
        std::mem::take(&mut self.commands)
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::JobOpened { job, priority, owner, max_rejects } => {
                self.open(job, priority, owner, max_rejects);
            }
            Event::JobRestored { job, priority, owner, max_rejects, tasks, complete } => {
                self.restore(job, Restored { priority, owner, max_rejects, tasks, complete });
            }
            Event::TaskCut { job, number, bytes } => self.task_cut(job, number, bytes),
            Event::InputComplete { job } => self.input_complete(job),
            Event::InputFailed { job, error } => self.fail(job, Failure::Input(error)),
            Event::SlaveJoined { session, slave, workers } => self.join(session, slave, workers),
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
            Event::PartialRefused { session, message_id, attempt, reason } => {
                self.attempt_failed(session, message_id, attempt, reason);
                self.false_partial(session);
            }
            Event::PartialArrived {
                session,
                message_id,
                attempt,
                totals,
                groups,
                upload,
                digest,
            } => self.partial(&Arrived {
                session,
                message_id,
                attempt,
                totals,
                groups,
                upload,
                digest,
            }),
            Event::Recounted { job, number, totals, groups, upload, digest } => {
                self.recounted(job, number, Truth { totals, groups, upload, digest });
            }
            Event::RecountFailed { job, number, error } => self.recount_failed(job, number, error),
            Event::Distrust { slave } => self.set_aside(slave, "it has lied under another id"),
            Event::Leaving => self.leaving = true,
            Event::Applies { job } => {
                if let Some(job) = self.live_job(job) {
                    job.applies = true;
                }
            }
            Event::RunLost { job, number } => self.run_lost(job, number),
            Event::MergeDone { job } => self.merge_done(job),
            Event::MergeFailed { job, error } => self.merge_failed(job, error),
            Event::Cancel { job } => self.end(job, Outcome::Cancelled),
            Event::Delete { job } => self.delete(job),
            Event::Forget { job } => {
                self.remove_ended(job);
            }
            Event::Tick => {
                self.awake = Some(self.now);
                self.end_silent_sessions();
                self.end_late_attempts();
            }
        }
    }

    fn join(&mut self, id: SessionId, slave: SlaveId, workers: u32) {
        self.joined += 1;
        let mut joined = Session::new(slave, workers, self.joined, self.now);
        joined.quarantined = self.quarantined.contains_key(&slave);
        self.sessions.entry(id).or_insert(joined);
        self.forgive(slave);
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
            self.rota.add((job.priority, job.owner), id);
        }
    }
}
