//! What the machine is told, and what it says.

use std::time::Duration;

use tally_common::id::JobId;

use super::super::state::{Item, SourceRow, Stat};

/// How a source is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It is asked whether there is something new.
    Sense,
    /// It is fetched, if it says that it has changed.
    Fetch,
    /// It is listed.
    List,
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The master has started.
    Started,
    /// It is time to look.
    Due,
    /// Somebody wants it to be looked at now.
    Asked,
    /// It has said whether there is something new.
    Sensed(bool),
    /// These files are there.
    Listed(Vec<(String, Stat)>),
    /// It is as it was.
    Unmodified,
    /// It can not be read just now: it is being written, or has gone.
    Unsteady,
    /// It was fetched.
    Fetched(Content),
    /// What was submitted under the key.
    Found(Option<JobId>),
    /// It was submitted.
    Submitted(JobId),
    /// The job of what was submitted has ended, or there was none, since the input was refused.
    Ended(Option<JobId>, End),
    /// What was to be done could not be done.
    Failed(String),
}

/// What was fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) sha256: String,
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
    pub(crate) stat: Option<Stat>,
}

/// How a job has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Succeeded,
    Failed(String),
    /// By somebody, who will not want it to be done again.
    Cancelled,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Ask whether there is something new since `etag`.
    Sense { etag: Option<String> },
    /// List the files.
    List,
    /// Fetch an item, if it is not what these say.
    Fetch { item: String, etag: Option<String>, last_modified: Option<String> },
    /// Look for what was submitted under a key.
    Find { key: String },
    /// Submit what was fetched.
    Submit { item: String, key: String },
    /// Wait until a job has ended.
    Await(JobId),
    /// Nothing for so long.
    Rest(Duration),
}

/// What is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    Resting,
    Looking,
    Fetching(String),
    Finding(String),
    Submitting(String),
    Awaiting(String),
}

/// What has to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) row: SourceRow,
    pub(crate) items: Vec<(String, Item)>,
    pub(crate) removed: Vec<String>,
}
