//! Why a request about tables can not be met.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use tally_common::table::{TableError, ValueError};

use crate::store::StoreError;

/// Why a request about tables can not be met.
#[derive(Debug, Error)]
pub enum TablesError {
    /// The master keeps no tables: it counts one thing and is gone.
    #[error("this master keeps no tables")]
    None,
    /// The master is stopping.
    #[error("the master is stopping")]
    Stopped,
    /// There is no such table.
    #[error("there is no table {0:?}; declare it, or import a file into it with its key's columns")]
    NotFound(String),
    /// There is a table of that name that is declared otherwise.
    #[error(
        "there is a table {0:?} that is declared otherwise; drop it first, or take another name"
    )]
    Exists(String),
    /// Its definition makes no sense.
    #[error(transparent)]
    Definition(#[from] TableError),
    /// There is no row of that key.
    #[error("there is no row with the key {key} in the table {table:?}")]
    NoRow {
        /// The table.
        table: String,
        /// The key, as it was given.
        key: String,
    },
    /// There is no such aggregate.
    #[error("the table {table:?} has no aggregate {name:?}; it has {known}")]
    NoAggregate {
        /// The table.
        table: String,
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A key or a value in a query does not fit its column.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// A query makes no sense.
    #[error("{0}")]
    Query(String),
    /// The changes after that number are not kept any more.
    #[error(
        "the changes of {table:?} after {after} are not kept any more; read the rows, then follow from their version"
    )]
    Lost {
        /// The table.
        table: String,
        /// From where on they were wanted.
        after: u64,
    },
    /// More operations than are taken at a time.
    #[error("{found} operations at a time are too many; send at most {most}")]
    TooMany {
        /// How many came.
        found: usize,
        /// How many are taken.
        most: usize,
    },
    /// The store failed while operations were applied.
    #[error("{0}; send the operations again, those that were applied are not applied twice")]
    Failed(Arc<StoreError>),
    /// An ingest can not go on.
    #[error("{0}")]
    Ingest(String),
    /// What an ingest keeps aside while it gathers could not be written or read.
    #[error("the changes of an import could not be kept aside: {0}")]
    Stage(#[from] io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TablesError {
    /// What the store said, where it was the store.
    pub fn of_store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// Whether it failed for want of space on the disk.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Stage(error) => error.kind() == io::ErrorKind::StorageFull,
            error => error.of_store().is_some_and(StoreError::is_full),
        }
    }
}
