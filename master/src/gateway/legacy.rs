//! The routes that people already call, kept as they are: no more than an id and a message come
//! back, and a result that is not there yet is a text that says why.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use tally_common::api::JobState;
use tally_common::id::JobId;

use super::jobs::{SubmitForm, job_id};
use super::openapi::{JobPath, OfFile, OfInput, Repeatable, SpecParams};
use super::problem::Problem;
use super::spec::Params;
use super::{Answer, App, download, upload};

/// What comes back.
#[derive(Serialize, ToSchema)]
pub(super) struct Submitted {
    /// The job.
    #[serde(rename = "jobId")]
    job_id: JobId,
    /// For people.
    message: &'static str,
}

/// `POST /jobs/count/`: multipart, field `file`.
#[utoipa::path(
    operation_id = "count_kept",
    post, path = "/jobs/count/", tag = "kept", params(SpecParams, Repeatable),
    request_body(content((SubmitForm = "multipart/form-data"))),
    responses(
        (status = 202, description = "All of it has arrived, and is being counted", body = Submitted,
            headers(("Location" = String, description = "The result"))),
        OfInput,
    ),
)]
pub(super) async fn count(State(jobs): App, request: Request) -> Answer {
    if Params::parse(request.uri().query())?.table().is_some() {
        let detail = "this route only counts; POST /api/v1/jobs?table= fills a table";
        return Err(Problem::bad_request(detail));
    }
    let id = upload::receive(&jobs, request).await?;
    let location = [(header::LOCATION, format!("/jobs/{id}/result/"))];
    let body = Submitted { job_id: id, message: "The file is being counted." };
    Ok((StatusCode::ACCEPTED, location, Json(body)).into_response())
}

/// `GET /jobs/{id}/result/`: the CSV when it is there, else the status as text.
#[utoipa::path(
    operation_id = "get_result_kept",
    get, path = "/jobs/{id}/result/", tag = "kept", params(JobPath),
    responses(
        (status = 200, description = "The CSV when it is there, else the job's state as text", content(
            (String = "text/csv"),
            (String = "text/plain"),
        )),
        (status = 206, description = "A range of it", body = String, content_type = "text/csv"),
        OfFile,
    ),
)]
pub(super) async fn result(
    State(jobs): App,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let id = job_id(id)?;
    let job = jobs.get(id).await?;
    if job.state == JobState::Succeeded {
        return download::csv(jobs.result(id).await?, "totals", request).await;
    }
    let state = job.state.as_str();
    let text = match &job.error {
        Some(error) => format!("{state}: {error}\n"),
        None => format!("{state}\n"),
    };
    Ok(text.into_response())
}
