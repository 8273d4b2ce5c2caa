//! The oracle: its own simple account of what the ledger has said, against which everything that the
//! ledger says next is checked. It knows the promises, not the ways in which they are kept.

mod seen;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tally_common::api::JobState;
use tally_common::id::{Attempt, JobId, MessageId, SessionId, SlaveId, TaskNumber};
use tally_common::run::TaskTotals;
use tally_common::spec::MaxRejects;

use crate::ledger::{Command, Event, Fact, Ledger, Merge, Outcome, TaskState, UploadId};

/// How long a slave may be silent: the promise, not the policy's value.
const SILENCE: Duration = Duration::from_secs(3);

/// A longer time between two ticks is a pause of the master, which is held against nobody.
const PAUSE: Duration = Duration::from_secs(1);

/// Partials in a row that may be wrong, and how long a slave with more of them gets nothing.
const FALSE_PARTIALS: (u32, Duration) = (3, Duration::from_secs(600));

pub(super) use seen::Seen;

#[derive(Default)]
struct Task {
    job: Option<JobId>,
    number: TaskNumber,
    kept: Option<TaskTotals>,
    attempts: u32,
    lost: u32,
}

struct Job {
    max_rejects: MaxRejects,
    tasks: Vec<MessageId>,
    complete: bool,
    merging: Option<Merge>,
    ended: Option<Outcome>,
    /// The ledger knows it: after a restart, only once it is restored; after its end, until it is
    /// forgotten.
    present: bool,
}

/// What is held against a slave.
#[derive(Default)]
struct Record {
    false_partials: u32,
    until: Option<Duration>,
}

struct Session {
    slave: SlaveId,
    workers: usize,
    draining: bool,
    heard: Duration,
    held: Vec<(MessageId, Attempt)>,
}

/// A partial that waits for its verdict, and whether it is right.
struct Upload {
    message_id: MessageId,
    totals: TaskTotals,
    right: bool,
}

#[derive(Default)]
pub(super) struct Oracle {
    tasks: BTreeMap<MessageId, Task>,
    jobs: BTreeMap<JobId, Job>,
    sessions: BTreeMap<SessionId, Session>,
    uploads: BTreeMap<UploadId, Upload>,
    /// Slaves that have failed something: they may have to wait while there is work.
    failed: BTreeSet<SlaveId>,
    records: BTreeMap<SlaveId, Record>,
    ticked: Duration,
    now: Duration,
    facts: Vec<Fact>,
    pub(super) seen: Seen,
}

impl Oracle {
    /// Takes note of an event, before the ledger hears of it.
    pub(super) fn before(&mut self, event: &Event, right: bool, now: Duration) {
        self.now = now;
        match event {
            Event::JobOpened { job, max_rejects, .. } => {
                let (max_rejects, tasks, complete) = (*max_rejects, Vec::new(), false);
                let (merging, ended, present) = (None, None, true);
                let opened = Job { max_rejects, tasks, complete, merging, ended, present };
                self.jobs.entry(*job).or_insert(opened);
            }
            Event::TaskCut { job, number, .. } => self.task_cut(*job, *number),
            Event::InputComplete { job } => {
                if let Some(job) = self.jobs.get_mut(job) {
                    job.complete = true;
                }
            }
            Event::SlaveJoined { session, slave, workers } => {
                let (slave, workers) = (*slave, *workers as usize);
                let (draining, held) = (false, Vec::new());
                let joined = Session { slave, workers, draining, heard: now, held };
                self.sessions.insert(*session, joined);
            }
            Event::Beat { session } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.heard = now;
                }
            }
            Event::SlaveDraining { session } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.draining = true;
                }
            }
            Event::SlaveLeft { session } => self.session_over(*session),
            Event::TaskFailed { session, message_id, attempt, .. } => {
                self.attempt_over(*session, *message_id, *attempt, true);
            }
            Event::PartialArrived { session, message_id, attempt, totals, upload, .. } => {
                self.attempt_over(*session, *message_id, *attempt, !right);
                let (message_id, totals) = (*message_id, *totals);
                self.uploads.insert(*upload, Upload { message_id, totals, right });
            }
            Event::PartialRefused { session, message_id, attempt, .. } => {
                self.note_false_partial(*session);
                self.attempt_over(*session, *message_id, *attempt, true);
            }
            Event::RunLost { job, number } => self.run_lost(*job, *number),
            Event::JobRestored { job, .. } => {
                if let Some(job) = self.jobs.get_mut(job) {
                    job.present = true;
                }
            }
            Event::Forget { job } => {
                if let Some(job) = self.jobs.get_mut(job) {
                    job.present &= job.ended.is_none();
                }
            }
            Event::Tick => self.tick(),
            _ => {}
        }
    }

    fn tick(&mut self) {
        let now = self.now;
        let gap = now.saturating_sub(std::mem::replace(&mut self.ticked, now));
        if gap > PAUSE {
            for session in self.sessions.values_mut() {
                session.heard = (session.heard + gap).min(now);
            }
            self.seen.pauses += 1;
        }
        self.records.retain(|_, record| record.until.is_none_or(|until| until > now));
    }

    fn note_false_partial(&mut self, session: SessionId) {
        let Some(session) = self.sessions.get(&session) else { return };
        let (most, time) = FALSE_PARTIALS;
        let record = self.records.entry(session.slave).or_default();
        record.false_partials += 1;
        if record.false_partials >= most && record.until.is_none() {
            record.until = Some(self.now + time);
            self.seen.quarantined += 1;
            self.failed.insert(session.slave);
        }
    }

    fn is_quarantined(&self, slave: SlaveId) -> bool {
        self.records.get(&slave).is_some_and(|record| record.until.is_some())
    }

    /// The master died with what it had not made durable.
    pub(super) fn restarted(&mut self, now: Duration) {
        self.now = now;
        self.ticked = now;
        self.sessions.clear();
        self.uploads.clear();
        self.failed.clear();
        self.records.clear();
        for job in self.jobs.values_mut() {
            job.present = false;
            job.merging = None;
        }
        for task in self.tasks.values_mut() {
            (task.attempts, task.lost) = (0, 0);
        }
        self.seen.restarts += 1;
    }

    /// What an event led to became durable, and then the master died: nobody heard of it.
    pub(super) fn committed(&mut self, event: &Event, commands: &[Command], now: Duration) {
        self.before(event, true, now);
        for command in commands {
            let Command::Persist(fact) = command else { continue };
            match fact {
                Fact::PartialKept { job, number, totals, .. } => {
                    let task = self.tasks.get_mut(&MessageId::of_task(*job, *number));
                    let task = task.expect("a task that is kept");
                    assert!(task.kept.is_none(), "counted twice");
                    task.kept = Some(*totals);
                }
                Fact::Ended { job, outcome } => {
                    let job = self.jobs.get_mut(job).expect("a job that ends");
                    assert!(job.ended.is_none(), "a job ends twice");
                    job.ended = Some(outcome.clone());
                }
                Fact::Deleted { job } => {
                    self.jobs.remove(job);
                    self.tasks.retain(|_, task| task.job != Some(*job));
                }
                _ => {}
            }
        }
        self.seen.crashes_behind_a_commit += 1;
    }

    /// A job that is taken up is what was acknowledged of it.
    fn check_restored(&self, id: JobId, ledger: &Ledger) {
        let job = &self.jobs[&id];
        let shown = ledger.job(&id).expect("a job that is taken up");
        assert_eq!(shown.tasks as usize, job.tasks.len(), "tasks are lost");
        let receiving = shown.state == JobState::Receiving;
        assert_eq!(!receiving, job.complete, "the end of an input is lost");
        for (task, message_id) in ledger.tasks(&id).zip(&job.tasks) {
            let kept = self.tasks[message_id].kept.is_some();
            assert_eq!(task.state == TaskState::Kept, kept, "task {} of {id}", task.number);
        }
    }

    fn task_cut(&mut self, id: JobId, number: TaskNumber) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.ended.is_none()) else { return };
        let message_id = MessageId::of_task(id, number);
        if number as usize == job.tasks.len() {
            job.tasks.push(message_id);
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
            session.held.retain(|held| *held != (message_id, attempt));
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
            self.seen.runs_lost_in_merges += u64::from(job.merging.take().is_some());
        }
    }

    /// Checks what the ledger answers to an event.
    pub(super) fn after(
        &mut self,
        event: &Event,
        commands: &[Command],
        ledger: &Ledger,
        now: Duration,
    ) {
        self.facts.clear();
        for command in commands {
            self.check(event, command, now);
        }
        if let Event::JobRestored { job, .. } = event {
            self.check_restored(*job, ledger);
        }
        if let Event::PartialArrived { upload, .. } = event {
            assert!(!self.uploads.contains_key(upload), "a partial without a verdict");
        }
        if *event == Event::Tick {
            let silent = self.sessions.values().any(|session| now > session.heard + SILENCE);
            assert!(!silent, "a silent slave is not given up");
        }
        // A beat moves nothing: its checks would take most of the simulation's time.
        if !matches!(event, Event::Beat { .. }) {
            self.check_views(ledger);
            self.check_nobody_idles(ledger);
        }
    }

    /// What the ledger shows is what it has said.
    fn check_views(&mut self, ledger: &Ledger) {
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
            assert_eq!(shown.quarantined, self.is_quarantined(session.slave));
            for (held, _) in &session.held {
                let job = self.tasks[held].job.expect("a job");
                assert!(self.jobs[&job].ended.is_none(), "an ended job keeps a slave busy");
            }
        }
        assert_eq!(ledger.jobs().count(), self.jobs.values().filter(|job| job.present).count());
        for (id, job) in self.jobs.iter().filter(|(_, job)| job.present) {
            let shown = ledger.job(id).expect("a job that is shown");
            assert_eq!((shown.totals.records, shown.totals.rejects), self.sums(job), "{id}");
            assert_eq!(shown.outcome, job.ended);
            self.seen.second_attempts += u64::from(shown.speculated > 0 && job.ended.is_some());
        }
    }

    /// Where a worker has nothing to do, nothing waits that it could do.
    fn check_nobody_idles(&self, ledger: &Ledger) {
        let idle = self.sessions.values().any(|session| {
            let free = !session.draining && session.held.len() < session.workers;
            free && !self.failed.contains(&session.slave)
        });
        if idle {
            let hoards = self.sessions.values().any(|session| session.held.len() > session.workers);
            assert!(!hoards, "a slave sits on work while another has none");
            let mut tasks = self.jobs.keys().flat_map(|id| ledger.tasks(id));
            assert!(tasks.all(|task| task.state != TaskState::Queued), "work waits for no reason");
        }
    }

    pub(super) fn all_ended(&self) -> bool {
        self.jobs.values().all(|job| job.ended.is_some())
    }

    pub(super) fn outcomes(&self) -> Vec<(JobId, Option<Outcome>)> {
        self.jobs.iter().map(|(id, job)| (*id, job.ended.clone())).collect()
    }
}
