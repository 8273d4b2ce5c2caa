//! Who may call which method: asked of every call, whatever serves it, before anything of it is read.

use std::collections::HashMap;
use std::sync::OnceLock;

use axum::BoxError;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use http_body::Frame;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::metrics;
use crate::access::{About, Access, Ended, Need, Peer, Refusal, Until};

/// What each method needs. A method that is not here does not pass its test.
const NEEDS: &[(&str, Need)] = &[
    // Probes have no key, and it says nothing but whether the master serves.
    ("grpc.health.v1.Health/Check", Need::Nothing),
    ("grpc.health.v1.Health/Watch", Need::Nothing),
    ("grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Need::READ),
    ("tally.v1.Cluster/Join", Need::JOIN),
    ("tally.v1.Cluster/StreamTask", Need::JOIN),
    ("tally.v1.Cluster/ReturnPartial", Need::JOIN),
    ("tally.v1.Jobs/Submit", Need::SUBMIT),
    ("tally.v1.Jobs/FindUpload", Need::SUBMIT),
    ("tally.v1.Jobs/Get", Need::READ),
    ("tally.v1.Jobs/List", Need::READ),
    ("tally.v1.Jobs/Watch", Need::READ),
    ("tally.v1.Jobs/Result", Need::READ),
    ("tally.v1.Jobs/Rejects", Need::READ),
    ("tally.v1.Jobs/GetReceipt", Need::READ),
    ("tally.v1.Jobs/Input", Need::READ),
    ("tally.v1.Jobs/Cancel", Need::SUBMIT),
    ("tally.v1.Jobs/Delete", Need::ADMIN),
    ("tally.v1.Jobs/Slaves", Need::READ),
    ("tally.v1.Jobs/TrustSlave", Need::ADMIN),
    ("tally.v1.Jobs/Look", Need::READ),
    ("tally.v1.Jobs/RejectsPage", Need::READ),
    ("tally.v1.Jobs/Summary", Need::READ),
    ("tally.v1.Jobs/Tasks", Need::READ),
    ("tally.v1.Jobs/History", Need::READ),
    ("tally.v1.Jobs/Cluster", Need::READ),
    ("tally.v1.Jobs/WatchCluster", Need::READ),
    ("tally.v1.Tables/Create", Need::ADMIN),
    ("tally.v1.Tables/List", Need::READ),
    ("tally.v1.Tables/Get", Need::READ),
    ("tally.v1.Tables/Drop", Need::ADMIN),
    ("tally.v1.Tables/Apply", Need::SUBMIT),
    ("tally.v1.Tables/Row", Need::READ),
    ("tally.v1.Tables/Rows", Need::READ),
    ("tally.v1.Tables/Scan", Need::READ),
    ("tally.v1.Tables/Aggregate", Need::READ),
    ("tally.v1.Tables/History", Need::READ),
    ("tally.v1.Tables/Watch", Need::READ),
    ("tally.v1.Tables/Recount", Need::ADMIN),
];

/// Calls that go on for as long as somebody listens or sends: they end when he may not any more. Downloads come to
/// an end by themselves.
const ENDS: &[&str] = &[
    "tally.v1.Cluster/Join",
    "tally.v1.Jobs/Submit",
    "tally.v1.Jobs/Watch",
    "tally.v1.Jobs/WatchCluster",
    "tally.v1.Tables/Apply",
    "tally.v1.Tables/Watch",
];

/// What stands in the place of an HTTP method in the audit log.
const GRPC: &str = "grpc";

/// What a method needs. One that there is not needs as much as any: whoever may do nothing here is not told what
/// there is, and a method that was forgotten above is not open.
fn need(method: &str) -> Need {
    static BY_METHOD: OnceLock<HashMap<&str, Need>> = OnceLock::new();
    let needs = BY_METHOD.get_or_init(|| NEEDS.iter().copied().collect());
    needs.get(method).copied().unwrap_or(Need::ADMIN)
}

/// Lets a call by whose sender may make it, and says to what serves it who that is.
pub(super) async fn check(access: Access, mut call: Request, next: Next) -> Response {
    let method = call.uri().path().trim_start_matches('/').to_owned();
    let need = need(&method);
    let peer = call.extensions().get::<Peer>().cloned().unwrap_or_default();
    match access.admit(call.headers(), &peer, need) {
        Ok(who) => {
            let changes = changes(&method, need);
            let entry = changes.then(|| access.entry(Some(&who), &peer, GRPC, &method));
            let ends = need.scope().filter(|_| ENDS.contains(&&*method));
            if let Some(scope) = ends {
                let ended = access.ended(&who, scope);
                call = call.map(|body| {
                    Body::new(Until::new(body, ended, |ended| {
                        Some(Err(Status::from(ended).into()))
                    }))
                });
            }
            call.extensions_mut().insert(who.clone());
            let answer = next.run(call).await;
            if let Some(mut entry) = entry {
                if let Some(about) = answer.extensions().get::<About>() {
                    entry.about(about.clone());
                }
                // One that is refused has its status among the headers, which are all there is of it.
                let status = answer.headers().get("grpc-status");
                entry.answered(status.map_or("OK", |code| metrics::name(code.as_bytes())));
            }
            match ends {
                Some(scope) => {
                    let ended = access.ended(&who, scope);
                    answer.map(|body| Body::new(Until::new(body, ended, trailers)))
                }
                None => answer,
            }
        }
        Err(refusal) => {
            crate::metrics::refused(refusal.reason());
            let entry = access.entry(refusal.who(), &peer, GRPC, &method);
            let status = Status::from(refusal);
            let code = i32::from(status.code()).to_string();
            entry.answered(metrics::name(code.as_bytes()));
            status.into_http::<Body>()
        }
    }
}

/// The end of a stream whose client may not have it any more.
fn trailers(ended: Ended) -> Option<Result<Frame<Bytes>, BoxError>> {
    let mut trailers = HeaderMap::new();
    // A status of our own making has a message that can be sent.
    Status::from(ended).add_header(&mut trailers).ok()?;
    Some(Ok(Frame::trailers(trailers)))
}

impl From<Ended> for Status {
    fn from(ended: Ended) -> Self {
        let details = ErrorDetails::with_error_info(
            "UNAUTHENTICATED",
            "tally",
            HashMap::<String, String>::new(),
        );
        Self::with_error_details(Code::Unauthenticated, ended.to_string(), details)
    }
}

/// An answer, with what the call was about.
pub(super) fn about<T>(mut answer: tonic::Response<T>, about: About) -> tonic::Response<T> {
    answer.extensions_mut().insert(about);
    answer
}

/// Whether a call leaves a line in the audit log: it changes something, or brings a slave.
fn changes(method: &str, need: Need) -> bool {
    match need {
        Need::SUBMIT | Need::ADMIN => method != "tally.v1.Jobs/FindUpload",
        Need::JOIN => method == "tally.v1.Cluster/Join",
        _ => false,
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let (code, reason) = match &refusal {
            Refusal::Unauthenticated { .. } => (Code::Unauthenticated, "UNAUTHENTICATED"),
            Refusal::TooOften { .. } => (Code::ResourceExhausted, "RATE_LIMITED"),
            Refusal::NotAllowed { .. } | Refusal::NotByPage { .. } => {
                (Code::PermissionDenied, "NOT_ALLOWED")
            }
        };
        let wanted = refusal.wanted().map(|scope| ("scope".to_owned(), scope.to_string()));
        let wanted: HashMap<_, _> = wanted.into_iter().collect();
        let mut details = ErrorDetails::with_error_info(reason, "tally", wanted);
        if let Refusal::TooOften { wait, .. } = &refusal {
            details.set_retry_info(Some(*wait));
        }
        Self::with_error_details(code, refusal.to_string(), details)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::metrics::methods;
    use super::*;

    #[test]
    fn every_method_says_what_it_needs() {
        let needs: HashSet<&str> = NEEDS.iter().map(|(method, _)| *method).collect();
        assert_eq!(needs.len(), NEEDS.len(), "a method is there twice");
        for method in methods() {
            assert!(needs.contains(method.as_str()), "{method} says nothing");
        }
        for method in needs {
            assert!(
                methods().contains(method) || method.starts_with("grpc.reflection."),
                "{method} is none"
            );
        }
    }

    #[test]
    fn slaves_may_do_what_slaves_do_and_no_client_may() {
        for (method, need) in NEEDS {
            assert_eq!(*need == Need::JOIN, method.starts_with("tally.v1.Cluster/"), "{method}");
        }
        assert_eq!(super::need("tally.v1.Jobs/Invented"), Need::ADMIN);
    }
}
