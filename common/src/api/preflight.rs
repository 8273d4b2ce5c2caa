//! What can be said of an input before it is counted.

use serde::{Deserialize, Serialize};

use super::RejectView;
use crate::spec::SpecDraft;

/// What a sample of an input shows, and what is to be expected of all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Preflight {
    /// It can be counted by `spec`, as far as the sample shows.
    pub ok: bool,
    /// What stands in the way or is odd, for people, the worst first; each says what to do.
    pub problems: Vec<String>,
    /// How it is compressed: `none`, `gzip` or `zstd`.
    pub compression: String,
    /// How text is encoded, as far as the sample shows: `utf-8`, `utf-8-bom`, `utf-16le`, `utf-16be`,
    /// `latin-1` or `binary`.
    pub encoding: String,
    /// The byte between fields: `comma`, `semicolon`, `tab` or `pipe`.
    pub delimiter: String,
    /// How lines end: `lf`, `crlf`, `cr` or `mixed`.
    pub line_end: String,
    /// The columns, in the input's order.
    pub columns: Vec<ColumnReport>,
    /// What was looked at.
    pub sample: PreflightSample,
    /// The spec that was tried.
    pub spec: SpecDraft,
    /// A spec that would fit, where the one that was tried does not.
    pub suggestion: Option<SpecDraft>,
    /// What is to be expected of the whole input; `None` where it can not be counted.
    pub prediction: Option<Prediction>,
}

/// A column of an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ColumnReport {
    /// Its name.
    pub name: String,
    /// What all of its values in the sample are: `integer`, `date` or `text`.
    pub kind: String,
    /// What the spec does with it: `group by`, `sum`, `min`, `max`, or nothing.
    pub role: Option<String>,
    /// Different values in the sample.
    pub distinct: u64,
    /// Empty values in the sample.
    pub empty: u64,
    /// The first values, at most three different ones.
    pub examples: Vec<String>,
}

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreflightSample {
    /// Bytes of (decompressed) input.
    pub bytes: u64,
    /// All of the input: what is predicted is known.
    pub whole: bool,
    /// Whole records in it.
    pub records: u64,
    /// Different groups of these.
    pub groups: u64,
    /// Records of these that could not be counted.
    pub rejected: u64,
    /// The first of them.
    pub rejects: Vec<RejectView>,
}

/// What is to be expected of a whole input: estimates, from a sample of its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Prediction {
    /// Bytes of (decompressed) input.
    pub bytes: u64,
    /// Records.
    pub records: u64,
    /// Groups, and so rows of the result.
    pub groups: u64,
    /// Records that could not be counted.
    pub rejected: u64,
    /// Bytes of the result.
    pub result_bytes: u64,
    /// The most bytes of the master's disk that it takes at a time.
    pub disk_bytes: u64,
    /// Bytes of the master's disk that may still be written; `None` where no master was asked.
    pub disk_room: Option<u64>,
    /// Seconds from the last byte's arrival to the result, on the cluster as it is; `None` where there are
    /// no slaves.
    pub seconds: Option<f64>,
}
