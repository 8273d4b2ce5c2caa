//! What a verb refuses, as gRPC says it: a code for people, google.rpc details for programs.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use tally_proto::convert::WireError;

use crate::jobs::{JobsError, OverLimit};
use crate::spool::InputError;
use crate::tables::TablesError;

/// When to try again where it is not known when it is of use: as HTTP says.
const COME_BACK: Duration = Duration::from_secs(5);

/// What a request says makes no sense.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn refused(error: WireError) -> Status {
    let message = error.to_string();
    let details = ErrorDetails::with_bad_request_violation(error.field(), message.clone());
    Status::with_error_details(Code::InvalidArgument, message, details)
}

impl From<JobsError> for Status {
    fn from(error: JobsError) -> Self {
        let error = match error {
            JobsError::Tables(error) => return error.into(),
            error => error,
        };
        let message = error.to_string();
        let mut wait = None;
        let (code, reason) = match &error {
            JobsError::Stopped(_) => (Code::Unavailable, "STOPPING"),
            JobsError::NotFound(_) => (Code::NotFound, "NO_SUCH_JOB"),
            JobsError::Gone(_) => (Code::NotFound, "JOB_GONE"),
            JobsError::Query(_) => (Code::InvalidArgument, "QUERY"),
            JobsError::Looks(_) => (Code::ResourceExhausted, "BUSY"),
            JobsError::Cursor(_) => (Code::InvalidArgument, "CURSOR"),
            JobsError::State { .. } => (Code::FailedPrecondition, "JOB_STATE"),
            JobsError::OverLimit(over)
            | JobsError::Input { error: InputError::OverLimit(over), .. } => {
                let reason = match over {
                    OverLimit::Jobs { .. } => "TOO_MANY_JOBS",
                    OverLimit::Bytes { .. } => "TOO_MANY_BYTES",
                };
                wait = over.wait().or(Some(COME_BACK));
                (Code::ResourceExhausted, reason)
            }
            JobsError::Input { .. } => (Code::InvalidArgument, "INPUT"),
            JobsError::Busy(_) | JobsError::QueueFull(_) => (Code::ResourceExhausted, "BUSY"),
            JobsError::NoRoom { .. } => (Code::ResourceExhausted, "NO_ROOM"),
            JobsError::TooLarge { .. } => (Code::InvalidArgument, "TOO_LARGE"),
            JobsError::InProgress(_) | JobsError::Attached(_) => (Code::Aborted, "IN_PROGRESS"),
            JobsError::KeyReused => (Code::InvalidArgument, "KEY_REUSED"),
            JobsError::KeyExpired => (Code::FailedPrecondition, "KEY_EXPIRED"),
            JobsError::NoUpload(_) => (Code::NotFound, "NO_UPLOAD"),
            JobsError::Interrupted { .. } => (Code::Unavailable, "INTERRUPTED"),
            JobsError::Offset { .. } => (Code::OutOfRange, "OFFSET"),
            JobsError::InPlace { .. } => (Code::InvalidArgument, "IN_PLACE"),
            JobsError::ResultGone { .. } => (Code::FailedPrecondition, "RESULT_GONE"),
            JobsError::Repair(_) => (Code::FailedPrecondition, "REPAIR"),
            JobsError::Store(error) if error.is_away() => (Code::Unavailable, "STORE_AWAY"),
            JobsError::Tables(_) => (Code::Internal, "TABLES"),
            JobsError::Store(_) | JobsError::Io(_) => (Code::Internal, "STORAGE"),
        };
        let mut metadata = std::collections::HashMap::new();
        if let JobsError::Input { job, .. } = &error {
            metadata.insert("job_id".to_owned(), job.to_string());
        }
        let mut details = ErrorDetails::with_error_info(reason, "tally", metadata);
        if wait.is_some() {
            details.set_retry_info(wait);
        }
        Self::with_error_details(code, message, details)
    }
}

impl From<TablesError> for Status {
    fn from(error: TablesError) -> Self {
        let (code, reason) = match &error {
            TablesError::Stopped => (Code::Unavailable, "STOPPING"),
            TablesError::None | TablesError::NotFound(_) => (Code::NotFound, "NO_SUCH_TABLE"),
            TablesError::Exists(_) => (Code::AlreadyExists, "TABLE_EXISTS"),
            TablesError::Definition(_) => (Code::InvalidArgument, "DEFINITION"),
            TablesError::NoRow { .. } => (Code::NotFound, "NO_SUCH_ROW"),
            TablesError::NoAggregate { .. } => (Code::NotFound, "NO_SUCH_AGGREGATE"),
            TablesError::Value(_) | TablesError::Query(_) => (Code::InvalidArgument, "QUERY"),
            TablesError::Lost { .. } => (Code::OutOfRange, "CHANGES_LOST"),
            TablesError::TooMany { .. } => (Code::InvalidArgument, "TOO_MANY"),
            TablesError::Ingest(_) => (Code::FailedPrecondition, "INGEST"),
            error => match error.of_store() {
                Some(error) if error.is_full() => (Code::ResourceExhausted, "NO_ROOM"),
                Some(error) if error.is_away() => (Code::Unavailable, "STORE_AWAY"),
                _ => {
                    tracing::error!(%error, "storage failed");
                    (Code::Internal, "STORAGE")
                }
            },
        };
        let details =
            ErrorDetails::with_error_info(reason, "tally", std::collections::HashMap::new());
        Self::with_error_details(code, error.to_string(), details)
    }
}
