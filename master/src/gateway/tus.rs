//! Resumable uploads: the tus protocol, version 1.0, with the extensions creation,
//! creation-with-upload, termination, checksum and expiration. An upload's id is that of its job,
//! which is counted while it arrives. Source: tus.io/protocols/resumable-upload.

use std::io::Write;

use axum::body::{Body, BodyDataStream};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use tally_common::id::JobId;
use tally_common::limits::FRAME_BYTES;

use super::jobs::job_id;
use super::openapi::{JobPath, OfUpload, Repeatable, SpecParams};
use super::problem::Problem;
use super::spec::Params;
use super::upload::{Gather, OF_TABLE, drain, key, next, unless_stopped, wanted};
use super::{Answer, App};
use crate::jobs::{Jobs, JobsError, NewJob, Upload};

const VERSION: &str = "1.0.0";
const EXTENSIONS: &str = "creation,creation-with-upload,termination,checksum,expiration";
const ALGORITHMS: &str = "sha256,crc32c";

/// Largest piece with a checksum, in bytes: it is held back until all of it has come and fits.
const MAX_CHECKED_BYTES: usize = 64 << 20;

/// tus's own status for a piece that does not fit its checksum.
const CHECKSUM_MISMATCH: u16 = 460;

type Id = Result<Path<String>, PathRejection>;

/// `OPTIONS`: what there is.
pub(super) async fn options() -> Answer {
    let mut response = reply(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    set(headers, "tus-version", VERSION);
    set(headers, "tus-extension", EXTENSIONS);
    set(headers, "tus-checksum-algorithm", ALGORITHMS);
    Ok(response)
}

/// `POST /api/v1/uploads`: opens a job, perhaps with the first bytes of its input.
#[utoipa::path(
    operation_id = "create_upload",
    post, path = "/api/v1/uploads", tag = "uploads",
    params(
        SpecParams, Repeatable,
        ("Tus-Resumable" = String, Header, description = "1.0.0: the protocol's version"),
        ("Upload-Length" = u64, Header, description = "Bytes of the whole input"),
        ("Upload-Metadata" = Option<String>, Header, description = "`filename` and its name in base64"),
    ),
    request_body(content((String = "application/offset+octet-stream"))),
    responses(
        (status = 201, description = "The upload is open",
            headers(("Location" = String, description = "The upload; its last part is the job's id"))),
        OfUpload,
    ),
)]
pub(super) async fn create(State(jobs): App, request: Request) -> Answer {
    check_version(request.headers())?;
    let length = number(request.headers(), "upload-length")?;
    let Some(length) = length else {
        return Err(Problem::bad_request("Upload-Length is missing: it has to be known at once"));
    };
    jobs.check_size(length)?;
    let mut params = Params::parse(request.uri().query())?;
    let metadata = metadata(request.headers())?;
    for (name, value) in &metadata {
        if OF_TABLE.contains(&&**name) {
            params.set(name, value.clone())?;
        }
    }
    let named = |pair: &&(String, String)| matches!(&*pair.0, "filename" | "name");
    let name = metadata.iter().find(named).map(|(_, name)| name.clone());
    let wanted = wanted(&params, None, name, Some(length))?.by(request.extensions().get());
    let key = key(request.headers())?;
    let checksum = request.headers().get("upload-checksum").cloned();
    let mut body = Body::into_data_stream(request.into_body());
    let mut peek = jobs.peek(&wanted);
    if peek.wants_more() && checksum.is_some() {
        let detail = "the table is made after the first bytes, which have a checksum of their own: declare \
            the table first";
        return Err(Problem::bad_request(detail));
    }
    while peek.wants_more() {
        peek.take(next(&mut body).await?);
    }
    let upload = match jobs.job_of(wanted, &peek).await {
        Ok(new) => jobs.upload(NewJob { resumable: true, ..new }, key).await,
        Err(error) => Err(error),
    };
    let (mut upload, body) = or_drain(upload, body).await?;
    let job = upload.job();
    let (mut gather, mut at) = (Gather::default(), 0);
    for data in peek.into_held() {
        at += data.len() as u64;
        gather.push(&mut upload, data).await;
    }
    let offset = take(&jobs, upload, (gather, at), length, (checksum, body)).await?;
    let mut response = reply(StatusCode::CREATED);
    let location = format!("/api/v1/uploads/{job}");
    set(response.headers_mut(), "location", &location);
    set(response.headers_mut(), "upload-offset", &offset.to_string());
    Ok(response)
}

/// `HEAD /api/v1/uploads/{id}`: how far it is.
#[utoipa::path(
    operation_id = "get_upload",
    head, path = "/api/v1/uploads/{id}", tag = "uploads",
    params(JobPath, ("Tus-Resumable" = String, Header, description = "1.0.0: the protocol's version")),
    responses(
        (status = 200, description = "How far it is",
            headers(("Upload-Offset" = u64, description = "Bytes that are durable"))),
        OfUpload,
    ),
)]
pub(super) async fn offset(State(jobs): App, id: Id, headers: HeaderMap) -> Answer {
    check_version(&headers)?;
    let (at, length) = whereabouts(&jobs, job_id(id)?).await?;
    let mut response = reply(StatusCode::OK);
    set(response.headers_mut(), "upload-offset", &at.to_string());
    set(response.headers_mut(), "upload-length", &length.to_string());
    set(response.headers_mut(), "cache-control", "no-store");
    Ok(response)
}

/// `PATCH /api/v1/uploads/{id}`: its next bytes.
#[utoipa::path(
    operation_id = "continue_upload",
    patch, path = "/api/v1/uploads/{id}", tag = "uploads",
    params(
        JobPath,
        ("Tus-Resumable" = String, Header, description = "1.0.0: the protocol's version"),
        ("Upload-Offset" = u64, Header, description = "Where the piece begins"),
    ),
    request_body(content((String = "application/offset+octet-stream"))),
    responses(
        (status = 204, description = "It has been taken in",
            headers(("Upload-Offset" = u64, description = "Bytes that are durable"))),
        OfUpload,
    ),
)]
pub(super) async fn go_on(State(jobs): App, id: Id, request: Request) -> Answer {
    let headers = request.headers();
    check_version(headers)?;
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if kind != Some(b"application/offset+octet-stream") {
        let detail = "the Content-Type of a PATCH is application/offset+octet-stream";
        return Err(Problem::tus(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let offset = number(headers, "upload-offset")?;
    let offset = offset.ok_or_else(|| Problem::bad_request("Upload-Offset is missing"))?;
    let job = job_id(id)?;
    let length = jobs.get(job).await?.progress.bytes_expected.unwrap_or(0);
    let checksum = request.headers().get("upload-checksum").cloned();
    let body = Body::into_data_stream(request.into_body());
    let (upload, body) = or_drain(jobs.resume(job, offset).await, body).await?;
    let at = take(&jobs, upload, (Gather::default(), offset), length, (checksum, body)).await?;
    let mut response = reply(StatusCode::NO_CONTENT);
    set(response.headers_mut(), "upload-offset", &at.to_string());
    Ok(response)
}

/// `DELETE /api/v1/uploads/{id}`: it is not wanted any more.
#[utoipa::path(
    operation_id = "end_upload",
    delete, path = "/api/v1/uploads/{id}", tag = "uploads",
    params(JobPath, ("Tus-Resumable" = String, Header, description = "1.0.0: the protocol's version")),
    responses((status = 204, description = "The upload is given up, and its job gone"), OfUpload),
)]
pub(super) async fn end(State(jobs): App, id: Id, headers: HeaderMap) -> Answer {
    check_version(&headers)?;
    let job = job_id(id)?;
    // One that is complete is a job, and is deleted as one.
    jobs.upload_offset(job).await?;
    jobs.delete(job).await?;
    Ok(reply(StatusCode::NO_CONTENT))
}

/// An upload and the body that is for it. Where there is none, the body is read all the same:
/// most clients look for an answer only when they have sent everything.
async fn or_drain(
    upload: Result<Upload, JobsError>,
    mut body: BodyDataStream,
) -> Result<(Upload, BodyDataStream), Problem> {
    match upload {
        Ok(upload) => Ok((upload, body)),
        Err(error) => {
            let problem = Problem::from(error);
            if !problem.is_of_limits() {
                drain(&mut body).await;
            }
            Err(problem)
        }
    }
}

/// Bytes that are there of an upload, and its length.
async fn whereabouts(jobs: &Jobs, job: JobId) -> Result<(u64, u64), Problem> {
    let view = jobs.get(job).await?;
    let length = view.progress.bytes_expected.unwrap_or(0);
    match jobs.upload_offset(job).await {
        Ok(at) => Ok((at, length)),
        // It is complete, and being counted or done.
        Err(_) if view.tasks.cut > 0 && !view.input_lost => Ok((length, length)),
        Err(error) => Err(error.into()),
    }
}

/// Takes the bytes of a request in; ends the upload when it has all of them. Gives how far it is.
async fn take(
    jobs: &Jobs,
    mut upload: Upload,
    (mut gather, mut at): (Gather, u64),
    length: u64,
    (checksum, mut body): (Option<HeaderValue>, BodyDataStream),
) -> Result<u64, Problem> {
    let job = upload.job();
    let mut broken = None;
    if let Some(checksum) = checksum {
        for piece in checked(&checksum, &mut body).await?.chunks(FRAME_BYTES) {
            at += piece.len() as u64;
            gather.push(&mut upload, Bytes::copy_from_slice(piece)).await;
        }
    } else {
        loop {
            match unless_stopped(&upload, next(&mut body)).await {
                Ok(Some(data)) => {
                    at += data.len() as u64;
                    if !gather.push(&mut upload, data).await {
                        break;
                    }
                }
                Ok(None) => break,
                Err(problem) => {
                    broken = Some(problem);
                    break;
                }
            }
        }
    }
    gather.flush_rest(&mut upload).await;
    if at == length && broken.is_none() {
        upload.finish().await?;
        return Ok(length);
    }
    let durable = upload.pause().await?;
    match broken {
        Some(problem) => {
            let detail = format!("the upload of job {job} can go on at byte {durable}");
            Err(problem.may_go_on(&detail))
        }
        None => {
            // Whether there is a job to go on with is better known now than when it is tried.
            jobs.get(job).await?;
            Ok(durable)
        }
    }
}

/// The bytes of a request that has a checksum, once they fit it.
async fn checked(checksum: &HeaderValue, body: &mut BodyDataStream) -> Result<Vec<u8>, Problem> {
    let text = checksum.to_str().unwrap_or_default();
    let (algorithm, expected) = text.split_once(' ').unwrap_or((text, ""));
    let expected = BASE64.decode(expected);
    let expected =
        expected.map_err(|error| Problem::bad_request(format!("Upload-Checksum: {error}")))?;
    let mut data = Vec::new();
    while let Some(piece) = next(body).await? {
        if data.len() + piece.len() > MAX_CHECKED_BYTES {
            let detail = format!("a piece with a checksum has at most {MAX_CHECKED_BYTES} bytes");
            return Err(Problem::tus(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        // Writing to a Vec never fails.
        let _ = data.write_all(&piece);
    }
    let found = match algorithm {
        "sha256" => Sha256::digest(&data).to_vec(),
        "crc32c" => crc32c::crc32c(&data).to_be_bytes().to_vec(),
        _ => {
            let detail = format!("the checksum {algorithm:?} is not known: {ALGORITHMS} are");
            return Err(Problem::bad_request(detail));
        }
    };
    if found == expected {
        return Ok(data);
    }
    let mismatch = StatusCode::from_u16(CHECKSUM_MISMATCH).unwrap_or(StatusCode::BAD_REQUEST);
    Err(Problem::tus(mismatch, "the bytes do not fit their checksum; none of them was kept"))
}

fn reply(status: StatusCode) -> Response {
    let mut response = status.into_response();
    set(response.headers_mut(), "tus-resumable", VERSION);
    response
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    // All that is set here is made of digits, ids and words of this file.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

fn check_version(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get("tus-resumable").map(HeaderValue::as_bytes) {
        Some(b"1.0.0") => Ok(()),
        _ => {
            let detail = "the header Tus-Resumable: 1.0.0 is needed";
            Err(Problem::tus(StatusCode::PRECONDITION_FAILED, detail))
        }
    }
}

fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|value| value.parse().ok());
    number.map(Some).ok_or_else(|| Problem::bad_request(format!("{name} is not a number")))
}

/// What `Upload-Metadata` says: pairs of a key and a value in base64. Of those that are of no use here it
/// does not matter what they are.
fn metadata(headers: &HeaderMap) -> Result<Vec<(String, String)>, Problem> {
    let metadata = headers.get("upload-metadata").map(|value| value.to_str().unwrap_or_default());
    let mut pairs = Vec::new();
    for pair in metadata.unwrap_or_default().split(',') {
        let (key, value) = pair.trim().split_once(' ').unwrap_or((pair.trim(), ""));
        let known = matches!(key, "filename" | "name") || OF_TABLE.contains(&key);
        if !known {
            continue;
        }
        let value = BASE64.decode(value).ok().and_then(|value| String::from_utf8(value).ok());
        let bad = || Problem::bad_request(format!("Upload-Metadata: {key} is not base64 of UTF-8"));
        pairs.push((key.to_owned(), value.ok_or_else(bad)?));
    }
    Ok(pairs)
}
