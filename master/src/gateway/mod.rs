//! The HTTP edge: each route turns its request into one of the application's verbs, and the answer
//! into a response. Conventions: `202` with `Location`, RFC 9457 problem+json for every error.

mod download;
mod events;
mod health;
mod jobs;
mod legacy;
mod list;
mod listen;
mod look;
mod problem;
mod spec;
mod tus;
mod upload;

use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::config::Config;
use crate::jobs::Jobs;
use problem::Problem;

/// Serves HTTP on `listener` until `shutdown` resolves, then lets requests under way end.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(
    listener: TcpListener,
    jobs: Jobs,
    config: &Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let app = router(jobs, config.max_http_requests);
    listen::serve(listener, app, config.max_connections, shutdown).await
}

/// All routes, for at most `max_requests` requests at a time. Public so that a test can call them
/// without a socket.
pub fn router(jobs: Jobs, max_requests: usize) -> Router {
    let places = Arc::new(Semaphore::new(max_requests));
    let limit = from_fn(move |request: Request, next: Next| {
        let places = Arc::clone(&places);
        async move {
            match places.try_acquire() {
                Ok(_place) => next.run(request).await,
                Err(_) => Problem::busy("as many requests as the master takes are under way")
                    .into_response(),
            }
        }
    });
    let nosniff = HeaderValue::from_static("nosniff");
    Router::new()
        .route("/jobs/count/", post(legacy::count))
        .route("/jobs/{id}/result/", get(legacy::result))
        .route("/api/v1/jobs", get(jobs::list).post(jobs::submit))
        .route("/api/v1/jobs/{id}", get(jobs::get).delete(jobs::delete))
        .route("/api/v1/jobs/{id}/tasks", get(jobs::tasks))
        .route("/api/v1/jobs/{id}/history", get(jobs::history))
        .route("/api/v1/jobs/{id}/events", get(events::job))
        .route("/api/v1/events", get(events::cluster))
        .route("/api/v1/cluster", get(jobs::cluster))
        .route("/api/v1/jobs/{id}/cancel", post(jobs::cancel))
        .route("/api/v1/jobs/{id}/result", get(jobs::result))
        .route("/api/v1/jobs/{id}/result/summary", get(jobs::summary))
        .route("/api/v1/jobs/{id}/rejects", get(jobs::rejects))
        .route("/api/v1/jobs/{id}/receipt", get(jobs::receipt))
        .route("/api/v1/jobs/{id}/repairs", post(jobs::repair))
        .route("/api/v1/jobs/{id}/input", get(jobs::input))
        .route("/api/v1/uploads", post(tus::create).options(tus::options))
        .route(
            "/api/v1/uploads/{id}",
            patch(tus::go_on).head(tus::offset).delete(tus::end).options(tus::options),
        )
        .route("/api/v1/slaves", get(jobs::slaves))
        .route("/health", get(health::health))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::no_method)
        // Inputs may have any size: they are streamed to the spool and never held in memory.
        .layer(DefaultBodyLimit::disable())
        .layer(SetResponseHeaderLayer::overriding(header::X_CONTENT_TYPE_OPTIONS, nosniff))
        .layer(limit)
        .with_state(jobs)
}

/// What every handler is given.
type App = axum::extract::State<Jobs>;

/// What every handler answers.
type Answer = Result<Response, Problem>;
