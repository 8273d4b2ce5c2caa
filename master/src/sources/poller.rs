//! Watches one source: carries out what the machine says, one thing after the other, and tells it what came
//! of it. What it decides is durable before it is done.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::sleep;
use tracing::{info, warn};
use uuid::Uuid;

use tally_common::api::{JobState, SourceView, timestamp};
use tally_common::backoff::Backoff;
use tally_common::id::JobId;

use super::client::{Client, Given, Into};
use super::config::{SourceConfig, Target};
use super::folder;
use super::machine::{Action, End, Event, Machine};
use super::state::Stat;
use super::submit;
use crate::clock::Clock;
use crate::disk::Disk;
use crate::jobs::{Jobs, JobsError};
use crate::metrics;
use crate::store::Store;

/// Waits before what was decided is written again, while the store can not be.
const STORE_AGAIN: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// What all sources of a master share.
pub(super) struct Shared {
    pub(super) jobs: Jobs,
    pub(super) store: Option<Store>,
    pub(super) disk: Arc<Disk>,
    pub(super) clock: Clock,
    /// Where fetched files lie until they have been submitted; emptied when a master starts.
    pub(super) folder: PathBuf,
    /// Places for threads that ask and fetch.
    pub(super) fetches: Semaphore,
    /// Places for submissions.
    pub(super) submissions: Semaphore,
    pub(super) stop: Arc<AtomicBool>,
}

/// The master stops: nothing more is to be done.
pub(super) struct Stopping;

/// Watches a source, until its master stops.
pub(super) struct Poller {
    pub(super) config: Arc<SourceConfig>,
    pub(super) machine: Machine,
    pub(super) shared: Arc<Shared>,
    pub(super) view: watch::Sender<SourceView>,
    pub(super) asked: mpsc::Receiver<()>,
    pub(super) stopped: watch::Receiver<bool>,
    /// Where it is kept what is fetched of this source.
    pub(super) file: PathBuf,
}

/// Any number.
fn jitter() -> u64 {
    Uuid::new_v4().as_u64_pair().0
}

impl Poller {
    /// Goes on until the master stops.
    pub(super) async fn run(mut self) {
        let mut stopped = self.stopped.clone();
        let mut event = Event::Started;
        loop {
            let error = matches!(event, Event::Failed(_) | Event::Ended(_, End::Failed(_)));
            let action = self.machine.apply(event, self.shared.clock.unix_ms(), jitter());
            self.note(error, &action);
            if self.save().await.is_err() {
                return;
            }
            self.show();
            event = tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => break,
                came = self.carry_out(action) => match came {
                    Ok(event) => event,
                    Err(Stopping) => break,
                },
            };
        }
        // The counters of the last minute: all else has been written.
        if let (Some(store), Some(changes)) = (&self.shared.store, self.machine.changes(u64::MAX))
            && let Err(error) = store.save_source(&self.config.name, &changes).await
        {
            warn!(source = self.config.name, %error, "the last of it was not written");
        }
    }

    /// Has the log and the metrics know.
    fn note(&self, error: bool, action: &Action) {
        let name = &self.config.name;
        if error {
            metrics::source_failed();
        }
        match action {
            Action::Sense { .. } | Action::List => metrics::source_polled(),
            Action::Fetch { .. } if matches!(self.config.target, Target::Http(_)) => {
                metrics::source_polled();
            }
            Action::Rest(wait) => {
                let before = self.view.borrow().last_error.clone();
                let now = &self.machine.row().last_error;
                if let Some(why) = now.as_ref().filter(|_| before != *now) {
                    warn!(
                        source = name,
                        why,
                        wait_s = wait.as_secs_f64(),
                        "a source has a problem"
                    );
                } else if before.is_some() && now.is_none() {
                    info!(source = name, "a source is well again");
                }
            }
            Action::Await(job) => info!(source = name, %job, "what a source has was submitted"),
            _ => {}
        }
    }

    /// Writes what was decided, however long that takes: nothing is done that would be forgotten.
    async fn save(&mut self) -> Result<(), Stopping> {
        let Some(changes) = self.machine.changes(self.shared.clock.unix_ms()) else {
            return Ok(());
        };
        let Some(store) = &self.shared.store else { return Ok(()) };
        let mut again = 0;
        while let Err(error) = store.save_source(&self.config.name, &changes).await {
            warn!(source = self.config.name, %error, "the state of a source can not be written");
            tokio::select! {
                () = sleep(STORE_AGAIN.wait(again, jitter())) => again += 1,
                _ = self.stopped.wait_for(|stopped| *stopped) => return Err(Stopping),
            }
        }
        Ok(())
    }

    fn show(&self) {
        self.view.send_replace(view(&self.config, &self.machine));
    }

    async fn carry_out(&mut self, action: Action) -> Result<Event, Stopping> {
        Ok(match action {
            Action::Rest(wait) => self.rest(wait).await?,
            Action::Sense { etag } => self.sense(etag).await?,
            Action::List => self.list().await?,
            Action::Fetch { item, etag, last_modified } => {
                match self.fetch(item, etag, last_modified).await? {
                    Ok(Given::Unmodified) => Event::Unmodified,
                    Ok(Given::Unsteady) => Event::Unsteady,
                    Ok(Given::Content(content)) => Event::Fetched(content),
                    Err(why) => Event::Failed(why),
                }
            }
            Action::Find { key } => match self.shared.jobs.find(key).await {
                Ok(job) => Event::Found(job),
                Err(error) => self.failed(&error)?,
            },
            Action::Submit { item, key } => {
                // Never fails: nobody closes it.
                let _place = self.shared.submissions.acquire().await;
                let submitted =
                    submit::submit(&self.shared.jobs, &self.config, &item, key, &self.file);
                let submitted = submitted.await;
                // Gone at the next start at the latest.
                let _ = std::fs::remove_file(&self.file);
                match submitted {
                    Ok(job) => {
                        metrics::source_changed();
                        Event::Submitted(job)
                    }
                    Err(JobsError::Input { job, error }) => {
                        Event::Ended(Some(job), End::Failed(error.to_string()))
                    }
                    // Of another submission, which is past: the next key is another one.
                    Err(error @ (JobsError::KeyReused | JobsError::KeyExpired)) => {
                        Event::Ended(None, End::Failed(error.to_string()))
                    }
                    Err(error) => self.failed(&error)?,
                }
            }
            Action::Await(job) => self.wait_for(job).await?,
        })
    }

    fn failed(&self, error: &JobsError) -> Result<Event, Stopping> {
        match error {
            JobsError::Stopped(_) | JobsError::Interrupted { .. } => Err(Stopping),
            error => Ok(Event::Failed(error.to_string())),
        }
    }

    async fn rest(&mut self, wait: Duration) -> Result<Event, Stopping> {
        tokio::select! {
            () = sleep(wait) => Ok(Event::Due),
            asked = self.asked.recv() => asked.map(|()| Event::Asked).ok_or(Stopping),
        }
    }

    async fn wait_for(&self, job: JobId) -> Result<Event, Stopping> {
        let ended = match self.shared.jobs.wait(job).await {
            // Its end may have been written just then.
            Err(JobsError::NotFound(_)) => self.shared.jobs.get(job).await,
            ended => ended,
        };
        let end = match ended {
            Ok(view) => match view.state {
                JobState::Succeeded => End::Succeeded,
                JobState::Cancelled => End::Cancelled,
                _ => {
                    let why = view.error.clone().unwrap_or_default();
                    End::Failed(format!("job {job} failed: {why}"))
                }
            },
            Err(JobsError::NotFound(_) | JobsError::Gone(_)) => End::Cancelled,
            Err(error) => return self.failed(&error),
        };
        Ok(Event::Ended(Some(job), end))
    }

    async fn sense(&self, etag: Option<String>) -> Result<Event, Stopping> {
        let config = Arc::clone(&self.config);
        let sensed = self.on_thread(move |_| {
            let (Target::Sense(place) | Target::Http(place)) = &config.target else {
                return Err("a folder can not be asked".to_owned());
            };
            Client::new(&config, place).sense(etag.as_deref())
        });
        Ok(sensed.await?.map_or_else(Event::Failed, Event::Sensed))
    }

    async fn list(&self) -> Result<Event, Stopping> {
        let config = Arc::clone(&self.config);
        let listed = self.on_thread(move |_| -> Result<Vec<(String, Stat)>, String> {
            let Target::Folder(path) = &config.target else { return Ok(Vec::new()) };
            folder::list(path)
        });
        Ok(listed.await?.map_or_else(Event::Failed, Event::Listed))
    }

    async fn fetch(
        &self,
        item: String,
        etag: Option<String>,
        last_modified: Option<String>,
    ) -> Result<Result<Given, String>, Stopping> {
        let (config, file) = (Arc::clone(&self.config), self.file.clone());
        self.on_thread(move |shared| {
            let into = Into { path: &file, disk: &shared.disk, stop: &shared.stop };
            let (etag, last_modified) = (etag.as_deref(), last_modified.as_deref());
            match &config.target {
                Target::Sense(place) => {
                    Client::new(&config, place).fetch(Some("read"), etag, last_modified, &into)
                }
                Target::Http(place) => {
                    Client::new(&config, place).fetch(None, etag, last_modified, &into)
                }
                Target::Folder(path) => folder::fetch(path, &item, config.max_bytes, &into),
            }
        })
        .await
    }

    /// Does something that blocks on a thread of its own: not on one of the runtime's, which would keep the
    /// master from ending as long as a server is silent.
    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, String> + Send + 'static,
    ) -> Result<Result<T, String>, Stopping> {
        let _place = self.shared.fetches.acquire().await.map_err(|_| Stopping)?;
        let shared = Arc::clone(&self.shared);
        let (reply, answer) = oneshot::channel();
        let started = std::thread::Builder::new().name("source".to_owned()).spawn(move || {
            // Whoever asked may be gone.
            let _ = reply.send(work(&shared));
        });
        match started {
            // A thread that panics says nothing.
            Ok(_) => Ok(answer.await.unwrap_or_else(|_| Err("the fetch broke down".to_owned()))),
            Err(error) => Ok(Err(format!("the master has no thread left: {error}"))),
        }
    }
}

/// A source as it is shown.
pub(super) fn view(config: &SourceConfig, machine: &Machine) -> SourceView {
    let row = machine.row();
    SourceView {
        name: config.name.clone(),
        kind: config.kind().to_owned(),
        target: config.shown(),
        into: config.target_shown(),
        table: config.table().map(str::to_owned),
        state: machine.phase(),
        last_polled_at: row.last_polled_ms.map(timestamp),
        last_changed_at: row.last_changed_ms.map(timestamp),
        next_poll_at: machine.next_poll_ms().map(timestamp),
        last_job: row.last_job,
        last_error: row.last_error.clone(),
        interval_seconds: config.interval.as_secs_f64(),
        polls: row.polls,
        changes: row.changes,
        errors: row.errors,
        items: machine.items() as u64,
    }
}
