//! What happens to the ledger.

use tally_common::api::Priority;
use tally_common::id::{Attempt, JobId, MessageId, SessionId, SlaveId, TaskNumber};
use tally_common::run::TaskTotals;
use tally_common::spec::MaxRejects;

use super::{Check, Digest};

/// Whose jobs go together when turns are given out. What is behind the number is nothing to the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerId(pub u64);

impl OwnerId {
    /// Of all jobs that nobody in particular has submitted.
    pub const NOBODY: Self = Self(0);
}

/// Names the bytes of a partial that wait for a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId(pub u64);

/// A task of a job that was open when the master stopped, as the store remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredTask {
    /// Its length in bytes.
    pub bytes: u64,
    /// If it has its answer: what its records came to, and the groups in its run.
    pub kept: Option<(TaskTotals, u64)>,
    /// Who gave that, as far as is known.
    pub by: Option<SlaveId>,
    /// What a second count said of it.
    pub check: Check,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A job was opened; its input begins to arrive.
    JobOpened {
        /// Its id; one that is known already changes nothing.
        job: JobId,
        /// Which jobs go first.
        priority: Priority,
        /// Whose it is.
        owner: OwnerId,
        /// How many records may be rejected.
        max_rejects: MaxRejects,
    },
    /// A job was open when the master stopped, and goes on: it is as if it had been opened, cut, and
    /// kept here, but for failures and sessions, which are forgotten. Nothing of it is persisted
    /// again.
    JobRestored {
        /// Its id; one that is known already changes nothing.
        job: JobId,
        /// Which jobs go first.
        priority: Priority,
        /// Whose it is.
        owner: OwnerId,
        /// How many records may be rejected.
        max_rejects: MaxRejects,
        /// Its tasks so far, in input order. The next one that is cut follows on these.
        tasks: Vec<RestoredTask>,
        /// Whether all of its input had arrived.
        complete: bool,
    },
    /// A task was cut off a job's input.
    TaskCut {
        /// The job.
        job: JobId,
        /// The next number, from 0. A repeat changes nothing; a gap, or a task after the input is
        /// complete, fails the job, for some of its input would never be counted.
        number: TaskNumber,
        /// Its length in bytes.
        bytes: u64,
    },
    /// All of a job's input has arrived.
    InputComplete {
        /// The job.
        job: JobId,
    },
    /// A job's input is of no use.
    InputFailed {
        /// The job.
        job: JobId,
        /// Why, for people.
        error: String,
    },
    /// A session was opened.
    SlaveJoined {
        /// Its id; one that is known already changes nothing.
        session: SessionId,
        /// The slave.
        slave: SlaveId,
        /// Its worker threads, from 1 to [`tally_common::limits::MAX_WORKERS`].
        workers: u32,
    },
    /// A slave lives.
    Beat {
        /// Its session.
        session: SessionId,
    },
    /// A slave takes no more.
    SlaveDraining {
        /// Its session.
        session: SessionId,
    },
    /// A session's connection has ended.
    SlaveLeft {
        /// The session.
        session: SessionId,
    },
    /// A slave could not count a task.
    TaskFailed {
        /// Its session.
        session: SessionId,
        /// The task.
        message_id: MessageId,
        /// The attempt.
        attempt: Attempt,
        /// Why, for people.
        error: String,
    },
    /// A partial was refused at the edge: its checksum, its counts or its spec did not fit. Its
    /// attempt has failed, and its slave has sent a false partial.
    PartialRefused {
        /// Whose it is; perhaps of a session that is over.
        session: SessionId,
        /// The task.
        message_id: MessageId,
        /// The attempt.
        attempt: Attempt,
        /// Why, for people.
        reason: String,
    },
    /// A partial has arrived whole.
    PartialArrived {
        /// Whose it is; perhaps of a session that is over.
        session: SessionId,
        /// The task.
        message_id: MessageId,
        /// The attempt.
        attempt: Attempt,
        /// What the task's records came to.
        totals: TaskTotals,
        /// Groups in the run.
        groups: u64,
        /// The run's bytes.
        upload: UploadId,
        /// All that it says, where the task is one that is counted twice.
        digest: Option<Digest>,
    },
    /// The master has counted a task itself that slaves contradict each other about.
    Recounted {
        /// The job.
        job: JobId,
        /// The task.
        number: TaskNumber,
        /// What its records came to.
        totals: TaskTotals,
        /// Groups in the run.
        groups: u64,
        /// The run's bytes.
        upload: UploadId,
        /// All that it says.
        digest: Digest,
    },
    /// It could not.
    RecountFailed {
        /// The job.
        job: JobId,
        /// The task.
        number: TaskNumber,
        /// Why, for people.
        error: String,
    },
    /// A slave is the same as one that was set aside, under another id.
    Distrust {
        /// The slave.
        slave: SlaveId,
    },
    /// What this job's merge does can not be taken back: once it merges, its answers stay.
    Applies {
        /// The job.
        job: JobId,
    },
    /// The master is stopping: that slaves go now says nothing of who is there.
    Leaving,
    /// A run that was kept no longer holds.
    RunLost {
        /// The job.
        job: JobId,
        /// The task.
        number: TaskNumber,
    },
    /// A merge has written what it was to write.
    MergeDone {
        /// The job.
        job: JobId,
    },
    /// A merge has failed.
    MergeFailed {
        /// The job.
        job: JobId,
        /// Why, for people.
        error: String,
    },
    /// A user wants a job to stop.
    Cancel {
        /// The job.
        job: JobId,
    },
    /// A user wants a job to be gone. Of one that was forgotten the store alone knows: this does
    /// nothing to it.
    Delete {
        /// The job.
        job: JobId,
    },
    /// A job that has ended is not to be remembered here any more: its record is in the store, and
    /// from then on it is as unknown to the ledger as one that never was. One that has not ended
    /// stays.
    Forget {
        /// The job.
        job: JobId,
    },
    /// Time has gone by. Comes every 100 ms or so: a long time without one means that the master
    /// slept, see [`super::Policy::pause`].
    Tick,
}
