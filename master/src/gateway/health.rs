//! Whether the master lives, and whether it can do its work.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde_json::json;

use super::{Answer, App};

/// The process answers.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// The coordinator answers: requests can be served. Slaves are not needed for that; jobs wait.
pub(super) async fn ready(State(jobs): App) -> Answer {
    jobs.slaves().await?;
    Ok("ready\n".into_response())
}

/// The same, with what people want to see.
pub(super) async fn health(State(jobs): App) -> Answer {
    let slaves = jobs.slaves().await?;
    let workers: u32 = slaves.iter().map(|slave| slave.workers).sum();
    let unended = jobs.list().await?.iter().filter(|job| !job.state.ended()).count();
    let body = json!({
        "status": "ok",
        "version": tally_proto::BUILD,
        "slaves": slaves.len(),
        "workers": workers,
        "jobs": unended,
    });
    Ok(Json(body).into_response())
}
