//! `GET /metrics`, and the count of all HTTP requests.

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use super::openapi::Any;
use super::problem;
use crate::clock::Stopwatch;
use crate::{metrics, trace};

/// Prometheus's text format.
const FORMAT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The label of a request that no route is for: its path is the client's, and there is no end of these.
const NO_ROUTE: &str = "none";

/// All that the master has counted; `404` where nothing is.
#[utoipa::path(
    operation_id = "get_metrics",
    get, path = "/metrics", tag = "cluster",
    responses((status = 200, description = "What the master has counted, for Prometheus", body = String), Any),
)]
pub(super) async fn show(uri: Uri) -> Response {
    match metrics::render() {
        Some(text) => ([(header::CONTENT_TYPE, FORMAT)], text).into_response(),
        None => problem::no_route(uri).await.into_response(),
    }
}

/// Counts a request, by its route's pattern.
pub(super) async fn count(request: Request, next: Next) -> Response {
    if !metrics::is_installed() {
        return next.run(request).await;
    }
    let route = request.extensions().get::<MatchedPath>().cloned();
    let span = trace::http_request(
        method(request.method()),
        route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str),
        request.headers(),
    );
    let mut pending = Pending {
        route,
        method: method(request.method()),
        answer: None,
        since: Stopwatch::start(),
    };
    metrics::http_in_flight(1);
    let answer = next.run(request).instrument(span.clone()).await;
    span.record("status", answer.status().as_u16());
    pending.answer = Some(answer.status());
    answer
}

/// A request that waits for its answer. Dropped without one, its client has gone away.
struct Pending {
    route: Option<MatchedPath>,
    method: &'static str,
    answer: Option<StatusCode>,
    since: Stopwatch,
}

impl Drop for Pending {
    fn drop(&mut self) {
        metrics::http_in_flight(-1);
        let route = self.route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
        let status = self.answer.map_or("gone", class);
        metrics::http_request(route, self.method, status, self.since.elapsed());
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

/// The method's name; a client may invent others, and there is no end of these.
pub(super) fn method(method: &Method) -> &'static str {
    const KNOWN: [(Method, &str); 6] = [
        (Method::GET, "GET"),
        (Method::POST, "POST"),
        (Method::PATCH, "PATCH"),
        (Method::HEAD, "HEAD"),
        (Method::DELETE, "DELETE"),
        (Method::OPTIONS, "OPTIONS"),
    ];
    KNOWN.iter().find(|(known, _)| known == method).map_or("other", |(_, name)| name)
}
