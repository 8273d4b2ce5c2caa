//! The database under the store: SQLite, or Postgres. What differs between the two is kept here and in
//! `dialect`, `bulk` and `value`, so that whoever writes SQL writes it once.

use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx::postgres::PgPool;
use sqlx::sqlite::{SqliteArguments, SqlitePool};
use sqlx::{AssertSqlSafe, Postgres, Sqlite, Transaction};
use tokio::sync::OwnedMutexGuard;

use tally_common::spec::KeyKind;
use tally_common::table::Value;

use super::bulk::Bulk;
use super::guard::Guard;
use super::here::{Here, Place};
use super::turns::Turns;
use super::value::{
    Cell, Param, bind_sqlite, postgres_arguments, postgres_row, sqlite_arguments, sqlite_row,
};
use super::{Dialect, StoreError};

/// A database. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Db {
    /// A file.
    Sqlite(SqliteDb),
    /// A server, and what keeps other masters off it.
    Postgres(PgPool, Guard),
}

/// A file with a SQLite database.
#[derive(Clone, Debug)]
pub(crate) struct SqliteDb {
    /// One connection, for whoever has the turn.
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
    /// For those who may block.
    pub(super) place: Arc<Place>,
    /// Whose turn it is to write: SQLite has one writer at a time, and lets those that wait ask again and
    /// again, whoever came first. In line, nobody waits for longer than his turn.
    pub(super) turns: Turns<()>,
}

/// A transaction. Rolled back when it is dropped.
pub(crate) enum Tx {
    /// Of a file; the turn to write, where it writes.
    Sqlite(Transaction<'static, Sqlite>, Option<OwnedMutexGuard<()>>),
    /// Of a file, on the thread that uses it.
    Here(Here),
    /// Of a server.
    Postgres(Transaction<'static, Postgres>),
}

impl Db {
    /// Begins a transaction that may write; on SQLite, waits for its turn.
    pub(crate) async fn write(&self) -> Result<Tx, StoreError> {
        match self {
            Self::Sqlite(file) => {
                let turn = file.turns.take().await;
                Ok(Tx::Sqlite(file.writer.begin_with("begin immediate").await?, Some(turn)))
            }
            Self::Postgres(pool, guard) => {
                guard.check()?;
                let mut tx = pool.begin().await?;
                guard.fence(&mut tx).await?;
                Ok(Tx::Postgres(tx))
            }
        }
    }

    /// The same for those who write much. What they do may block the thread: it must be one for that.
    pub(crate) async fn write_here(&self) -> Result<Tx, StoreError> {
        match self {
            Self::Sqlite(file) => {
                let turn = file.turns.take().await;
                Ok(Tx::Here(Here::begin(&file.place, Some(turn))?))
            }
            Self::Postgres(..) => self.write().await,
        }
    }

    /// Begins a transaction that sees one moment and writes nothing. Waits for nobody's writing.
    pub(crate) async fn read(&self) -> Result<Tx, StoreError> {
        match self {
            Self::Sqlite(file) => Ok(Tx::Sqlite(file.readers.begin().await?, None)),
            Self::Postgres(pool, guard) => {
                guard.check()?;
                let begin = "begin isolation level repeatable read read only";
                Ok(Tx::Postgres(pool.begin_with(begin).await?))
            }
        }
    }

    /// The same for those who read much, and whose thread may block.
    pub(crate) async fn read_here(&self) -> Result<Tx, StoreError> {
        match self {
            Self::Sqlite(file) => Ok(Tx::Here(Here::begin(&file.place, None)?)),
            Self::Postgres(..) => self.read().await,
        }
    }

    /// Whether somebody waits for a writing transaction to end.
    pub(crate) fn is_wanted(&self) -> bool {
        match self {
            Self::Sqlite(file) => file.turns.is_wanted(),
            // There many write at a time.
            Self::Postgres(..) => false,
        }
    }

    /// Waits until somebody waits for that.
    pub(crate) async fn wanted(&self) {
        match self {
            Self::Sqlite(file) => file.turns.wanted().await,
            Self::Postgres(..) => std::future::pending().await,
        }
    }

    pub(crate) const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(..) => Dialect::Sqlite,
            Self::Postgres(..) => Dialect::Postgres,
        }
    }

    /// Runs a query outside of any transaction; each row has a value for each of `kinds`.
    pub(crate) async fn query(
        &self,
        sql: String,
        params: &[Param],
        kinds: &[KeyKind],
    ) -> Result<Vec<Vec<Value>>, StoreError> {
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(file) => {
                let query = sqlx::query_with(sql, sqlite_arguments(params)?);
                let found = query.fetch_all(&file.readers).await?;
                found.iter().map(|row| sqlite_row(row, kinds)).collect()
            }
            Self::Postgres(pool, guard) => {
                guard.check()?;
                let query = sqlx::query_with(sql, postgres_arguments(params)?);
                let found = query.fetch_all(pool).await.inspect_err(|_| guard.doubt())?;
                found.iter().map(|row| postgres_row(row, kinds)).collect()
            }
        }
    }

    /// Something failed: sees whether the server is still there.
    pub(super) fn doubt(&self) {
        if let Self::Postgres(_, guard) = self {
            guard.doubt();
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(file) => {
                file.place.close();
                file.readers.close().await;
                file.writer.close().await;
            }
            Self::Postgres(pool, guard) => {
                pool.close().await;
                guard.close();
            }
        }
    }
}

impl Tx {
    pub(crate) const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(..) | Self::Here(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Makes what was done durable.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(transaction, turn) => {
                let committed = transaction.commit().await;
                drop(turn);
                Ok(committed?)
            }
            Self::Here(here) => here.commit(),
            Self::Postgres(transaction) => Ok(transaction.commit().await?),
        }
    }

    /// Runs one statement; gives the number of rows that it changed. Parameters are `$1`, `$2`, ….
    pub(crate) async fn run(&mut self, sql: String, params: &[Param]) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Here(here) => here.run(&sql, params)?,
            Self::Sqlite(tx, _) => {
                let query = sqlx::query_with(AssertSqlSafe(sql), sqlite_arguments(params)?);
                query.execute(&mut **tx).await?.rows_affected()
            }
            Self::Postgres(tx) => {
                let query = sqlx::query_with(AssertSqlSafe(sql), postgres_arguments(params)?);
                query.execute(&mut **tx).await?.rows_affected()
            }
        })
    }

    /// Runs a query; each row has a value for each of `kinds`.
    pub(crate) async fn query(
        &mut self,
        sql: String,
        params: &[Param],
        kinds: &[KeyKind],
    ) -> Result<Vec<Vec<Value>>, StoreError> {
        let mut rows = Vec::new();
        self.each(sql, params, kinds, |row| rows.push(row)).await?;
        Ok(rows)
    }

    /// Runs a query, and hands each row to `see` as it comes.
    pub(crate) async fn each(
        &mut self,
        sql: String,
        params: &[Param],
        kinds: &[KeyKind],
        mut see: impl FnMut(Vec<Value>),
    ) -> Result<(), StoreError> {
        match self {
            Self::Here(here) => here.each(&sql, params, kinds, see)?,
            Self::Sqlite(tx, _) => {
                let query = sqlx::query_with(AssertSqlSafe(sql), sqlite_arguments(params)?);
                let mut found = query.fetch(&mut **tx);
                while let Some(row) = found.try_next().await? {
                    see(sqlite_row(&row, kinds)?);
                }
            }
            Self::Postgres(tx) => {
                let query = sqlx::query_with(AssertSqlSafe(sql), postgres_arguments(params)?);
                let mut found = query.fetch(&mut **tx);
                while let Some(row) = found.try_next().await? {
                    see(postgres_row(&row, kinds)?);
                }
            }
        }
        Ok(())
    }

    /// Runs a statement on rows: `cell` gives what a row has in a column of the statement.
    pub(crate) async fn bulk<'a>(
        &mut self,
        bulk: &Bulk,
        rows: usize,
        cell: impl Fn(usize, usize) -> Cell<'a>,
    ) -> Result<(), StoreError> {
        if rows == 0 {
            return Ok(());
        }
        match self {
            Self::Here(here) => here.bulk(bulk, rows, &cell)?,
            Self::Sqlite(tx, _) => {
                for row in 0..rows {
                    let arguments = row_arguments(bulk, row, &cell)?;
                    let sql = AssertSqlSafe(bulk.sql.clone());
                    sqlx::query_with(sql, arguments).execute(&mut **tx).await?;
                }
            }
            Self::Postgres(tx) => {
                if let Some(copy) = bulk.copy(rows) {
                    return bulk.copy_in(tx, copy, rows, &cell).await;
                }
                let mut from = 0;
                while from < rows {
                    let (to, sql, arguments) = bulk.postgres((from, rows), &cell)?;
                    sqlx::query_with(sql, arguments).execute(&mut **tx).await?;
                    from = to;
                }
            }
        }
        Ok(())
    }

    /// The same for a query: hands each row that it finds to `see`.
    pub(crate) async fn bulk_query<'a>(
        &mut self,
        bulk: &Bulk,
        rows: usize,
        cell: impl Fn(usize, usize) -> Cell<'a>,
        kinds: &[KeyKind],
        mut see: impl FnMut(Vec<Value>),
    ) -> Result<(), StoreError> {
        match self {
            Self::Here(here) => here.bulk_query(bulk, rows, &cell, kinds, &mut see)?,
            Self::Sqlite(tx, _) => {
                for row in 0..rows {
                    let arguments = row_arguments(bulk, row, &cell)?;
                    let sql = AssertSqlSafe(bulk.sql.clone());
                    let mut found = sqlx::query_with(sql, arguments).fetch(&mut **tx);
                    while let Some(row) = found.try_next().await? {
                        see(sqlite_row(&row, kinds)?);
                    }
                }
            }
            Self::Postgres(tx) => {
                let mut from = 0;
                while from < rows {
                    let (to, sql, arguments) = bulk.postgres((from, rows), &cell)?;
                    let mut found = sqlx::query_with(sql, arguments).fetch(&mut **tx);
                    while let Some(row) = found.try_next().await? {
                        see(postgres_row(&row, kinds)?);
                    }
                    from = to;
                }
            }
        }
        Ok(())
    }
}

/// What a row gives a bulk statement, for SQLite.
fn row_arguments<'a>(
    bulk: &Bulk,
    row: usize,
    cell: &impl Fn(usize, usize) -> Cell<'a>,
) -> Result<SqliteArguments, StoreError> {
    let mut arguments = SqliteArguments::default();
    for column in 0..bulk.kinds.len() {
        bind_sqlite(&mut arguments, cell(row, column))?;
    }
    Ok(arguments)
}
