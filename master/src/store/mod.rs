//! The store: what must outlive the process, in SQLite (`tally.db` in the data folder) or in a Postgres. Of
//! jobs, written by the coordinator alone, in one transaction for each batch of facts; read by anybody.

mod bulk;
mod db;
mod dialect;
mod error;
mod folder;
mod guard;
mod here;
mod line;
mod list;
mod migrate;
mod postgres;
mod read;
mod row;
mod sources;
mod sqlite;
pub(crate) mod table;
#[cfg(test)]
pub(crate) mod tests;
mod turns;
mod value;

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use crate::clock::Stopwatch;
use crate::metrics;

pub(crate) use bulk::{Bulk, SqlColumn};
pub(crate) use db::{Db, Tx};
pub(crate) use dialect::Dialect;
pub(crate) use error::StoreError;
pub(crate) use read::{StoredJob, StoredKey, StoredTask};
pub(crate) use row::{AsideRow, KeptRow, Row};
pub(crate) use turns::Turns;
pub(crate) use value::{Cell, Param};

/// How long a transaction may take on a server: far longer than any does. One that does not end by then is taken for
/// failed, as a server may be away without anybody noticing, and is done again.
const COMMIT: Duration = Duration::from_secs(30);

/// How long a store that is being closed waits for those who use it: a server may never answer them.
const CLOSE: Duration = Duration::from_secs(5);

/// The store. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store(Db);

impl Store {
    /// Opens the store in a data folder, makes it where there is none, and brings it to the newest
    /// format.
    pub(crate) async fn open(folder: &Path) -> Result<Self, StoreError> {
        Ok(Self(sqlite::open(folder).await?))
    }

    /// The same with the store in a Postgres; the folder has the files of its jobs.
    pub(crate) async fn connect(url: &str, folder: &Path) -> Result<Self, StoreError> {
        Ok(Self(postgres::open(url, folder).await?))
    }

    /// Writes rows, all or none. What is written once more changes nothing.
    pub(crate) async fn commit(&self, rows: &[Row]) -> Result<(), StoreError> {
        let watch = Stopwatch::start();
        let written = match self.0.dialect() {
            // It may wait for its turn for as long as a large change of a table is being written.
            Dialect::Sqlite => self.write(rows).await,
            Dialect::Postgres => {
                let written = timeout(COMMIT, self.write(rows)).await;
                written.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into()))
            }
        };
        if written.is_err() {
            self.0.doubt();
        }
        metrics::committed(watch.elapsed(), written.is_err());
        written
    }

    async fn write(&self, rows: &[Row]) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        for row in rows {
            row.write(&mut tx).await?;
        }
        tx.commit().await
    }

    /// The database itself.
    pub(crate) fn db(&self) -> &Db {
        &self.0
    }

    /// Waits until another master has taken the store over, if one ever does.
    pub(crate) async fn taken_over(&self) -> StoreError {
        match &self.0 {
            Db::Sqlite(..) => std::future::pending().await,
            Db::Postgres(_, guard) => guard.taken_over().await,
        }
    }

    /// Closes the file, or the connections.
    pub(crate) async fn close(&self) {
        // Connections that somebody still waits on are cut off when the process ends.
        let _ = timeout(CLOSE, self.0.close()).await;
    }
}
