//! What the verbs for tables refuse, as problems.

use axum::http::StatusCode;

use super::super::problem::Problem;
use crate::tables::TablesError;

/// A declaration that does not hold.
pub(super) fn bad_table(detail: String) -> Problem {
    let (status, title) =
        (StatusCode::UNPROCESSABLE_ENTITY, "The table's definition does not hold");
    Problem::of(status, "bad-table", title, detail)
}

/// A body of operations that is none of the forms that are taken.
pub(super) fn unsupported(detail: impl Into<String>) -> Problem {
    let (status, title) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, "That can not be applied");
    Problem::of(status, "unsupported-media-type", title, detail)
}

impl From<TablesError> for Problem {
    fn from(error: TablesError) -> Self {
        let detail = error.to_string();
        match &error {
            TablesError::Stopped => {
                let (status, title) = (StatusCode::SERVICE_UNAVAILABLE, "The master is stopping");
                Self::of(status, "stopping", title, detail)
            }
            TablesError::None | TablesError::NotFound(_) => {
                let title = "There is no such table";
                Self::of(StatusCode::NOT_FOUND, "table-not-found", title, detail)
            }
            TablesError::Exists(_) => {
                let title = "There is another table of that name";
                Self::of(StatusCode::CONFLICT, "table-exists", title, detail)
            }
            TablesError::Definition(_) => bad_table(detail),
            TablesError::NoRow { .. } => {
                Self::of(StatusCode::NOT_FOUND, "row-not-found", "There is no such row", detail)
            }
            TablesError::NoAggregate { .. } => {
                let title = "There is no such aggregate";
                Self::of(StatusCode::NOT_FOUND, "aggregate-not-found", title, detail)
            }
            TablesError::Value(_) | TablesError::Query(_) => Self::bad_request(detail),
            TablesError::Lost { .. } => {
                let title = "These changes are not kept any more";
                Self::of(StatusCode::GONE, "changes-lost", title, detail)
            }
            TablesError::TooMany { .. } => {
                let (status, title) =
                    (StatusCode::PAYLOAD_TOO_LARGE, "Too many operations at once");
                Self::of(status, "too-many", title, detail)
            }
            TablesError::Ingest(_) => {
                let title = "The ingest can not go on";
                Self::of(StatusCode::CONFLICT, "ingest", title, detail)
            }
            error => match error.of_store() {
                Some(error) if error.is_full() => {
                    let (status, title) = (StatusCode::INSUFFICIENT_STORAGE, "The disk is full");
                    let detail = "nothing was applied; send the same again when there is room";
                    Self::of(status, "no-room", title, detail)
                }
                Some(error) => Self::store(error),
                None => Self::storage(error),
            },
        }
    }
}
