//! Tables: keyed rows that live on, changed by idempotent operations and by ingests, with aggregates that
//! are always current.
//!
//! Each table has one writer, which gathers what waits into one transaction: message ids, rows, history and
//! aggregates together. Readers see one moment each and wait for nobody.

mod anew;
mod apply;
mod changes;
mod error;
mod handle;
mod ingest;
mod overlay;
mod query;
mod replace;
mod scan;
mod stage;
mod sweep;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use dashmap::DashMap;
use tokio::runtime;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use tally_common::api::{IngestCounts, OperationDraft, OperationResult, Recount, TableView};
use tally_common::id::JobId;
use tally_common::table::{Table, TableDraft};

use self::handle::Handle;
use self::writer::Request;
use crate::clock::Clock;
use crate::store::table::{Counters, Side, StoredTable, TableSql, meta};
use crate::store::{Db, StoreError};

pub use error::TablesError;
pub use ingest::{Ingest, MayGoOn, Means};
pub use query::MAX_PAGE;
pub use scan::Scan;

/// Most operations of one request.
pub const MAX_OPERATIONS: usize = 10_000;

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// What rows were before they were changed, and that they were deleted.
    pub history: Duration,
    /// Message ids: an operation that is sent again after that is a new one.
    pub message_ids: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self { history: 7 * DAY, message_ids: 30 * DAY }
    }
}

/// The verbs for tables. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tables(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    db: Db,
    clock: Clock,
    runtime: runtime::Handle,
    handles: RwLock<BTreeMap<String, Arc<Handle>>>,
    /// One at a time declares or drops.
    declaring: Mutex<()>,
    /// What the ingests of this process have come to.
    ingests: DashMap<JobId, IngestCounts>,
}

impl Tables {
    /// Opens the tables of a store. Must be called within a tokio runtime.
    pub(crate) async fn open(db: Db, clock: Clock, keep: Keep) -> Result<Self, StoreError> {
        let mut tx = db.read().await?;
        let stored = meta::tables(&mut tx).await?;
        drop(tx);
        let runtime = runtime::Handle::current();
        let inner = Arc::new(Inner {
            db,
            clock,
            runtime,
            handles: RwLock::default(),
            declaring: Mutex::default(),
            ingests: DashMap::new(),
        });
        for table in stored {
            let name = table.definition.name.clone();
            let handle = inner.handle(table)?;
            // Whoever comes first waits until what the last process has left is removed.
            handle.litter();
            handle.tidy_soon();
            inner.add(name, handle);
        }
        tokio::spawn(sweep::run(Arc::downgrade(&inner), keep));
        Ok(Self(Some(inner)))
    }

    fn inner(&self) -> Option<&Inner> {
        self.0.as_deref()
    }

    fn known(&self) -> Result<&Inner, TablesError> {
        self.inner().ok_or(TablesError::None)
    }

    fn runtime(&self) -> Result<runtime::Handle, TablesError> {
        Ok(self.known()?.runtime.clone())
    }

    fn handle(&self, table: &str) -> Result<Arc<Handle>, TablesError> {
        let found = self.known()?.get(table);
        found.ok_or_else(|| TablesError::NotFound(table.to_owned()))
    }

    /// Declares a table. Declaring it once more in the same words changes nothing.
    ///
    /// # Errors
    /// [`TablesError::Definition`], [`TablesError::Exists`].
    pub async fn create(&self, draft: TableDraft) -> Result<TableView, TablesError> {
        let inner = self.known()?;
        let table = Table::try_from(draft)?;
        let _declaring = inner.declaring.lock().await;
        inner.check_names(&table)?;
        if let Some(handle) = inner.get(table.name()) {
            if handle.table().draft() == table.draft() {
                return Ok(handle.view());
            }
            return Err(TablesError::Exists(table.name().to_owned()));
        }
        let created_ms = inner.clock.unix_ms();
        let (definition, name) = (table.draft().clone(), table.name().to_owned());
        let mut tx = inner.db.write().await?;
        let id = meta::add_table(&mut tx, &definition, created_ms).await?;
        let sql = TableSql::new(id, table, inner.db.dialect());
        sql.create(&mut tx).await?;
        tx.commit().await?;
        let counters = Counters::default();
        let handle = inner.handle(StoredTable { id, definition, created_ms, counters })?;
        let view = handle.view();
        inner.add(name, handle);
        Ok(view)
    }

    /// Removes a table with its rows, aggregates and history.
    ///
    /// # Errors
    /// [`TablesError::NotFound`].
    pub async fn drop(&self, table: &str) -> Result<(), TablesError> {
        let inner = self.known()?;
        let _declaring = inner.declaring.lock().await;
        let handle = self.handle(table)?;
        // Whoever has the turn finishes first; whoever comes after finds no table.
        let turn = handle.turn().await?;
        let cleared = match handle.clear(Side::Old).await {
            Ok(()) => inner.db.write().await,
            Err(error) => Err(error),
        };
        let mut tx = match cleared {
            Ok(tx) => tx,
            Err(error) => {
                turn.leave();
                return Err(error.into());
            }
        };
        handle.sql.drop(&mut tx).await?;
        meta::drop_table(&mut tx, handle.sql.id).await?;
        tx.commit().await?;
        inner.remove(table);
        Ok(())
    }

    /// All tables, by name.
    ///
    /// # Errors
    /// [`TablesError::None`].
    #[expect(clippy::unused_async, reason = "a verb like the others")]
    pub async fn list(&self) -> Result<Vec<TableView>, TablesError> {
        let handles = self.known()?.all();
        Ok(handles.iter().map(|handle| handle.view()).collect())
    }

    /// A table as it is shown.
    ///
    /// # Errors
    /// [`TablesError::NotFound`].
    #[expect(clippy::unused_async, reason = "a verb like the others")]
    pub async fn get(&self, table: &str) -> Result<TableView, TablesError> {
        Ok(self.handle(table)?.view())
    }

    /// A table's definition.
    ///
    /// # Errors
    /// [`TablesError::NotFound`].
    pub fn table(&self, table: &str) -> Result<Arc<Table>, TablesError> {
        Ok(Arc::clone(self.handle(table)?.table()))
    }

    /// Applies operations in their order, each once for its message id. All are in one transaction, possibly
    /// with those of others; the answer comes when it has been committed.
    ///
    /// # Errors
    /// [`TablesError::NotFound`], [`TablesError::TooMany`]; [`TablesError::Failed`]: nothing was applied, or
    /// it is not known whether it was; the same operations may be sent again.
    pub async fn apply(
        &self,
        table: &str,
        operations: Vec<OperationDraft>,
    ) -> Result<Vec<OperationResult>, TablesError> {
        let handle = self.handle(table)?;
        if operations.len() > MAX_OPERATIONS {
            return Err(TablesError::TooMany { found: operations.len(), most: MAX_OPERATIONS });
        }
        let (reply, answer) = oneshot::channel();
        let request = Request { operations, reply };
        handle.queue.send(request).await.map_err(|_| TablesError::Stopped)?;
        answer.await.map_err(|_| TablesError::Stopped)?
    }

    /// The number of a table's last change, as it goes up. Ends when the table is dropped.
    ///
    /// # Errors
    /// [`TablesError::NotFound`].
    pub fn watch(&self, table: &str) -> Result<watch::Receiver<u64>, TablesError> {
        Ok(self.handle(table)?.watch())
    }

    /// Counts a table's aggregates anew and compares.
    ///
    /// # Errors
    /// [`TablesError::NotFound`].
    pub async fn recount(&self, table: &str) -> Result<Recount, TablesError> {
        let handle = self.handle(table)?;
        let mut tx = handle.db.read().await?;
        let counters = meta::counters(&mut tx, handle.sql.id).await?;
        let counters = counters.ok_or_else(|| TablesError::NotFound(table.to_owned()))?;
        Ok(handle.sql.recount(&mut tx, counters.rows, counters.version).await?)
    }
}

impl Inner {
    fn handle(&self, stored: StoredTable) -> Result<Arc<Handle>, StoreError> {
        let StoredTable { id, definition, created_ms, counters } = stored;
        let table =
            Table::try_from(definition).map_err(|error| StoreError::nonsense("a table", error))?;
        let sql = TableSql::new(id, table, self.db.dialect());
        let (queue, requests) = mpsc::channel(writer::QUEUE);
        let place = (self.db.clone(), self.clock);
        let handle = Arc::new(Handle::new(sql, place, created_ms, counters, queue));
        self.runtime.spawn(writer::run(Arc::downgrade(&handle), requests));
        Ok(handle)
    }

    /// Another table may not have a name that this one, or one of its aggregates, wants.
    fn check_names(&self, table: &Table) -> Result<(), TablesError> {
        let names = |table: &Table| {
            let aggregates = table.aggregates().iter().map(|aggregate| aggregate.name.clone());
            aggregates.chain([table.name().to_owned()]).collect::<Vec<_>>()
        };
        let wanted = names(table);
        for other in self.all() {
            if other.table().name() == table.name() {
                continue;
            }
            if let Some(name) = names(other.table()).into_iter().find(|name| wanted.contains(name))
            {
                return Err(TablesError::Exists(name));
            }
        }
        Ok(())
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<String, Arc<Handle>>) -> T) -> T {
        // A panic while the map is changed leaves it as it was or changed: both make sense.
        look(&self.handles.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Arc<Handle>>) -> T) -> T {
        change(&mut self.handles.write().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn get(&self, table: &str) -> Option<Arc<Handle>> {
        self.read(|handles| handles.get(table).cloned())
    }

    fn all(&self) -> Vec<Arc<Handle>> {
        self.read(|handles| handles.values().cloned().collect())
    }

    fn add(&self, name: String, handle: Arc<Handle>) {
        self.write(|handles| handles.insert(name, handle));
    }

    fn remove(&self, table: &str) {
        self.write(|handles| handles.remove(table));
    }
}
