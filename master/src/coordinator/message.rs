//! What the coordinator is told and asked.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use thiserror::Error;
use tokio::sync::{oneshot, watch};

use tally_common::api::{JobView, Priority, SlaveView};
use tally_common::dialect::Layout;
use tally_common::id::{Attempt, JobId, MessageId, SessionId};
use tally_common::spec::Spec;
use tally_proto::convert::SlaveHello;

use crate::cluster::{ClusterError, Joined, TaskBytes, Verdict};
use crate::finish::{FinishError, Finished};
use crate::intake::{Cut, Taken};
use crate::runs::ReceivedRun;

/// The master is stopping: its coordinator takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the master is stopping")]
pub struct Stopped;

/// What a job shares with whoever takes its input in.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Bytes of (decompressed) input that have arrived.
    pub(crate) received: AtomicU64,
    /// The job has ended: stop.
    pub(crate) cancelled: AtomicBool,
}

/// A job to be opened.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// A name for people; never used as a path.
    pub name: String,
    /// What to compute.
    pub spec: Spec,
    /// Which jobs go first.
    pub priority: Priority,
    /// Bytes of input that are expected, if known.
    pub expected: Option<u64>,
}

/// A job that has been opened.
pub(crate) struct Opened {
    pub(crate) job: JobId,
    pub(crate) folder: PathBuf,
    pub(crate) meter: Arc<Meter>,
    /// Workers of the cluster as it is now.
    pub(crate) workers: u32,
}

/// One input of a job, known once its header has come.
#[derive(Clone, Debug)]
pub(crate) struct InputInfo {
    pub(crate) name: String,
    pub(crate) path: Arc<PathBuf>,
    pub(crate) layout: Layout,
    pub(crate) columns: Vec<String>,
    pub(crate) header_lines: u64,
}

/// Everything that the coordinator reacts to.
pub(crate) enum Message {
    Open {
        job: NewJob,
        reply: oneshot::Sender<std::io::Result<Opened>>,
    },
    /// The next input of a job; its cuts follow.
    Input {
        job: JobId,
        info: InputInfo,
    },
    Cut {
        job: JobId,
        cuts: Vec<Cut>,
    },
    InputDone {
        job: JobId,
        taken: Taken,
        reply: oneshot::Sender<()>,
    },
    InputFailed {
        job: JobId,
        error: String,
        reply: oneshot::Sender<()>,
    },
    Join {
        hello: SlaveHello,
        reply: oneshot::Sender<Joined>,
    },
    Beat {
        session: SessionId,
        attempts: Vec<(MessageId, Attempt, u64)>,
    },
    Draining {
        session: SessionId,
    },
    Left {
        session: SessionId,
    },
    TaskFailed {
        session: SessionId,
        message_id: MessageId,
        attempt: Attempt,
        error: String,
    },
    TaskBytes {
        session: SessionId,
        message_id: MessageId,
        reply: oneshot::Sender<Result<TaskBytes, ClusterError>>,
    },
    Partial {
        run: ReceivedRun,
        reply: oneshot::Sender<Verdict>,
    },
    Finished {
        job: JobId,
        finished: Result<Finished, FinishError>,
    },
    Get {
        job: JobId,
        reply: oneshot::Sender<Option<Arc<JobView>>>,
    },
    List {
        reply: oneshot::Sender<Vec<Arc<JobView>>>,
    },
    Watch {
        job: JobId,
        reply: oneshot::Sender<Option<watch::Receiver<Arc<JobView>>>>,
    },
    Cancel {
        job: JobId,
        reply: oneshot::Sender<Option<Arc<JobView>>>,
    },
    Delete {
        job: JobId,
        reply: oneshot::Sender<bool>,
    },
    Slaves {
        reply: oneshot::Sender<Vec<SlaveView>>,
    },
    /// Stop: tell the slaves, answer nobody else.
    Stop {
        reason: String,
    },
}
