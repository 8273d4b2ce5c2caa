//! Whether the master lives, and whether it can do its work.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::Any;
use super::{Answer, App};

/// What people want to see of a master.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// Always `ok`: one that is not does not answer.
    status: &'static str,
    /// The master's build version.
    version: &'static str,
    /// Slaves that are joined.
    slaves: u32,
    /// Their worker threads.
    workers: u32,
    /// Jobs that have not ended.
    jobs: u32,
}

/// The process answers.
#[utoipa::path(
    operation_id = "is_alive",
    get, path = "/healthz", tag = "cluster",
    responses((status = 200, description = "The process answers", body = String), Any),
)]
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// The coordinator answers: requests can be served. Slaves are not needed for that; jobs wait.
#[utoipa::path(
    operation_id = "is_ready",
    get, path = "/readyz", tag = "cluster",
    responses((status = 200, description = "Requests can be served", body = String), Any),
)]
pub(super) async fn ready(State(jobs): App) -> Answer {
    jobs.slaves().await?;
    Ok("ready\n".into_response())
}

/// The same, with what people want to see.
#[utoipa::path(
    operation_id = "get_health",
    get, path = "/health", tag = "cluster",
    responses((status = 200, description = "The same, with what people want to see", body = Health), Any),
)]
pub(super) async fn health(State(jobs): App) -> Answer {
    let counts = jobs.cluster().await?.counts;
    let body = Health {
        status: "ok",
        version: tally_proto::BUILD,
        slaves: counts.slaves,
        workers: counts.workers,
        jobs: counts.receiving + counts.running + counts.merging,
    };
    Ok(Json(body).into_response())
}
