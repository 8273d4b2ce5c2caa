//! What the coordinator is told and asked.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

use tally_common::api::{
    ClusterView, History, IngestMode, JobView, Priority, SetAsideView, SlaveView, TaskView,
};
use tally_common::dialect::Layout;
use tally_common::id::{Attempt, JobId, MessageId, SessionId, TaskNumber};
use tally_common::spec::Spec;
use tally_proto::convert::SlaveHello;
use tally_proto::trace::{self, Traceparent};

use crate::access::Owner;
use crate::cluster::{ClusterError, Joined, TaskBytes, Verdict};
use crate::feed::FeedEvent;
use crate::finish::{FinishError, Finished};
use crate::intake::{Cut, Taken};
use crate::jobs::SoFar;
use crate::ledger::Digest;
use crate::runs::ReceivedRun;
use crate::spool::{Piece, ResumePoint};
use crate::store::StoreError;

use super::account::{Account, OverLimit};

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
    /// The master is stopping.
    pub(crate) stopping: AtomicBool,
}

impl Meter {
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Whether there is no more use in waiting for anything.
    pub(crate) fn is_over(&self) -> bool {
        self.is_cancelled() || self.is_stopping()
    }
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
    /// Keep the input as long as the result.
    pub keep_input: bool,
    /// An upload that breaks off may be taken up again.
    pub resumable: bool,
    /// Its input is this file, which is counted where it lies.
    pub in_place: Option<PathBuf>,
    /// Its input is fetched from this URL: what comes from there is an upload like any other.
    pub fetched_from: Option<String>,
    /// Its records go into this table, in this way, and are not totalled.
    pub ingest: Option<(String, IngestMode)>,
    /// Its result is written to this file.
    pub result_path: Option<PathBuf>,
    /// The job whose rejects this one corrects.
    pub repairs: Option<JobId>,
    /// Number of its first task among those of that job.
    pub first_task: TaskNumber,
    /// Whose it is, where it is anybody's in particular.
    pub owner: Option<Owner>,
    /// The span in which it was asked for.
    pub trace: Option<Traceparent>,
}

impl NewJob {
    /// A job of its own, whose input comes in one go and is not kept.
    pub fn new(name: String, spec: Spec) -> Self {
        Self {
            name,
            spec,
            priority: Priority::Default,
            expected: None,
            keep_input: false,
            resumable: false,
            in_place: None,
            fetched_from: None,
            ingest: None,
            result_path: None,
            repairs: None,
            first_task: 0,
            owner: None,
            trace: trace::current(),
        }
    }

    /// What a retry of the same request must ask for, too.
    pub(crate) fn fingerprint(&self) -> String {
        let repairs = self.repairs.map(|job| job.to_string()).unwrap_or_default();
        let max_rejects = self.spec.max_rejects();
        let mut print =
            format!("{:016x} {max_rejects} {} {repairs}", self.spec.hash(), self.keep_input);
        // Those of uploads stay as they were: they are kept for a year.
        for (name, path) in [("from", &self.in_place), ("to", &self.result_path)] {
            if let Some(path) = path {
                print.push_str(&format!(" {name} {}", path.display()));
            }
        }
        if let Some(url) = &self.fetched_from {
            print.push_str(&format!(" url {url}"));
        }
        if let Some((table, mode)) = &self.ingest {
            print.push_str(&format!(" {} {table}", mode.as_str()));
        }
        print
    }
}

/// A job that has been opened, or whose upload is taken up again.
pub(crate) struct Opened {
    pub(crate) job: JobId,
    pub(crate) new: NewJob,
    pub(crate) folder: PathBuf,
    pub(crate) meter: Arc<Meter>,
    /// Where its bytes are counted, if anywhere.
    pub(crate) account: Option<Arc<Account>>,
    /// Workers of the cluster as it is now.
    pub(crate) workers: u32,
    /// For the upload's pieces.
    pub(crate) pieces: (mpsc::Sender<Piece>, mpsc::Receiver<Piece>),
    /// What is there already.
    pub(crate) resume: Option<ResumePoint>,
}

/// What became of a request to open a job.
pub(crate) enum Opening {
    Opened(Box<Opened>),
    /// A request with the same key was there before.
    Known(Known),
}

/// A job that was submitted before under the same key.
pub(crate) struct Known {
    pub(crate) job: JobId,
    /// Its upload as it was sent, where all of it has been received.
    pub(crate) received: Option<Taken>,
}

/// Why a job is not opened, or an upload not taken up.
#[derive(Debug, Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there is no job {0} whose upload could be taken up")]
    NoUpload(JobId),
    #[error("somebody else uploads to job {0}")]
    Attached(JobId),
    #[error("the upload goes on at byte {at}, not at byte {asked}")]
    Offset { at: u64, asked: u64 },
    #[error("the key was used before, for another request")]
    KeyReused,
    #[error("the key belongs to a request of long ago, whose job is gone")]
    KeyExpired,
    #[error("{0} jobs are open, as many as this master takes at a time")]
    QueueFull(usize),
    #[error(transparent)]
    OverLimit(OverLimit),
    #[error("no room on the disk: {needed} bytes are needed, {room} may be used")]
    NoRoom { needed: u64, room: u64 },
    #[error("{0}")]
    Repair(String),
}

/// One input of a job, known once its header has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InputInfo {
    pub(crate) name: String,
    pub(crate) path: Arc<PathBuf>,
    pub(crate) layout: Layout,
    pub(crate) columns: Vec<String>,
    pub(crate) header_lines: u64,
    /// What the bytes up to the first task came to.
    pub(crate) header: Taken,
}

/// Everything that the coordinator reacts to.
pub(crate) enum Message {
    Open {
        job: NewJob,
        key: Option<String>,
        reply: oneshot::Sender<Result<Opening, OpenError>>,
    },
    /// Take an upload up behind its first `offset` bytes.
    Attach {
        job: JobId,
        offset: u64,
        reply: oneshot::Sender<Result<Opened, OpenError>>,
    },
    /// Go on with an input that is read where it lies; answered with nothing where there is no such
    /// job any more.
    Reread {
        job: JobId,
        reply: oneshot::Sender<Option<Opened>>,
    },
    /// How much of an upload is durable, `None` where somebody is uploading: who is told to stop.
    UploadOffset {
        job: JobId,
        reply: oneshot::Sender<Result<Option<u64>, OpenError>>,
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
    /// So much of an upload is durable.
    Spooled {
        job: JobId,
        received: Taken,
    },
    /// An upload has broken off behind so much of it.
    Detached {
        job: JobId,
        received: Taken,
        reply: oneshot::Sender<()>,
    },
    InputDone {
        job: JobId,
        taken: Taken,
        received: Taken,
        reply: oneshot::Sender<()>,
    },
    InputFailed {
        job: JobId,
        error: String,
        /// The input never came whole: it may be sent again.
        lost: bool,
        reply: oneshot::Sender<()>,
    },
    Join {
        hello: SlaveHello,
        /// What it has shown of itself.
        credential: Option<String>,
        reply: oneshot::Sender<Result<Joined, ClusterError>>,
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
    /// A partial was refused before the ledger could hear of it.
    PartialRefused {
        session: SessionId,
        message_id: MessageId,
        attempt: Attempt,
        reason: String,
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
    /// What a partial says, whose task is counted twice.
    Digested {
        run: ReceivedRun,
        digest: Result<Digest, String>,
        reply: oneshot::Sender<Verdict>,
    },
    /// A task was counted here, or could not be.
    Recounted {
        job: JobId,
        number: TaskNumber,
        counted: Result<(ReceivedRun, Digest), String>,
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
    Slaves {
        reply: oneshot::Sender<Vec<SlaveView>>,
    },
    /// The slaves that have lied and are not let in.
    SetAside {
        reply: oneshot::Sender<Vec<SetAsideView>>,
    },
    /// Let those of a name in again; whether there are any.
    Trust {
        name: String,
        reply: oneshot::Sender<bool>,
    },
    Cluster {
        reply: oneshot::Sender<ClusterView>,
    },
    /// Answered with nothing where the job is not there, or has ended.
    Tasks {
        job: JobId,
        reply: oneshot::Sender<Option<Vec<TaskView>>>,
    },
    /// The same.
    History {
        job: JobId,
        reply: oneshot::Sender<Option<History>>,
    },
    /// What has been counted of a job that has not ended.
    SoFar {
        job: JobId,
        reply: oneshot::Sender<Option<SoFar>>,
    },
    /// What listeners are told of a job that has not ended.
    News {
        job: JobId,
        reply: oneshot::Sender<Option<watch::Receiver<Arc<FeedEvent>>>>,
    },
    /// Which job that has not ended was submitted under a key.
    Find {
        key: String,
        reply: oneshot::Sender<Option<JobId>>,
    },
    Cancel {
        job: JobId,
        reply: oneshot::Sender<Option<Arc<JobView>>>,
    },
    Delete {
        job: JobId,
        /// Whether there was one; an error where the store can not be asked.
        reply: oneshot::Sender<Result<bool, StoreError>>,
    },
    /// Look for what may be removed.
    Sweep,
    /// Stop what is under way: tell the slaves, let uploads stop where they are.
    Drain {
        reason: String,
    },
    /// Stop: answer nobody any more.
    Stop {
        reply: oneshot::Sender<()>,
    },
}

impl Message {
    /// Whether it asks for what the store has to have by then.
    pub(super) fn tells_facts(&self) -> bool {
        self.is_question() && !matches!(self, Self::Beat { .. } | Self::TaskBytes { .. })
    }

    /// Whether it only asks, so that it can be answered while the store can not be written.
    pub(super) fn is_question(&self) -> bool {
        matches!(
            self,
            Self::Get { .. }
                | Self::List { .. }
                | Self::Watch { .. }
                | Self::Slaves { .. }
                | Self::SetAside { .. }
                | Self::Cluster { .. }
                | Self::Tasks { .. }
                | Self::History { .. }
                | Self::News { .. }
                | Self::SoFar { .. }
                | Self::Find { .. }
                | Self::Beat { .. }
                | Self::TaskBytes { .. }
        )
    }
}
