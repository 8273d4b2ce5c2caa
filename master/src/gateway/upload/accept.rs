//! What is refused before a byte of it is read: bodies that are none, and those that say of themselves
//! that they can not be CSV. What says nothing, or something else, is looked at.

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use http_body::Body;

use crate::gateway::problem::Problem;

/// Media types, and beginnings of such, that are never CSV. Spreadsheets of the old kind are not among
/// them: browsers call CSV so where a program for these is installed.
const NEVER_CSV: [&str; 6] = [
    "image/",
    "audio/",
    "video/",
    "application/pdf",
    "application/vnd.openxmlformats",
    "application/xml",
];

/// Looks at the headers of a request that brings an input.
pub(super) fn check(request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    let says_none = !headers.contains_key(header::CONTENT_LENGTH)
        && !headers.contains_key(header::TRANSFER_ENCODING);
    if says_none && request.body().is_end_stream() {
        let (status, title) = (StatusCode::LENGTH_REQUIRED, "There is no body");
        let detail = "the input is the request's body, and this one has none: send it with a \
            Content-Length, or chunked";
        return Err(Problem::of(status, "length-required", title, detail));
    }
    check_coding(headers)?;
    check_media_type(headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()))
}

/// Refuses what can not be CSV.
pub(super) fn check_media_type(content_type: Option<&str>) -> Result<(), Problem> {
    let name = content_type.unwrap_or_default().trim().to_ascii_lowercase();
    if !NEVER_CSV.iter().any(|never| name.starts_with(never)) {
        return Ok(());
    }
    let (status, title) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, "That can not be counted");
    let detail = format!("{name} is no CSV: export the file as CSV, and send it as text/csv");
    Err(Problem::of(status, "unsupported-media-type", title, detail))
}

/// Compressed inputs are known by their content; this is for what is not known at all.
fn check_coding(headers: &HeaderMap) -> Result<(), Problem> {
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let name = String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase();
        if !matches!(&*name, "" | "identity" | "gzip" | "x-gzip" | "zstd") {
            return Err(Problem::of(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-encoding",
                "That compression is not known",
                format!("Content-Encoding {name:?}: inputs are plain, gzip or zstd"),
            ));
        }
    }
    Ok(())
}
