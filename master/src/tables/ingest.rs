//! Rows in bulk: what an ingest job writes into its table.
//!
//! What takes them is here; `apply` compares them with the table and writes them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use tally_common::api::{IngestCounts, IngestMode};
use tally_common::id::JobId;
use tally_common::table::{Key, Row, Table};

use super::apply::Applier;
use super::{Tables, TablesError};
use crate::metrics;
use crate::store::table::{meta, weight};

/// Rows of one chunk: whoever wants to write meanwhile waits for as long as one is written.
pub(super) const CHUNK_ROWS: usize = 25_000;

/// Bytes of the texts of one chunk, where rows are long.
pub(super) const CHUNK_BYTES: usize = 16 << 20;

/// Chunks that wait while one is applied.
const CHUNKS: usize = 1;

/// A row, and how many records of the file had its key.
pub(super) type Rows = Vec<(Row, u64)>;

/// What goes to the task that applies.
pub(super) enum Part {
    Rows(Rows),
    /// There are no more after these.
    Last(Rows),
}

/// Where the rows of an ingest job go. Sync: lives on the thread that merges the job's runs.
///
/// `push` each row of the file once, in strictly ascending order of its key, then `finish`. What has been
/// applied is in the store with the rows themselves, so that after a restart the same calls, with the
/// same rows, go on where the last process stopped, and nothing is applied twice.
#[derive(Debug)]
pub struct Ingest {
    table: Arc<Table>,
    runtime: runtime::Handle,
    through: Option<Key>,
    /// All had been applied before.
    done: Option<IngestCounts>,
    chunk: Rows,
    bytes: usize,
    parts: Option<mpsc::Sender<Part>>,
    applying: Option<JoinHandle<Result<IngestCounts, TablesError>>>,
}

impl Ingest {
    /// The last key that has been applied before: rows up to it need not be pushed (it does no harm).
    pub fn applied_through(&self) -> Option<&Key> {
        self.through.as_ref()
    }

    /// Takes a row. `records` is how many records of the file had its key, at least 1.
    ///
    /// # Errors
    /// [`TablesError`]; the ingest is then over.
    pub fn push(&mut self, row: Row, records: u64) -> Result<(), TablesError> {
        if self.done.is_some() {
            return Ok(());
        }
        if let Some(through) = &self.through {
            if self.table.key_of(&row) <= *through {
                return Ok(());
            }
            // All that follow are greater.
            self.through = None;
        }
        self.bytes += weight(&row);
        self.chunk.push((row, records));
        if self.chunk.len() >= CHUNK_ROWS || self.bytes >= CHUNK_BYTES {
            self.bytes = 0;
            let rows = std::mem::take(&mut self.chunk);
            return self.send(Part::Rows(rows));
        }
        Ok(())
    }

    fn send(&mut self, part: Part) -> Result<(), TablesError> {
        let sent = self.parts.as_ref().is_some_and(|parts| parts.blocking_send(part).is_ok());
        if sent { Ok(()) } else { Err(self.applied().err().unwrap_or(TablesError::Stopped)) }
    }

    /// Waits for what the task that applies has to say.
    fn applied(&mut self) -> Result<IngestCounts, TablesError> {
        let applying = self.applying.take().ok_or(TablesError::Stopped)?;
        self.runtime.block_on(applying).map_err(|_| TablesError::Stopped)?
    }

    /// Applies what is left and gives what the whole ingest came to.
    ///
    /// # Errors
    /// [`TablesError`].
    pub fn finish(mut self) -> Result<IngestCounts, TablesError> {
        if let Some(counts) = self.done {
            return Ok(counts);
        }
        let rows = std::mem::take(&mut self.chunk);
        self.send(Part::Last(rows))?;
        self.parts = None;
        self.applied()
    }
}

/// What is asked before each share of a long write: an error ends it, and nothing has changed.
pub type MayGoOn = Box<dyn Fn() -> Result<(), TablesError> + Send + Sync>;

/// What an ingest needs besides its rows.
pub struct Means {
    /// A folder in which changes wait while they are gathered.
    pub(super) scratch: PathBuf,
    pub(super) may_go_on: MayGoOn,
    pub(super) shares: Shares,
}

/// How much is written at a time where a table is replaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    /// Changes up to which it is done in one transaction: it takes no longer than one of `merge` mode, for
    /// which others wait as well.
    pub(super) at_once: usize,
    /// Rows of a transaction that writes the table anew: so many take about a tenth of a second.
    pub(super) rows: usize,
}

impl Means {
    /// The means of an ingest that gathers in a folder, and asks whether it may go on.
    pub fn new(scratch: &Path, may_go_on: MayGoOn) -> Self {
        let shares = Shares { at_once: CHUNK_ROWS, rows: CHUNK_ROWS / 5 };
        Self { scratch: scratch.to_owned(), may_go_on, shares }
    }
}

impl Tables {
    /// Begins an ingest, or goes on with it. Blocks: to be called on a thread of its own.
    ///
    /// # Errors
    /// [`TablesError::NotFound`]; [`TablesError::Ingest`] where the table was dropped and declared
    /// otherwise since the job was opened.
    pub fn ingest(
        &self,
        job: JobId,
        (table, mode): (&str, IngestMode),
        means: Means,
    ) -> Result<Ingest, TablesError> {
        let handle = self.handle(table)?;
        let runtime = self.runtime()?;
        let known = runtime.block_on(async {
            let mut tx = handle.db.read().await?;
            Ok::<_, TablesError>(meta::ingest(&mut tx, job).await?)
        })?;
        let definition = Arc::clone(handle.table());
        let mut counts = IngestCounts::default();
        let (mut through, mut done) = (None, None);
        if let Some(known) = known {
            if known.table_id != handle.sql.id {
                return Err(TablesError::Ingest(format!(
                    "the table {table:?} was dropped and declared anew while its ingest was under way"
                )));
            }
            counts = serde_json::from_str(&known.counts).unwrap_or_default();
            done = known.done.then_some(counts);
            if let Some(text) = &known.through {
                let json = serde_json::from_str(text).unwrap_or_default();
                through = Some(definition.key_from_json(&json)?);
            }
        }
        let (parts, incoming) = mpsc::channel(CHUNKS);
        let applier = Applier { job, handle, counts, tables: self.clone() };
        let on = runtime.clone();
        // The database may be one that works on the thread that asks.
        let applying = done.is_none().then(|| {
            runtime.spawn_blocking(move || match mode {
                IngestMode::Merge => on.block_on(applier.merge(incoming)),
                IngestMode::Replace => on.block_on(applier.replace(incoming, &means)),
            })
        });
        Ok(Ingest {
            table: definition,
            runtime,
            through,
            done,
            chunk: Vec::new(),
            bytes: 0,
            parts: Some(parts),
            applying,
        })
    }
}

impl Tables {
    /// Notes what an ingest has come to, for its job's view.
    pub(super) fn note(&self, job: JobId, counts: IngestCounts) {
        metrics::ingested(&counts, self.ingest_counts(job).as_ref());
        if let Some(inner) = self.inner() {
            inner.ingests.insert(job, counts);
        }
    }

    /// What an ingest of this process has come to so far, for its job's view.
    pub fn ingest_counts(&self, job: JobId) -> Option<IngestCounts> {
        self.inner()?.ingests.get(&job).map(|counts| *counts)
    }

    /// Forgets what an ingest has come to: its job has ended.
    pub fn forget_ingest(&self, job: JobId) {
        if let Some(inner) = self.inner() {
            inner.ingests.remove(&job);
        }
    }
}
