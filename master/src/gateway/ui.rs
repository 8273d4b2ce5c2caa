//! The dashboard: a page at `/` and its files below `/ui/`, out of the binary. Nothing is fetched from
//! elsewhere, and the page may run no script and load no style but these: what strangers have named their
//! songs and files is text, whatever it says.

use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};

use super::policy::PAGE;
use super::problem::Problem;
use crate::jobs::Jobs;

#[derive(RustEmbed)]
#[folder = "src/ui/"]
struct Files;

/// For a file whose address holds the version of all files: it never changes. A year, in seconds.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// For any other: it may be kept, and is asked for by its tag each time.
const ASK: HeaderValue = HeaderValue::from_static("no-cache");

/// Stands in the page for the version of all files, as in `/ui/VERSION/main.js`.
const PLACEHOLDER: &str = "__VERSION__";

/// The version of all files: `v-`, and digits that any change of any of them changes.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut names: Vec<_> = Files::iter().collect();
    names.sort_unstable();
    let mut crc = 0;
    for name in names {
        crc = crc32c::crc32c_append(crc, name.as_bytes());
        if let Some(file) = Files::get(&name) {
            crc = crc32c::crc32c_append(crc, &file.metadata.sha256_hash());
        }
    }
    format!("v-{crc:08x}")
});

/// The routes of the dashboard.
pub(super) fn routes() -> Router<Jobs> {
    Router::new().route("/", get(page)).route("/ui/{*path}", get(file))
}

/// `GET /`: the page. Its files' addresses hold their version, so that they are fetched once.
async fn page(headers: HeaderMap) -> Result<Response, Problem> {
    let page = Files::get("index.html").ok_or_else(no_file)?;
    let tag = format!("\"{}\"", *VERSION);
    if known(&headers, &tag) {
        return Ok(reply(
            StatusCode::NOT_MODIFIED,
            "text/html; charset=utf-8",
            ASK,
            &tag,
            Body::empty(),
        ));
    }
    let text = String::from_utf8_lossy(&page.data).replace(PLACEHOLDER, &VERSION);
    Ok(reply(StatusCode::OK, "text/html; charset=utf-8", ASK, &tag, Body::from(text)))
}

/// `GET /ui/{path}`: one of its files, with or without a version before its name.
async fn file(Path(path): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let (name, cache) = match path.split_once('/') {
        Some((version, rest)) if version == *VERSION => (rest, FOREVER),
        // A page that was loaded before an upgrade gets the new files: they fit together better than none.
        Some((version, rest)) if version.starts_with("v-") => (rest, ASK),
        _ => (path.as_str(), ASK),
    };
    let kind = kind(name).ok_or_else(no_file)?;
    let file = Files::get(name).ok_or_else(no_file)?;
    let tag = tag(&file);
    if known(&headers, &tag) {
        return Ok(reply(StatusCode::NOT_MODIFIED, kind, cache, &tag, Body::empty()));
    }
    Ok(reply(StatusCode::OK, kind, cache, &tag, Body::from(file.data)))
}

fn no_file() -> Problem {
    Problem::not_found("the dashboard has no such file")
}

/// The media type of a file by its name; `None` for one that is not served, such as the page's own text.
fn kind(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "js" => Some("text/javascript; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

/// A file's `ETag`: the first half of its SHA-256 is enough to tell files apart.
fn tag(file: &EmbeddedFile) -> String {
    let hex: String =
        file.metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

/// Whether the client has what `tag` names.
fn known(headers: &HeaderMap, tag: &str) -> bool {
    let asked = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    asked
        .is_some_and(|asked| asked.split(',').any(|one| one.trim().trim_start_matches("W/") == tag))
}

fn reply(
    status: StatusCode,
    kind: &'static str,
    cache: HeaderValue,
    tag: &str,
    body: Body,
) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, cache);
    headers.insert(header::CONTENT_SECURITY_POLICY, PAGE);
    // A tag is hexadecimal digits between quotes.
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_page_is_served_under_a_strict_policy() {
        let response = page(HeaderMap::new()).await.unwrap();
        assert_eq!(response.headers()[header::CONTENT_SECURITY_POLICY], PAGE);
        let tag = response.headers()[header::ETAG].clone();
        let html = text(response).await;
        assert!(html.contains(&format!("/ui/{}/main.js", *VERSION)), "{html}");
        assert!(!html.contains(PLACEHOLDER));
        let again = HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)]);
        assert_eq!(page(again).await.unwrap().status(), StatusCode::NOT_MODIFIED);
    }

    #[tokio::test]
    async fn a_file_is_kept_forever_under_its_version_only() {
        for (path, cache) in [
            ("main.js".to_owned(), ASK),
            (format!("{}/main.js", *VERSION), FOREVER),
            ("v-0/main.js".to_owned(), ASK),
        ] {
            let response = file(Path(path), HeaderMap::new()).await.unwrap();
            assert_eq!(response.headers()[header::CACHE_CONTROL], cache);
            assert_eq!(response.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        }
        for path in
            ["nothing.js", "index.html", "vendor/README.md", "../lib.rs", "../gateway/ui.js"]
        {
            assert!(file(Path(path.to_owned()), HeaderMap::new()).await.is_err(), "{path}");
        }
    }

    /// The policy forbids them, and the browser would say so only at run time.
    #[test]
    fn no_file_needs_what_the_policy_forbids() {
        for name in Files::iter().filter(|name| !name.starts_with("vendor/")) {
            let data = Files::get(&name).unwrap().data;
            let text = String::from_utf8_lossy(&data);
            for word in [
                "innerHTML",
                "dangerouslySetInnerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "eval(",
                "new Function",
                "https://",
                "http://",
                "<style",
                " onclick=",
            ] {
                // An SVG has to name its namespace.
                let text = text.replace("http://www.w3.org/2000/svg", "");
                assert!(!text.contains(word), "{name} has {word}");
            }
        }
    }

    /// Else the browser would find them one by one, each after its parent.
    #[test]
    fn the_page_names_every_module_at_once() {
        let page = Files::get("index.html").unwrap();
        let page = String::from_utf8_lossy(&page.data);
        for name in Files::iter().filter(|name| name.ends_with(".js")) {
            let later = name.starts_with("vendor/uplot/");
            assert_eq!(page.contains(&format!("/{name}\"")), !later, "{name}");
        }
    }
}
