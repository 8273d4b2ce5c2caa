//! A cluster within this process: a master without listeners, and a slave that reads the files
//! themselves. The same ledger, kernel and merge as over the network.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use anyhow::Context;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::interval;
use tracing::warn;
use uuid::Uuid;

use tally_common::id::{Attempt, MessageId, SessionId, SlaveId};
use tally_master::cluster::{Cluster, ClusterError, Joined, SessionCommand, TaskBytes};
use tally_proto::convert::{Assignment, SlaveHello};
use tally_slave::worker::{
    Execution, Outcome, Partial, Progress, SourceError, TaskSource, Workers,
};

/// Counts for the master until its session ends.
pub(crate) async fn slave(cluster: Cluster, workers: u32) -> anyhow::Result<()> {
    let hello = SlaveHello {
        slave: SlaveId::from_uuid(Uuid::new_v4()),
        name: "this process".to_owned(),
        workers,
        version: tally_proto::BUILD.to_owned(),
        labels: Default::default(),
    };
    let Joined { session, heartbeat, mut commands } = cluster.join(hello, None).await?;
    let (outcomes_in, mut outcomes) = mpsc::channel(2 * workers as usize);
    let pool = Workers::start(workers, &outcomes_in).context("no threads to count with")?;
    let mut slave =
        Slave { cluster, session, pool, attempts: HashMap::new(), returns: JoinSet::new() };
    let mut beats = interval(heartbeat / 4);
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(SessionCommand::Assign(assignment)) => slave.start(*assignment).await?,
                Some(SessionCommand::Cancel(id, attempt)) => {
                    if let Some(progress) = slave.attempts.get(&(id, attempt)) {
                        progress.cancel();
                    }
                }
                Some(SessionCommand::End(_)) | None => return Ok(()),
            },
            Some(outcome) = outcomes.recv() => slave.note(outcome).await?,
            Some(_) = slave.returns.join_next() => {}
            _ = beats.tick() => slave.beat().await?,
        }
    }
}

struct Slave {
    cluster: Cluster,
    session: SessionId,
    pool: Workers,
    attempts: HashMap<(MessageId, Attempt), Progress>,
    returns: JoinSet<()>,
}

impl Slave {
    async fn start(&mut self, assignment: Assignment) -> Result<(), ClusterError> {
        let attempt = (assignment.message_id, assignment.attempt);
        let bytes = match self.cluster.task_bytes(self.session, attempt.0).await {
            Ok(bytes) => bytes,
            // Cancelled meanwhile.
            Err(ClusterError::NotWanted(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let source = match FileSource::open(&bytes) {
            Ok(source) => Box::new(source),
            Err(error) => return self.failed(attempt, error.to_string()).await,
        };
        let progress = Progress::default();
        let execution = Execution { assignment, source, progress: progress.clone() };
        match self.pool.submit(execution) {
            Ok(()) => {
                self.attempts.insert(attempt, progress);
                Ok(())
            }
            Err(_) => self.failed(attempt, "the queue is full".to_owned()).await,
        }
    }

    async fn failed(
        &self,
        (id, attempt): (MessageId, Attempt),
        error: String,
    ) -> Result<(), ClusterError> {
        self.cluster.task_failed(self.session, id, attempt, error).await
    }

    async fn note(&mut self, outcome: Outcome) -> Result<(), ClusterError> {
        match outcome {
            Outcome::Counted(partial) => {
                self.attempts.remove(&(partial.message_id, partial.attempt));
                self.hand_in(partial);
                Ok(())
            }
            Outcome::Failed(id, attempt, error) => {
                let known = self.attempts.remove(&(id, attempt));
                if known.is_none_or(|progress| progress.is_cancelled()) || error.is_gone() {
                    return Ok(());
                }
                self.failed((id, attempt), error.to_string()).await
            }
        }
    }

    fn hand_in(&mut self, partial: Partial) {
        let (cluster, session) = (self.cluster.clone(), self.session);
        self.returns.spawn(async move {
            let (id, attempt) = (partial.message_id, partial.attempt);
            if let Err(error) = hand_in(&cluster, session, partial).await {
                warn!(message_id = %id, %error, "a partial could not be handed in");
                let _ = cluster.task_failed(session, id, attempt, error.to_string()).await;
            }
        });
    }

    async fn beat(&self) -> Result<(), ClusterError> {
        let attempts = self.attempts.iter();
        let attempts = attempts.map(|((id, attempt), progress)| (*id, *attempt, progress.bytes()));
        self.cluster.beat(self.session, attempts.collect()).await
    }
}

async fn hand_in(cluster: &Cluster, session: SessionId, partial: Partial) -> anyhow::Result<()> {
    let mut run = cluster.receive(partial.head(session))?;
    let run = spawn_blocking(move || {
        for frame in partial.frames {
            run.write(&frame)?;
        }
        run.finish()
    });
    let run = run.await.context("the thread that stores a partial ended")??;
    cluster.hand_in(run).await?;
    Ok(())
}

/// Bytes that are read at once: they should still be in the L2 cache when the kernel takes them.
const PIECE_BYTES: u64 = 256 << 10;

/// The bytes of a task, read from the file that holds them.
struct FileSource {
    file: File,
    at: u64,
    end: u64,
    /// The last piece: its memory serves the next, once the worker has let go of it.
    last: Bytes,
}

impl FileSource {
    fn open(task: &TaskBytes) -> io::Result<Self> {
        let file = File::open(&*task.path)?;
        Ok(Self { file, at: task.offset, end: task.offset + task.len, last: Bytes::new() })
    }
}

impl TaskSource for FileSource {
    fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        let len = (self.end - self.at).min(PIECE_BYTES) as usize;
        if len == 0 {
            return Ok(None);
        }
        let mut piece = std::mem::take(&mut self.last).try_into_mut().unwrap_or_default();
        piece.resize(len, 0);
        let read = self.file.read_exact_at(&mut piece, self.at);
        read.map_err(|error| SourceError::Broken(error.to_string()))?;
        self.at += len as u64;
        self.last = piece.freeze();
        Ok(Some(self.last.clone()))
    }
}
