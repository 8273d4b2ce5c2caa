//! Files that are sent, always as an attachment: a browser must never show what strangers have named
//! their songs, and the attachment's own name holds nothing but the job's id. A CSV is streamed as it
//! lies, with `Range`; a result also in other forms, which are made while they are sent.

mod conditions;
mod file;

use std::fs::File;

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::task::spawn_blocking;

use super::Answer;
use super::formulas::Plain;
use super::problem::Problem;
use crate::formats::stream::start;
use crate::formats::{Coding, Format, convert, negotiate};
use crate::jobs::Download;
use conditions::Asked;
pub(super) use conditions::is_known;
use file::FileStream;

/// Sends a CSV file as it lies. `what` begins the name that it is saved under.
pub(super) async fn csv(file: Download, what: &str, request: Request) -> Answer {
    let tag = match (&file.job.result, what) {
        (Some(result), "totals") => Some(format!("\"{}\"", result.sha256)),
        _ => None,
    };
    let plain =
        if what == "rejects" { Plain::of_rejects() } else { Plain::of_result(&file.job.spec) };
    let mut response = as_it_lies(file, what, &request.into_parts().0, tag).await?;
    response.extensions_mut().insert(plain);
    Ok(response)
}

/// Sends a result in the form that the request names, or likes best.
pub(super) async fn result(file: Download, request: Request) -> Answer {
    // What is not looked at is the body, of which a GET has none.
    let (request, _) = request.into_parts();
    let headers = &request.headers;
    let plain = Plain::of_result(&file.job.spec);
    let format = format(request.uri.query(), headers)?;
    let sha256 = file.job.result.as_ref().map(|result| result.sha256.clone()).unwrap_or_default();
    // A part of a file is a part of the CSV as it lies.
    let ranged = format == Format::Csv && headers.contains_key(header::RANGE);
    let coding = match text(headers, &header::ACCEPT_ENCODING) {
        accepted if format.may_be_coded() && !ranged => negotiate::coding(accepted),
        _ => Coding::Identity,
    };
    let tag = match (format, coding) {
        (Format::Csv, Coding::Identity) => format!("\"{sha256}\""),
        (format, Coding::Identity) => format!("\"{sha256}-{}\"", format.name()),
        (format, coding) => format!("\"{sha256}-{}-{}\"", format.name(), coding.name()),
    };
    let mut response = if (format, coding) == (Format::Csv, Coding::Identity) {
        as_it_lies(file, "totals", &request, Some(tag)).await?
    } else {
        converted(file, format, coding, &request, &tag).await?
    };
    response.extensions_mut().insert(plain);
    let varies = HeaderValue::from_static("Accept, Accept-Encoding");
    response.headers_mut().insert(header::VARY, varies);
    Ok(response)
}

/// The form that a request wants.
fn format(query: Option<&str>, headers: &HeaderMap) -> Result<Format, Problem> {
    let all = || {
        let names: Vec<_> = Format::ALL.into_iter().map(Format::name).collect();
        format!(
            "a result comes as {}: name one (format=) or accept its media type",
            names.join(", ")
        )
    };
    let refuse = |detail: String| {
        let (status, title) = (StatusCode::NOT_ACCEPTABLE, "There is no such form of the result");
        Problem::of(status, "not-acceptable", title, detail)
    };
    let query = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let named = query.filter(|(key, _)| key == "format").last();
    let format = match named {
        Some((_, name)) => negotiate::by_name(&name)
            .ok_or_else(|| refuse(format!("there is no format {name:?}; {}", all())))?,
        None => {
            negotiate::by_accept(text(headers, &header::ACCEPT)).ok_or_else(|| refuse(all()))?
        }
    };
    if !format.is_built() {
        let name = format.name();
        let detail =
            format!("this master was built without {name} (feature `columnar`); {}", all());
        return Err(refuse(detail));
    }
    Ok(format)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A file that is made while it is sent: its length is not known before.
async fn converted(
    file: Download,
    format: Format,
    coding: Coding,
    request: &Parts,
    tag: &str,
) -> Answer {
    if conditions::is_known(&request.headers, tag) {
        return Ok(not_modified(tag));
    }
    let mut response = if request.method == Method::HEAD {
        // An empty body would say how long it is.
        Body::from_stream(stream::empty::<Result<bytes::Bytes, std::io::Error>>()).into_response()
    } else {
        let (path, lease, job) = (file.path, file.lease, file.job.clone());
        let opened = spawn_blocking(move || File::open(path)).await;
        let csv = opened.map_err(std::io::Error::other).flatten();
        let csv = csv.map_err(|error| Problem::storage(&error))?;
        let pieces = start(move |out| {
            // The job stays as long as it is read.
            let _kept = lease;
            convert(csv, &job.spec, format, coding, out)
        });
        let Some(pieces) = pieces else {
            let detail = "as many results as the master makes in other forms are being made; the CSV \
                can be had";
            return Err(Problem::busy(detail));
        };
        let pieces = stream::unfold(pieces, async |mut pieces| {
            let piece = pieces.recv().await?;
            Some((piece, pieces))
        });
        Body::from_stream(pieces).into_response()
    };
    let headers = response.headers_mut();
    describe(headers, format, "totals", &file.job.id.to_string(), Some(tag));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
    if coding != Coding::Identity {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    Ok(response)
}

async fn as_it_lies(file: Download, what: &str, request: &Parts, tag: Option<String>) -> Answer {
    let (path, lease, id) = (file.path, file.lease, file.job.id.to_string());
    let opened = spawn_blocking(move || {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    });
    let opened = opened.await.map_err(std::io::Error::other).flatten();
    let (csv, size) = opened.map_err(|error: std::io::Error| Problem::storage(&error))?;
    if let Some(tag) = &tag
        && conditions::is_known(&request.headers, tag)
    {
        return Ok(not_modified(tag));
    }
    let (status, part) = match conditions::range(&request.headers, tag.as_deref(), size) {
        Asked::All => (StatusCode::OK, 0..size),
        Asked::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Asked::Nothing => {
            let mut refusal = Problem::range().into_response();
            set(refusal.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{size}"));
            return Ok(refusal);
        }
    };
    let body = if request.method == Method::HEAD {
        Body::empty()
    } else {
        Body::new(FileStream::new(csv, part.clone(), lease))
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    describe(headers, Format::Csv, what, &id, tag.as_deref());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
        set(headers, header::CONTENT_RANGE, &range);
    }
    Ok(response)
}

fn describe(headers: &mut HeaderMap, format: Format, what: &str, id: &str, tag: Option<&str>) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    let name = format!("attachment; filename=\"{what}-{id}.{}\"", format.name());
    set(headers, header::CONTENT_DISPOSITION, &name);
    if let Some(tag) = tag {
        set(headers, header::ETAG, tag);
    }
}

fn not_modified(tag: &str) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    set(response.headers_mut(), header::ETAG, tag);
    response
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // All that is set here is made of digits, ids and words of this file.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
