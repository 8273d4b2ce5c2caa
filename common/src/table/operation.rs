//! Operations: what changes a row, once for each message id.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::definition::Table;
use super::value::{Key, Value, ValueError};
use crate::api::OperationDraft;
use crate::limits::MAX_KEY_BYTES;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OperationKind {
    /// Adds a row whose key there is not yet.
    Add,
    /// Changes columns of a row that there is.
    Update,
    /// Removes a row that there is.
    Delete,
}

impl OperationKind {
    /// Its name in JSON and CSV.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// The kind of a name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Add, Self::Update, Self::Delete].into_iter().find(|known| known.as_str() == name)
    }
}

/// A checked operation: its values fit the columns of its table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operation {
    /// Under which it is applied once.
    pub message_id: Box<str>,
    /// What it does.
    pub kind: OperationKind,
    /// To which row.
    pub key: Key,
    /// The values that it sets: for each column `None` where it sets nothing. Those of the key are always
    /// set in an add, never in any other.
    pub set: Box<[Option<Value>]>,
    /// The version that the row must have.
    pub expected_version: Option<u64>,
}

/// Why an operation makes no sense for its table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OperationError {
    /// No message id, or one that is too long.
    #[error("an operation needs a message_id of 1 to {max} bytes without control characters", max = MAX_KEY_BYTES)]
    MessageId,
    /// No key.
    #[error("an operation needs a key: the values of {0}")]
    NoKey(String),
    /// The key and the row name different rows.
    #[error(
        "the key and the row differ in {0:?}; a key is never changed: delete the row and add another"
    )]
    KeyDiffers(String),
    /// A column that the table has not.
    #[error("the table has no column {0:?}; it has {1}")]
    NoColumn(String, String),
    /// A value does not fit.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// An update that sets nothing.
    #[error("an update needs a row with the columns to change")]
    NothingSet,
    /// A delete with a row.
    #[error("a delete takes no columns but those of the key")]
    DeleteRow,
    /// An add that expects a version.
    #[error("an add expects no row, so it can expect no version")]
    AddVersion,
}

impl Operation {
    /// Checks a draft against its table.
    ///
    /// # Errors
    /// [`OperationError`].
    pub fn check(table: &Table, draft: &OperationDraft) -> Result<Self, OperationError> {
        let id = draft.message_id.as_str();
        if id.is_empty() || id.len() > MAX_KEY_BYTES || id.chars().any(char::is_control) {
            return Err(OperationError::MessageId);
        }
        let mut set: Box<[Option<Value>]> = vec![None; table.columns().len()].into();
        for (name, json) in draft.row.iter().flatten() {
            let at = table.column(name).ok_or_else(|| {
                let names: Vec<_> = table.columns().iter().map(|c| c.name.as_str()).collect();
                OperationError::NoColumn(name.clone(), names.join(", "))
            })?;
            set[at] = Some(Value::from_json(&table.columns()[at], json)?);
        }
        let key = match &draft.key {
            Some(json) => table.key_from_json(json)?,
            None => {
                let values = table.key().iter().map(|&at| set[at].clone());
                Key(values.collect::<Option<_>>().ok_or_else(|| {
                    let names: Vec<_> = table.key_columns().map(|c| c.name.as_str()).collect();
                    OperationError::NoKey(names.join(", "))
                })?)
            }
        };
        for (&at, value) in table.key().iter().zip(&key.0) {
            if set[at].as_ref().is_some_and(|given| given != value) {
                return Err(OperationError::KeyDiffers(table.columns()[at].name.clone()));
            }
            set[at] = None;
        }
        let some_set = set.iter().any(Option::is_some);
        match draft.op {
            OperationKind::Add if draft.expected_version.is_some() => {
                return Err(OperationError::AddVersion);
            }
            OperationKind::Add => {
                for (&at, value) in table.key().iter().zip(&key.0) {
                    set[at] = Some(value.clone());
                }
                for (column, value) in table.columns().iter().zip(&mut set) {
                    match value {
                        Some(_) => {}
                        None if column.nullable => *value = Some(Value::Null),
                        None => return Err(ValueError::Null(column.name.clone()).into()),
                    }
                }
            }
            OperationKind::Update if !some_set => return Err(OperationError::NothingSet),
            OperationKind::Update => {}
            OperationKind::Delete if some_set => return Err(OperationError::DeleteRow),
            OperationKind::Delete => {}
        }
        let (message_id, expected_version) = (id.into(), draft.expected_version);
        Ok(Self { message_id, kind: draft.op, key, set, expected_version })
    }
}
