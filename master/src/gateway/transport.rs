//! Browsers that have seen this master by TLS are asked to come back by TLS alone.

use axum::Router;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{Next, from_fn};

/// For how long: a day. It keeps a visitor from being led to plain HTTP by somebody in between, and an operator who
/// goes back to plain HTTP waits a day and not a year.
const A_DAY: HeaderValue = HeaderValue::from_static("max-age=86400");

/// Says so with each answer.
pub(super) fn only_by_tls(app: Router) -> Router {
    app.layer(from_fn(async |request: Request, next: Next| {
        let named = has_name(request.uri().authority(), request.headers());
        let mut answer = next.run(request).await;
        if named {
            answer.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, A_DAY);
        }
        answer
    }))
}

/// Whether it is asked for by a name of its own. What browsers keep in mind is for all ports of a name: other servers
/// on `localhost` would be cut off. Of addresses they keep nothing in mind.
fn has_name(authority: Option<&Authority>, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse().ok());
    let Some(authority) = authority.cloned().or(host) else { return false };
    let host = authority.host().trim_matches(['[', ']']);
    let here = host == "localhost" || host.ends_with(".localhost");
    !here && host.parse::<std::net::IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_their_own_are_neither_addresses_nor_this_machine() {
        let asked = |host: &'static str| {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            has_name(None, &headers)
        };
        assert!(asked("tally.example:8080") && asked("tally.example"));
        for host in ["localhost:8080", "x.localhost", "127.0.0.1:8080", "[::1]:8080", "no host"] {
            assert!(!asked(host), "{host}");
        }
        let authority = Authority::from_static("tally.example");
        assert!(has_name(Some(&authority), &HeaderMap::new()));
    }
}
