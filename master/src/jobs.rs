//! The application's verbs for clients, whatever they come by: gRPC, HTTP, or a call within this
//! process.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};

use tally_common::api::{JobState, JobView, SlaveView};
use tally_common::id::JobId;
use tally_common::spec::Spec;

use crate::coordinator::{Message, Opened, Stopped};
use crate::finish::{rejects_path, result_path};
use crate::intake::{Taken, TaskSize};
use crate::spool::{InputError, Piece, Reception};

pub use crate::coordinator::NewJob;

/// Pieces of an upload that may wait for the disk.
const PIECES_AHEAD: usize = 8;

/// Why a client's request can not be met.
#[derive(Debug, Error)]
pub enum JobsError {
    /// The master is stopping.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// There is no such job.
    #[error("there is no job {0}")]
    NotFound(JobId),
    /// The job is not in the state that this needs.
    #[error("job {job} is {}: {needs}", state.as_str())]
    State {
        /// The job.
        job: JobId,
        /// Its state.
        state: JobState,
        /// What would be needed.
        needs: &'static str,
    },
    /// The input does not make sense. The job has failed for the same reason.
    #[error("{error}")]
    Input {
        /// The job.
        job: JobId,
        /// What is wrong with it.
        error: InputError,
    },
    /// As many uploads as the master takes at a time are under way.
    #[error("{0} uploads are under way, as many as this master takes at a time; try again later")]
    Busy(usize),
    /// The disk said no.
    #[error("the data folder can not be used: {0}")]
    Io(#[from] io::Error),
}

/// The verbs. Cheap to clone.
#[derive(Clone)]
pub struct Jobs {
    coordinator: mpsc::Sender<Message>,
    data_dir: Arc<PathBuf>,
    uploads: Arc<Semaphore>,
    max_uploads: usize,
}

/// A file that can be downloaded.
#[derive(Clone, Debug)]
pub struct Download {
    /// Where it lies.
    pub path: PathBuf,
    /// The job as it was when asked.
    pub job: Arc<JobView>,
}

/// Where the input of a job comes from, if not from an upload.
pub enum Source {
    /// A file that is counted where it lies.
    File(PathBuf),
    /// A stream, such as a pipe; goes through the spool.
    Stream(Box<dyn Read + Send>),
}

impl Jobs {
    pub(crate) fn new(
        coordinator: mpsc::Sender<Message>,
        data_dir: PathBuf,
        max_uploads: usize,
    ) -> Self {
        let uploads = Arc::new(Semaphore::new(max_uploads));
        Self { coordinator, data_dir: Arc::new(data_dir), uploads, max_uploads }
    }

    /// Opens a job whose input the caller will upload.
    ///
    /// # Errors
    /// [`JobsError::Busy`] and [`JobsError::Io`].
    pub async fn upload(&self, new: NewJob) -> Result<Upload, JobsError> {
        let permit = Arc::clone(&self.uploads).try_acquire_owned();
        let permit = permit.map_err(|_| JobsError::Busy(self.max_uploads))?;
        let (name, spec, expected) = (new.name.clone(), new.spec.clone(), new.expected);
        let opened = self.open(new).await?;
        let spool = opened.folder.join("spool").join("0.csv");
        let reception = self.reception(&opened, name, spec, expected);
        let (pieces, mut incoming) = mpsc::channel(PIECES_AHEAD);
        let (jobs, job) = (self.clone(), opened.job);
        let taken = spawn_blocking(move || {
            let taken = reception.upload(&spool, &mut incoming);
            // The reply to a broken upload is of no use; the job must hear of it all the same.
            jobs.settle(job, taken)
        });
        Ok(Upload { job, pieces, taken, _permit: permit })
    }

    /// Opens a job on inputs that this process can read, and takes them in. Returns once all of them
    /// have been read, while the job is being counted; `opened` is told its id at once.
    ///
    /// # Errors
    /// [`JobsError::Input`] and [`JobsError::Io`].
    pub async fn submit(
        &self,
        new: NewJob,
        sources: Vec<(String, Source)>,
        opened: oneshot::Sender<JobId>,
    ) -> Result<JobId, JobsError> {
        let (spec, expected) = (new.spec.clone(), new.expected);
        let info = self.open(new).await?;
        let job = info.job;
        // Whoever asked may no longer want to know.
        let _ = opened.send(job);
        let jobs = self.clone();
        let done = spawn_blocking(move || {
            let mut taken = Taken { bytes: 0, crc32c: 0 };
            for (i, (name, source)) in sources.into_iter().enumerate() {
                let spool = info.folder.join("spool").join(format!("{i}.csv"));
                let reception = jobs.reception(&info, name, spec.clone(), expected);
                let one = match source {
                    Source::File(path) => reception.file(&path, &spool),
                    Source::Stream(from) => reception.stream(&spool, from),
                };
                match one {
                    Ok(one) => taken.append(&one),
                    Err(error) => return jobs.settle(job, Err(error)),
                }
            }
            jobs.settle(job, Ok(taken))
        });
        done.await.map_err(|error| io::Error::other(error.to_string()))?
    }

    fn reception(
        &self,
        opened: &Opened,
        name: String,
        spec: Spec,
        expected: Option<u64>,
    ) -> Reception {
        Reception {
            job: opened.job,
            name,
            spec,
            size: TaskSize::new(expected, opened.workers),
            meter: Arc::clone(&opened.meter),
            coordinator: self.coordinator.clone(),
        }
    }

    async fn open(&self, job: NewJob) -> Result<Opened, JobsError> {
        Ok(self.ask(|reply| Message::Open { job, reply }).await??)
    }

    /// Tells the coordinator how taking an input in has gone, and waits until it knows.
    fn settle(&self, job: JobId, taken: Result<Taken, InputError>) -> Result<JobId, JobsError> {
        let (reply, answer) = oneshot::channel();
        let (message, result) = match taken {
            Ok(taken) => (Message::InputDone { job, taken, reply }, Ok(job)),
            Err(error) => {
                let message = Message::InputFailed { job, error: error.to_string(), reply };
                (message, Err(JobsError::Input { job, error }))
            }
        };
        self.coordinator.blocking_send(message).map_err(|_| Stopped)?;
        answer.blocking_recv().map_err(|_| Stopped)?;
        result
    }

    /// One job.
    ///
    /// # Errors
    /// [`JobsError::NotFound`].
    pub async fn get(&self, job: JobId) -> Result<Arc<JobView>, JobsError> {
        let view = self.ask(|reply| Message::Get { job, reply }).await?;
        view.ok_or(JobsError::NotFound(job))
    }

    /// All jobs, newest first.
    ///
    /// # Errors
    /// [`JobsError::Stopped`].
    pub async fn list(&self) -> Result<Vec<Arc<JobView>>, JobsError> {
        self.ask(|reply| Message::List { reply }).await
    }

    /// One job, and each change to it, at most ten a second. Ends when the job is deleted.
    ///
    /// # Errors
    /// [`JobsError::NotFound`].
    pub async fn watch(&self, job: JobId) -> Result<watch::Receiver<Arc<JobView>>, JobsError> {
        let view = self.ask(|reply| Message::Watch { job, reply }).await?;
        view.ok_or(JobsError::NotFound(job))
    }

    /// Waits until a job has ended.
    ///
    /// # Errors
    /// [`JobsError::NotFound`], also where the job is deleted meanwhile.
    pub async fn wait(&self, job: JobId) -> Result<Arc<JobView>, JobsError> {
        let mut views = self.watch(job).await?;
        let ended = views.wait_for(|view| view.state.ended()).await;
        ended.map(|view| Arc::clone(&view)).map_err(|_| JobsError::NotFound(job))
    }

    /// The result of a job that has succeeded.
    ///
    /// # Errors
    /// [`JobsError::NotFound`] and [`JobsError::State`].
    pub async fn result(&self, id: JobId) -> Result<Download, JobsError> {
        let job = self.get(id).await?;
        if job.state != JobState::Succeeded {
            let (state, needs) = (job.state, "only a job that has succeeded has a result");
            return Err(JobsError::State { job: id, state, needs });
        }
        Ok(Download { path: result_path(&self.folder(id)), job })
    }

    /// The rejects of a job that has ended, with or without a result.
    ///
    /// # Errors
    /// [`JobsError::NotFound`] and [`JobsError::State`].
    pub async fn rejects(&self, id: JobId) -> Result<Download, JobsError> {
        let job = self.get(id).await?;
        let path = rejects_path(&self.folder(id));
        if !job.state.ended() || !path.exists() {
            let (state, needs) = (job.state, "rejects are listed once all of a job is counted");
            return Err(JobsError::State { job: id, state, needs });
        }
        Ok(Download { path, job })
    }

    /// Cancels a job that has not ended; no effect on one that has.
    ///
    /// # Errors
    /// [`JobsError::NotFound`].
    pub async fn cancel(&self, job: JobId) -> Result<Arc<JobView>, JobsError> {
        let view = self.ask(|reply| Message::Cancel { job, reply }).await?;
        view.ok_or(JobsError::NotFound(job))
    }

    /// Removes a job and all its bytes, whatever its state.
    ///
    /// # Errors
    /// [`JobsError::NotFound`].
    pub async fn delete(&self, job: JobId) -> Result<(), JobsError> {
        let known = self.ask(|reply| Message::Delete { job, reply }).await?;
        if known { Ok(()) } else { Err(JobsError::NotFound(job)) }
    }

    /// The slaves that are joined, in the order in which they joined.
    ///
    /// # Errors
    /// [`JobsError::Stopped`].
    pub async fn slaves(&self) -> Result<Vec<SlaveView>, JobsError> {
        self.ask(|reply| Message::Slaves { reply }).await
    }

    fn folder(&self, job: JobId) -> PathBuf {
        self.data_dir.join("jobs").join(job.to_string())
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Result<T, JobsError> {
        let (reply, answer) = oneshot::channel();
        self.coordinator.send(question(reply)).await.map_err(|_| Stopped)?;
        Ok(answer.await.map_err(|_| Stopped)?)
    }
}

/// An upload that is under way. Dropped before [`Upload::finish`], it has broken off and its job
/// fails.
pub struct Upload {
    job: JobId,
    pieces: mpsc::Sender<Piece>,
    taken: JoinHandle<Result<JobId, JobsError>>,
    _permit: OwnedSemaphorePermit,
}

impl Upload {
    /// The job that the upload is for.
    pub fn job(&self) -> JobId {
        self.job
    }

    /// Takes the next bytes. Waits while the disk is behind. `false` where the input has turned out
    /// to be of no use: [`Upload::finish`] says why.
    pub async fn push(&mut self, data: Bytes) -> bool {
        self.pieces.send(Piece::Data(data)).await.is_ok()
    }

    /// There are no more bytes. Returns when all have been taken in; the job is being counted.
    ///
    /// # Errors
    /// [`JobsError::Input`].
    pub async fn finish(self) -> Result<JobId, JobsError> {
        // One that has failed no longer listens.
        let _ = self.pieces.send(Piece::End).await;
        drop(self.pieces);
        self.taken.await.map_err(|error| io::Error::other(error.to_string()))?
    }
}
