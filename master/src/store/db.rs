//! The database under the store: SQLite, or Postgres. What differs between the two is kept here, so that
//! whoever writes SQL writes it once.

use std::fmt::Write as _;
use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx::postgres::{PgArguments, PgPool, PgRow};
use sqlx::sqlite::{SqliteArguments, SqlitePool, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, Postgres, Row as _, Sqlite, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard};

use tally_common::spec::KeyKind;
use tally_common::table::Value;
use tally_common::value::{format_date, parse_date};

use super::StoreError;
use super::guard::Guard;

/// Most rows that one statement carries into SQLite. Larger ones are not faster, and are slow to prepare.
const SQLITE_BULK_ROWS: usize = 512;

/// Rows that smaller statements have room for.
const SQLITE_ROOM: [usize; 3] = [1, 8, 64];

/// Most values that one statement can carry into SQLite, as it is built.
const SQLITE_BULK_VALUES: usize = 32_766;

/// Most rows that one statement carries into Postgres: bounds what both sides hold.
const POSTGRES_BULK_ROWS: usize = 16_384;

/// A database. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Db {
    /// A file, and whose turn it is to write: SQLite has one writer at a time, and lets those that wait ask
    /// again and again, whoever came first. In line, nobody waits for longer than his turn.
    Sqlite(SqlitePool, Arc<Mutex<()>>),
    /// A server, and what keeps other masters off it.
    Postgres(PgPool, Guard),
}

/// A transaction. Rolled back when it is dropped.
pub(crate) enum Tx {
    /// Of a file; the turn to write, where it writes.
    Sqlite(Transaction<'static, Sqlite>, Option<OwnedMutexGuard<()>>),
    /// Of a server.
    Postgres(Transaction<'static, Postgres>),
}

/// A value that a statement is given.
#[derive(Clone, Debug)]
pub(crate) enum Param {
    Int(i64),
    Text(Arc<str>),
    Value(KeyKind, Value),
}

impl Param {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn int(n: u64) -> Self {
        Self::Int(super::row::int(n))
    }
}

/// A column of what a bulk statement is given: its kind and its values. All columns are as long.
pub(crate) type BulkColumn = (KeyKind, Vec<Value>);

impl Db {
    /// Begins a transaction that may write; on SQLite, waits for its turn.
    pub(crate) async fn write(&self) -> Result<Tx, StoreError> {
        match self {
            Self::Sqlite(pool, turn) => {
                let turn = Arc::clone(turn).lock_owned().await;
                Ok(Tx::Sqlite(pool.begin_with("begin immediate").await?, Some(turn)))
            }
            Self::Postgres(pool, guard) => {
                guard.check()?;
                let mut tx = pool.begin().await?;
                guard.fence(&mut tx).await?;
                Ok(Tx::Postgres(tx))
            }
        }
    }

    /// Begins a transaction that sees one moment and writes nothing. Waits for nobody's writing.
    pub(crate) async fn read(&self) -> Result<Tx, StoreError> {
        match self {
            Self::Sqlite(pool, _) => Ok(Tx::Sqlite(pool.begin().await?, None)),
            Self::Postgres(pool, guard) => {
                guard.check()?;
                let begin = "begin isolation level repeatable read read only";
                Ok(Tx::Postgres(pool.begin_with(begin).await?))
            }
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
            Self::Sqlite(pool, _) => {
                let found =
                    sqlx::query_with(sql, sqlite_arguments(params)?).fetch_all(pool).await?;
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
            Self::Sqlite(pool, _) => pool.close().await,
            Self::Postgres(pool, guard) => {
                pool.close().await;
                guard.close();
            }
        }
    }
}

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// The type of a column, texts in the order of their bytes.
    pub(crate) const fn column_type(self, kind: KeyKind) -> &'static str {
        match (self, kind) {
            (Self::Sqlite, KeyKind::Integer) => "integer",
            (Self::Sqlite, KeyKind::Text | KeyKind::Date) => "text",
            (Self::Postgres, KeyKind::Integer) => "bigint",
            (Self::Postgres, KeyKind::Text) => "text collate \"C\"",
            (Self::Postgres, KeyKind::Date) => "date",
        }
    }

    /// A column as it is read: dates are texts in SQLite, and come as day numbers from Postgres, which
    /// has no year 0 to write them in.
    pub(crate) fn read(self, kind: KeyKind, column: &str) -> String {
        match (self, kind) {
            (Self::Postgres, KeyKind::Date) => format!("({column} - date '1970-01-01')::bigint"),
            _ => column.to_owned(),
        }
    }

    /// What a statement was given, as a column of that kind wants it.
    pub(crate) fn written(self, kind: KeyKind, given: &str) -> String {
        match (self, kind) {
            (Self::Postgres, KeyKind::Date) => format!("(date '1970-01-01' + {given}::integer)"),
            (Self::Postgres, KeyKind::Text) => format!("{given}::text collate \"C\""),
            (Self::Postgres, KeyKind::Integer) => format!("{given}::bigint"),
            (Self::Sqlite, _) => given.to_owned(),
        }
    }

    /// Whether two values, either of which may be null, differ.
    pub(crate) const fn differs(self) -> &'static str {
        match self {
            Self::Sqlite => "is not",
            Self::Postgres => "is distinct from",
        }
    }

    /// What each row of a table in SQLite is kept by: its key, not a number.
    pub(crate) const fn without_rowid(self) -> &'static str {
        match self {
            Self::Sqlite => " without rowid",
            Self::Postgres => "",
        }
    }

    /// A common table `b(c0, c1, …)` of so many rows, which are given by parameters.
    fn source(self, columns: &[BulkColumn], rows: usize) -> String {
        let names: Vec<String> = (0..columns.len()).map(|i| format!("c{i}")).collect();
        let names = names.join(", ");
        if self == Self::Sqlite {
            let one = format!("({})", vec!["?"; columns.len()].join(","));
            let mut sql = format!("with b({names}) as (select * from (values {one}");
            for _ in 1..rows {
                sql.push(',');
                sql.push_str(&one);
            }
            // Rows that only fill the statement up are not looked at. SQLite prepares a statement anew when the
            // parameter that is its limit changes, but not where it is an expression's.
            sql.push_str(") limit abs(?))");
            return sql;
        }
        let mut arrays = String::new();
        for (i, (kind, _)) in columns.iter().enumerate() {
            let kind = if *kind == KeyKind::Text { "text" } else { "bigint" };
            let comma = if i == 0 { "" } else { ", " };
            // Writing to a String does not fail.
            let _ = write!(arrays, "{comma}${}::{kind}[]", i + 1);
        }
        format!("with b({names}) as (select * from unnest({arrays}))")
    }

    /// How many of `left` rows the next statement takes, and how many it has room for. Few different numbers
    /// of the latter, as each is a statement of its own that is prepared once.
    fn bulk_rows(self, left: usize, columns: usize) -> (usize, usize) {
        if self == Self::Postgres {
            let rows = left.min(POSTGRES_BULK_ROWS);
            return (rows, rows);
        }
        // One value is the number of rows.
        let most = SQLITE_BULK_ROWS.min((SQLITE_BULK_VALUES - 1) / columns.max(1)).max(1);
        let room = SQLITE_ROOM.into_iter().find(|room| *room >= left).unwrap_or(most).min(most);
        (left.min(room), room)
    }
}

/// A value as SQLite is given it.
fn bind_sqlite(to: &mut SqliteArguments, value: &Value) -> Result<(), StoreError> {
    let bound = match value {
        Value::Null => to.add(None::<i64>),
        Value::Integer(n) => to.add(*n),
        Value::Date(day) => to.add(date_text(*day)),
        Value::Text(text) => to.add(Arc::clone(text)),
    };
    bound.map_err(|error| sqlx::Error::Encode(error).into())
}

fn bind_postgres(to: &mut PgArguments, kind: KeyKind, value: &Value) -> Result<(), StoreError> {
    let bound = match (kind, value) {
        (KeyKind::Text, Value::Text(text)) => to.add(&**text),
        (KeyKind::Text, _) => to.add(None::<&str>),
        (_, value) => to.add(number(value)),
    };
    bound.map_err(|error| sqlx::Error::Encode(error).into())
}

fn date_text(day: i32) -> Arc<str> {
    // Digits and hyphens.
    Arc::from(std::str::from_utf8(&format_date(day)).unwrap_or_default())
}

/// The number that Postgres is given for an integer or a date.
fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(n) => Some(*n),
        Value::Date(day) => Some((*day).into()),
        Value::Null | Value::Text(_) => None,
    }
}

fn sqlite_arguments(params: &[Param]) -> Result<SqliteArguments, StoreError> {
    let mut arguments = SqliteArguments::default();
    for param in params {
        match param {
            Param::Int(n) => bind_sqlite(&mut arguments, &Value::Integer(*n))?,
            Param::Text(text) => bind_sqlite(&mut arguments, &Value::Text(Arc::clone(text)))?,
            Param::Value(_, value) => bind_sqlite(&mut arguments, value)?,
        }
    }
    Ok(arguments)
}

/// Postgres has no texts with a NUL in them. Names may have one, and then are kept with another character
/// in its place.
fn without_nul(text: &Arc<str>) -> Arc<str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { Arc::clone(text) }
}

fn postgres_arguments(params: &[Param]) -> Result<PgArguments, StoreError> {
    let mut arguments = PgArguments::default();
    for param in params {
        match param {
            Param::Int(n) => bind_postgres(&mut arguments, KeyKind::Integer, &Value::Integer(*n))?,
            Param::Text(text) => {
                let text = Value::Text(without_nul(text));
                bind_postgres(&mut arguments, KeyKind::Text, &text)?;
            }
            Param::Value(kind, value) => bind_postgres(&mut arguments, *kind, value)?,
        }
    }
    Ok(arguments)
}

/// Columns of a bulk statement for SQLite, from a row on: values row by row.
fn sqlite_bulk(
    columns: &[BulkColumn],
    from: usize,
    (rows, room): (usize, usize),
) -> Result<SqliteArguments, StoreError> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(room * columns.len() + 1, 0);
    for row in from..from + rows {
        for (_, values) in columns {
            bind_sqlite(&mut arguments, &values[row])?;
        }
    }
    for _ in 0..(room - rows) * columns.len() {
        bind_sqlite(&mut arguments, &Value::Null)?;
    }
    bind_sqlite(&mut arguments, &Value::Integer(rows as i64))?;
    Ok(arguments)
}

/// Columns of a bulk statement for Postgres, from a row on: an array for each.
fn postgres_bulk(
    columns: &[BulkColumn],
    from: usize,
    rows: usize,
) -> Result<PgArguments, StoreError> {
    let mut arguments = PgArguments::default();
    for (kind, values) in columns {
        let values = &values[from..from + rows];
        let bound = if *kind == KeyKind::Text {
            let texts = values.iter().map(|value| match value {
                Value::Text(text) => Some(&**text),
                _ => None,
            });
            arguments.add(texts.collect::<Vec<Option<&str>>>())
        } else {
            arguments.add(values.iter().map(number).collect::<Vec<Option<i64>>>())
        };
        bound.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

fn sqlite_row(row: &SqliteRow, kinds: &[KeyKind]) -> Result<Vec<Value>, StoreError> {
    let cell = |(i, kind): (usize, &KeyKind)| {
        Ok(match kind {
            KeyKind::Integer => {
                row.try_get::<Option<i64>, _>(i)?.map_or(Value::Null, Value::Integer)
            }
            KeyKind::Text => {
                row.try_get::<Option<&str>, _>(i)?.map_or(Value::Null, |t| Value::Text(t.into()))
            }
            KeyKind::Date => match row.try_get::<Option<&str>, _>(i)? {
                None => Value::Null,
                Some(text) => Value::Date(parse_date(text.as_bytes()).map_err(|reason| {
                    StoreError::nonsense("a date", format!("{text:?}: {reason}"))
                })?),
            },
        })
    };
    kinds.iter().enumerate().map(cell).collect()
}

fn postgres_row(row: &PgRow, kinds: &[KeyKind]) -> Result<Vec<Value>, StoreError> {
    let cell = |(i, kind): (usize, &KeyKind)| {
        Ok(match kind {
            KeyKind::Integer => {
                row.try_get::<Option<i64>, _>(i)?.map_or(Value::Null, Value::Integer)
            }
            KeyKind::Date => {
                let day = row.try_get::<Option<i64>, _>(i)?;
                // A date that somebody else wrote may lie outside ours; it is shown as the nearest.
                day.map_or(Value::Null, |day| Value::Date(day.clamp(-719_528, 2_932_896) as i32))
            }
            KeyKind::Text => {
                row.try_get::<Option<&str>, _>(i)?.map_or(Value::Null, |t| Value::Text(t.into()))
            }
        })
    };
    kinds.iter().enumerate().map(cell).collect()
}

impl Tx {
    pub(crate) const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(..) => Dialect::Sqlite,
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
            Self::Postgres(transaction) => Ok(transaction.commit().await?),
        }
    }

    /// Runs one statement; gives the number of rows that it changed. Parameters are `$1`, `$2`, ….
    pub(crate) async fn run(&mut self, sql: String, params: &[Param]) -> Result<u64, StoreError> {
        let sql = AssertSqlSafe(sql);
        Ok(match self {
            Self::Sqlite(tx, _) => {
                let query = sqlx::query_with(sql, sqlite_arguments(params)?);
                query.execute(&mut **tx).await?.rows_affected()
            }
            Self::Postgres(tx) => {
                let query = sqlx::query_with(sql, postgres_arguments(params)?);
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
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(tx, _) => {
                let mut found = sqlx::query_with(sql, sqlite_arguments(params)?).fetch(&mut **tx);
                while let Some(row) = found.try_next().await? {
                    see(sqlite_row(&row, kinds)?);
                }
            }
            Self::Postgres(tx) => {
                let mut found = sqlx::query_with(sql, postgres_arguments(params)?).fetch(&mut **tx);
                while let Some(row) = found.try_next().await? {
                    see(postgres_row(&row, kinds)?);
                }
            }
        }
        Ok(())
    }

    /// Runs `statement` on all rows of `columns`, which it finds in the common table `b(c0, c1, …)`; gives
    /// the number of rows that it changed.
    pub(crate) async fn bulk(
        &mut self,
        columns: &[BulkColumn],
        statement: &str,
    ) -> Result<u64, StoreError> {
        let (dialect, mut changed) = (self.dialect(), 0);
        let total = columns.first().map_or(0, |(_, values)| values.len());
        let mut from = 0;
        // What the next statement is given is put together while the database works on this one.
        match self {
            Self::Sqlite(tx, _) => {
                let prepare = |from: usize| {
                    let (rows, room) = dialect.bulk_rows(total - from, columns.len());
                    let sql = format!("{} {statement}", dialect.source(columns, room));
                    let arguments = sqlite_bulk(columns, from, (rows, room))?;
                    Ok::<_, StoreError>((rows, AssertSqlSafe(sql), arguments))
                };
                let mut next = (total > 0).then(|| prepare(0));
                while let Some(prepared) = next {
                    let (rows, sql, arguments) = prepared?;
                    from += rows;
                    let query = sqlx::query_with(sql, arguments).execute(&mut **tx);
                    let ahead = async { (from < total).then(|| prepare(from)) };
                    let (done, prepared) = tokio::join!(query, ahead);
                    changed += done?.rows_affected();
                    next = prepared;
                }
            }
            Self::Postgres(tx) => {
                while from < total {
                    let (rows, room) = dialect.bulk_rows(total - from, columns.len());
                    let sql = format!("{} {statement}", dialect.source(columns, room));
                    let arguments = postgres_bulk(columns, from, rows)?;
                    let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
                    changed += query.execute(&mut **tx).await?.rows_affected();
                    from += rows;
                }
            }
        }
        Ok(changed)
    }

    /// The same for a query: hands each row that it finds to `see`.
    pub(crate) async fn bulk_query(
        &mut self,
        columns: &[BulkColumn],
        statement: &str,
        kinds: &[KeyKind],
        mut see: impl FnMut(Vec<Value>),
    ) -> Result<(), StoreError> {
        let dialect = self.dialect();
        let total = columns.first().map_or(0, |(_, values)| values.len());
        let mut from = 0;
        while from < total {
            let (rows, room) = dialect.bulk_rows(total - from, columns.len());
            let sql = AssertSqlSafe(format!("{} {statement}", dialect.source(columns, room)));
            match self {
                Self::Sqlite(tx, _) => {
                    let arguments = sqlite_bulk(columns, from, (rows, room))?;
                    let mut found = sqlx::query_with(sql, arguments).fetch(&mut **tx);
                    while let Some(row) = found.try_next().await? {
                        see(sqlite_row(&row, kinds)?);
                    }
                }
                Self::Postgres(tx) => {
                    let arguments = postgres_bulk(columns, from, rows)?;
                    let mut found = sqlx::query_with(sql, arguments).fetch(&mut **tx);
                    while let Some(row) = found.try_next().await? {
                        see(postgres_row(&row, kinds)?);
                    }
                }
            }
            from += rows;
        }
        Ok(())
    }
}
