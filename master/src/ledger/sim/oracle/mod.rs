//! The oracle: its own simple account of what the ledger has said, against which everything that the
//! ledger says next is checked. It knows the promises, not the ways in which they are kept.

mod seen;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tally_common::id::{Attempt, JobId, MessageId, SessionId, SlaveId, TaskNumber};
use tally_common::run::TaskTotals;
use tally_common::spec::MaxRejects;

use crate::ledger::{Command, Event, Fact, Ledger, Merge, Outcome, TaskState, UploadId};

/// How long a slave may be silent: the promise, not the policy's value.
const SILENCE: Duration = Duration::from_secs(3);

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
    facts: Vec<Fact>,
    pub(super) seen: Seen,
}

impl Oracle {
    /// Takes note of an event, before the ledger hears of it.
    pub(super) fn before(&mut self, event: &Event, right: bool, now: Duration) {
        match event {
            Event::JobOpened { job, max_rejects, .. } => {
                let (max_rejects, tasks, complete) = (*max_rejects, Vec::new(), false);
                let opened = Job { max_rejects, tasks, complete, merging: None, ended: None };
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
            Event::RunLost { job, number } => self.run_lost(*job, *number),
            _ => {}
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
            for (held, _) in &session.held {
                let job = self.tasks[held].job.expect("a job");
                assert!(self.jobs[&job].ended.is_none(), "an ended job keeps a slave busy");
            }
        }
        assert_eq!(ledger.jobs().count(), self.jobs.len());
        for (id, job) in &self.jobs {
            let shown = ledger.job(id).expect("a job that is shown");
            assert_eq!((shown.totals.records, shown.totals.rejects), self.sums(job));
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
