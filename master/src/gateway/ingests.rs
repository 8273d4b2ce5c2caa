//! `POST /api/v1/tables/{table}/ingests`: the same as `POST /api/v1/jobs?table=`, for those who begin at the
//! table.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::Uri;

use tally_common::api::JobView;

use super::jobs::SubmitForm;
use super::openapi::{OfInput, Repeatable, SpecParams};
use super::problem::Problem;
use super::{Answer, App, jobs};

/// `POST /api/v1/tables/{table}/ingests`
#[utoipa::path(
    operation_id = "ingest",
    post, path = "/api/v1/tables/{table}/ingests", tag = "tables",
    params(
        ("table" = String, Path, description = "The table"),
        SpecParams, Repeatable,
    ),
    request_body(
        description = "The file whose rows go into the table, plain, gzip or zstd",
        content(
            (String = "text/csv", example = "name,sku,description\nLamp,l-1,Gives light\n"),
            (String = "application/octet-stream"),
            (SubmitForm = "multipart/form-data"),
        ),
    ),
    responses(
        (status = 202, description = "All of it has arrived, and is being read and applied", body = JobView,
            headers(("Location" = String, description = "The job"))),
        OfInput,
    ),
)]
pub(super) async fn create(
    state: App,
    table: Result<Path<String>, PathRejection>,
    mut request: Request,
) -> Answer {
    let Path(table) = table?;
    *request.uri_mut() = uri(request.uri().query(), &table)?;
    let State(jobs) = state;
    jobs::submit(State(jobs), request).await
}

/// Where the same is asked for with the table as a parameter.
fn uri(query: Option<&str>, table: &str) -> Result<Uri, Problem> {
    let mut query = form_urlencoded::Serializer::new(query.unwrap_or_default().to_owned());
    let path = format!("/api/v1/jobs?{}", query.append_pair("table", table).finish());
    path.parse().map_err(|_| Problem::bad_request("the query makes no sense"))
}
