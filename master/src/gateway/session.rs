//! `/session`: how somebody at the dashboard logs in with a key, learns who he is, and logs out.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::tables::whole;
use super::{Answer, App};
use crate::access::{COOKIE, LIFETIME, Peer, Refusal, Scopes, Session, Who};
use crate::jobs::Jobs;

/// Largest body of a log-in, in bytes: a key has less than a hundred.
const MAX_LOGIN_BYTES: usize = 4 << 10;

/// Where all that is.
pub(super) const PATH: &str = "/session";

/// The routes of it.
pub(super) fn routes() -> Router<Jobs> {
    Router::new().route(PATH, get(show).post(log_in).delete(log_out))
}

/// Who one is.
#[derive(Serialize)]
struct Shown<'a> {
    /// The name of the key, or of the certificate; `null` of nobody.
    who: Option<&'a str>,
    /// What he may do.
    scopes: Scopes,
    /// What is sent as `X-CSRF-Token` with all that changes something; `null` where no session is.
    csrf: Option<&'a str>,
    /// Whether keys are asked for.
    guarded: bool,
}

impl<'a> Shown<'a> {
    fn new(who: &'a Who, guarded: bool) -> Self {
        let csrf = match who {
            Who::Session(session) => Some(session.csrf()),
            _ => None,
        };
        let name = match who {
            Who::Anonymous(_) => None,
            Who::Slave(_) => Some("join-token"),
            Who::Certificate(certificate, _) => Some(certificate.name.as_str()),
            Who::Key(key) => Some(key.name.as_str()),
            Who::Session(session) => Some(session.key.name.as_str()),
        };
        Self { who: name, scopes: who.scopes(), csrf, guarded }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogIn {
    key: String,
}

/// `GET /session`
async fn show(State(jobs): App, Extension(who): Extension<Who>) -> Response {
    Json(Shown::new(&who, jobs.config().access.is_guarded())).into_response()
}

/// `POST /session`: a key, as JSON or as a form.
async fn log_in(State(jobs): App, request: Request) -> Answer {
    let access = &jobs.config().access;
    let address = request.extensions().get::<Peer>().and_then(|peer| peer.address);
    let address = address.map(|address| address.ip());
    if !access.sessions().may_try(address) {
        let detail = "too many attempts to log in have failed; try again in a minute";
        return Err(Problem::busy(detail));
    }
    let (parts, body) = request.into_parts();
    let is_form = kind(&parts.headers) == "application/x-www-form-urlencoded";
    let shown = read(body, is_form).await?;
    let key = match access.key(shown.trim()) {
        Ok(key) => key,
        Err(credential) => {
            access.sessions().has_failed(address);
            return Err(Refusal::Unauthenticated {
                credential,
                wanted: crate::access::Scope::Read,
            }
            .into());
        }
    };
    // One who logs in again leaves nothing behind.
    access.sessions().end(&parts.headers);
    let Some((cookie, session)) = access.sessions().begin(key) else {
        return Err(Problem::storage(&std::io::Error::other("the system gives no random bytes")));
    };
    let secure = if is_secure(&jobs, &parts.headers) { "; Secure" } else { "" };
    let seconds = LIFETIME.as_secs();
    let cookie =
        format!("{COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    let mut response = if is_form {
        (StatusCode::SEE_OTHER, [(header::LOCATION, "/")]).into_response()
    } else {
        let who = Who::Session(session);
        Json(Shown::new(&who, access.is_guarded())).into_response()
    };
    set_cookie(&mut response, &cookie);
    Ok(response)
}

/// `DELETE /session`
async fn log_out(State(jobs): App, Extension(who): Extension<Who>, headers: HeaderMap) -> Answer {
    if let Who::Session(session) = &who
        && !Session::may_change(session, &headers)
    {
        return Err(Refusal::NotByPage { who }.into());
    }
    jobs.config().access.sessions().end(&headers);
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(&mut response, &format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"));
    Ok(response)
}

async fn read(body: Body, is_form: bool) -> Result<String, Problem> {
    let body = whole(body, MAX_LOGIN_BYTES).await?;
    if is_form {
        let mut pairs = form_urlencoded::parse(&body);
        let key = pairs.find(|(name, _)| name == "key").map(|(_, key)| key.into_owned());
        return key.ok_or_else(|| Problem::bad_request("a form with the field key"));
    }
    // What is wrong with it is not said: there may be a key in it.
    let wrong = |_| Problem::bad_request("JSON with the key: {\"key\": \"tally_…\"}");
    serde_json::from_slice(&body).map(|LogIn { key }| key).map_err(wrong)
}

fn kind(headers: &HeaderMap) -> String {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// Whether the browser came by TLS, to this master or to what stands before it.
fn is_secure(jobs: &Jobs, headers: &HeaderMap) -> bool {
    jobs.config().tls.is_some()
        || headers.get("x-forwarded-proto").is_some_and(|by| by.as_bytes() == b"https")
}

fn set_cookie(response: &mut Response, cookie: &str) {
    // It is made of hexadecimal digits and words of this file.
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}
