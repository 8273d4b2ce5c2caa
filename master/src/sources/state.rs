//! What is remembered of a source and of its items, also over restarts.

use tally_common::id::JobId;

/// What is remembered of a source as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SourceRow {
    /// Of where it is and what becomes of it: where that has changed, its items are forgotten.
    pub(crate) fingerprint: String,
    pub(crate) polls: u64,
    pub(crate) changes: u64,
    pub(crate) errors: u64,
    /// Submissions so far; part of the key of the next one, and so never set back.
    pub(crate) submissions: u64,
    /// Looks in a row that have failed.
    pub(crate) failures: u32,
    /// Milliseconds since 1970.
    pub(crate) last_polled_ms: Option<u64>,
    pub(crate) last_changed_ms: Option<u64>,
    pub(crate) last_job: Option<JobId>,
    pub(crate) last_error: Option<String>,
}

/// A file by what the file system says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stat {
    pub(crate) bytes: u64,
    /// Nanoseconds since 1970.
    pub(crate) modified_ns: i64,
}

/// How far an item's content has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Status {
    /// It has not been submitted, or is to be submitted again.
    #[default]
    New,
    /// It is being submitted: whether it was is known by its key.
    Submitting,
    /// It was submitted as a job.
    Open,
    /// Its job has succeeded.
    Done,
    /// Its job has failed as often as is tried, or was cancelled: nothing happens until it changes.
    GaveUp,
}

impl Status {
    /// Its name in the store.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Submitting => "submitting",
            Self::Open => "open",
            Self::Done => "done",
            Self::GaveUp => "gave up",
        }
    }

    /// The status of a name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let all = [Self::New, Self::Submitting, Self::Open, Self::Done, Self::GaveUp];
        all.into_iter().find(|known| known.as_str() == name)
    }

    /// Whether nothing more will happen to that content.
    pub(crate) const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::GaveUp)
    }
}

/// What is remembered of an item: of a file of a folder, or of the one thing that is behind a URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) status: Status,
    /// There is something new that has not been dealt with: a source that has said so once may not say it
    /// again.
    pub(crate) due: bool,
    /// Of its content, in hexadecimal digits.
    pub(crate) sha256: Option<String>,
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
    /// The file that had this content.
    pub(crate) stat: Option<Stat>,
    pub(crate) job: Option<JobId>,
    /// Jobs of this content that have failed.
    pub(crate) tries: u32,
    /// Not to be submitted again before: milliseconds since 1970.
    pub(crate) retry_ms: u64,
    pub(crate) error: Option<String>,
}
