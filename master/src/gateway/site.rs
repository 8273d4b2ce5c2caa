//! Which web pages may speak to this master. A browser sends what any page wants it to, to any address that it
//! can reach, this machine's own among them; but it says from where the page came. Programs that are no
//! browsers say nothing of the kind, and pass.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, Uri, header};

use super::Problem;

/// Under which names browsers reach this master.
#[derive(Clone, Debug, Default)]
pub(super) struct Site {
    /// Nobody but this machine reaches it: then it has the machine's own names and addresses only. Another name
    /// that leads here is one whose owner had it lead here, to have his pages taken for ours.
    loopback: bool,
    /// Those that the operator gave it.
    names: Arc<[String]>,
}

impl Site {
    pub(super) fn new(loopback: bool, names: &[String]) -> Self {
        Self { loopback, names: names.into() }
    }

    /// Refuses what a page of another site asks for: all that changes something, and to listen by Socket.IO,
    /// of which browsers let any page read the answer.
    pub(super) fn check(&self, request: &Request) -> Result<(), Problem> {
        let (headers, uri) = (request.headers(), request.uri());
        let Some(host) = host_of(headers, uri) else { return Ok(()) };
        if !self.is_ours(&host) {
            return Err(Problem::forbidden(format!(
                "this master is not reached as {host:?}; if that is its name, start it with \
                 --http-host {}",
                name_of(&host)
            )));
        }
        let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if reads && !uri.path().starts_with(super::socket::PATH) {
            return Ok(());
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let origin = String::from_utf8_lossy(origin.as_bytes());
        let from = origin.split_once("://").map_or("", |(_, from)| from);
        if from.eq_ignore_ascii_case(&host) || self.is_named(name_of(from)) {
            return Ok(());
        }
        Err(Problem::forbidden(format!(
            "a page of {origin} asks for this, and only pages of {host} may; if both are this master, start it \
             with --http-host and the name in the former"
        )))
    }

    fn is_named(&self, name: &str) -> bool {
        !name.is_empty() && self.names.iter().any(|ours| ours.eq_ignore_ascii_case(name))
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = name_of(host);
        let own = name.trim_start_matches('[').trim_end_matches(']');
        !self.loopback
            || self.is_named(name)
            || own.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || name.to_ascii_lowercase().ends_with(".localhost")
    }
}

/// Where a request was sent to, as the client has it: name and, where it is not the usual one, port.
fn host_of(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let host = headers.get(header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()));
    host.map(|host| host.into_owned())
        .or_else(|| uri.authority().map(|authority| authority.as_str().to_owned()))
}

/// Without the port. What makes no sense is its own name, and is nobody's.
fn name_of(host: &str) -> &str {
    if host.parse::<Authority>().is_err() {
        return host;
    }
    match host.rsplit_once(':') {
        // The colons of an address in brackets are not before a port.
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn passes(site: &Site, method: &str, path: &str, host: &str, origin: Option<&str>) -> bool {
        let mut request = Request::builder().method(method).uri(path).header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        site.check(&request.body(Body::empty()).unwrap()).is_ok()
    }

    #[test]
    fn pages_of_other_sites_change_nothing_and_do_not_listen() {
        let site = Site::default();
        for (method, path) in [
            ("POST", "/api/v1/jobs"),
            ("DELETE", "/api/v1/jobs/1"),
            ("PATCH", "/api/v1/uploads/1"),
            ("GET", "/socket.io/?EIO=4"),
        ] {
            let from = |origin: Option<&str>, host: &str| passes(&site, method, path, host, origin);
            assert!(from(None, "127.0.0.1:8080"), "no browser");
            assert!(from(Some("http://127.0.0.1:8080"), "127.0.0.1:8080"));
            assert!(from(Some("http://[::1]:8080"), "[::1]:8080"));
            assert!(from(Some("https://Tally.example"), "tally.example"), "behind a proxy");
            assert!(!from(Some("http://127.0.0.1:8081"), "127.0.0.1:8080"));
            assert!(!from(Some("https://evil.example"), "127.0.0.1:8080"));
            assert!(!from(Some("null"), "127.0.0.1:8080"), "a sandboxed page");
            assert!(!from(Some(""), "127.0.0.1:8080"));
        }
        // What they read they are not shown by the browser.
        assert!(passes(&site, "GET", "/api/v1/jobs", "127.0.0.1", Some("https://evil.example")));
    }

    #[test]
    fn on_this_machine_it_has_the_names_of_this_machine_and_those_it_was_given() {
        let site = Site::new(true, &["tally.example".to_owned()]);
        let reached = |host: &str| passes(&site, "GET", "/api/v1/jobs", host, None);
        for ours in [
            "localhost:8080",
            "LOCALHOST",
            "a.localhost:1",
            "127.0.0.1:8080",
            "[::1]:8080",
            "[::1]",
        ] {
            assert!(reached(ours), "{ours}");
        }
        assert!(reached("Tally.Example") && reached("tally.example:8443"));
        for others in
            ["rebound.evil.example", "tally.example.evil.example", "localhost.evil.example:8080"]
        {
            assert!(!reached(others), "{others}");
        }
        // A proxy in front of it that says another host than the browser does.
        let through =
            |origin| passes(&site, "POST", "/api/v1/jobs", "127.0.0.1:8080", Some(origin));
        assert!(through("https://tally.example"));
        assert!(!through("https://evil.example"));
    }
}
