//! The store in a file of the data folder: `tally.db`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::db::SqliteDb;
use super::here::Place;
use super::{Db, Dialect, StoreError, Turns, folder, migrate};

/// Connections that read.
const READERS: u32 = 5;

/// Memory that a connection that writes may take for pages, in KiB, negative as SQLite wants it: the pages of an
/// aggregate of some hundred thousand groups are changed again by each chunk of an ingest. SQLite forgets what a
/// connection has of the file once another one has written, so there are two that write: one for rows of
/// tables, one for all else.
const CACHE_KIB: i32 = -16384;

/// The same for one that reads: what it has is mostly out of date, and the system's own cache is next to it.
const READER_CACHE_KIB: i32 = -4096;

/// Pages of 4 KiB in the log after which they are brought into the file: a page that is changed often is
/// brought there less often.
const CHECKPOINT_PAGES: u32 = 8000;

/// Bytes of the log that are kept once it has been brought into the file: it may have grown by all that one
/// import changed.
const LOG_BYTES: u32 = 64 << 20;

/// Rows of a query that wait for whoever reads them. The thread that has found one and the one that takes it
/// need not wake each other for each.
const ROWS_AHEAD: usize = 2048;

/// Statements that each connection keeps prepared: those of jobs, and a dozen of each table in a few sizes.
const STATEMENTS: usize = 400;

/// How long a connection may wait for another one's lock.
const BUSY: Duration = Duration::from_secs(10);

/// Opens the store in a data folder, makes it where there is none, and brings it to the newest format.
pub(super) async fn open(data: &Path) -> Result<Db, StoreError> {
    folder::check_own(data)?;
    let path = data.join(folder::FILE);
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
        .pragma("journal_size_limit", LOG_BYTES.to_string())
        .row_buffer_size(ROWS_AHEAD)
        .statement_cache_capacity(STATEMENTS);
    let store = path.display().to_string();
    let pool = async |connections: u32, cache: i32| {
        let options = options.clone().pragma("cache_size", cache.to_string());
        let pool = SqlitePoolOptions::new().max_connections(connections).connect_with(options);
        pool.await.map_err(|error| damaged(&store, error.to_string()))
    };
    let writer = pool(1, CACHE_KIB).await?;
    check(&writer, &store).await?;
    migrate::run(&mut *writer.acquire().await?, Dialect::Sqlite, &store).await?;
    let readers = pool(READERS, READER_CACHE_KIB).await?;
    let (write, read) = (pragmas(CACHE_KIB), pragmas(READER_CACHE_KIB));
    let place = Arc::new(Place::new(&path, write, read, STATEMENTS));
    Ok(Db::Sqlite(SqliteDb { writer, readers, place, turns: Turns::new(()) }))
}

/// The same settings for connections that are not the pool's. A commit that has been acknowledged outlives a
/// power cut: `synchronous` is full in both. Where a table is renamed, views that somebody has made of it
/// stay with its name.
fn pragmas(cache: i32) -> String {
    let busy = BUSY.as_millis();
    format!(
        "pragma synchronous = full; pragma foreign_keys = on; pragma busy_timeout = {busy};
         pragma cache_size = {cache}; pragma wal_autocheckpoint = {CHECKPOINT_PAGES};
         pragma journal_size_limit = {LOG_BYTES}; pragma legacy_alter_table = on"
    )
}

fn damaged(store: &str, problem: String) -> StoreError {
    let advice = migrate::advice(Dialect::Sqlite);
    StoreError::Damaged { store: store.to_owned(), problem, advice }
}

/// A damaged store must not be served from: it would lose or invent jobs.
async fn check(pool: &SqlitePool, store: &str) -> Result<(), StoreError> {
    let found: Result<Vec<(String,)>, _> =
        sqlx::query_as("pragma quick_check(1)").fetch_all(pool).await;
    match found {
        Ok(lines) if lines.iter().all(|(line,)| line == "ok") => Ok(()),
        Ok(lines) => {
            let lines: Vec<String> = lines.into_iter().map(|(line,)| line).collect();
            Err(damaged(store, lines.join("; ")))
        }
        Err(error) => Err(damaged(store, error.to_string())),
    }
}
