//! Looks at a result: some of its rows, and what it comes to.

use serde::{Deserialize, Serialize};

/// Which rows of a result are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LookQuery {
    /// Most rows that are given.
    pub limit: u32,
    /// Matching rows that are passed over.
    pub offset: u64,
    /// Values that group-by columns must have, by name (as names are compared), as the result has them.
    pub equal: Vec<(String, String)>,
    /// What the first group-by column must begin with.
    pub prefix: Option<String>,
    /// Of what has been counted so far, where the job has not ended.
    pub partial: bool,
}

/// Some rows of a result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Look {
    /// The result's columns, in order.
    pub columns: Vec<String>,
    /// The rows, each with a text for every column.
    pub rows: Vec<Vec<String>>,
    /// The `offset` with which the next rows come; `None` where there are no more.
    pub next_offset: Option<u64>,
    /// Rows of the whole result; `None` where it is not written yet.
    pub total_rows: Option<u64>,
    /// How much of the input these rows cover; `None` where that is all of it.
    pub coverage: Option<Coverage>,
}

/// How much of an input has been counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Coverage {
    /// Bytes of (decompressed) input in the totals.
    pub bytes: u64,
    /// Bytes of (decompressed) input that are expected, as far as is known: all that has arrived, or that
    /// was announced.
    pub of_bytes: u64,
    /// The share, from 0 to 1.
    pub share: f64,
    /// Tasks in the totals.
    pub tasks: u32,
}

/// What a result comes to, for charts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Summary {
    /// The aggregate that is charted: the first one.
    pub value: String,
    /// The first group-by column.
    pub key: String,
    /// Different values of that column.
    pub keys: u64,
    /// The values of that column with the largest aggregates over all that goes with them, largest first.
    pub top: Vec<KeyTotal>,
    /// The first group-by column that holds dates; `None` where none does.
    pub date: Option<String>,
    /// How long each of `dates` is.
    pub span: Span,
    /// The aggregate by date, in order; empty where there are no dates.
    pub dates: Vec<DateTotal>,
    /// Rows of the result.
    pub rows: u64,
}

/// A value and what comes to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyTotal {
    /// The value, as the result has it.
    pub key: String,
    /// The aggregate, in decimal; it may be larger than 64 bits.
    pub value: String,
}

/// A span of time and what comes to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DateTotal {
    /// Its first day: `YYYY-MM-DD`.
    pub date: String,
    /// The aggregate, in decimal; it may be larger than 64 bits.
    pub value: String,
}

/// A span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Span {
    /// A day.
    #[default]
    Day,
    /// A month, where there are too many days.
    Month,
    /// A year, where there are too many months.
    Year,
}
