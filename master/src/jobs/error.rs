//! Why a client's request can not be met.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use tally_common::api::JobState;
use tally_common::id::JobId;

use crate::coordinator::{OpenError, OverLimit, Stopped};
use crate::look::QueryError;
use crate::spool::InputError;
use crate::store::StoreError;
use crate::tables::TablesError;

/// Why a client's request can not be met.
#[derive(Debug, Error)]
pub enum JobsError {
    /// The master is stopping.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// There is no such job.
    #[error("there is no job {0}")]
    NotFound(JobId),
    /// There was such a job.
    #[error("job {0} was deleted, or its time was over")]
    Gone(JobId),
    /// A look makes no sense.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// As many looks at what has been counted so far as the master makes at a time are under way.
    #[error(
        "{0} looks at partial results are under way, as many as this master makes at a time; try again"
    )]
    Looks(usize),
    /// A list can not go on from there.
    #[error("the cursor makes no sense: {0}; begin with the first page")]
    Cursor(&'static str),
    /// The job is not in the state that this needs.
    #[error("job {job} is {}: {needs}", state.as_str())]
    State {
        /// The job.
        job: JobId,
        /// Its state.
        state: JobState,
        /// What would be needed.
        needs: &'static str,
    },
    /// The input does not make sense. The job has failed for the same reason.
    #[error("{error}")]
    Input {
        /// The job.
        job: JobId,
        /// What is wrong with it.
        error: InputError,
    },
    /// As many uploads as the master takes at a time are under way.
    #[error("{0} uploads are under way, as many as this master takes at a time; try again later")]
    Busy(usize),
    /// As many jobs as the master takes at a time are open.
    #[error("{0} jobs are open, as many as this master takes at a time; try again later")]
    QueueFull(usize),
    /// Whoever submits it has more than it may.
    #[error(transparent)]
    OverLimit(OverLimit),
    /// The input is larger than this master takes.
    #[error(
        "the input has {bytes} bytes, and this master takes at most {most}; compress it, count it in \
         parts, or ask its operator for more (--max-input)"
    )]
    TooLarge {
        /// Bytes that it has.
        bytes: u64,
        /// Bytes that it may have.
        most: u64,
    },
    /// There is not enough room on the disk.
    #[error(
        "the master's disk has no room for it: {needed} bytes are needed, {room} may be used; try \
         again when jobs have ended, or delete some"
    )]
    NoRoom {
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that may be used.
        room: u64,
    },
    /// The first request with that key is still under way.
    #[error(
        "a request with the same key is under way, as job {0}; try again when it has been taken in"
    )]
    InProgress(JobId),
    /// The key was used before.
    #[error("the key was used before for another request; give each request a key of its own")]
    KeyReused,
    /// The key was used long ago.
    #[error(
        "the key was used before, for a job that is gone; it is not applied again. Give a new \
         request a key of its own"
    )]
    KeyExpired,
    /// No upload can be taken up under that job.
    #[error("job {0} has no upload that could be taken up; submit it again")]
    NoUpload(JobId),
    /// Another connection is uploading.
    #[error("another connection uploads to job {0}; try again in a moment")]
    Attached(JobId),
    /// An upload is to go on elsewhere.
    #[error("the upload goes on at byte {at}, not at byte {asked}")]
    Offset {
        /// Where it goes on.
        at: u64,
        /// What was asked for.
        asked: u64,
    },
    /// An upload had to stop.
    #[error("the upload of job {job} was interrupted; it can go on at byte {at}")]
    Interrupted {
        /// The job.
        job: JobId,
        /// Bytes that are durable.
        at: u64,
    },
    /// A file can not be counted where it lies.
    #[error("{path}: {problem}")]
    InPlace {
        /// The file, as it was named.
        path: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A result that the master does not keep is not where it was written.
    #[error(
        "the result of job {job} was written to {} and is not there any more, or was changed; submit \
         the input again to have it once more", path.display()
    )]
    ResultGone {
        /// The job.
        job: JobId,
        /// Where it was written.
        path: PathBuf,
    },
    /// A repair makes no sense.
    #[error("{0}")]
    Repair(String),
    /// The table of an ingest.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk said no.
    #[error("the data folder can not be used: {0}")]
    Io(#[from] io::Error),
}

impl From<OpenError> for JobsError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Io(error) => Self::Io(error),
            OpenError::Store(error) => Self::Store(error),
            OpenError::NoUpload(job) => Self::NoUpload(job),
            OpenError::Attached(job) => Self::Attached(job),
            OpenError::Offset { at, asked } => Self::Offset { at, asked },
            OpenError::KeyReused => Self::KeyReused,
            OpenError::KeyExpired => Self::KeyExpired,
            OpenError::QueueFull(most) => Self::QueueFull(most),
            OpenError::OverLimit(over) => Self::OverLimit(over),
            OpenError::NoRoom { needed, room } => Self::NoRoom { needed, room },
            OpenError::Repair(why) => Self::Repair(why),
        }
    }
}
