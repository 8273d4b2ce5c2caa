//! SQLite on the thread that asks: for those who write much, and may block. What goes to sqlx's thread and
//! back for each statement costs more than most statements do.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::types::{ToSqlOutput, Value as Owned, ValueRef};
use rusqlite::{Connection, OpenFlags, Statement, ToSql};
use tokio::sync::OwnedMutexGuard;

use tally_common::spec::KeyKind;
use tally_common::table::Value;
use tally_common::value::format_date;

use super::StoreError;
use super::bulk::Bulk;
use super::value::{Cell, Param, date_of};

/// Where such connections come from.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// Statements that each keeps prepared.
    statements: usize,
    /// Apart, so that one that writes finds the pages that it had.
    writer: Spare,
    reader: Spare,
}

/// A connection that is kept for the next transaction of its kind.
#[derive(Debug)]
struct Spare {
    /// What one of the kind is told first.
    pragmas: String,
    idle: Mutex<Option<Connection>>,
}

impl Spare {
    fn new(pragmas: String) -> Self {
        Self { pragmas, idle: Mutex::default() }
    }

    fn idle(&self) -> MutexGuard<'_, Option<Connection>> {
        // A panic elsewhere leaves it as it was.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transaction on the thread that uses it. Rolled back when it is dropped.
pub(crate) struct Here {
    /// There is one until it is dropped.
    connection: Option<Connection>,
    place: Arc<Place>,
    /// The turn to write, where it writes.
    turn: Option<OwnedMutexGuard<()>>,
}

impl Place {
    /// `writer` and `reader` are what connections that write, and those that read, are told first.
    pub(super) fn new(path: &Path, writer: String, reader: String, statements: usize) -> Self {
        let (writer, reader) = (Spare::new(writer), Spare::new(reader));
        Self { path: path.to_owned(), statements, writer, reader }
    }

    fn spare(&self, writes: bool) -> &Spare {
        if writes { &self.writer } else { &self.reader }
    }

    fn connect(&self, writes: bool) -> Result<Connection, StoreError> {
        let spare = self.spare(writes);
        if let Some(idle) = spare.idle().take() {
            return Ok(idle);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.execute_batch(&spare.pragmas)?;
        connection.set_prepared_statement_cache_capacity(self.statements);
        Ok(connection)
    }

    /// Closes those that are not in use.
    pub(super) fn close(&self) {
        *self.writer.idle() = None;
        *self.reader.idle() = None;
    }
}

impl Here {
    /// Begins a transaction; with the turn, one that may write.
    pub(super) fn begin(
        place: &Arc<Place>,
        turn: Option<OwnedMutexGuard<()>>,
    ) -> Result<Self, StoreError> {
        let connection = place.connect(turn.is_some())?;
        connection.execute_batch(if turn.is_some() { "begin immediate" } else { "begin" })?;
        Ok(Self { connection: Some(connection), place: Arc::clone(place), turn })
    }

    pub(super) fn commit(self) -> Result<(), StoreError> {
        Ok(self.connection()?.execute_batch("commit")?)
    }

    fn connection(&self) -> Result<&Connection, StoreError> {
        // It is taken by the drop alone.
        self.connection.as_ref().ok_or_else(|| sqlx::Error::PoolClosed.into())
    }

    pub(super) fn run(&mut self, sql: &str, params: &[Param]) -> Result<u64, StoreError> {
        let mut statement = self.connection()?.prepare_cached(sql)?;
        bind(&mut statement, params)?;
        Ok(statement.raw_execute()? as u64)
    }

    pub(super) fn each(
        &mut self,
        sql: &str,
        params: &[Param],
        kinds: &[KeyKind],
        mut see: impl FnMut(Vec<Value>),
    ) -> Result<(), StoreError> {
        self.scan(sql, params, |row| {
            see(row.values(kinds)?);
            Ok(true)
        })
    }

    /// Runs a query, and hands each row to `see` where it lies, until that says `false`.
    pub(super) fn scan(
        &mut self,
        sql: &str,
        params: &[Param],
        mut see: impl FnMut(&Found<'_>) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let mut statement = self.connection()?.prepare_cached(sql)?;
        bind(&mut statement, params)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            if !see(&Found(row))? {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn bulk<'a>(
        &mut self,
        bulk: &Bulk,
        rows: usize,
        cell: &impl Fn(usize, usize) -> Cell<'a>,
    ) -> Result<(), StoreError> {
        let mut statement = self.connection()?.prepare_cached(&bulk.sql)?;
        for row in 0..rows {
            bind_row(&mut statement, bulk, |column| cell(row, column))?;
            statement.raw_execute()?;
        }
        Ok(())
    }

    pub(super) fn bulk_query<'a>(
        &mut self,
        bulk: &Bulk,
        rows: usize,
        cell: &impl Fn(usize, usize) -> Cell<'a>,
        kinds: &[KeyKind],
        see: &mut impl FnMut(Vec<Value>),
    ) -> Result<(), StoreError> {
        let mut statement = self.connection()?.prepare_cached(&bulk.sql)?;
        for row in 0..rows {
            bind_row(&mut statement, bulk, |column| cell(row, column))?;
            let mut found = statement.raw_query();
            while let Some(row) = found.next()? {
                see(Found(row).values(kinds)?);
            }
        }
        Ok(())
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // What can not even be rolled back is not used again; closing it rolls it back.
        if !connection.is_autocommit() && connection.execute_batch("rollback").is_err() {
            return;
        }
        self.place.spare(self.turn.is_some()).idle().get_or_insert(connection);
    }
}

/// Gives `$1`, `$2`, … their values.
fn bind(statement: &mut Statement<'_>, params: &[Param]) -> Result<(), StoreError> {
    for at in 1..=statement.parameter_count() {
        let named = statement.parameter_name(at).and_then(|name| name[1..].parse::<usize>().ok());
        let Some(param) = params.get(named.unwrap_or(at) - 1) else { continue };
        statement.raw_bind_parameter(at, param.cell())?;
    }
    Ok(())
}

/// Gives a bulk statement a row.
fn bind_row<'a>(
    statement: &mut Statement<'_>,
    bulk: &Bulk,
    cell: impl Fn(usize) -> Cell<'a>,
) -> Result<(), StoreError> {
    for column in 0..bulk.kinds.len() {
        statement.raw_bind_parameter(column + 1, cell(column))?;
    }
    Ok(())
}

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(Owned::Null),
            Self::Integer(n) => ToSqlOutput::Owned(Owned::Integer(*n)),
            Self::Date(day) => {
                // Digits and hyphens.
                let text = String::from_utf8_lossy(&format_date(*day)).into_owned();
                ToSqlOutput::Owned(Owned::Text(text))
            }
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
    }
}

/// A row that was found, where it lies.
pub(super) struct Found<'r>(&'r rusqlite::Row<'r>);

impl Found<'_> {
    pub(super) fn values(&self, kinds: &[KeyKind]) -> Result<Vec<Value>, StoreError> {
        let value = |(i, kind): (usize, &KeyKind)| match (self.0.get_ref(i)?, kind) {
            (ValueRef::Null, _) => Ok(Value::Null),
            (ValueRef::Integer(n), KeyKind::Integer) => Ok(Value::Integer(n)),
            (ValueRef::Text(text), KeyKind::Date) => date_of(text),
            (ValueRef::Text(text), KeyKind::Text) => {
                let text = std::str::from_utf8(text)
                    .map_err(|error| StoreError::nonsense("a text", error))?;
                Ok(Value::Text(text.into()))
            }
            (found, _) => Err(StoreError::nonsense("a value", found.data_type())),
        };
        kinds.iter().enumerate().map(value).collect()
    }

    /// How its `i`th value stands to one of the column's kind.
    pub(super) fn compare(&self, i: usize, to: &Value) -> Result<Ordering, StoreError> {
        Ok(match (self.0.get_ref(i)?, to) {
            (ValueRef::Null, Value::Null) => Ordering::Equal,
            (ValueRef::Null, _) => Ordering::Less,
            (_, Value::Null) => Ordering::Greater,
            (ValueRef::Integer(n), Value::Integer(to)) => n.cmp(to),
            (ValueRef::Text(text), Value::Text(to)) => text.cmp(to.as_bytes()),
            (ValueRef::Text(text), Value::Date(day)) => text.cmp(&format_date(*day)[..]),
            (found, _) => return Err(StoreError::nonsense("a value", found.data_type())),
        })
    }
}
