//! Errors as RFC 9457 problem+json: a type that docs explain, a title, what was wrong, what to do.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use tally_common::id::JobId;
use tally_common::spec::SpecError;

use crate::access::{Ended, Refusal};
use crate::cause::among;
use crate::jobs::{JobsError, OverLimit};
use crate::pace::TooSlow;
use crate::spool::InputError;
use crate::store::StoreError;

/// The kinds of problems with the limits of keys.
const TOO_MANY_JOBS: &str = "too-many-jobs";
const TOO_MANY_BYTES: &str = "too-many-bytes";

/// An error as it is sent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// What kind: a URI reference whose fragment is a heading of the HTTP reference.
    #[serde(rename = "type")]
    kind: String,
    /// The kind in words; the same for each of a kind.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What was wrong this time, and what to do.
    detail: String,
    /// The job that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<JobId>,
    /// Seconds until it is of use to ask again, where that is known.
    #[serde(skip)]
    #[schema(ignore)]
    wait: Option<u64>,
}

impl Problem {
    fn new(status: StatusCode, kind: &str, title: &'static str, detail: String) -> Self {
        let kind = format!("/docs/http.md#{kind}");
        Self { kind, title, status: status.as_u16(), detail, job: None, wait: None }
    }

    fn about(mut self, job: JobId) -> Self {
        self.job = Some(job);
        self
    }

    /// What was wrong, for those who are not answered over HTTP.
    #[cfg(feature = "broker")]
    pub(super) fn into_detail(self) -> String {
        self.detail
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        let (status, title) = (StatusCode::BAD_REQUEST, "The request makes no sense");
        Self::new(status, "bad-request", title, detail.into())
    }

    pub(super) fn bad_spec(detail: impl Into<String>) -> Self {
        let (status, title) = (StatusCode::UNPROCESSABLE_ENTITY, "The spec does not hold");
        Self::new(status, "bad-spec", title, detail.into())
    }

    /// A problem of the tus protocol, which has statuses of its own.
    pub(super) fn tus(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::new(status, "tus", "The upload can not go on like that", detail.into())
    }

    pub(super) fn busy(detail: impl Into<String>) -> Self {
        let (status, title) = (StatusCode::TOO_MANY_REQUESTS, "Too much at once");
        Self::new(status, "busy", title, detail.into())
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "That is not allowed", detail.into())
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Nothing is there", detail.into())
    }

    pub(super) fn range() -> Self {
        let (status, title) = (StatusCode::RANGE_NOT_SATISFIABLE, "That part is not there");
        let detail = "ask for a range within the file, such as bytes=0-99, or for all of it";
        Self::new(status, "range", title, detail.to_owned())
    }

    pub(super) fn upload_broke_off(detail: impl Into<String>) -> Self {
        let (status, title) = (StatusCode::BAD_REQUEST, "The upload broke off");
        Self::new(status, "upload-broke-off", title, detail.into())
    }

    /// Who sends it may not any more.
    fn ended(ended: Ended) -> Self {
        let (status, title) = (StatusCode::UNAUTHORIZED, "It is not known who asks");
        Self::new(status, "unauthenticated", title, ended.to_string())
    }

    /// A body that did not come: since it came too slowly, or for another reason.
    pub(super) fn of_body(
        error: &(dyn std::error::Error + 'static),
        otherwise: impl FnOnce() -> Self,
    ) -> Self {
        if let Some(ended) = among::<Ended>(error) {
            return Self::ended(ended);
        }
        among::<TooSlow>(error).map_or_else(otherwise, |slow| Self::too_slow(slow.to_string()))
    }

    pub(super) fn too_slow(detail: impl Into<String>) -> Self {
        let (status, title) = (StatusCode::REQUEST_TIMEOUT, "The body came too slowly");
        Self::new(status, "too-slow", title, detail.into())
    }

    /// The same of an upload that can go on.
    pub(super) fn may_go_on(mut self, detail: &str) -> Self {
        let kept = [StatusCode::REQUEST_TIMEOUT, StatusCode::UNAUTHORIZED];
        if kept.iter().any(|status| status.as_u16() == self.status) {
            self.detail = format!("{}; {detail}", self.detail);
            return self;
        }
        Self::upload_broke_off(detail)
    }

    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        let (status, title) = (StatusCode::PAYLOAD_TOO_LARGE, "The input is too large");
        Self::new(status, "too-large", title, detail.into())
    }

    /// Somebody has more than it may.
    fn over_limit(over: &OverLimit, detail: String) -> Self {
        let (kind, title) = match over {
            OverLimit::Jobs { .. } => (TOO_MANY_JOBS, "Too many jobs of one key"),
            OverLimit::Bytes { .. } => (TOO_MANY_BYTES, "Too many bytes of one key"),
        };
        let wait = over.wait().map(|wait| wait.as_secs() + 1);
        Self { wait, ..Self::new(StatusCode::TOO_MANY_REQUESTS, kind, title, detail) }
    }

    /// Whether it is one of those that are answered before anything is read: whoever is to be kept from sending
    /// is not read from.
    pub(super) fn is_of_limits(&self) -> bool {
        [TOO_MANY_JOBS, TOO_MANY_BYTES].iter().any(|kind| self.kind.ends_with(kind))
    }

    /// A problem of another kind, for the module that alone knows it.
    pub(super) fn of(
        status: StatusCode,
        kind: &str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(status, kind, title, detail.into())
    }

    /// The store could not be asked.
    pub(in crate::gateway) fn store(error: &StoreError) -> Self {
        if !error.is_away() {
            return Self::storage(error);
        }
        let title = "The master's store can not be reached";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "store-away", title, "try again".to_owned())
    }

    pub(in crate::gateway) fn storage(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "storage failed");
        let (status, title) = (StatusCode::INTERNAL_SERVER_ERROR, "The master's storage failed");
        let detail = "the master's log says how".to_owned();
        Self::new(status, "storage", title, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let wait = self.wait;
        let of_encoding = self.kind.ends_with("#unsupported-encoding");
        let mut response = (status, Json(self)).into_response();
        if of_encoding {
            let known = HeaderValue::from_static("gzip, zstd");
            response.headers_mut().insert(header::ACCEPT_ENCODING, known);
        }
        let problem = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, problem);
        if matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
            // Not all of the body may have been read: a next request behind it would get no answer.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        let later = [
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::INSUFFICIENT_STORAGE,
            StatusCode::LOCKED,
        ];
        if later.contains(&status) {
            let wait = wait.map_or(HeaderValue::from_static("5"), HeaderValue::from);
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        response
    }
}

impl From<JobsError> for Problem {
    fn from(error: JobsError) -> Self {
        let detail = error.to_string();
        match error {
            JobsError::Stopped(_) => {
                let (status, title) = (StatusCode::SERVICE_UNAVAILABLE, "The master is stopping");
                Self::new(status, "stopping", title, detail)
            }
            JobsError::NotFound(job) => Self::not_found(detail).about(job),
            JobsError::Gone(job) => {
                Self::new(StatusCode::GONE, "deleted", "The job is gone", detail).about(job)
            }
            JobsError::Cursor(_) | JobsError::Query(_) => Self::bad_request(detail),
            JobsError::State { job, .. } => {
                let (status, title) = (StatusCode::CONFLICT, "The job is not in that state");
                Self::new(status, "job-state", title, detail).about(job)
            }
            JobsError::Input { job, error: InputError::Stopped } => {
                let (status, title) = (StatusCode::SERVICE_UNAVAILABLE, "The master is stopping");
                Self::new(status, "stopping", title, detail).about(job)
            }
            JobsError::Input { job, error: InputError::TooLarge(_) } => {
                Self::too_large(detail).about(job)
            }
            JobsError::TooLarge { .. } => Self::too_large(detail),
            JobsError::OverLimit(over) => Self::over_limit(&over, detail),
            JobsError::Input { job, error: InputError::OverLimit(over) } => {
                Self::over_limit(&over, detail).about(job)
            }
            JobsError::Input { job, error: InputError::Source(_) } => {
                let (status, title) =
                    (StatusCode::UNPROCESSABLE_ENTITY, "The source gives no input");
                Self::new(status, "source", title, detail).about(job)
            }
            JobsError::Input { job, .. } => {
                let (status, title) = (StatusCode::UNPROCESSABLE_ENTITY, "The input is bad");
                Self::new(status, "bad-input", title, detail).about(job)
            }
            JobsError::Busy(_) | JobsError::QueueFull(_) | JobsError::Looks(_) => {
                Self::busy(detail)
            }
            JobsError::NoRoom { .. } => {
                let (status, title) = (StatusCode::INSUFFICIENT_STORAGE, "The disk is full");
                Self::new(status, "no-room", title, detail)
            }
            JobsError::InProgress(job) => {
                let title = "The first request with that key is under way";
                Self::new(StatusCode::CONFLICT, "in-progress", title, detail).about(job)
            }
            JobsError::KeyReused => {
                let (status, title) = (StatusCode::UNPROCESSABLE_ENTITY, "The key was used before");
                Self::new(status, "key-reused", title, detail)
            }
            JobsError::KeyExpired => {
                let (status, title) = (StatusCode::GONE, "The key belongs to a job that is gone");
                Self::new(status, "key-expired", title, detail)
            }
            JobsError::NoUpload(job) => {
                Self::new(StatusCode::NOT_FOUND, "no-upload", "There is no such upload", detail)
                    .about(job)
            }
            JobsError::Attached(job) => {
                Self::new(StatusCode::LOCKED, "locked", "Another connection uploads", detail)
                    .about(job)
            }
            JobsError::Offset { .. } => {
                Self::new(StatusCode::CONFLICT, "offset", "The upload goes on elsewhere", detail)
            }
            JobsError::Interrupted { job, .. } => {
                let (status, title) =
                    (StatusCode::SERVICE_UNAVAILABLE, "The upload was interrupted");
                Self::new(status, "interrupted", title, detail).about(job)
            }
            JobsError::InPlace { .. } => {
                let (status, title) =
                    (StatusCode::UNPROCESSABLE_ENTITY, "The file can not be counted there");
                Self::new(status, "in-place", title, detail)
            }
            JobsError::ResultGone { job, .. } => {
                let (status, title) = (StatusCode::GONE, "The result is not where it was written");
                Self::new(status, "result-gone", title, detail).about(job)
            }
            JobsError::Repair(_) => {
                Self::new(StatusCode::CONFLICT, "repair", "The job can not be repaired", detail)
            }
            JobsError::Tables(error) => error.into(),
            JobsError::Store(error) => Self::store(&error),
            JobsError::Io(error) => Self::storage(&error),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::Unauthenticated { .. } => {
                let (status, title) = (StatusCode::UNAUTHORIZED, "It is not known who asks");
                Self::new(status, "unauthenticated", title, detail)
            }
            Refusal::TooOften { .. } => {
                let (status, title) = (StatusCode::TOO_MANY_REQUESTS, "A key asks too often");
                Self::new(status, "rate-limited", title, detail)
            }
            Refusal::NotAllowed { .. } | Refusal::NotByPage { .. } => {
                let (status, title) = (StatusCode::FORBIDDEN, "Who asks may not do that");
                Self::new(status, "not-allowed", title, detail)
            }
        }
    }
}

impl From<SpecError> for Problem {
    fn from(error: SpecError) -> Self {
        Self::bad_spec(error.to_string())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

pub(super) async fn no_route(uri: Uri) -> Problem {
    Problem::not_found(format!("there is no route {}; docs/http.md lists them", uri.path()))
}

pub(super) async fn no_method(method: Method, uri: Uri) -> Problem {
    let (status, title) = (StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed");
    let detail = format!("{} can not be asked to {method}", uri.path());
    Problem::new(status, "method-not-allowed", title, detail)
}
