//! Sources: places that are watched for new data, which is then submitted as jobs. Each has a task of its
//! own ([`poller`]), which does what a pure machine ([`machine`]) says; what is known of it survives in the
//! store. No source waits for another one, but where as many as may are fetched at a time.

mod client;
mod config;
mod draft;
mod folder;
mod machine;
mod poller;
mod state;
mod submit;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use tally_common::api::SourceView;

use crate::clock::Clock;
use crate::disk::Disk;
use crate::jobs::Jobs;
use crate::metrics;
use crate::store::{Store, StoreError};
use config::{Destination, Target};
use machine::{Machine, Way};
use poller::{Poller, Shared};

pub use config::{BadSource, MAX_SOURCES, SourceConfig};
pub use draft::{Amount, SourceDraft, Words};
pub(crate) use machine::Changes;
pub(crate) use state::{Item, SourceRow, Stat, Status};

/// Sources that are asked or fetched at a time: a thread each, which may wait for a silent server.
const FETCHES: usize = 64;

/// Submissions of sources at a time: they take the places of uploads, of which clients want some, too.
const SUBMISSIONS: usize = 8;

/// The sources of a master.
#[derive(Debug, Default)]
pub struct Sources {
    sources: Vec<Watched>,
    stop: watch::Sender<bool>,
    stop_threads: Arc<AtomicBool>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct Watched {
    name: String,
    view: watch::Receiver<SourceView>,
    ask: mpsc::Sender<()>,
}

impl Sources {
    /// Begins to watch. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Where the store can not be read.
    pub(crate) async fn start(
        configs: &[SourceConfig],
        jobs: Jobs,
        store: Option<Store>,
        disk: Arc<Disk>,
    ) -> Result<Self, StoreError> {
        let mut all = Self::default();
        let shared = Arc::new(Shared {
            folder: jobs.config().data_dir.join("uploads"),
            jobs,
            store,
            disk,
            clock: Clock::start(),
            fetches: Semaphore::new(FETCHES),
            submissions: Semaphore::new(SUBMISSIONS),
            stop: Arc::clone(&all.stop_threads),
        });
        for (number, config) in configs.iter().enumerate() {
            let machine = remembered(config, shared.store.as_ref()).await?;
            let (view, shown) = watch::channel(poller::view(config, &machine));
            let (ask, asked) = mpsc::channel(1);
            let file = shared.folder.join(format!("source-{number}"));
            let (config, shared) = (Arc::new(config.clone()), Arc::clone(&shared));
            let name = config.name.clone();
            let stopped = all.stop.subscribe();
            let poller = Poller { config, machine, shared, view, asked, stopped, file };
            all.tasks.get_mut().spawn(poller.run());
            all.sources.push(Watched { name, view: shown, ask });
        }
        metrics::sources(all.sources.len());
        Ok(all)
    }

    /// All sources, in the order of the configuration.
    pub fn list(&self) -> Vec<SourceView> {
        self.sources.iter().map(|source| source.view.borrow().clone()).collect()
    }

    /// One source.
    pub fn get(&self, name: &str) -> Option<SourceView> {
        Some(self.find(name)?.view.borrow().clone())
    }

    /// Has a source looked at now, or as soon as what is under way about it has ended; what was given up is
    /// tried again. `None` where there is no such source.
    pub fn poll(&self, name: &str) -> Option<SourceView> {
        let source = self.find(name)?;
        // One who has asked already has asked for all.
        let _ = source.ask.try_send(());
        Some(source.view.borrow().clone())
    }

    fn find(&self, name: &str) -> Option<&Watched> {
        self.sources.iter().find(|source| source.name == name)
    }

    /// Stops to watch. What is under way is left as it is: the next start goes on with it.
    pub(crate) async fn stop(&self) {
        self.stop_threads.store(true, Ordering::Relaxed);
        self.stop.send_replace(true);
        let mut tasks = self.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
    }
}

/// A source with what is remembered of it. Where it leads, or where its data goes, may have changed since:
/// then all that is there is new.
async fn remembered(config: &SourceConfig, store: Option<&Store>) -> Result<Machine, StoreError> {
    let found = match store {
        Some(store) => store.source(&config.name).await?.unwrap_or_default(),
        None => Default::default(),
    };
    let (mut row, mut items) = found;
    let fingerprint = fingerprint(config);
    if row.fingerprint != fingerprint {
        if let Some(store) = store {
            store.forget_items(&config.name).await?;
        }
        items.clear();
        (row.fingerprint, row.last_error, row.failures) = (fingerprint, None, 0);
    }
    let way = match config.target {
        Target::Sense(_) => Way::Sense,
        Target::Http(_) => Way::Fetch,
        Target::Folder(_) => Way::List,
    };
    Ok(Machine::new(&config.name, way, config.interval, row, items))
}

/// Says where a source is and what becomes of it, without telling what may be secret.
fn fingerprint(config: &SourceConfig) -> String {
    let place = match &config.target {
        Target::Sense(place) | Target::Http(place) => place.url(),
        Target::Folder(path) => path.to_string_lossy().into_owned(),
    };
    let into = match &config.into {
        Destination::Count(spec) => serde_json::to_string(spec.draft()).unwrap_or_default(),
        Destination::Table(into) => format!("{} {}", into.table, into.mode.as_str()),
    };
    let mut hash = Sha256::new();
    for part in [config.kind(), &place, &into] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex(&hash.finalize())
}

/// Hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| char::from(DIGITS[usize::from(n)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
