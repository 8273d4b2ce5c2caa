//! What a browser may do with what it is sent: as little as it needs, of every answer. Pages say more for
//! themselves; all else is data, which is neither shown in a frame nor run.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

/// The dashboard: it runs and loads what this master serves, talks to this master, and nothing else.
pub(super) const PAGE: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);

/// The description's pages, which are Swagger UI's and not ours: they set styles where they draw.
const SWAGGER: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);

/// All else.
const DATA: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
);

/// What no page of ours uses.
const PERMISSIONS: HeaderValue = HeaderValue::from_static(
    "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
);

/// Says so with each answer.
pub(super) async fn add(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let swagger = path == "/docs" || (path.starts_with("/docs/") && path != "/docs/http.md");
    let private = path == super::session::PATH;
    let mut answer = next.run(request).await;
    let headers = answer.headers_mut();
    let policy = if swagger { SWAGGER } else { DATA };
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    if private {
        // Nobody's but his who asked.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS),
    ] {
        headers.insert(name, value);
    }
    answer
}
