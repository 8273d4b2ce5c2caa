//! The oracle: its own simple account of what the ledger has said, against which everything that the
//! ledger says next is checked. It knows the promises, not the ways in which they are kept.

mod life;
mod seen;
mod trust;
mod turns;
mod twice;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tally_common::api::{JobState, Priority};
use tally_common::id::{Attempt, JobId, MessageId, SessionId, SlaveId, TaskNumber};
use tally_common::run::TaskTotals;
use tally_common::spec::MaxRejects;

use crate::ledger::{
    Command, Event, Fact, Ledger, Merge, Outcome, OwnerId, TaskState, TaskSummary, UploadId,
};

/// How long a slave may be silent: the promise, not the policy's value.
const SILENCE: Duration = Duration::from_secs(3);

/// A longer time than this between two events is the master's own silence.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) use seen::Seen;
pub(super) use trust::QUARANTINE;

#[derive(Default)]
struct Task {
    job: Option<JobId>,
    number: TaskNumber,
    kept: Option<TaskTotals>,
    attempts: u32,
    lost: u32,
}

struct Job {
    /// Whether the ledger knows it: not between a restart and the job's restoration, and not when it
    /// was forgotten.
    known: bool,
    /// Tasks that it was restored with, if it was.
    restored: usize,
    /// Among which jobs it takes turns.
    line: (Priority, OwnerId),
    max_rejects: MaxRejects,
    tasks: Vec<MessageId>,
    complete: bool,
    merging: Option<Merge>,
    ended: Option<Outcome>,
}

struct Session {
    slave: SlaveId,
    workers: usize,
    draining: bool,
    /// When it was last heard of, in time that the master was awake.
    heard: Duration,
    /// The attempts that it holds, and since when, in time that the master was awake.
    held: Vec<(MessageId, Attempt, Duration)>,
}

/// An attempt that was taken back.
struct Cancelled {
    message_id: MessageId,
    slave: SlaveId,
    since: Duration,
}

/// A partial that waits for its verdict, and whether it is right.
struct Upload {
    session: SessionId,
    message_id: MessageId,
    totals: TaskTotals,
    right: bool,
    lie: bool,
    /// It waits for another slave's, and its slave has had its answer.
    held: bool,
}

#[derive(Default)]
pub(super) struct Oracle {
    tasks: BTreeMap<MessageId, Task>,
    jobs: BTreeMap<JobId, Job>,
    sessions: BTreeMap<SessionId, Session>,
    uploads: BTreeMap<UploadId, Upload>,
    /// Slaves that have failed something: they may have to wait while there is work.
    failed: BTreeSet<SlaveId>,
    /// Sessions of earlier lives of the master.
    earlier: BTreeSet<SessionId>,
    false_partials: BTreeMap<SlaveId, u32>,
    quarantined: BTreeMap<SlaveId, Duration>,
    /// Every task is counted twice.
    twice: bool,
    /// Whose the sessions of this life are and were.
    authors: BTreeMap<SessionId, SlaveId>,
    liars: BTreeSet<SlaveId>,
    aside: BTreeSet<SlaveId>,
    /// The latest time that the ledger has heard of, and how much of it the master was awake.
    clock: Option<Duration>,
    awake: Duration,
    /// Of the event at hand.
    facts: Vec<Fact>,
    cancelled: Vec<Cancelled>,
    assigned: Vec<MessageId>,
    /// What was assigned off the queue, in order.
    turns: Vec<MessageId>,
    /// Who has had a turn since an owner began to wait for one.
    since: BTreeMap<(Priority, OwnerId), BTreeSet<OwnerId>>,
    max_attempts: u32,
    pub(super) seen: Seen,
}

impl Oracle {
    pub(super) fn new(max_attempts: u32, twice: bool) -> Self {
        Self { max_attempts, twice, ..Self::default() }
    }

    /// Takes note of an event that the ledger has heard of.
    pub(super) fn before(&mut self, event: &Event, right: bool, now: Duration) {
        self.time_is(now);
        if !matches!(event, Event::Beat { .. }) {
            self.end_quarantines();
        }
        match event {
            Event::JobOpened { job, priority, owner, max_rejects } => {
                self.opened(*job, (*priority, *owner), *max_rejects);
            }
            Event::JobRestored { job, tasks, complete, .. } => {
                self.restored(*job, tasks, *complete);
            }
            Event::Forget { job } => self.forgotten(*job),
            Event::TaskCut { job, number, .. } => self.task_cut(*job, *number),
            Event::InputComplete { job } => {
                if let Some(job) = self.jobs.get_mut(job).filter(|job| job.ended.is_none()) {
                    job.complete = true;
                }
            }
            Event::SlaveJoined { session, slave, workers } => {
                let (slave, workers) = (*slave, *workers as usize);
                self.authors.insert(*session, slave);
                let (draining, held) = (false, Vec::new());
                let joined = Session { slave, workers, draining, heard: self.awake, held };
                self.sessions.insert(*session, joined);
                self.seen.rejoined_in_quarantine +=
                    u64::from(self.quarantined.contains_key(&slave));
            }
            Event::Beat { session } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.heard = self.awake;
                }
            }
            Event::SlaveDraining { session } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.draining = true;
                    self.seen.drains += 1;
                }
            }
            Event::SlaveLeft { session } => {
                self.seen.deaths += 1;
                self.session_over(*session);
            }
            Event::TaskFailed { session, message_id, attempt, .. } => {
                self.attempt_over(*session, *message_id, *attempt, true);
            }
            Event::PartialArrived {
                session, message_id, attempt, totals, upload, digest, ..
            } => {
                let lie = digest.is_some_and(|digest| digest.0 != [0; 32]);
                self.lies(*session, lie && right);
                self.attempt_over(*session, *message_id, *attempt, !right);
                let (session, message_id, totals) = (*session, *message_id, *totals);
                let arrived = Upload { session, message_id, totals, right, lie, held: false };
                self.uploads.insert(*upload, arrived);
            }
            Event::PartialRefused { session, message_id, attempt, .. } => {
                self.attempt_over(*session, *message_id, *attempt, true);
                self.false_partial(*session);
                self.seen.refused += 1;
            }
            Event::Recounted { job, number, totals, upload, .. } => {
                self.recounted(MessageId::of_task(*job, *number), *totals, *upload);
            }
            Event::RecountFailed { .. } => self.seen.recounts_that_failed += 1,
            Event::RunLost { job, number } => self.run_lost(*job, *number),
            _ => {}
        }
    }

    fn task_cut(&mut self, id: JobId, number: TaskNumber) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.ended.is_none()) else { return };
        let message_id = MessageId::of_task(id, number);
        if number as usize == job.tasks.len() {
            job.tasks.push(message_id);
            self.seen.cut_after_a_restart += u64::from(job.restored > 0);
            self.tasks.insert(message_id, Task { job: Some(id), number, ..Task::default() });
        }
    }

    fn session_over(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.remove(&id) {
            self.failed.insert(session.slave);
        }
    }

    fn attempt_over(
        &mut self,
        id: SessionId,
        message_id: MessageId,
        attempt: Attempt,
        failed: bool,
    ) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.held.retain(|held| (held.0, held.1) != (message_id, attempt));
            if failed {
                self.failed.insert(session.slave);
            }
        }
    }

    fn run_lost(&mut self, id: JobId, number: TaskNumber) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.ended.is_none()) else { return };
        if let Some(task) = self.tasks.get_mut(&MessageId::of_task(id, number))
            && task.kept.take().is_some()
        {
            task.lost += 1;
            self.seen.runs_lost += 1;
            self.seen.runs_lost_in_merges += u64::from(job.merging.take().is_some());
        }
    }

    /// Checks what the ledger answers to an event.
    pub(super) fn after(&mut self, event: &Event, commands: &[Command], ledger: &Ledger) {
        self.facts.clear();
        self.cancelled.clear();
        self.assigned.clear();
        self.turns.clear();
        for command in commands {
            self.check(event, command);
        }
        let restored = matches!(event, Event::JobRestored { .. } | Event::Forget { .. });
        assert!(!restored || self.facts.is_empty(), "old news: {:?}", self.facts);
        if let Event::PartialArrived { upload, .. } = event {
            let waits = self.uploads.get(upload).is_some_and(|upload| !upload.held);
            assert!(!waits, "a partial without a verdict");
        }
        if *event == Event::Tick {
            let silent = self.sessions.values().any(|session| self.awake > session.heard + SILENCE);
            assert!(!silent, "a silent slave is not given up");
            self.check_late_attempts();
        }
        // A beat moves nothing: its checks would take most of the simulation's time.
        if !matches!(event, Event::Beat { .. }) {
            self.check_sessions(ledger);
            self.check_jobs(ledger);
            self.check_nobody_idles(ledger);
            self.check_turns(ledger);
        }
        if matches!(event, Event::TaskFailed { .. } | Event::PartialRefused { .. }) {
            let mut tasks = self.jobs.keys().flat_map(|id| ledger.tasks(id));
            let awaited = tasks
                .any(|task| task.state == TaskState::Running && task.failures >= self.max_attempts);
            self.seen.last_attempts_awaited += u64::from(awaited);
        }
    }

    /// What the ledger shows is what it has said.
    fn check_sessions(&self, ledger: &Ledger) {
        assert!(
            ledger
                .sessions()
                .map(|(id, _)| *id)
                .collect::<BTreeSet<_>>()
                .iter()
                .eq(self.sessions.keys())
        );
        for (id, session) in &self.sessions {
            let shown = ledger.session(id).expect("a session that is shown");
            assert_eq!((shown.running + shown.prefetched) as usize, session.held.len());
            let quarantined = self.quarantined.contains_key(&session.slave);
            assert_eq!(shown.quarantined, quarantined, "{}", session.slave);
            assert!(!quarantined || session.held.is_empty(), "work is left in quarantine");
            for (held, ..) in &session.held {
                let job = self.tasks[held].job.expect("a job");
                assert!(self.jobs[&job].ended.is_none(), "an ended job keeps a slave busy");
            }
        }
    }

    fn check_jobs(&mut self, ledger: &Ledger) {
        let known = || self.jobs.iter().filter(|(_, job)| job.known);
        assert_eq!(ledger.jobs().count(), known().count());
        for (id, job) in known() {
            let shown = ledger.job(id).expect("a job that is shown");
            assert_eq!((shown.totals.records, shown.totals.rejects), self.sums(job));
            assert_eq!(shown.tasks as usize, job.tasks.len(), "tasks are forgotten or invented");
            assert_eq!(shown.outcome, job.ended);
            let receiving = job.ended.is_none() && !job.complete;
            assert_eq!(shown.state == JobState::Receiving, receiving, "{:?}", shown.state);
            self.seen.second_attempts += u64::from(shown.speculated > 0 && job.ended.is_some());
        }
    }

    /// Where a worker has nothing to do, nothing waits that it could do.
    fn check_nobody_idles(&self, ledger: &Ledger) {
        let idle = |session: &&Session| {
            let barred = session.draining || self.quarantined.contains_key(&session.slave);
            let free = !barred && session.held.len() < session.workers;
            free && !self.failed.contains(&session.slave)
        };
        for session in self.sessions.values().filter(idle) {
            let hoards = self.sessions.values().any(|session| session.held.len() > session.workers);
            assert!(!hoards || self.twice, "a slave sits on work while another has none");
            for id in self.jobs.keys() {
                let mut tasks = ledger.tasks(id);
                // Whoever has answered a task is not the one to count it again.
                let waits = |task: &TaskSummary| {
                    let message_id = MessageId::of_task(*id, task.number);
                    task.state == TaskState::Queued && !self.holds_of(session.slave, message_id)
                };
                assert!(!tasks.any(|task| waits(&task)), "work waits for no reason");
            }
        }
    }

    pub(super) fn all_ended(&self) -> bool {
        self.jobs.values().all(|job| job.ended.is_some())
    }

    pub(super) fn outcome(&self, id: JobId) -> Option<Outcome> {
        self.jobs.get(&id)?.ended.clone()
    }

    pub(super) fn outcomes(&self) -> Vec<(JobId, Option<Outcome>)> {
        self.jobs.iter().map(|(id, job)| (*id, job.ended.clone())).collect()
    }
}
