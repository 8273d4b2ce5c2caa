//! One table: its definition, whose turn it is to change it, and those who watch it.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::{OwnedMutexGuard, mpsc, watch};

use tally_common::api::{TableView, timestamp};
use tally_common::table::Table;

use super::TablesError;
use super::writer::Request;
use crate::clock::Clock;
use crate::store::table::{Counters, TableSql, meta};
use crate::store::{Db, Turns, Tx};

/// A table.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) sql: TableSql,
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) created_ms: u64,
    /// What was committed last; held by whoever changes the table. `None` where it is not known whether a
    /// commit went through, and after the table was dropped.
    turns: Turns<Option<Counters>>,
    /// Number of the last change.
    version: watch::Sender<u64>,
    /// Rows; for those who only look.
    rows: watch::Sender<u64>,
    /// How many groups each aggregate had, and with which change: they are counted once for each.
    groups: DashMap<String, (u64, u64)>,
    /// Operations that wait.
    pub(crate) queue: mpsc::Sender<Request>,
}

/// The turn to change a table, and its counters.
pub(crate) struct Turn<'h> {
    guard: OwnedMutexGuard<Option<Counters>>,
    handle: &'h Handle,
    pub(crate) counters: Counters,
}

impl Handle {
    pub(crate) fn new(
        sql: TableSql,
        (db, clock): (Db, Clock),
        created_ms: u64,
        counters: Counters,
        queue: mpsc::Sender<Request>,
    ) -> Self {
        Self {
            sql,
            db,
            clock,
            created_ms,
            turns: Turns::new(Some(counters)),
            version: watch::Sender::new(counters.version),
            rows: watch::Sender::new(counters.rows),
            groups: DashMap::new(),
            queue,
        }
    }

    /// How many groups an aggregate had with a change, where they have been counted.
    pub(crate) fn groups_at(&self, aggregate: &str, version: u64) -> Option<u64> {
        let known = self.groups.get(aggregate)?;
        (known.0 == version).then_some(known.1)
    }

    /// Notes how many groups an aggregate had with a change.
    pub(crate) fn note_groups(&self, aggregate: &str, version: u64, groups: u64) {
        self.groups.insert(aggregate.to_owned(), (version, groups));
    }

    pub(crate) fn table(&self) -> &Arc<Table> {
        &self.sql.table
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Waits for the turn to change the table. Those that wait get it in the order in which they came.
    pub(crate) async fn turn(&self) -> Result<Turn<'_>, TablesError> {
        let mut guard = self.turns.take().await;
        let counters = match guard.take() {
            Some(counters) => counters,
            None => {
                let mut tx = self.db.read().await?;
                let found = meta::counters(&mut tx, self.sql.id).await?;
                found.ok_or_else(|| TablesError::NotFound(self.table().name().to_owned()))?
            }
        };
        Ok(Turn { guard, handle: self, counters })
    }

    /// Whether somebody waits for the turn, or for the database's.
    pub(crate) fn is_wanted(&self) -> bool {
        self.turns.is_wanted() || self.db.is_wanted()
    }

    /// Waits until somebody does.
    pub(crate) async fn wanted(&self) {
        tokio::select! {
            () = self.turns.wanted() => {}
            () = self.db.wanted() => {}
        }
    }

    pub(crate) fn view(&self) -> TableView {
        let draft = self.table().draft();
        TableView {
            name: draft.name.clone(),
            key: draft.key.clone(),
            columns: draft.columns.clone(),
            aggregates: draft.aggregates.clone(),
            rows: *self.rows.borrow(),
            version: *self.version.borrow(),
            created_at: timestamp(self.created_ms),
        }
    }
}

impl Turn<'_> {
    /// Commits, after which the table's counters are these, and tells those who watch. Where that fails it
    /// is not known what the database has: whoever comes next asks it.
    pub(crate) async fn commit(mut self, tx: Tx, counters: Counters) -> Result<(), TablesError> {
        tx.commit().await?;
        *self.guard = Some(counters);
        self.handle.rows.send_replace(counters.rows);
        self.handle.version.send_replace(counters.version);
        Ok(())
    }

    /// Ends the turn; nothing has changed.
    pub(crate) fn leave(mut self) {
        *self.guard = Some(self.counters);
    }
}
