//! The slaves: those that are joined, and those that are kept out.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use tally_common::api::{SetAsideView, SlaveView};

use super::openapi::Any;
use super::problem::Problem;
use super::{Answer, App};

/// The slaves.
#[derive(Serialize, ToSchema)]
pub(super) struct SlaveList {
    /// Those that are joined, in the order in which they joined.
    slaves: Vec<SlaveView>,
    /// Those that have lied and are not let in, those first that were set aside last.
    set_aside: Vec<SetAsideView>,
}

/// `GET /api/v1/slaves`
#[utoipa::path(
    operation_id = "list_slaves",
    get, path = "/api/v1/slaves", tag = "cluster",
    responses(
        (status = 200, description = "The slaves that are joined, and those that are kept out", body = SlaveList),
        Any,
    ),
)]
pub(super) async fn list(State(jobs): App) -> Answer {
    let (slaves, set_aside) = (jobs.slaves().await?, jobs.set_aside().await?);
    Ok(Json(SlaveList { slaves, set_aside }).into_response())
}

/// `DELETE /api/v1/slaves/set-aside/{name}`
#[utoipa::path(
    operation_id = "trust_slave",
    delete, path = "/api/v1/slaves/set-aside/{name}", tag = "cluster",
    params(("name" = String, Path, description = "The name of a slave that was set aside")),
    responses((status = 204, description = "It is let in again, once it is started anew"), Any),
)]
pub(super) async fn trust(State(jobs): App, name: Result<Path<String>, PathRejection>) -> Answer {
    let Path(name) = name?;
    match jobs.trust_slave(name.clone()).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(Problem::not_found(format!("no slave {name:?} was set aside"))),
    }
}
