//! Who may ask for what: of every request, whatever answers it, before anything of its body is read.

use std::collections::HashMap;
use std::sync::OnceLock;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body::Body as _;

use super::metrics;
use super::problem::Problem;
use super::socket;
use crate::access::{About, Access, Ended, Need, Peer, Refusal, Scope, Until, Who, silence};

/// What each route needs, by its method and pattern. A route that is not here does not pass its test.
const NEEDS: &[(&str, &str, Need)] = &[
    ("GET", "/", Need::Nothing),
    ("GET", "/ui/{*path}", Need::Nothing),
    ("GET", "/session", Need::Nothing),
    ("POST", "/session", Need::Nothing),
    ("DELETE", "/session", Need::Nothing),
    ("GET", "/healthz", Need::Nothing),
    ("GET", "/readyz", Need::Nothing),
    ("GET", "/health", Need::Metrics),
    ("GET", "/metrics", Need::Metrics),
    ("GET", "/docs/http.md", Need::Nothing),
    ("GET", "/openapi.json", Need::Nothing),
    ("GET", "/api/v1/jobs", Need::READ),
    ("POST", "/api/v1/jobs", Need::SUBMIT),
    ("GET", "/api/v1/jobs/{id}", Need::READ),
    ("DELETE", "/api/v1/jobs/{id}", Need::ADMIN),
    ("POST", "/api/v1/jobs/{id}/cancel", Need::SUBMIT),
    ("POST", "/api/v1/jobs/{id}/repairs", Need::SUBMIT),
    ("GET", "/api/v1/jobs/{id}/tasks", Need::READ),
    ("GET", "/api/v1/jobs/{id}/history", Need::READ),
    ("GET", "/api/v1/jobs/{id}/events", Need::READ),
    ("GET", "/api/v1/jobs/{id}/result", Need::READ),
    ("GET", "/api/v1/jobs/{id}/result/summary", Need::READ),
    ("GET", "/api/v1/jobs/{id}/rejects", Need::READ),
    ("GET", "/api/v1/jobs/{id}/receipt", Need::READ),
    ("GET", "/api/v1/jobs/{id}/input", Need::READ),
    // It takes as much of a file as a submission begins with.
    ("POST", "/api/v1/preflight", Need::SUBMIT),
    // What the protocol can do: asked before there is a key to be shown.
    ("OPTIONS", "/api/v1/uploads", Need::Nothing),
    ("OPTIONS", "/api/v1/uploads/{id}", Need::Nothing),
    ("POST", "/api/v1/uploads", Need::SUBMIT),
    ("HEAD", "/api/v1/uploads/{id}", Need::SUBMIT),
    ("PATCH", "/api/v1/uploads/{id}", Need::SUBMIT),
    ("DELETE", "/api/v1/uploads/{id}", Need::SUBMIT),
    ("GET", "/api/v1/slaves", Need::READ),
    ("DELETE", "/api/v1/slaves/set-aside/{name}", Need::ADMIN),
    ("GET", "/api/v1/cluster", Need::READ),
    ("GET", "/api/v1/events", Need::READ),
    ("GET", "/api/v1/sources", Need::READ),
    ("GET", "/api/v1/sources/{name}", Need::READ),
    ("POST", "/api/v1/sources/{name}/poll", Need::SUBMIT),
    ("GET", "/api/v1/tables", Need::READ),
    ("POST", "/api/v1/tables", Need::ADMIN),
    ("GET", "/api/v1/tables/{table}", Need::READ),
    ("DELETE", "/api/v1/tables/{table}", Need::ADMIN),
    ("POST", "/api/v1/tables/{table}/recount", Need::ADMIN),
    ("POST", "/api/v1/tables/{table}/ingests", Need::SUBMIT),
    ("POST", "/api/v1/tables/{table}/operations", Need::SUBMIT),
    ("GET", "/api/v1/tables/{table}/rows", Need::READ),
    ("GET", "/api/v1/tables/{table}/rows/{key}", Need::READ),
    ("GET", "/api/v1/tables/{table}/rows/{key}/history", Need::READ),
    ("GET", "/api/v1/tables/{table}/aggregates/{aggregate}", Need::READ),
    ("GET", "/api/v1/tables/{table}/changes", Need::READ),
    ("GET", "/api/v1/tables/{table}/data", Need::READ),
    ("POST", "/jobs/count/", Need::SUBMIT),
    ("GET", "/jobs/{id}/result/", Need::READ),
    ("GET", "/data", Need::READ),
];

/// What a request needs. A path that there is not needs as much as any other, so that nobody is told what there
/// is; and a route that was forgotten above is not open.
fn need(method: &Method, route: Option<&str>, path: &str) -> Need {
    static BY_ROUTE: OnceLock<HashMap<(&str, &str), Need>> = OnceLock::new();
    let needs = BY_ROUTE.get_or_init(|| {
        NEEDS.iter().map(|(method, route, need)| ((*method, *route), *need)).collect()
    });
    let Some(route) = route else {
        return Need::READ;
    };
    let known = |method| needs.get(&(method, route)).copied();
    let reads = matches!(*method, Method::GET | Method::HEAD);
    // A HEAD is answered as a GET is, unless it has a meaning of its own.
    let of_head = || if *method == Method::HEAD { known("GET") } else { None };
    match known(method.as_str()).or_else(of_head) {
        Some(need) => need,
        // The pages that show the description.
        None if reads && (route == "/docs" || route.starts_with("/docs/")) => Need::Nothing,
        // Socket.IO reads whatever its method is, and has no route.
        None if reads || path.starts_with(socket::PATH) => Need::READ,
        None => Need::ADMIN,
    }
}

/// Lets a request by whose sender may make it, and says to what answers it who that is.
pub(super) async fn check(access: Access, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
    let (method, path) = (metrics::method(request.method()), request.uri().path().to_owned());
    match admit(&access, &request, &peer) {
        Ok((who, scope, changes)) => {
            let entry = changes.then(|| access.entry(Some(&who), &peer, method, &path));
            let request = while_let_in(&access, &who, scope, request);
            let answer = next.run(request).await;
            if let Some(mut entry) = entry {
                if let Some(about) = about(&path).or_else(|| made(&answer)) {
                    entry.about(about);
                }
                entry.answered(answer.status().as_u16());
            }
            match scope.filter(|_| is_stream(&answer)) {
                Some(scope) => {
                    let ended = access.ended(&who, scope);
                    answer.map(|body| Body::new(Until::new(body, ended, silence)))
                }
                None => answer,
            }
        }
        Err(refusal) => {
            let entry = access.entry(refusal.who(), &peer, method, &path);
            let answer = refuse(refusal);
            entry.answered(answer.status().as_u16());
            answer
        }
    }
}

/// A request whose sender is known, and whose body ends when he may not send it any more.
fn while_let_in(access: &Access, who: &Who, scope: Option<Scope>, mut request: Request) -> Request {
    request.extensions_mut().insert(who.clone());
    let Some(scope) = scope.filter(|_| !request.body().is_end_stream()) else { return request };
    let ended = access.ended(who, scope);
    request.map(|body| Body::new(Until::new(body, ended, |ended: Ended| Some(Err(ended.into())))))
}

/// Whether an answer goes on for as long as somebody listens. Downloads come to an end by themselves.
fn is_stream(answer: &Response) -> bool {
    let kind = answer.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// Who sends a request, by which scope he may, and whether it changes anything.
fn admit(
    access: &Access,
    request: &Request,
    peer: &Peer,
) -> Result<(Who, Option<Scope>, bool), Refusal> {
    let route = request.extensions().get::<MatchedPath>();
    let need = need(request.method(), route.map(MatchedPath::as_str), request.uri().path());
    let who = access.admit(request.headers(), peer, need)?;
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
        && !matches!(need, Need::READ | Need::Nothing);
    match &who {
        // A cookie is sent whoever's page asks; what this header says only our own pages know.
        Who::Session(session) if changes && !session.may_change(request.headers()) => {
            Err(Refusal::NotByPage { who })
        }
        _ => Ok((who, need.scope(), changes)),
    }
}

fn refuse(refusal: Refusal) -> Response {
    crate::metrics::refused(refusal.reason());
    let wait = match &refusal {
        Refusal::TooOften { wait, .. } => Some(wait.as_secs() + 1),
        _ => None,
    };
    let mut answer = Problem::from(refusal).into_response();
    if let Some(wait) = wait {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
    }
    answer
}

/// The job or table that a path names.
fn about(path: &str) -> Option<About> {
    let name = |rest: &str| {
        let name = rest.split('/').next().unwrap_or_default();
        (!name.is_empty()).then(|| name.to_owned())
    };
    for jobs in ["/api/v1/jobs/", "/api/v1/uploads/"] {
        if let Some(rest) = path.strip_prefix(jobs) {
            return name(rest).map(About::Job);
        }
    }
    path.strip_prefix("/api/v1/tables/").and_then(name).map(About::Table)
}

/// What a request has made, as its answer says where that is.
fn made(answer: &Response) -> Option<About> {
    let place = answer.headers().get(header::LOCATION)?.to_str().ok()?;
    let path = match place.split_once("://") {
        Some((_, rest)) => &rest[rest.find('/')?..],
        None => place,
    };
    let kept = path.strip_prefix("/jobs/").and_then(|rest| rest.split('/').next());
    kept.map(|job| About::Job(job.to_owned())).or_else(|| about(path))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_route_that_is_described_says_what_it_needs() {
        let needs: HashSet<(&str, &str)> =
            NEEDS.iter().map(|(method, route, _)| (*method, *route)).collect();
        assert_eq!(needs.len(), NEEDS.len(), "a route is there twice");
        let (_, api) = super::super::routes().split_for_parts();
        let api = serde_json::to_value(&api).unwrap();
        let mut described = 0;
        for (path, item) in api["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                let method = method.to_uppercase();
                assert!(needs.contains(&(&method, path)), "{method} {path} says nothing");
                described += 1;
            }
        }
        assert!(described > 40, "{described}");
    }

    #[test]
    fn lines_of_the_audit_log_say_what_they_are_about() {
        let said = |path| match about(path) {
            Some(About::Job(job)) => format!("job {job}"),
            Some(About::Table(table)) => format!("table {table}"),
            None => String::new(),
        };
        assert_eq!(said("/api/v1/jobs/1/cancel"), "job 1");
        assert_eq!(said("/api/v1/uploads/2"), "job 2");
        assert_eq!(said("/api/v1/tables/t/rows/1"), "table t");
        assert_eq!(said("/api/v1/jobs") + &said("/api/v1/jobs/"), "");
        for place in ["/api/v1/jobs/1", "http://h:1/api/v1/uploads/1", "/jobs/1/result/"] {
            let answer = ([(header::LOCATION, place)], "").into_response();
            assert!(matches!(made(&answer), Some(About::Job(job)) if job == "1"), "{place}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_open() {
        let need = |method, route, path| super::need(&method, route, path);
        assert_eq!(need(Method::GET, None, "/x"), Need::READ);
        assert_eq!(need(Method::POST, None, "/socket.io/"), Need::READ);
        let jobs = "/api/v1/jobs";
        assert_eq!(need(Method::HEAD, Some(jobs), jobs), Need::READ);
        assert_eq!(need(Method::PUT, Some(jobs), jobs), Need::ADMIN);
        assert_eq!(need(Method::GET, Some("/new"), "/new"), Need::READ);
        assert_eq!(need(Method::POST, Some("/new"), "/new"), Need::ADMIN);
        assert_eq!(need(Method::GET, Some("/docs/{*rest}"), "/docs/x"), Need::Nothing);
        assert_eq!(need(Method::POST, Some("/docs/{*rest}"), "/docs/x"), Need::ADMIN);
    }
}
