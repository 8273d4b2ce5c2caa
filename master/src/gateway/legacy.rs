//! The routes that people already call, kept as they are: no more than an id and a message come
//! back, and a result that is not there yet is a text that says why.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::json;

use tally_common::api::JobState;

use super::jobs::job_id;
use super::{Answer, App, download, upload};

/// `POST /jobs/count/`: multipart, field `file`.
pub(super) async fn count(State(jobs): App, request: Request) -> Answer {
    let id = upload::receive(&jobs, request).await?;
    let location = [(header::LOCATION, format!("/jobs/{id}/result/"))];
    let body = json!({ "jobId": id, "message": "The file is being counted." });
    Ok((StatusCode::ACCEPTED, location, Json(body)).into_response())
}

/// `GET /jobs/{id}/result/`: the CSV when it is there, else the status as text.
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
