//! The count of all gRPC calls, whatever serves them: by method and by the status that they end with.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use prost::Message;
use tracing::Instrument;

use crate::{metrics, trace};

/// The label of a call of no method that there is: its path is the client's, and there is no end of these.
const NO_METHOD: &str = "none";

/// Counts a call. It is under way until all of its answer has been sent.
pub(super) async fn count(request: Request, next: Next) -> Response {
    if !metrics::is_installed() {
        return next.run(request).await;
    }
    let path = request.uri().path().trim_start_matches('/');
    let method = methods().get(path).map_or(NO_METHOD, |method| method.as_str());
    let span = trace::grpc_call(method, request.headers());
    metrics::grpc_in_flight(1);
    let mut call = Call { method, code: None };
    let answer = next.run(request).instrument(span.clone()).await;
    // An answer that is a refusal alone has its status among the headers.
    call.hear(answer.headers());
    span.record("status", call.code.unwrap_or("OK"));
    answer.map(|body| Body::new(Counted { body, call }))
}

/// A call that is under way. Dropped before its status has been sent, its client has gone away.
struct Call {
    method: &'static str,
    code: Option<&'static str>,
}

impl Call {
    fn hear(&mut self, headers: &HeaderMap) {
        self.code =
            self.code.or_else(|| headers.get("grpc-status").map(|code| name(code.as_bytes())));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        metrics::grpc_in_flight(-1);
        metrics::grpc_call(self.method, self.code.unwrap_or("GONE"));
    }
}

/// An answer on its way.
struct Counted {
    body: Body,
    call: Call,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            self.call.hear(trailers);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A status code's name, as gRPC spells it.
pub(super) fn name(code: &[u8]) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    let code = std::str::from_utf8(code).ok().and_then(|code| code.parse::<usize>().ok());
    code.and_then(|code| NAMES.get(code)).copied().unwrap_or("UNKNOWN")
}

/// The methods that there are, as `package.Service/Method`.
pub(super) fn methods() -> &'static HashSet<String> {
    static METHODS: OnceLock<HashSet<String>> = OnceLock::new();
    METHODS.get_or_init(|| {
        let sets = [tally_proto::FILE_DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET];
        let mut methods = HashSet::new();
        // The descriptors are compiled in: what does not decode would be none of ours.
        for file in
            sets.iter().filter_map(|set| FileSet::decode(*set).ok()).flat_map(|set| set.files)
        {
            for service in &file.services {
                let method =
                    |method: &Named| format!("{}.{}/{}", file.package, service.name, method.name);
                methods.extend(service.methods.iter().map(method));
            }
        }
        methods
    })
}

/// What is wanted of a `FileDescriptorSet`.
#[derive(Clone, PartialEq, Message)]
struct FileSet {
    #[prost(message, repeated, tag = "1")]
    files: Vec<FileOfServices>,
}

#[derive(Clone, PartialEq, Message)]
struct FileOfServices {
    #[prost(string, tag = "2")]
    package: String,
    #[prost(message, repeated, tag = "6")]
    services: Vec<Service>,
}

#[derive(Clone, PartialEq, Message)]
struct Service {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    methods: Vec<Named>,
}

#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_known_by_their_paths() {
        for method in
            ["tally.v1.Cluster/Join", "tally.v1.Jobs/Submit", "grpc.health.v1.Health/Check"]
        {
            assert!(methods().contains(method), "{method}: {:?}", methods());
        }
        assert!(!methods().contains("tally.v1.Jobs/Invented"));
    }

    #[test]
    fn codes_have_names() {
        assert_eq!((name(b"0"), name(b"5"), name(b"16")), ("OK", "NOT_FOUND", "UNAUTHENTICATED"));
        assert_eq!((name(b"99"), name(b"x")), ("UNKNOWN", "UNKNOWN"));
    }
}
