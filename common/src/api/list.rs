//! Lists of jobs: which, in what order, from where on.

use serde::{Deserialize, Serialize};

use super::{JobState, JobView, Priority};

/// A page of jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobList {
    /// The jobs.
    pub jobs: Vec<JobView>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<String>,
}

/// Which jobs are wanted. All conditions must hold; an empty list means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// In one of these states.
    pub states: Vec<JobState>,
    /// Of one of these priorities.
    pub priorities: Vec<Priority>,
    /// With this in their name, whatever the case.
    pub name: Option<String>,
    /// Opened at that time or later: milliseconds since 1970.
    pub opened_from: Option<u64>,
    /// Opened before that time: milliseconds since 1970.
    pub opened_before: Option<u64>,
    /// In what order.
    pub sort: JobSort,
    /// The other way round.
    pub ascending: bool,
    /// Jobs on a page.
    pub limit: u32,
    /// Where the page begins, as the page before said.
    pub cursor: Option<String>,
}

/// What a list of jobs is sorted by, the newest, largest or last first; jobs that are alike in that by
/// when they were opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum JobSort {
    /// When they were opened.
    #[default]
    Opened,
    /// When they ended; those that have not come first.
    Ended,
    /// Their names, in the order of their bytes.
    Name,
    /// Bytes of input that have arrived.
    Size,
}

impl JobSort {
    /// Its name as queries and text have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Ended => "ended",
            Self::Name => "name",
            Self::Size => "size",
        }
    }

    /// The order of a name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Opened, Self::Ended, Self::Name, Self::Size]
            .into_iter()
            .find(|known| known.as_str() == name)
    }
}
