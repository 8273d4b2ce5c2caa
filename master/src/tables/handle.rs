//! One table: its definition, whose turn it is to change it, and those who watch it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::DashMap;
use tokio::sync::{OwnedMutexGuard, mpsc, watch};
use tracing::warn;

use tally_common::api::{TableView, timestamp};
use tally_common::table::Table;

use super::TablesError;
use super::writer::Request;
use crate::clock::Clock;
use crate::store::table::{Counters, Side, TableSql, meta};
use crate::store::{Db, StoreError, Turns, Tx};

/// Rows that one transaction removes of what a replacement has left: takes some tens of milliseconds.
const CLEAR_ROWS: u32 = 5_000;

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
    /// A replacement may have left something behind.
    littered: AtomicBool,
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
            littered: AtomicBool::new(false),
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

    /// Waits for the turn to change the table. Those that wait get it in the order in which they came. What a
    /// replacement that came to no end has left is removed before: its history would be in the way of others'.
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
        let turn = Turn { guard, handle: self, counters };
        if self.littered.load(Ordering::Acquire) {
            if let Err(error) = self.clear_left(counters.version).await {
                turn.leave();
                return Err(error.into());
            }
            self.littered.store(false, Ordering::Release);
        }
        Ok(turn)
    }

    /// A replacement begins, or was begun by a process that is gone: it may leave something behind.
    pub(crate) fn litter(&self) {
        self.littered.store(true, Ordering::Release);
    }

    /// Removes what is left of a replacement that did not happen, a share at a time. Only for who has the turn.
    async fn clear_left(&self, version: u64) -> Result<(), StoreError> {
        // As long as there is the new side, there may be history ahead: that goes first.
        if !self.sql.is_there(&mut self.db.read().await?, Side::New).await? {
            return Ok(());
        }
        let mut more = true;
        while more {
            let mut tx = self.db.write().await?;
            more = meta::forget_ahead(&mut tx, self.sql.id, version, CLEAR_ROWS).await?;
            tx.commit().await?;
        }
        self.clear(Side::New).await
    }

    /// Removes all that is on a side, a share at a time. Several may do so at once.
    pub(crate) async fn clear(&self, side: Side) -> Result<(), StoreError> {
        let mut more = self.sql.is_there(&mut self.db.read().await?, side).await?;
        while more {
            let mut tx = self.db.write().await?;
            more = self.sql.clear_some(&mut tx, side, CLEAR_ROWS).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Removes what replacements have left, those that happened and those that did not.
    pub(crate) async fn tidy(&self) -> Result<(), TablesError> {
        if self.littered.load(Ordering::Acquire) {
            self.turn().await?.leave();
        }
        Ok(self.clear(Side::Old).await?)
    }

    /// Does that beside all else. If it fails, or the process ends, it is done later.
    pub(crate) fn tidy_soon(self: &Arc<Self>) {
        let handle = Arc::clone(self);
        tokio::spawn(async move {
            match handle.tidy().await {
                // It was dropped.
                Ok(()) | Err(TablesError::NotFound(_)) => {}
                Err(error) => {
                    warn!(table = handle.table().name(), %error, "what a replacement has left stays for now");
                }
            }
        });
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
