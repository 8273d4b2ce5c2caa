//! The application's verbs for clients, whatever they come by: gRPC, HTTP, or a call within this
//! process.

mod download;
mod error;
mod in_place;
mod ingest;
mod list;
mod look;
mod peek;
mod upload;
mod view;

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot};
use tokio::task::spawn_blocking;

use tally_common::api::{JobState, JobView};
use tally_common::id::JobId;
use tally_common::spec::Spec;

#[cfg(feature = "broker")]
use crate::broker::{BrokerConfig, Consumed};
use crate::config::Config;
use crate::coordinator::{Message, Opened, Opening, Stopped};
use crate::disk::Disk;
use crate::feed::{EventId, Feed};
use crate::intake::{Taken, TaskSize};
use crate::readers::Readers;
use crate::sources::Sources;
use crate::spool::{InputError, Reception};
use crate::store::{Store, StoreError};
use crate::tables::Tables;

pub use crate::coordinator::{NewJob, OverLimit};
pub use crate::look::{MAX_ROWS, QueryError};
pub use download::{Download, Keep};
pub use error::JobsError;
pub use ingest::{NewIngest, Wanted};
pub use list::MAX_PAGE;
pub(crate) use list::{Place, SortKey};
pub(crate) use look::SoFar;
pub use peek::Peek;
pub use upload::Upload;
pub use view::News;

/// The verbs. Cheap to clone.
#[derive(Clone)]
pub struct Jobs {
    coordinator: mpsc::Sender<Message>,
    config: Arc<Config>,
    disk: Arc<Disk>,
    readers: Readers,
    store: Option<Store>,
    feed: Feed,
    tables: Tables,
    /// Set once the verbs are there, which sources need.
    sources: Arc<OnceLock<Sources>>,
    #[cfg(feature = "broker")]
    consumed: Consumed,
    /// The last snapshot, and the event after which it was made.
    snapshots: Arc<Mutex<Option<(EventId, Bytes)>>>,
    uploads: Arc<Semaphore>,
    looks: Arc<Semaphore>,
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
        config: &Config,
        disk: Arc<Disk>,
        readers: Readers,
        store: Option<Store>,
        feed: Feed,
        tables: Tables,
    ) -> Self {
        let uploads = Arc::new(Semaphore::new(config.max_uploads));
        #[cfg(feature = "broker")]
        let consumed = Consumed::of(config.broker.as_ref().map_or(0, BrokerConfig::queue_count));
        let config = Arc::new(config.clone());
        let (snapshots, looks) = (Arc::default(), Arc::new(Semaphore::new(look::PARTIAL_LOOKS)));
        let sources = Arc::default();
        Self {
            coordinator,
            config,
            disk,
            readers,
            store,
            feed,
            tables,
            sources,
            #[cfg(feature = "broker")]
            consumed,
            snapshots,
            uploads,
            looks,
        }
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
        let info = match self.ask(|reply| Message::Open { job: new, key: None, reply }).await?? {
            Opening::Opened(info) => *info,
            Opening::Known(known) => return Err(JobsError::InProgress(known.job)),
        };
        let job = info.job;
        // Whoever asked may no longer want to know.
        let _ = opened.send(job);
        let jobs = self.clone();
        let done = spawn_blocking(move || {
            let mut taken = Taken::default();
            for (i, (name, source)) in sources.into_iter().enumerate() {
                let spool = info.folder.join("spool").join(format!("{i}.csv"));
                let reception = jobs.reception(&info, name, info.new.spec.clone());
                let one = match source {
                    Source::File(path) => reception.file(&path, &spool, None),
                    Source::Stream(from) => reception.stream(&spool, from),
                };
                match one {
                    Ok(one) => taken.append(&one),
                    Err(error) => return jobs.input_failed(job, error),
                }
            }
            // Nobody submits the same again: what was sent is of no interest.
            jobs.input_done(job, taken, Taken::default())
        });
        done.await.map_err(|error| io::Error::other(error.to_string()))?
    }

    fn reception(&self, opened: &Opened, name: String, spec: Spec) -> Reception {
        Reception {
            job: opened.job,
            name,
            spec,
            size: match self.config.task_bytes {
                Some(bytes) => TaskSize::AtLeast(bytes),
                None => TaskSize::new(opened.new.expected, opened.workers),
            },
            meter: Arc::clone(&opened.meter),
            coordinator: self.coordinator.clone(),
            disk: Arc::clone(&self.disk),
            in_place: opened.new.in_place.is_some(),
            durable: self.config.durable,
            max_input: self.config.max_input,
            account: opened.account.clone(),
        }
    }

    /// Tells the coordinator that an input is all there, and waits until it knows.
    fn input_done(&self, job: JobId, taken: Taken, received: Taken) -> Result<JobId, JobsError> {
        self.tell(|reply| Message::InputDone { job, taken, received, reply })?;
        Ok(job)
    }

    fn input_failed(&self, job: JobId, error: InputError) -> Result<JobId, JobsError> {
        let lost = matches!(
            error,
            InputError::BrokeOff(_)
                | InputError::Stopped
                | InputError::Source(_)
                | InputError::OverLimit(_)
        );
        let message = error.to_string();
        self.tell(|reply| Message::InputFailed { job, error: message, lost, reply })?;
        Err(JobsError::Input { job, error })
    }

    /// Tells the coordinator something from a thread, and waits until it has dealt with it.
    fn tell(&self, say: impl FnOnce(oneshot::Sender<()>) -> Message) -> Result<(), JobsError> {
        let (reply, answer) = oneshot::channel();
        self.coordinator.blocking_send(say(reply)).map_err(|_| Stopped)?;
        Ok(answer.blocking_recv().map_err(|_| Stopped)?)
    }

    /// Cancels a job that has not ended; no effect on one that has.
    ///
    /// # Errors
    /// [`JobsError::NotFound`].
    pub async fn cancel(&self, job: JobId) -> Result<Arc<JobView>, JobsError> {
        match self.ask(|reply| Message::Cancel { job, reply }).await? {
            Some(view) => Ok(view),
            None => self.stored(job).await,
        }
    }

    /// Removes a job and all its bytes, whatever its state.
    ///
    /// # Errors
    /// [`JobsError::NotFound`]; [`JobsError::State`] for a repair, whose result is another job's.
    pub async fn delete(&self, job: JobId) -> Result<(), JobsError> {
        let view = self.get(job).await?;
        if let (Some(repaired), JobState::Succeeded) = (view.repairs, view.state)
            && self.get(repaired).await.is_ok()
        {
            let needs = "a repair is deleted with the job that it repaired";
            return Err(JobsError::State { job, state: view.state, needs });
        }
        let known = self.ask(|reply| Message::Delete { job, reply }).await??;
        if known { Ok(()) } else { Err(JobsError::NotFound(job)) }
    }

    /// Bytes that may still be written to the disk under the data folder.
    pub(crate) fn disk_room(&self) -> u64 {
        self.disk.room()
    }

    /// Refuses an input of so many bytes where this master does not take as many.
    ///
    /// # Errors
    /// [`JobsError::TooLarge`].
    pub fn check_size(&self, bytes: u64) -> Result<(), JobsError> {
        match self.config.max_input {
            Some(most) if bytes > most => Err(JobsError::TooLarge { bytes, most }),
            _ => Ok(()),
        }
    }

    /// The verbs for tables.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The sources that are watched; `None` until they are.
    pub fn sources(&self) -> Option<&Sources> {
        self.sources.get()
    }

    /// Begins to watch the sources of the configuration.
    pub(crate) async fn watch_sources(&self) -> Result<(), StoreError> {
        let (store, disk) = (self.store.clone(), Arc::clone(&self.disk));
        let sources = Sources::start(&self.config.sources, self.clone(), store, disk).await?;
        // It is called once.
        let _ = self.sources.set(sources);
        Ok(())
    }

    /// Which of the broker's queues are consumed.
    #[cfg(feature = "broker")]
    pub(crate) fn consumed(&self) -> &Consumed {
        &self.consumed
    }

    /// Whether all places for uploads are taken.
    pub(crate) fn uploads_are_full(&self) -> bool {
        self.uploads.available_permits() == 0
    }

    /// What the master was started with.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    fn folder(&self, job: JobId) -> PathBuf {
        self.config.job_folder(job)
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
