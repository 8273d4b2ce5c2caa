//! Sources that are watched, over HTTP.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;

use tally_common::api::{SourceList, SourceView};

use super::openapi::Any;
use super::problem::Problem;
use super::{Answer, App};

/// The name in a path.
type Name = Result<Path<String>, PathRejection>;

/// The sources that are watched for new data.
#[utoipa::path(operation_id = "list_sources", get, path = "/api/v1/sources", tag = "sources",
    responses((status = 200, description = "In the order of the configuration", body = SourceList), Any))]
pub(super) async fn list(State(jobs): App) -> Answer {
    let sources = jobs.sources().map(|sources| sources.list()).unwrap_or_default();
    Ok(Json(SourceList { sources }).into_response())
}

/// One source.
#[utoipa::path(operation_id = "get_source", get, path = "/api/v1/sources/{name}", tag = "sources",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "The source", body = SourceView), Any))]
pub(super) async fn get(State(jobs): App, name: Name) -> Answer {
    let Path(name) = name?;
    let found = jobs.sources().and_then(|sources| sources.get(&name));
    Ok(Json(found.ok_or_else(|| none(&name))?).into_response())
}

/// Look at a source now, or once what is under way about it has ended.
///
/// Of what was given up after failed jobs, another submission is tried.
#[utoipa::path(operation_id = "poll_source", post, path = "/api/v1/sources/{name}/poll", tag = "sources",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 202, description = "The source as it is before that", body = SourceView),
        Any))]
pub(super) async fn poll(State(jobs): App, name: Name) -> Answer {
    let Path(name) = name?;
    let found = jobs.sources().and_then(|sources| sources.poll(&name));
    Ok((StatusCode::ACCEPTED, Json(found.ok_or_else(|| none(&name))?)).into_response())
}

fn none(name: &str) -> Problem {
    let detail = format!("there is no source {name:?}; GET /api/v1/sources lists them");
    Problem::of(StatusCode::NOT_FOUND, "source-not-found", "There is no such source", detail)
}
