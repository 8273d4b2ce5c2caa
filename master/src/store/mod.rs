//! The store: what must outlive the process, in SQLite (`tally.db` in the data folder). Written by
//! the coordinator alone, in one transaction for each batch of facts; read by anybody.

mod db;
mod list;
mod read;
mod row;
mod sources;
pub(crate) mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, SqlSafeStr};
use thiserror::Error;

use crate::clock::Stopwatch;
use crate::metrics;

pub(crate) use db::{BulkColumn, Db, Dialect, Param, Tx};
pub(crate) use read::{StoredJob, StoredKey, StoredTask};
pub(crate) use row::{KeptRow, Row};

/// Connections: one writes, the others read.
const CONNECTIONS: u32 = 4;

/// How long a connection may wait for another one's lock.
const BUSY: Duration = Duration::from_secs(10);

/// SQLite's code for a full disk.
const SQLITE_FULL: &str = "13";

/// The migrations, oldest first. One that has been released is never changed.
const MIGRATIONS: [(i64, &str, &str); 5] = [
    (1, "jobs", include_str!("migrations/0001_jobs.sql")),
    (2, "inputs in place", include_str!("migrations/0002_in_place.sql")),
    (3, "jobs that are gone", include_str!("migrations/0003_gone.sql")),
    (5, "tables", include_str!("migrations/0005_tables.sql")),
    (6, "sources", include_str!("migrations/0006_sources.sql")),
];

/// Why the store can not be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It was written by a version that came later.
    #[error(
        "{} has format {found}, this version of tally knows formats up to {known}: run the version \
         that wrote it, or a later one", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that is known.
        known: i64,
    },
    /// It is no store, or is damaged.
    #[error(
        "{} is damaged: {problem}. Put a copy back, or move the file away to begin with no jobs",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        problem: String,
    },
    /// SQLite could not do what it was asked to.
    #[error("the store failed: {0}")]
    Sql(#[from] sqlx::Error),
    /// What it holds makes no sense.
    #[error("the store holds {what} that makes no sense: {problem}")]
    Nonsense {
        /// What.
        what: &'static str,
        /// Why it does not.
        problem: String,
    },
}

impl StoreError {
    /// Whether it failed for want of space on the disk.
    pub fn is_full(&self) -> bool {
        let Self::Sql(sqlx::Error::Database(error)) = self else { return false };
        error.code().is_some_and(|code| code == SQLITE_FULL)
    }
}

/// The store. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store(SqlitePool, Db);

impl Store {
    /// Opens the store in a data folder, makes it where there is none, and brings it to the newest
    /// format.
    pub(crate) async fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("tally.db");
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit that has been acknowledged outlives a power cut.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY);
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options);
        let pool = pool.await.map_err(|error| damaged(&path, &error))?;
        check(&pool, &path).await?;
        migrate(&pool, &path).await?;
        let db = Db::Sqlite(pool.clone(), Arc::default());
        Ok(Self(pool, db))
    }

    /// Writes rows, all or none. What is written once more changes nothing.
    pub(crate) async fn commit(&self, rows: &[Row]) -> Result<(), StoreError> {
        let watch = Stopwatch::start();
        let written = self.write(rows).await;
        metrics::committed(watch.elapsed(), written.is_err());
        written
    }

    async fn write(&self, rows: &[Row]) -> Result<(), StoreError> {
        let Tx::Sqlite(mut transaction, _turn) = self.1.write().await? else { return Ok(()) };
        for row in rows {
            row.write(&mut transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// The database itself.
    pub(crate) fn db(&self) -> &Db {
        &self.1
    }

    /// Closes the file.
    pub(crate) async fn close(&self) {
        self.0.close().await;
    }
}

fn damaged(path: &Path, error: &sqlx::Error) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), problem: error.to_string() }
}

/// A damaged store must not be served from: it would lose or invent jobs.
async fn check(pool: &SqlitePool, path: &Path) -> Result<(), StoreError> {
    let found: Result<Vec<(String,)>, _> =
        sqlx::query_as("pragma quick_check(1)").fetch_all(pool).await;
    match found {
        Ok(lines) if lines.iter().all(|(line,)| line == "ok") => Ok(()),
        Ok(lines) => {
            let problem = lines.into_iter().map(|(line,)| line).collect::<Vec<_>>().join("; ");
            Err(StoreError::Damaged { path: path.to_owned(), problem })
        }
        Err(error) => Err(damaged(path, &error)),
    }
}

async fn migrate(pool: &SqlitePool, path: &Path) -> Result<(), StoreError> {
    let known = MIGRATIONS.last().map_or(0, |(version, ..)| *version);
    let migrations = MIGRATIONS.iter().map(|&(version, description, sql)| {
        let sql = AssertSqlSafe(sql).into_sql_str();
        Migration::new(version, description.into(), MigrationType::Simple, sql, false)
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    match migrator.run(pool).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(_)) => {
            let mut connection = pool.acquire().await?;
            let applied = connection.list_applied_migrations(&migrator.table_name).await;
            let applied = applied.unwrap_or_default();
            let found = applied.iter().map(|migration| migration.version).max().unwrap_or(0);
            Err(StoreError::Newer { path: path.to_owned(), found, known })
        }
        Err(MigrateError::Execute(error)) => Err(error.into()),
        Err(error) => {
            Err(StoreError::Damaged { path: path.to_owned(), problem: error.to_string() })
        }
    }
}
