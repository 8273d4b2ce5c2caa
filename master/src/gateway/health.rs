//! Whether the master lives, and whether it can do its work.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::Any;
use super::{Answer, App};
use crate::jobs::Jobs;

/// What people want to see of a master.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`, or `degraded` where something that it works with is away and the rest goes on; one that can
    /// do nothing does not answer.
    status: &'static str,
    /// The master's build version.
    version: &'static str,
    /// Slaves that are joined.
    slaves: u32,
    /// Their worker threads.
    workers: u32,
    /// Jobs that have not ended.
    jobs: u32,
    /// The AMQP broker, if it takes messages from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    broker: Option<BrokerHealth>,
}

/// Whether the broker's messages are taken.
#[cfg_attr(not(feature = "broker"), allow(dead_code, reason = "there is none without a broker"))]
#[derive(Clone, Copy, Serialize, ToSchema)]
pub(super) struct BrokerHealth {
    /// Queues that are to be consumed.
    queues: usize,
    /// Those that are. Fewer: the broker is away, or refuses; the log says why.
    consumed: usize,
}

impl BrokerHealth {
    #[cfg(feature = "broker")]
    fn of(jobs: &Jobs) -> Option<Self> {
        let (consumed, queues) = jobs.consumed().counts();
        (queues > 0).then_some(Self { queues, consumed })
    }

    #[cfg(not(feature = "broker"))]
    fn of(_jobs: &Jobs) -> Option<Self> {
        None
    }

    fn is_degraded(self) -> bool {
        self.consumed < self.queues
    }
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

/// The coordinator answers: requests can be served. Slaves are not needed for that; jobs wait. Nor is the
/// broker: `degraded` in the place of `ready`, with the same status, says that it is away.
#[utoipa::path(
    operation_id = "is_ready",
    get, path = "/readyz", tag = "cluster",
    responses((status = 200, description = "Requests can be served", body = String), Any),
)]
pub(super) async fn ready(State(jobs): App) -> Answer {
    jobs.slaves().await?;
    let Some(broker) = BrokerHealth::of(&jobs) else { return Ok("ready\n".into_response()) };
    let word = if broker.is_degraded() { "degraded" } else { "ready" };
    let BrokerHealth { queues, consumed } = broker;
    Ok(format!("{word}\nbroker: {consumed} of {queues} queues are consumed\n").into_response())
}

/// The same, with what people want to see.
#[utoipa::path(
    operation_id = "get_health",
    get, path = "/health", tag = "cluster",
    responses((status = 200, description = "The same, with what people want to see", body = Health), Any),
)]
pub(super) async fn health(State(jobs): App) -> Answer {
    let counts = jobs.cluster().await?.counts;
    let broker = BrokerHealth::of(&jobs);
    let body = Health {
        status: if broker.is_some_and(BrokerHealth::is_degraded) { "degraded" } else { "ok" },
        version: tally_proto::BUILD,
        slaves: counts.slaves,
        workers: counts.workers,
        jobs: counts.receiving + counts.running + counts.merging,
        broker,
    };
    Ok(Json(body).into_response())
}
