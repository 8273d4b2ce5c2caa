//! Values on their way into the databases and out of them.

use std::sync::Arc;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments as _, Row as _};

use tally_common::spec::KeyKind;
use tally_common::table::Value;
use tally_common::value::{format_date, parse_date};

use super::StoreError;

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

    pub(super) fn cell(&self) -> Cell<'_> {
        match self {
            Self::Int(n) => Cell::Integer(*n),
            Self::Text(text) => Cell::Text(text),
            Self::Value(_, value) => value.into(),
        }
    }
}

/// A value of a row that a bulk statement is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    Null,
    Integer(i64),
    Date(i32),
    Text(&'a str),
}

impl<'a> From<&'a Value> for Cell<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Integer(n) => Self::Integer(*n),
            Value::Date(day) => Self::Date(*day),
            Value::Text(text) => Self::Text(text),
        }
    }
}

impl Cell<'_> {
    pub(crate) fn int(n: u64) -> Self {
        Self::Integer(super::row::int(n))
    }

    /// The number that Postgres is given for an integer or a date.
    pub(super) fn number(self) -> Option<i64> {
        match self {
            Self::Integer(n) => Some(n),
            Self::Date(day) => Some(day.into()),
            Self::Null | Self::Text(_) => None,
        }
    }
}

/// Gives SQLite a value: dates are texts there.
pub(super) fn bind_sqlite(to: &mut SqliteArguments, cell: Cell<'_>) -> Result<(), StoreError> {
    let bound = match cell {
        Cell::Null => to.add(None::<i64>),
        Cell::Integer(n) => to.add(n),
        // Digits and hyphens.
        Cell::Date(day) => {
            to.add(std::str::from_utf8(&format_date(day)).unwrap_or_default().to_owned())
        }
        Cell::Text(text) => to.add(text.to_owned()),
    };
    bound.map_err(|error| sqlx::Error::Encode(error).into())
}

pub(super) fn sqlite_arguments(params: &[Param]) -> Result<SqliteArguments, StoreError> {
    let mut arguments = SqliteArguments::default();
    for param in params {
        bind_sqlite(&mut arguments, param.cell())?;
    }
    Ok(arguments)
}

/// Gives Postgres a value: dates are day numbers, as it has no year 0 to write them in.
fn bind_postgres(to: &mut PgArguments, kind: KeyKind, cell: Cell<'_>) -> Result<(), StoreError> {
    let bound = match (kind, cell) {
        (KeyKind::Text, Cell::Text(text)) => to.add(text),
        (KeyKind::Text, _) => to.add(None::<&str>),
        (_, cell) => to.add(cell.number()),
    };
    bound.map_err(|error| sqlx::Error::Encode(error).into())
}

/// Postgres has no texts with a NUL in them. Names may have one, and then are kept with another character
/// in its place.
fn without_nul(text: &Arc<str>) -> Arc<str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { Arc::clone(text) }
}

pub(super) fn postgres_arguments(params: &[Param]) -> Result<PgArguments, StoreError> {
    let mut arguments = PgArguments::default();
    for param in params {
        match param {
            Param::Int(n) => bind_postgres(&mut arguments, KeyKind::Integer, Cell::Integer(*n))?,
            Param::Text(text) => {
                let text = without_nul(text);
                bind_postgres(&mut arguments, KeyKind::Text, Cell::Text(&text))?;
            }
            Param::Value(kind, value) => bind_postgres(&mut arguments, *kind, value.into())?,
        }
    }
    Ok(arguments)
}

/// A date as SQLite has it.
pub(super) fn date_of(text: &[u8]) -> Result<Value, StoreError> {
    let wrong = |reason| {
        StoreError::nonsense("a date", format!("{:?}: {reason}", String::from_utf8_lossy(text)))
    };
    parse_date(text).map(Value::Date).map_err(wrong)
}

pub(super) fn sqlite_row(row: &SqliteRow, kinds: &[KeyKind]) -> Result<Vec<Value>, StoreError> {
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
                Some(text) => date_of(text.as_bytes())?,
            },
        })
    };
    kinds.iter().enumerate().map(cell).collect()
}

pub(super) fn postgres_row(row: &PgRow, kinds: &[KeyKind]) -> Result<Vec<Value>, StoreError> {
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
