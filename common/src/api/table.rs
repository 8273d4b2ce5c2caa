//! Tables as they are shown, and operations as they are sent.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::table::{AggregateDraft, OperationKind, TableColumn};

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TableView {
    /// Its name.
    pub name: String,
    /// The key columns, in order.
    pub key: Vec<String>,
    /// All columns, in order.
    pub columns: Vec<TableColumn>,
    /// Its aggregates.
    pub aggregates: Vec<AggregateDraft>,
    /// Rows in it.
    pub rows: u64,
    /// Number of its last change; 0 before the first.
    pub version: u64,
    /// When it was declared: RFC 3339, UTC.
    pub created_at: String,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RowView {
    /// Its key: the value, or an array where the key has several columns.
    pub key: Value,
    /// The number of the change that made it what it is: what `expected_version` is compared with.
    pub version: u64,
    /// When that was: RFC 3339, UTC.
    pub changed_at: String,
    /// Its values by column.
    pub row: Map<String, Value>,
}

/// A page of rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RowsPage {
    /// The rows.
    pub rows: Vec<RowView>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<String>,
    /// Rows in the whole table, whatever the conditions.
    pub table_rows: u64,
    /// Number of the table's last change when the page was read.
    pub version: u64,
}

/// How a condition compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Comparison {
    /// The column is the value.
    Equal,
    /// The text begins with the value.
    Prefix,
    /// The column is at least the value.
    From,
    /// The column is less than the value.
    Before,
}

/// Which rows are wanted. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowsQuery {
    /// A column's name, how it is compared, and with what.
    pub conditions: Vec<(String, Comparison, String)>,
    /// Some text column has this in it, whatever the case of ASCII letters.
    pub search: Option<String>,
    /// The column to sort by, `_version` for the last change; the key where none is given.
    pub sort: Option<String>,
    /// The other way round.
    pub descending: bool,
    /// Rows on a page: 1 to 10,000.
    pub limit: u32,
    /// Where the page begins, as the page before said.
    pub cursor: Option<String>,
}

/// A page of an aggregate's groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AggregatePage {
    /// The column that groups, then the values' names.
    pub columns: Vec<String>,
    /// The groups, each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<String>,
    /// Groups in the whole aggregate, whatever the conditions.
    pub groups: u64,
    /// Number of the table's last change when the page was read.
    pub version: u64,
}

/// Which groups of an aggregate are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AggregateQuery {
    /// The group of this value only.
    pub group: Option<String>,
    /// The groups that begin with this.
    pub prefix: Option<String>,
    /// The column to sort by; that which groups where none is given.
    pub sort: Option<String>,
    /// The other way round.
    pub descending: bool,
    /// Groups on a page: 1 to 10,000.
    pub limit: u32,
    /// Where the page begins, as the page before said.
    pub cursor: Option<String>,
}

/// An operation as it is sent, not yet checked against its table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperationDraft {
    /// Under which it is applied once: 1 to 128 bytes.
    pub message_id: String,
    /// What it does.
    pub op: OperationKind,
    /// The key of its row: the value, or an array where the key has several columns. May be left out where
    /// the row has the key's columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Value>,
    /// The columns to set: all that must have a value in an add, those to change in an update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<Map<String, Value>>,
    /// The version that the row must have: of an update or a delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<u64>,
}

/// What came of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Outcome {
    /// The row was added.
    Added,
    /// The row was changed.
    Updated,
    /// The row was removed.
    Deleted,
    /// The update changes nothing: the row was so already.
    Unchanged,
    /// An add of a key that there is. Nothing was done.
    Exists,
    /// An update or delete of a key that there is not. Nothing was done.
    Missing,
    /// The row has another version than was expected. Nothing was done.
    Conflict,
    /// A sum would leave the 64-bit integers. Nothing was done.
    Overflow,
    /// The message id was used for another operation. Nothing was done, and the first outcome stands.
    Reused,
    /// The operation makes no sense for the table. Nothing was done, and the message id is still free.
    Invalid,
}

impl Outcome {
    /// Its name as JSON and text show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::Unchanged => "unchanged",
            Self::Exists => "exists",
            Self::Missing => "missing",
            Self::Conflict => "conflict",
            Self::Overflow => "overflow",
            Self::Reused => "reused",
            Self::Invalid => "invalid",
        }
    }

    /// All outcomes.
    pub const ALL: [Self; 10] = [
        Self::Added,
        Self::Updated,
        Self::Deleted,
        Self::Unchanged,
        Self::Exists,
        Self::Missing,
        Self::Conflict,
        Self::Overflow,
        Self::Reused,
        Self::Invalid,
    ];

    /// The outcome of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }

    /// Whether the table is now as the operation wanted it.
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Added | Self::Updated | Self::Deleted | Self::Unchanged)
    }
}

/// The answer to one operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperationResult {
    /// Which operation.
    pub message_id: String,
    /// What came of it: of the first operation with that message id.
    pub outcome: Outcome,
    /// The version of the row after it: of the deletion where it was removed, of the row that there is for
    /// `exists` and `conflict`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// It had been applied before: this is what came of it then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The answers to operations, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperationResults {
    /// One for each operation, in the order in which they were sent.
    pub results: Vec<OperationResult>,
}

/// What a change did to its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ChangeKind {
    /// The row was added.
    Added,
    /// The row was changed.
    Updated,
    /// The row was removed.
    Deleted,
}

impl ChangeKind {
    /// Its name in JSON and text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }

    /// The kind of a name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Added, Self::Updated, Self::Deleted].into_iter().find(|known| known.as_str() == name)
    }
}

/// A change of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeView {
    /// The change's number: changes of a table are numbered from 1 on, in order. Some numbers may be
    /// missing.
    pub version: u64,
    /// What it did.
    pub change: ChangeKind,
    /// Which row.
    pub key: Value,
    /// The row after it; `None` where it was removed.
    pub row: Option<Map<String, Value>>,
    /// When: RFC 3339, UTC.
    pub changed_at: String,
}

/// What a recount of a table's aggregates found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Recount {
    /// Rows that were counted.
    pub rows: u64,
    /// Number of the table's last change when it was counted.
    pub version: u64,
    /// For each aggregate its name, the groups that it has, and in how many it is wrong.
    pub aggregates: Vec<RecountedAggregate>,
    /// Whether the number of rows and all aggregates are right.
    pub right: bool,
}

/// An aggregate that was counted anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecountedAggregate {
    /// Its name.
    pub name: String,
    /// Groups that the rows have.
    pub groups: u64,
    /// Groups whose values differ from what the rows come to, missing and superfluous ones included.
    pub wrong: u64,
}

/// How an ingest treats rows that are not in its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum IngestMode {
    /// They stay.
    #[default]
    Merge,
    /// They are deleted; all of it is seen at once.
    Replace,
}

impl IngestMode {
    /// Its name in JSON and text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Replace => "replace",
        }
    }

    /// The mode of a name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Merge, Self::Replace].into_iter().find(|known| known.as_str() == name)
    }
}

/// Where the records of a job go, if they go into a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IngestView {
    /// The table's name.
    pub table: String,
    /// How rows are treated that are not in the file.
    pub mode: IngestMode,
    /// What it has come to so far; final once the job has succeeded.
    #[serde(flatten)]
    pub counts: IngestCounts,
}

/// What an ingest has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IngestCounts {
    /// Distinct keys of the file.
    pub keys: u64,
    /// Rows that were added.
    pub added: u64,
    /// Rows that were changed.
    pub updated: u64,
    /// Rows that were so already, and were not written.
    pub unchanged: u64,
    /// Rows that were deleted, as they were not in the file.
    pub deleted: u64,
    /// Keys that the file has more than once; the last record counts.
    pub repeated_keys: u64,
    /// Records of the file that a later one with the same key replaced.
    pub replaced_records: u64,
}
