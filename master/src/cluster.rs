//! The application's verbs for slaves, whatever they come by: gRPC, or a call within this process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use tally_common::id::{Attempt, MessageId, SessionId};
use tally_proto::convert::{Assignment, PartialHead, SlaveHello};

use crate::coordinator::{Message, Stopped};
use crate::runs::{ReceivedRun, RunReceiver, RunsError};

/// What the master tells a slave.
#[derive(Clone, Debug)]
pub enum SessionCommand {
    /// A task to count.
    Assign(Box<Assignment>),
    /// An attempt is no longer wanted.
    Cancel(MessageId, Attempt),
    /// The session is over, and why.
    End(String),
}

/// A session that has been opened.
#[derive(Debug)]
pub struct Joined {
    /// Its id.
    pub session: SessionId,
    /// How often the slave is to beat.
    pub heartbeat: Duration,
    /// What the master tells it. Ends with the session.
    pub commands: mpsc::Receiver<SessionCommand>,
}

/// Where the bytes of a task lie.
#[derive(Clone, Debug)]
pub struct TaskBytes {
    /// The file.
    pub path: Arc<PathBuf>,
    /// Offset of the task's first byte.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
    /// CRC-32C of its bytes as they were taken in.
    pub crc32c: u32,
    /// The file is a user's, counted where it lies.
    pub in_place: bool,
}

/// What became of a partial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Kept: it is the task's answer.
    Accepted,
    /// The task has its answer already, or no longer needs one.
    Duplicate,
    /// Not a valid answer, and why.
    Rejected(String),
}

/// Why a slave's request can not be met.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The master is stopping.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The session has ended, or never was.
    #[error("there is no session {0}")]
    NoSession(SessionId),
    /// The task has its answer, its job has ended, or it never was.
    #[error("the task {0} is not wanted")]
    NotWanted(MessageId),
    /// The slave has lied before.
    #[error(
        "the slave {name} is set aside: {reason} (tally slaves --trust NAME on the master lets it in again)"
    )]
    SetAside {
        /// Its name.
        name: String,
        /// What it has lied about.
        reason: String,
    },
    /// A partial could not be taken in.
    #[error(transparent)]
    Runs(#[from] RunsError),
}

/// The verbs. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    coordinator: mpsc::Sender<Message>,
    uploads: Arc<PathBuf>,
}

impl Cluster {
    pub(crate) fn new(coordinator: mpsc::Sender<Message>, uploads: PathBuf) -> Self {
        Self { coordinator, uploads: Arc::new(uploads) }
    }

    /// Opens a session. `credential` says what the slave has shown of itself, if it did: together with
    /// its name it is what a slave that was set aside is known by.
    ///
    /// # Errors
    /// [`ClusterError::Stopped`] and [`ClusterError::SetAside`].
    pub async fn join(
        &self,
        hello: SlaveHello,
        credential: Option<String>,
    ) -> Result<Joined, ClusterError> {
        let (reply, answer) = oneshot::channel();
        self.tell(Message::Join { hello, credential, reply }).await?;
        answer.await.map_err(|_| Stopped)?
    }

    /// The slave lives; the bytes of each attempt that it has counted.
    ///
    /// # Errors
    /// [`ClusterError::Stopped`].
    pub async fn beat(
        &self,
        session: SessionId,
        attempts: Vec<(MessageId, Attempt, u64)>,
    ) -> Result<(), ClusterError> {
        self.tell(Message::Beat { session, attempts }).await
    }

    /// An attempt failed.
    ///
    /// # Errors
    /// [`ClusterError::Stopped`].
    pub async fn task_failed(
        &self,
        session: SessionId,
        message_id: MessageId,
        attempt: Attempt,
        error: String,
    ) -> Result<(), ClusterError> {
        self.tell(Message::TaskFailed { session, message_id, attempt, error }).await
    }

    /// A partial was refused because it is not what it should be.
    ///
    /// # Errors
    /// [`ClusterError::Stopped`].
    pub async fn partial_refused(
        &self,
        session: SessionId,
        message_id: MessageId,
        attempt: Attempt,
        reason: String,
    ) -> Result<(), ClusterError> {
        self.tell(Message::PartialRefused { session, message_id, attempt, reason }).await
    }

    /// The slave takes no more.
    ///
    /// # Errors
    /// [`ClusterError::Stopped`].
    pub async fn draining(&self, session: SessionId) -> Result<(), ClusterError> {
        self.tell(Message::Draining { session }).await
    }

    /// The session's connection has ended.
    ///
    /// # Errors
    /// [`ClusterError::Stopped`].
    pub async fn left(&self, session: SessionId) -> Result<(), ClusterError> {
        self.tell(Message::Left { session }).await
    }

    /// Where the bytes of a task lie that the session was assigned.
    ///
    /// # Errors
    /// [`ClusterError::NoSession`] and [`ClusterError::NotWanted`].
    pub async fn task_bytes(
        &self,
        session: SessionId,
        message_id: MessageId,
    ) -> Result<TaskBytes, ClusterError> {
        let (reply, answer) = oneshot::channel();
        self.tell(Message::TaskBytes { session, message_id, reply }).await?;
        answer.await.map_err(|_| Stopped)?
    }

    /// Begins to take a partial in; its bytes go to the receiver.
    ///
    /// # Errors
    /// [`ClusterError::Runs`] where there is no room for it.
    pub fn receive(&self, head: PartialHead) -> Result<RunReceiver, ClusterError> {
        Ok(RunReceiver::create(&self.uploads, head)?)
    }

    /// Hands in a partial that has been taken in whole. The verdict is given once it is durable.
    ///
    /// # Errors
    /// [`ClusterError::Stopped`].
    pub async fn hand_in(&self, run: ReceivedRun) -> Result<Verdict, ClusterError> {
        let (reply, answer) = oneshot::channel();
        self.tell(Message::Partial { run, reply }).await?;
        Ok(answer.await.map_err(|_| Stopped)?)
    }

    async fn tell(&self, message: Message) -> Result<(), ClusterError> {
        Ok(self.coordinator.send(message).await.map_err(|_| Stopped)?)
    }
}
