//! The cluster as a whole, and the tasks of a job one by one.

use serde::{Deserialize, Serialize};

use super::Priority;

/// What the cluster is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterView {
    /// The master's build version.
    pub version: String,
    /// When the master was started: RFC 3339, UTC.
    pub started_at: String,
    /// The master's clock: RFC 3339, UTC.
    pub now: String,
    /// What there is of what.
    pub counts: ClusterCounts,
    /// Bytes counted a second over the last few seconds, by all slaves together.
    pub bytes_per_second: u64,
    /// The same for each of the last 60 seconds, oldest first.
    pub history: Vec<u64>,
    /// What waits, by priority: high, default, low.
    pub queue: Vec<QueueView>,
    /// The disk under the master's data folder.
    pub disk: DiskView,
    /// The master's memory.
    pub memory: MemoryView,
    /// Slaves that have lied and are not let in, those first that were set aside last; the first
    /// [`ClusterView::MAX_SET_ASIDE`] of them.
    #[serde(default)]
    pub set_aside: Vec<SetAsideView>,
}

impl ClusterView {
    /// Slaves that were set aside that are named with the cluster, which is told to all who listen once a
    /// second.
    pub const MAX_SET_ASIDE: usize = 20;
}

/// A slave that has lied, and is not let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetAsideView {
    /// Its name.
    pub name: String,
    /// What it has lied about.
    pub reason: String,
    /// Since when: RFC 3339, UTC.
    pub since: String,
}

/// What there is of what in a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterCounts {
    /// Slaves that are joined.
    pub slaves: u32,
    /// Their worker threads.
    pub workers: u32,
    /// Jobs that are receiving their input.
    pub receiving: u32,
    /// Jobs whose input is there and is being counted.
    pub running: u32,
    /// Jobs whose result is being written.
    pub merging: u32,
    /// Tasks that slaves hold.
    pub tasks_running: u32,
    /// Tasks that wait for a slave.
    pub tasks_queued: u32,
}

/// What waits at one priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueueView {
    /// Which jobs go first.
    pub priority: Priority,
    /// Jobs of that priority that have not ended.
    pub jobs: u32,
    /// Their tasks that wait for a slave.
    pub tasks: u32,
}

/// A disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DiskView {
    /// Its size in bytes.
    pub total: u64,
    /// Bytes that are free.
    pub free: u64,
    /// Bytes that are kept free.
    pub reserve: u64,
    /// Less than the reserve is free: what would write waits.
    pub full: bool,
}

/// A process's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemoryView {
    /// Bytes that the process has in memory now.
    pub resident: u64,
    /// The most that it has had, in bytes.
    pub peak: u64,
    /// Bytes of memory of the machine.
    pub total: u64,
}

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TaskState {
    /// Waits for a slave.
    Queued,
    /// Failed, and waits for its next attempt.
    Waiting,
    /// One or two slaves hold it.
    Running,
    /// It has its answer.
    Done,
}

/// A task of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskView {
    /// Its number in the job, from 0.
    pub number: u32,
    /// Offset of its first byte in the (decompressed) input.
    pub byte_offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// Where it is.
    pub state: TaskState,
    /// The names of the slaves that hold it (two of them: one speculates), or of the one that has answered.
    pub slaves: Vec<String>,
    /// Attempts so far.
    pub attempts: u32,
    /// Those that failed, and answers that were lost.
    pub failures: u32,
    /// Bytes of it that have been counted, as far as is known.
    pub bytes_counted: u64,
    /// Records found in it, once it has its answer.
    pub records: u64,
    /// Records of these that could not be counted.
    pub rejected: u64,
}

/// How a job went on over time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct History {
    /// Milliseconds between two samples at least; it doubles when there are too many.
    pub interval_ms: u64,
    /// The samples, oldest first.
    pub samples: Vec<Sample>,
}

/// How far a job was at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Sample {
    /// Milliseconds since the job was opened.
    pub at_ms: u64,
    /// Bytes that had arrived.
    pub bytes_received: u64,
    /// Bytes that had been counted, running attempts included.
    pub bytes_counted: u64,
    /// Records in tasks that had their answers.
    pub records: u64,
}
