//! What an ingest does to its table in `merge` mode; `replace` is the other one.
//!
//! Rows are compared and written in chunks, many to a transaction, each of which keeps how far
//! the ingest has come: it ends as soon as somebody else waits to write, so that nobody waits for longer
//! than a chunk takes, and a process that begins anew goes on behind it.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::mpsc;

use tally_common::api::IngestCounts;
use tally_common::id::JobId;
use tally_common::table::{Key, Row, Value};

use super::changes::Changes;
use super::handle::{Handle, Turn};
use super::ingest::{Part, Rows};
use super::stage::Change;
use super::writer::{lay_groups, write_groups};
use super::{Tables, TablesError};
use crate::store::Tx;
use crate::store::table::{Compared, Counters, IngestRow, Stored, Writes, meta};

/// Rows that one transaction changes at most in `merge` mode: bounds what is done again after a crash, and
/// what a file of SQLite grows by beside itself. More of them write the aggregates' pages less often.
const TRANSACTION_ROWS: usize = 500_000;

/// Groups of aggregates that it holds at most in memory until they are written.
pub(super) const TRANSACTION_GROUPS: usize = 250_000;

/// What applies an ingest's chunks.
pub(super) struct Applier {
    pub(super) job: JobId,
    pub(super) handle: Arc<Handle>,
    /// What it has come to, with what is not committed yet.
    pub(super) counts: IngestCounts,
    pub(super) tables: Tables,
}

/// A transaction under way.
pub(super) struct Open<'h> {
    turn: Turn<'h>,
    tx: Tx,
    changes: Changes<'h>,
    rows: usize,
    /// The last key that has been applied.
    through: Option<Key>,
}

impl<'h> Open<'h> {
    pub(super) async fn begin(handle: &'h Handle, turn: Turn<'h>) -> Result<Self, TablesError> {
        let tx = handle.db.write_here().await?;
        let changes = Changes::new(handle.table(), turn.counters, handle.clock.unix_ms());
        Ok(Self { turn, tx, changes, rows: 0, through: None })
    }

    fn is_large(&self) -> bool {
        self.rows >= TRANSACTION_ROWS || self.changes.groups_at_hand() >= TRANSACTION_GROUPS
    }
}

impl Applier {
    pub(super) async fn merge(
        mut self,
        mut parts: mpsc::Receiver<Part>,
    ) -> Result<IngestCounts, TablesError> {
        let handle = Arc::clone(&self.handle);
        let mut open = None;
        loop {
            let part = tokio::select! {
                biased;
                part = parts.recv() => part,
                () = handle.wanted(), if open.is_some() => {
                    self.close(open.take(), false).await?;
                    continue;
                }
            };
            let (rows, last) = match part {
                Some(Part::Rows(rows)) => (rows, false),
                Some(Part::Last(rows)) => (rows, true),
                None => {
                    // The job was cancelled: what has been applied stays.
                    self.close(open, false).await?;
                    return Err(TablesError::Stopped);
                }
            };
            open = self.merge_chunk(&handle, open, rows, last).await?;
            if open.as_ref().is_some_and(|open| last || open.is_large() || handle.is_wanted()) {
                self.close(open.take(), last).await?;
            }
            if last {
                return Ok(self.counts);
            }
        }
    }

    async fn merge_chunk<'h>(
        &mut self,
        handle: &'h Handle,
        open: Option<Open<'h>>,
        rows: Rows,
        last: bool,
    ) -> Result<Option<Open<'h>>, TablesError> {
        let turn = if open.is_some() { None } else { Some(handle.turn().await?) };
        // As long as it has the turn nobody else changes the table: it can be compared without holding
        // up whoever writes elsewhere. What the transaction itself has written has lower keys.
        let found = handle.sql.compare(&mut handle.db.read_here().await?, &rows).await?;
        count_records(&mut self.counts, &rows);
        self.counts.unchanged += (rows.len() - found.len()) as u64;
        let mut open = match (open, turn) {
            (Some(open), _) => open,
            (None, Some(turn)) if found.is_empty() && !last => {
                turn.leave();
                return Ok(None);
            }
            (None, Some(turn)) => Open::begin(handle, turn).await?,
            // A turn is taken where none is open.
            (None, None) => return Err(TablesError::Stopped),
        };
        if let Some((row, _)) = rows.last() {
            open.through = Some(handle.table().key_of(row));
        }
        let mut rows: Vec<Option<Row>> = rows.into_iter().map(|(row, _)| Some(row)).collect();
        let mut changes = Vec::with_capacity(found.len());
        for (at, compared) in found {
            let before = match compared {
                Compared::New => None,
                Compared::Differs(stored) => Some(stored),
            };
            match before {
                None => self.counts.added += 1,
                Some(_) => self.counts.updated += 1,
            }
            changes.push(Change { before, after: rows[at].take() });
        }
        self.write(&mut open, changes).await?;
        Ok(Some(open))
    }

    /// Writes changes of rows, history with them; aggregates are moved and wait.
    pub(super) async fn write(
        &self,
        open: &mut Open<'_>,
        made: Vec<Change>,
    ) -> Result<(), TablesError> {
        let (sql, table) = (&self.handle.sql, self.handle.table());
        let Open { tx, changes, .. } = open;
        for (at, aggregate) in table.aggregates().iter().enumerate() {
            if aggregate.counts_only() {
                continue;
            }
            let rows = made.iter().flat_map(Change::rows);
            let groups: HashSet<Value> = rows.map(|row| row[aggregate.group_by].clone()).collect();
            lay_groups(sql, tx, changes, at, groups).await?;
        }
        open.rows += made.len();
        let (mut added, mut updated, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
        for Change { before, after } in made {
            let moves = changes.weigh(before.as_ref().map(|stored| &stored.row), after.as_ref());
            let moves = moves.map_err(|error| {
                TablesError::Ingest(format!("the table {:?}: {error}", table.name()))
            })?;
            let was = before.is_some();
            if let (Some(stored), None) = (&before, &after) {
                deleted.push(table.key_of(&stored.row));
            }
            match changes.make(moves, before, after).1 {
                Some(stored) if was => updated.push(stored),
                Some(stored) => added.push(stored),
                None => {}
            }
        }
        let history = changes.take_history();
        fn all<T>(of: &[T]) -> Vec<&T> {
            of.iter().collect()
        }
        let writes = Writes {
            added: all::<Stored>(&added),
            updated: all(&updated),
            deleted: all(&deleted),
            history: &history,
            ahead: None,
        };
        Ok(sql.write(tx, &writes).await?)
    }

    /// Ends a transaction: aggregates, counters, and how far it has come.
    pub(super) async fn close(
        &mut self,
        open: Option<Open<'_>>,
        done: bool,
    ) -> Result<(), TablesError> {
        let Some(Open { turn, mut tx, mut changes, through, .. }) = open else { return Ok(()) };
        write_groups(&self.handle.sql, &mut tx, &mut changes).await?;
        self.commit((turn, tx), changes.counters(), through, done).await
    }

    /// Commits how far it has come, with what is in the transaction.
    pub(super) async fn commit(
        &self,
        (turn, mut tx): (Turn<'_>, Tx),
        counters: Counters,
        through: Option<Key>,
        done: bool,
    ) -> Result<(), TablesError> {
        let row = IngestRow {
            table_id: self.handle.sql.id,
            through: through.map(|key| key.to_json().to_string()),
            // Numbers always serialise.
            counts: serde_json::to_string(&self.counts).unwrap_or_default(),
            done,
        };
        meta::keep_ingest(&mut tx, self.job, &row, self.handle.clock.unix_ms()).await?;
        turn.commit(tx, counters).await?;
        self.tables.note(self.job, self.counts);
        Ok(())
    }
}

pub(super) fn count_records(counts: &mut IngestCounts, rows: &Rows) {
    counts.keys += rows.len() as u64;
    for (_, records) in rows {
        counts.repeated_keys += u64::from(*records > 1);
        counts.replaced_records += records.saturating_sub(1);
    }
}
