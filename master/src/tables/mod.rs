//! Tables: keyed rows that live on, changed by idempotent operations and by ingests, with aggregates that
//! are always current.

mod error;
mod ingest;

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use tally_common::api::{
    AggregatePage, AggregateQuery, ChangeView, OperationDraft, OperationResult, Recount, RowView,
    RowsPage, RowsQuery, TableView,
};
use tally_common::table::{Row, Table, TableDraft};

pub use error::TablesError;
pub use ingest::Ingest;

/// Most operations of one request.
pub const MAX_OPERATIONS: usize = 10_000;

/// The verbs for tables. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tables {}

/// Rows of one moment, in the order of their keys, in batches; each row with its version.
pub type Scan = mpsc::Receiver<Result<Vec<(u64, Row)>, TablesError>>;

#[expect(clippy::unused_async, unused_variables, reason = "signatures first")]
impl Tables {
    /// Declares a table. Declaring it once more in the same words changes nothing.
    ///
    /// # Errors
    /// [`TablesError::Definition`], [`TablesError::Exists`].
    pub async fn create(&self, draft: TableDraft) -> Result<TableView, TablesError> {
        Err(TablesError::None)
    }

    /// Removes a table with its rows, aggregates and history.
    ///
    /// # Errors
    /// [`TablesError::NotFound`].
    pub async fn drop(&self, table: &str) -> Result<(), TablesError> {
        Err(TablesError::None)
    }

    /// All tables, by name.
    ///
    /// # Errors
    /// [`TablesError::Store`].
    pub async fn list(&self) -> Result<Vec<TableView>, TablesError> {
        Err(TablesError::None)
    }

    /// A table as it is shown.
    ///
    /// # Errors
    /// [`TablesError::NotFound`].
    pub async fn get(&self, table: &str) -> Result<TableView, TablesError> {
        Err(TablesError::None)
    }

    /// A table's definition.
    ///
    /// # Errors
    /// [`TablesError::NotFound`].
    pub fn table(&self, table: &str) -> Result<Arc<Table>, TablesError> {
        Err(TablesError::None)
    }

    /// Applies operations in their order, each once for its message id. All are in one transaction, possibly
    /// with those of others; the answer comes when it has been committed.
    ///
    /// # Errors
    /// [`TablesError::NotFound`], [`TablesError::TooMany`], [`TablesError::Store`]: nothing was applied, or
    /// it is not known whether it was; the same operations may be sent again.
    pub async fn apply(
        &self,
        table: &str,
        operations: Vec<OperationDraft>,
    ) -> Result<Vec<OperationResult>, TablesError> {
        Err(TablesError::None)
    }

    /// A row by its key: the text of its only column, or a JSON array.
    ///
    /// # Errors
    /// [`TablesError::NoRow`], [`TablesError::Value`].
    pub async fn row(&self, table: &str, key: &str) -> Result<RowView, TablesError> {
        Err(TablesError::None)
    }

    /// A page of rows.
    ///
    /// # Errors
    /// [`TablesError::Query`], [`TablesError::Value`].
    pub async fn rows(&self, table: &str, query: &RowsQuery) -> Result<RowsPage, TablesError> {
        Err(TablesError::None)
    }

    /// A page of an aggregate's groups.
    ///
    /// # Errors
    /// [`TablesError::NoAggregate`], [`TablesError::Query`].
    pub async fn aggregate(
        &self,
        table: &str,
        aggregate: &str,
        query: &AggregateQuery,
    ) -> Result<AggregatePage, TablesError> {
        Err(TablesError::None)
    }

    /// What a row was, the newest change first, as far back as is kept.
    ///
    /// # Errors
    /// [`TablesError::Value`].
    pub async fn history(&self, table: &str, key: &str) -> Result<Vec<ChangeView>, TablesError> {
        Err(TablesError::None)
    }

    /// The changes after one, in order, at most `limit` (1 to 10,000).
    ///
    /// # Errors
    /// [`TablesError::Lost`] where some of them are not kept any more.
    pub async fn changes(
        &self,
        table: &str,
        after: u64,
        limit: u32,
    ) -> Result<Vec<ChangeView>, TablesError> {
        Err(TablesError::None)
    }

    /// The number of a table's last change, as it goes up. Ends when the table is dropped.
    ///
    /// # Errors
    /// [`TablesError::NotFound`].
    pub fn watch(&self, table: &str) -> Result<watch::Receiver<u64>, TablesError> {
        Err(TablesError::None)
    }

    /// All rows of one moment.
    ///
    /// # Errors
    /// [`TablesError::NotFound`].
    pub async fn scan(&self, table: &str) -> Result<Scan, TablesError> {
        Err(TablesError::None)
    }

    /// Counts a table's aggregates anew and compares.
    ///
    /// # Errors
    /// [`TablesError::NotFound`].
    pub async fn recount(&self, table: &str) -> Result<Recount, TablesError> {
        Err(TablesError::None)
    }
}
