//! The spans that follow a task through the master: `request` → `job` → `attempt`, and, when the slave has
//! counted, `partial` and `merge`. They are at level debug: where nobody exports them, nor logs at that
//! level, none is made.

use axum::http::HeaderMap;
use tracing::field::Empty;
use tracing::{Span, debug_span};

use tally_common::id::{Attempt, JobId, MessageId};
use tally_proto::convert::Assignment;
use tally_proto::trace;

use crate::coordinator::NewJob;

/// An HTTP request, in the span that its sender names.
pub(crate) fn http_request(method: &str, route: &str, headers: &HeaderMap) -> Span {
    let span = debug_span!(
        "request",
        otel.name = format_args!("{method} {route}"),
        otel.kind = "server",
        method,
        route,
        status = Empty,
    );
    trace::adopt(&span, trace::of_headers(headers));
    span
}

/// A gRPC call, in the span that its sender names.
pub(crate) fn grpc_call(method: &str, headers: &HeaderMap) -> Span {
    let span =
        debug_span!("request", otel.name = method, otel.kind = "server", method, status = Empty);
    trace::adopt(&span, trace::of_headers(headers));
    span
}

/// A job, from its opening to its end, in the span of the request that has opened it. One that is taken up
/// again after a restart of the master begins a trace of its own.
pub(crate) fn job(id: JobId, new: &NewJob) -> Span {
    let priority = new.priority.as_str();
    let span = debug_span!(parent: None, "job", job = %id, priority, outcome = Empty);
    trace::adopt(&span, new.trace);
    span
}

/// An attempt at a task, from when it is given to a slave until nobody waits for it.
pub(crate) fn attempt(job: &Span, assignment: &Assignment, slave: &str) -> Span {
    let Assignment { message_id, number, attempt, bytes, .. } = assignment;
    debug_span!(
        parent: job,
        "attempt",
        %message_id,
        number,
        attempt,
        bytes,
        slave,
        verdict = Empty,
    )
}

/// A partial, from its first byte to its verdict.
pub(crate) fn partial(message_id: MessageId, attempt: Attempt) -> Span {
    debug_span!("partial", %message_id, attempt, verdict = Empty)
}

/// A merge.
pub(crate) fn merge(job: &Span, id: JobId, tasks: usize) -> Span {
    debug_span!(parent: job, "merge", job = %id, tasks)
}
