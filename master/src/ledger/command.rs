//! What the ledger wants done.

use std::time::Duration;

use tally_common::api::Priority;
use tally_common::id::{Attempt, JobId, MessageId, SessionId, SlaveId, TaskNumber};
use tally_common::run::TaskTotals;
use tally_common::spec::MaxRejects;
use thiserror::Error;

use super::{Check, UploadId};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Give a task to a slave.
    Assign {
        /// The slave's session.
        session: SessionId,
        /// The job.
        job: JobId,
        /// The task.
        number: TaskNumber,
        /// Its message id.
        message_id: MessageId,
        /// Which attempt this is, from 1.
        attempt: Attempt,
    },
    /// Tell a slave to stop an attempt.
    CancelAttempt {
        /// The slave's session.
        session: SessionId,
        /// The task.
        message_id: MessageId,
        /// The attempt.
        attempt: Attempt,
    },
    /// Keep a partial: it is its task's answer.
    KeepRun {
        /// The job.
        job: JobId,
        /// The task.
        number: TaskNumber,
        /// Its message id.
        message_id: MessageId,
        /// The run's bytes.
        upload: UploadId,
        /// What a second count said of it.
        check: Check,
        /// How long the attempt took that gave it, if that was still under way.
        took: Option<Duration>,
    },
    /// Hold a partial until another slave has counted its task, too: its slave may forget it. It is
    /// kept or dropped later, and counted again where the master stops before that.
    HoldUpload {
        /// The run's bytes.
        upload: UploadId,
    },
    /// Count a task, since slaves contradict each other about it.
    Recount {
        /// The job.
        job: JobId,
        /// The task.
        number: TaskNumber,
    },
    /// A slave has lied: its sessions have ended, and it is not to be let in any more.
    SetAside {
        /// The slave.
        slave: SlaveId,
        /// Why, for people.
        reason: String,
        /// Its answers that are counted again.
        thrown: u32,
        /// Open jobs in which its answers stay, since they are applied already.
        left: Vec<JobId>,
    },
    /// Drop a partial.
    DropUpload {
        /// The run's bytes.
        upload: UploadId,
        /// What to tell the slave.
        reply: Refusal,
    },
    /// Merge what a job's tasks came to.
    StartMerge {
        /// The job.
        job: JobId,
        /// What is wanted.
        outcome: Merge,
    },
    /// A session is dead.
    EndSession {
        /// The session.
        session: SessionId,
        /// Why, for people.
        reason: String,
    },
    /// A job has ended.
    JobEnded {
        /// The job.
        job: JobId,
        /// How.
        outcome: Outcome,
    },
    /// Remove all that is left of a job.
    DropJob {
        /// The job.
        job: JobId,
    },
    /// Make a fact durable before anything that follows is done.
    Persist(Fact),
}

/// What a merge is to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// The result and the rejects.
    Result,
    /// The rejects alone: there are more than the job allows.
    RejectsOnly,
}

/// Why a partial is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The task has its answer, or no longer needs one.
    Duplicate,
    /// It can not be the task's answer, and why.
    Rejected(String),
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its result is there.
    Succeeded,
    /// There will be no result.
    Failed(Failure),
    /// A user wanted it to stop.
    Cancelled,
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// Its input is of no use.
    #[error("{0}")]
    Input(String),
    /// No slave could count one of its tasks.
    #[error(
        "task {number} could not be counted in {attempts} attempts; the last one failed because: {error}"
    )]
    Poison {
        /// The task.
        number: TaskNumber,
        /// Attempts that failed.
        attempts: u32,
        /// Why the last one did.
        error: String,
    },
    /// More records were rejected than it allows.
    #[error("{rejects} of {records} records could not be counted, {allowed} are allowed")]
    TooManyRejects {
        /// Records that could not be counted.
        rejects: u64,
        /// Records in all.
        records: u64,
        /// How many are allowed.
        allowed: MaxRejects,
    },
    /// Its result could not be written.
    #[error("the result could not be written: {0}")]
    Merge(String),
}

/// What must outlive the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A job was opened.
    JobOpened {
        /// The job.
        job: JobId,
        /// Which jobs go first.
        priority: Priority,
    },
    /// A task was cut off its input.
    TaskCut {
        /// The job.
        job: JobId,
        /// The task.
        number: TaskNumber,
        /// Its length in bytes.
        bytes: u64,
    },
    /// All of its input is there.
    InputComplete {
        /// The job.
        job: JobId,
        /// Tasks that it was cut into.
        tasks: u32,
    },
    /// A task has its answer.
    PartialKept {
        /// The job.
        job: JobId,
        /// The task.
        number: TaskNumber,
        /// What its records came to.
        totals: TaskTotals,
        /// Groups in its run.
        groups: u64,
        /// What a second count said of it.
        check: Check,
    },
    /// A task has lost its answer.
    RunLost {
        /// The job.
        job: JobId,
        /// The task.
        number: TaskNumber,
    },
    /// A task's answer is not believed any more: its slave has lied elsewhere.
    Disowned {
        /// The job.
        job: JobId,
        /// The task.
        number: TaskNumber,
    },
    /// The result is there.
    ResultWritten {
        /// The job.
        job: JobId,
    },
    /// The job has ended.
    Ended {
        /// The job.
        job: JobId,
        /// How.
        outcome: Outcome,
    },
    /// The job is gone.
    Deleted {
        /// The job.
        job: JobId,
    },
}
