//! One call at a time: build a state, apply an event, look at the commands.

mod attempts;
mod fairness;
mod jobs;
mod pauses;
mod quarantine;
mod restart;
mod slaves;

use std::time::Duration;

use tally_common::api::{JobState, Priority};
use tally_common::id::{Attempt, JobId, MessageId, SessionId, SlaveId, TaskNumber};
use tally_common::run::TaskTotals;
use tally_common::spec::MaxRejects;
use uuid::Uuid;

use super::{Command, Event, JobSummary, Ledger, OwnerId, Policy, UploadId};

/// Length of every task, in bytes.
const BYTES: u64 = 100;

fn job(n: u128) -> JobId {
    JobId::from_uuid(Uuid::from_u128(n))
}

fn session(n: u128) -> SessionId {
    SessionId::from_uuid(Uuid::from_u128(n))
}

fn slave(n: u128) -> SlaveId {
    SlaveId::from_uuid(Uuid::from_u128(n))
}

fn message(job_number: u128, number: TaskNumber) -> MessageId {
    MessageId::of_task(job(job_number), number)
}

fn totals(records: u64, rejects: u64) -> TaskTotals {
    TaskTotals { records, rejects, bytes: BYTES, ..TaskTotals::default() }
}

fn cancel(from: u128, task: (u128, TaskNumber), attempt: Attempt) -> Command {
    let message_id = message(task.0, task.1);
    Command::CancelAttempt { session: session(from), message_id, attempt }
}

/// A ledger and a time. Slave and session have the same number.
struct Bench {
    ledger: Ledger,
    now: Duration,
    uploads: u64,
}

impl Bench {
    fn new() -> Self {
        Self { ledger: Ledger::new(Policy::default()), now: Duration::ZERO, uploads: 0 }
    }

    /// With the facts to persist among the commands.
    fn apply_all(&mut self, event: Event) -> Vec<Command> {
        self.ledger.apply(event, self.now)
    }

    /// Without these.
    fn apply(&mut self, event: Event) -> Vec<Command> {
        let commands = self.apply_all(event).into_iter();
        commands.filter(|command| !matches!(command, Command::Persist(_))).collect()
    }

    /// Opens a job with some tasks and all of its input.
    fn open(&mut self, n: u128, tasks: u32) -> Vec<Command> {
        self.open_as(n, tasks, Priority::Default, MaxRejects::Count(0))
    }

    fn open_as(
        &mut self,
        n: u128,
        tasks: u32,
        priority: Priority,
        max_rejects: MaxRejects,
    ) -> Vec<Command> {
        let (job, owner) = (job(n), OwnerId::NOBODY);
        let opened = Event::JobOpened { job, priority, owner, max_rejects };
        self.open_with(opened, job, tasks)
    }

    /// The same for somebody.
    fn open_of(&mut self, owner: OwnerId, n: u128, tasks: u32) -> Vec<Command> {
        let (job, priority, max_rejects) = (job(n), Priority::Default, MaxRejects::Count(0));
        let opened = Event::JobOpened { job, priority, owner, max_rejects };
        self.open_with(opened, job, tasks)
    }

    fn open_with(&mut self, opened: Event, job: JobId, tasks: u32) -> Vec<Command> {
        let mut commands = self.apply(opened);
        for number in 0..tasks {
            commands.extend(self.apply(Event::TaskCut { job, number, bytes: BYTES }));
        }
        commands.extend(self.apply(Event::InputComplete { job }));
        commands
    }

    fn join(&mut self, n: u128, workers: u32) -> Vec<Command> {
        self.apply(Event::SlaveJoined { session: session(n), slave: slave(n), workers })
    }

    fn leave(&mut self, n: u128) -> Vec<Command> {
        self.apply(Event::SlaveLeft { session: session(n) })
    }

    /// A partial of an attempt arrives.
    fn answer(&mut self, from: u128, task: (u128, TaskNumber), attempt: Attempt) -> Vec<Command> {
        self.answer_with(from, task, attempt, totals(5, 0))
    }

    fn answer_with(
        &mut self,
        from: u128,
        task: (u128, TaskNumber),
        attempt: Attempt,
        totals: TaskTotals,
    ) -> Vec<Command> {
        self.uploads += 1;
        self.apply(Event::PartialArrived {
            session: session(from),
            message_id: message(task.0, task.1),
            attempt,
            totals,
            groups: 1,
            upload: UploadId(self.uploads),
            digest: None,
        })
    }

    /// A partial of an attempt is refused before the ledger sees it.
    fn refuse(&mut self, from: u128, task: (u128, TaskNumber), attempt: Attempt) -> Vec<Command> {
        let (session, message_id) = (session(from), message(task.0, task.1));
        let reason = "its checksum does not fit".to_owned();
        self.apply(Event::PartialRefused { session, message_id, attempt, reason })
    }

    fn fail(&mut self, from: u128, task: (u128, TaskNumber), attempt: Attempt) -> Vec<Command> {
        let message_id = message(task.0, task.1);
        let error = "no".to_owned();
        self.apply(Event::TaskFailed { session: session(from), message_id, attempt, error })
    }

    /// Lets time go by while all slaves beat.
    fn wait(&mut self, time: Duration) -> Vec<Command> {
        let end = self.now + time;
        let mut commands = Vec::new();
        while self.now < end {
            self.now = (self.now + Duration::from_millis(500)).min(end);
            let sessions: Vec<_> = self.ledger.sessions().map(|(id, _)| *id).collect();
            for session in sessions {
                commands.extend(self.apply(Event::Beat { session }));
            }
            commands.extend(self.apply(Event::Tick));
        }
        commands
    }

    fn seconds(&mut self, seconds: u64) -> Vec<Command> {
        self.wait(Duration::from_secs(seconds))
    }

    fn summary(&self, n: u128) -> JobSummary {
        self.ledger.job(&job(n)).unwrap()
    }

    fn state(&self, n: u128) -> JobState {
        self.summary(n).state
    }
}

/// The (session, task, attempt) of each assignment.
fn assigned(commands: &[Command]) -> Vec<(u128, TaskNumber, Attempt)> {
    let assignment = |command: &Command| match command {
        Command::Assign { session, number, attempt, .. } => {
            Some((session.uuid().as_u128(), *number, *attempt))
        }
        _ => None,
    };
    commands.iter().filter_map(assignment).collect()
}
