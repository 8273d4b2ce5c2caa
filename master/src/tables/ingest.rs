//! Rows in bulk: what an ingest job writes into its table.
//!
//! In `merge` mode rows are applied in chunks, each in a transaction of its own together with how far the
//! ingest has come: nobody waits for longer than a chunk takes, and a process that begins anew goes on
//! behind the last chunk. In `replace` mode all is one transaction.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use tally_common::api::{IngestCounts, IngestMode};
use tally_common::id::JobId;
use tally_common::table::{Key, Row, Table, Value};

use super::handle::{Handle, Turn};
use super::overlay::Overlay;
use super::writer::{lay_groups, write_out};
use super::{Tables, TablesError};
use crate::metrics;
use crate::store::Tx;
use crate::store::table::{Compared, IngestRow, Stored, meta};

/// Rows of one chunk. Larger ones write the aggregates' pages less often; while one is written, everybody
/// else who wants to write waits.
const CHUNK_ROWS: usize = 25_000;

/// Bytes of the texts of one chunk, where rows are long.
const CHUNK_BYTES: usize = 16 << 20;

/// Chunks that wait while one is applied.
const CHUNKS: usize = 1;

/// A row, and how many records of the file had its key.
type Rows = Vec<(Row, u64)>;

/// What goes to the task that applies.
enum Part {
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
        self.bytes += row.iter().map(weight).sum::<usize>();
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

/// Bytes of a value, about.
fn weight(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        _ => 8,
    }
}

impl Tables {
    /// Begins an ingest, or goes on with it. Blocks: to be called on a thread of its own, within the
    /// runtime's context.
    ///
    /// # Errors
    /// [`TablesError::NotFound`]; [`TablesError::Ingest`] where the table was dropped and declared
    /// otherwise since the job was opened.
    pub fn ingest(&self, job: JobId, table: &str, mode: IngestMode) -> Result<Ingest, TablesError> {
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
        let applying = done.is_none().then(|| match mode {
            IngestMode::Merge => runtime.spawn(applier.merge(incoming)),
            IngestMode::Replace => runtime.spawn(applier.replace(incoming)),
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

/// What applies an ingest's chunks.
struct Applier {
    job: JobId,
    handle: Arc<Handle>,
    counts: IngestCounts,
    tables: Tables,
}

impl Applier {
    async fn merge(mut self, mut parts: mpsc::Receiver<Part>) -> Result<IngestCounts, TablesError> {
        loop {
            let (rows, last) = match parts.recv().await {
                Some(Part::Rows(rows)) => (rows, false),
                Some(Part::Last(rows)) => (rows, true),
                // The job was cancelled: what has been applied stays.
                None => return Err(TablesError::Stopped),
            };
            self.merge_chunk(rows, last).await?;
            if last {
                return Ok(self.counts);
            }
        }
    }

    async fn merge_chunk(&mut self, rows: Rows, last: bool) -> Result<(), TablesError> {
        let handle = Arc::clone(&self.handle);
        let turn = handle.turn().await?;
        // As long as it has the turn nobody else changes the table: it can be compared without holding
        // up whoever writes elsewhere.
        let found = {
            let mut tx = handle.db.read().await?;
            match turn.counters.rows {
                0 => (0..rows.len()).map(|at| (at, Compared::New)).collect(),
                _ => handle.sql.compare(&mut tx, &rows).await?,
            }
        };
        let mut counts = self.counts;
        count_records(&mut counts, &rows);
        counts.unchanged += (rows.len() - found.len()) as u64;
        let through = rows.last().map(|(row, _)| handle.table().key_of(row));
        if found.is_empty() && !last {
            self.counts = counts;
            turn.leave();
            return Ok(());
        }
        let mut tx = handle.db.write().await?;
        let mut overlay = Overlay::new(handle.table(), turn.counters, handle.clock.unix_ms());
        let mut rows: Vec<Option<Row>> = rows.into_iter().map(|(row, _)| Some(row)).collect();
        let mut puts = Vec::with_capacity(found.len());
        for (at, compared) in found {
            match compared {
                Compared::New => counts.added += 1,
                Compared::Differs(stored) => {
                    counts.updated += 1;
                    overlay.lay_row(stored);
                }
            }
            puts.extend(rows[at].take());
        }
        self.lay(&mut tx, &mut overlay, &puts).await?;
        self.put(&mut overlay, puts)?;
        if overlay.is_touched() {
            write_out(&handle.sql, &mut tx, &mut overlay).await?;
        }
        self.keep(&mut tx, through.as_ref(), counts, last).await?;
        turn.commit(tx, overlay.counters()).await?;
        self.counts = counts;
        self.tables.note(self.job, counts);
        Ok(())
    }

    async fn replace(
        mut self,
        mut parts: mpsc::Receiver<Part>,
    ) -> Result<IngestCounts, TablesError> {
        let handle = Arc::clone(&self.handle);
        let Some(first) = parts.recv().await else { return Err(TablesError::Stopped) };
        let mut turn = handle.turn().await?;
        let mut tx = handle.db.write().await?;
        let (mut next, mut after) = (Some(first), None);
        loop {
            let (rows, last) = match next {
                Some(Part::Rows(rows)) => (rows, false),
                Some(Part::Last(rows)) => (rows, true),
                // The job was cancelled: dropping the transaction takes all of it back.
                None => return Err(TablesError::Stopped),
            };
            after = self.replace_chunk(&mut turn, &mut tx, rows, after).await?;
            if last {
                break;
            }
            next = parts.recv().await;
        }
        self.delete_after(&mut turn, &mut tx, after).await?;
        self.keep(&mut tx, None, self.counts, true).await?;
        let counters = turn.counters;
        turn.commit(tx, counters).await?;
        self.tables.note(self.job, self.counts);
        Ok(self.counts)
    }

    /// Makes the part of the table after one key and up to the last row what the rows are. Gives that row's
    /// key.
    async fn replace_chunk(
        &mut self,
        turn: &mut Turn<'_>,
        tx: &mut Tx,
        rows: Rows,
        after: Option<Key>,
    ) -> Result<Option<Key>, TablesError> {
        let (sql, table) = (&self.handle.sql, Arc::clone(self.handle.table()));
        count_records(&mut self.counts, &rows);
        let Some(through) = rows.last().map(|(row, _)| table.key_of(row)) else {
            return Ok(after);
        };
        let there = match turn.counters.rows {
            0 => Vec::new(),
            _ => sql.between(tx, after.as_ref(), Some(&through), None).await?,
        };
        let now_ms = self.handle.clock.unix_ms();
        let mut overlay = Overlay::new(&table, turn.counters, now_ms);
        let mut there = there.into_iter().peekable();
        let (mut puts, mut gone) = (Vec::new(), Vec::new());
        let mut leave = |stored: Stored, overlay: &mut Overlay<'_>| {
            gone.push(table.key_of(&stored.row));
            overlay.lay_row(stored);
        };
        for (row, _) in rows {
            let key = table.key_of(&row);
            while let Some(stored) = there.next_if(|stored| table.key_of(&stored.row) < key) {
                leave(stored, &mut overlay);
            }
            match there.next_if(|stored| table.key_of(&stored.row) == key) {
                Some(stored) if stored.row == row => self.counts.unchanged += 1,
                Some(stored) => {
                    self.counts.updated += 1;
                    overlay.lay_row(stored);
                    puts.push(row);
                }
                None => {
                    self.counts.added += 1;
                    puts.push(row);
                }
            }
        }
        there.for_each(|stored| leave(stored, &mut overlay));
        self.counts.deleted += gone.len() as u64;
        self.write_chunk(turn, tx, overlay, puts, gone).await?;
        Ok(Some(through))
    }

    /// Deletes the rows after a key.
    async fn delete_after(
        &mut self,
        turn: &mut Turn<'_>,
        tx: &mut Tx,
        after: Option<Key>,
    ) -> Result<(), TablesError> {
        let table = Arc::clone(self.handle.table());
        let limit = Some(CHUNK_ROWS as u32);
        loop {
            let rows = self.handle.sql.between(tx, after.as_ref(), None, limit).await?;
            if rows.is_empty() {
                return Ok(());
            }
            self.counts.deleted += rows.len() as u64;
            let gone = rows.iter().map(|stored| table.key_of(&stored.row)).collect();
            let mut overlay = Overlay::new(&table, turn.counters, self.handle.clock.unix_ms());
            rows.into_iter().for_each(|stored| overlay.lay_row(stored));
            self.write_chunk(turn, tx, overlay, Vec::new(), gone).await?;
        }
    }

    async fn write_chunk(
        &self,
        turn: &mut Turn<'_>,
        tx: &mut Tx,
        mut overlay: Overlay<'_>,
        puts: Vec<Row>,
        gone: Vec<Key>,
    ) -> Result<(), TablesError> {
        self.lay(tx, &mut overlay, &puts).await?;
        for key in &gone {
            overlay.put(key, None).map_err(|error| self.overflow(&error))?;
        }
        self.put(&mut overlay, puts)?;
        if overlay.is_touched() {
            write_out(&self.handle.sql, tx, &mut overlay).await?;
            turn.counters = overlay.counters();
        }
        Ok(())
    }

    /// Lays in the groups that rows will be in, and those of the rows that were laid in.
    async fn lay(
        &self,
        tx: &mut Tx,
        overlay: &mut Overlay<'_>,
        puts: &[Row],
    ) -> Result<(), TablesError> {
        for (at, aggregate) in self.handle.table().aggregates().iter().enumerate() {
            let groups: HashSet<Value> =
                puts.iter().map(|row| row[aggregate.group_by].clone()).collect();
            lay_groups(&self.handle.sql, tx, overlay, at, groups).await?;
        }
        Ok(())
    }

    fn put(&self, overlay: &mut Overlay<'_>, puts: Vec<Row>) -> Result<(), TablesError> {
        for row in puts {
            let key = self.handle.table().key_of(&row);
            overlay.put(&key, Some(row)).map_err(|error| self.overflow(&error))?;
        }
        Ok(())
    }

    fn overflow(&self, error: &dyn std::error::Error) -> TablesError {
        TablesError::Ingest(format!("the table {:?}: {error}", self.handle.table().name()))
    }

    /// Keeps how far it has come.
    async fn keep(
        &self,
        tx: &mut Tx,
        through: Option<&Key>,
        counts: IngestCounts,
        done: bool,
    ) -> Result<(), TablesError> {
        let row = IngestRow {
            table_id: self.handle.sql.id,
            through: through.map(|key| key.to_json().to_string()),
            // Numbers always serialise.
            counts: serde_json::to_string(&counts).unwrap_or_default(),
            done,
        };
        Ok(meta::keep_ingest(tx, self.job, &row, self.handle.clock.unix_ms()).await?)
    }
}

fn count_records(counts: &mut IngestCounts, rows: &Rows) {
    counts.keys += rows.len() as u64;
    for (_, records) in rows {
        counts.repeated_keys += u64::from(*records > 1);
        counts.replaced_records += records.saturating_sub(1);
    }
}

impl Tables {
    /// Notes what an ingest has come to, for its job's view.
    fn note(&self, job: JobId, counts: IngestCounts) {
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
