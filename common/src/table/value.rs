//! Values of columns, keys and rows.

use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::definition::TableColumn;
use crate::limits::{MAX_FIELD_BYTES, MAX_ROW_KEY_BYTES};
use crate::reject::RejectReason;
use crate::spec::KeyKind;
use crate::value::{format_date, parse_date, parse_integer};

/// What a field of a row holds. Their order is that of a sorted table: nothing first, then by number, time
/// or bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// Nothing: only in a column that may be null.
    Null,
    /// Of an integer column.
    Integer(i64),
    /// Of a date column: days since 1970-01-01.
    Date(i32),
    /// Of a text column; UTF-8 without a NUL.
    Text(Arc<str>),
}

/// The values of the key columns, in their order; no [`Value::Null`] among them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub Box<[Value]>);

/// The values of all columns of a table, in their order.
pub type Row = Box<[Value]>;

/// Why a value does not fit its column.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ValueError {
    /// It is nothing, and the column needs something.
    #[error("{0:?} must have a value")]
    Null(String),
    /// A key that is the empty text.
    #[error("{0:?} is a key column and can not be empty")]
    EmptyKey(String),
    /// It is of another kind.
    #[error("{column:?} holds {kind}, and {found} is none")]
    Kind {
        /// The column.
        column: String,
        /// What it holds, with its article.
        kind: &'static str,
        /// What was given, shortened.
        found: String,
    },
    /// It is too long.
    #[error("{column:?} has {bytes} bytes; at most {most} are taken")]
    TooLong {
        /// The column.
        column: String,
        /// Bytes that it has.
        bytes: usize,
        /// Bytes that it may have.
        most: usize,
    },
    /// It holds a NUL, which databases do not keep.
    #[error("{0:?} holds a NUL character")]
    Nul(String),
    /// The key has another number of parts.
    #[error("the key has {expected} columns, {found} values were given")]
    KeyLength {
        /// Columns of the key.
        expected: usize,
        /// Values that were given.
        found: usize,
    },
}

/// Characters of a wrong value that an error shows.
const SHOWN_CHARS: usize = 40;

impl Value {
    /// Reads a field of a CSV file or a query. An empty field is nothing where the column may be null and
    /// is no text; in a text column it is the empty text.
    ///
    /// # Errors
    /// The reason for which a record with this field is rejected.
    pub fn from_field(column: &TableColumn, field: &[u8]) -> Result<Self, RejectReason> {
        if field.is_empty() && column.nullable && column.kind != KeyKind::Text {
            return Ok(Self::Null);
        }
        match column.kind {
            KeyKind::Integer => parse_integer(field).map(Self::Integer),
            KeyKind::Date => parse_date(field).map(Self::Date),
            KeyKind::Text => {
                let text = std::str::from_utf8(field).map_err(|_| RejectReason::InvalidUtf8)?;
                check_text(column, text)?;
                Ok(Self::Text(text.into()))
            }
        }
    }

    /// Takes a JSON value: a number (or its digits as text, for those whose numbers are not exact) for an
    /// integer, `"YYYY-MM-DD"` for a date, a string for text, `null` for nothing.
    ///
    /// # Errors
    /// [`ValueError`].
    pub fn from_json(column: &TableColumn, json: &serde_json::Value) -> Result<Self, ValueError> {
        use serde_json::Value as Json;
        let name = || column.name.clone();
        let wrong = || {
            let shown: String = json.to_string().chars().take(SHOWN_CHARS).collect();
            let kind = match column.kind {
                KeyKind::Text => "a text",
                KeyKind::Integer => "a 64-bit integer",
                KeyKind::Date => "a date (YYYY-MM-DD)",
            };
            ValueError::Kind { column: name(), kind, found: shown }
        };
        match (json, column.kind) {
            (Json::Null, _) if column.nullable => Ok(Self::Null),
            (Json::Null, _) => Err(ValueError::Null(name())),
            (Json::Number(n), KeyKind::Integer) => n.as_i64().map(Self::Integer).ok_or_else(wrong),
            (Json::String(text), KeyKind::Integer | KeyKind::Date) => {
                Self::from_field(column, text.as_bytes()).map_err(|_| wrong())
            }
            (Json::String(text), KeyKind::Text) => {
                check_text(column, text).map_err(|reason| match reason {
                    RejectReason::EmptyKey => ValueError::EmptyKey(name()),
                    RejectReason::Nul => ValueError::Nul(name()),
                    _ => ValueError::TooLong {
                        column: name(),
                        bytes: text.len(),
                        most: column.most_bytes(),
                    },
                })?;
                Ok(Self::Text(text.as_str().into()))
            }
            _ => Err(wrong()),
        }
    }

    /// The value as JSON: the inverse of [`Value::from_json`].
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Integer(n) => (*n).into(),
            Self::Date(_) | Self::Text(_) => serde_json::Value::String(self.to_string()),
        }
    }

    /// The integer, if it is one.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(n) => Some(*n),
            _ => None,
        }
    }
}

/// The value as a field shows it; nothing as nothing.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Integer(n) => n.fmt(f),
            Self::Date(day) => {
                f.write_str(std::str::from_utf8(&format_date(*day)).unwrap_or_default())
            }
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// What a text column takes.
fn check_text(column: &TableColumn, text: &str) -> Result<(), RejectReason> {
    if text.len() > column.most_bytes() {
        return Err(RejectReason::TooLong);
    }
    if column.is_key && text.is_empty() {
        return Err(RejectReason::EmptyKey);
    }
    if memchr::memchr(0, text.as_bytes()).is_some() {
        return Err(RejectReason::Nul);
    }
    Ok(())
}

impl TableColumn {
    /// Most bytes of a text in this column: less where it is indexed.
    pub fn most_bytes(&self) -> usize {
        if self.indexed { MAX_ROW_KEY_BYTES } else { MAX_FIELD_BYTES }
    }
}

impl Key {
    /// The key as JSON: the value itself where one column is the key, else an array.
    pub fn to_json(&self) -> serde_json::Value {
        match &*self.0 {
            [only] => only.to_json(),
            values => serde_json::Value::Array(values.iter().map(Value::to_json).collect()),
        }
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Integer(n) => serializer.serialize_i64(*n),
            Self::Date(_) => serializer.collect_str(self),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

/// Of a value whose column is not at hand: every string is a text.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Null => Ok(Self::Null),
            serde_json::Value::Number(n) => n
                .as_i64()
                .map(Self::Integer)
                .ok_or_else(|| D::Error::custom("not a 64-bit integer")),
            serde_json::Value::String(text) => Ok(Self::Text(text.into())),
            _ => Err(D::Error::custom("neither a text, an integer nor null")),
        }
    }
}
