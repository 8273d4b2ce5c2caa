//! Sources that a master watches.

use serde::{Deserialize, Serialize};

use crate::id::JobId;

/// What is being done about a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum SourcePhase {
    /// Nothing, until it is looked at the next time.
    Waiting,
    /// It is asked whether there is something new, or listed.
    Polling,
    /// Its data is on its way.
    Fetching,
    /// A job takes its data in.
    Ingesting,
    /// Something has failed: nothing, for longer than usual.
    #[serde(rename = "backing off")]
    BackingOff,
}

impl SourcePhase {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Waiting, Self::Polling, Self::Fetching, Self::Ingesting, Self::BackingOff];

    /// Its name as JSON and text show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Polling => "polling",
            Self::Fetching => "fetching",
            Self::Ingesting => "ingesting",
            Self::BackingOff => "backing off",
        }
    }
}

/// A source that is watched for new data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SourceView {
    /// Its name.
    pub name: String,
    /// How it is watched: `sense`, `http` or `folder`.
    pub kind: String,
    /// Where it is: a URL without its query, or a path.
    pub target: String,
    /// What becomes of its data, in words.
    pub into: String,
    /// The table that its data goes into; `None` where it is counted.
    pub table: Option<String>,
    /// What is being done about it.
    pub state: SourcePhase,
    /// When it was looked at last: RFC 3339, UTC.
    pub last_polled_at: Option<String>,
    /// When new data of it was submitted last: RFC 3339, UTC.
    pub last_changed_at: Option<String>,
    /// When it will be looked at next, while nothing is done about it: RFC 3339, UTC.
    pub next_poll_at: Option<String>,
    /// The last job that its data was submitted as.
    pub last_job: Option<JobId>,
    /// What is wrong with it now.
    pub last_error: Option<String>,
    /// Seconds between two looks, more or less.
    pub interval_seconds: f64,
    /// How often it was looked at.
    pub polls: u64,
    /// How often new data of it was submitted.
    pub changes: u64,
    /// How often a look, or a job, has failed.
    pub errors: u64,
    /// Files that are known of a folder; 1 of a URL that has been read.
    pub items: u64,
}

/// All sources of a master.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SourceList {
    /// In the order of the configuration.
    pub sources: Vec<SourceView>,
}
