//! Bodies that carry an input: raw, or multipart with the field `file` and perhaps `spec` before it.

mod accept;
mod gather;

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures_util::StreamExt;

use tokio::time::timeout;

use tally_common::id::JobId;
use tally_common::limits::{MAX_KEY_BYTES, MAX_NAME_BYTES};
use tally_common::spec::{Spec, SpecDraft};

pub(super) use self::gather::Gather;
use super::problem::Problem;
use super::spec::Params;
use crate::access::Who;
use crate::jobs::{Jobs, NewIngest, NewJob, Peek, Upload, Wanted};

/// Largest spec part, in bytes.
pub(super) const MAX_SPEC_BYTES: usize = 64 << 10;

/// Parts of a form that say of a file's table what parameters of the same names do.
pub(super) const OF_TABLE: [&str; 4] = ["table", "mode", "key", "preset"];

/// How long a client may pause within a body. While the disk is full the master pauses, and no client
/// is blamed for that: it reads no body then.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of a body that are still read, and thrown away, once its input has turned out to be of no use:
/// most clients look for an answer only when they have sent everything.
const DRAIN_BYTES: usize = 256 << 20;

/// Takes the body of a request in as the input of a new job.
pub(super) async fn receive(jobs: &Jobs, request: Request) -> Result<JobId, Problem> {
    let asked = Asked {
        params: Params::parse(request.uri().query())?,
        key: key(request.headers())?,
        who: request.extensions().get().cloned(),
        repairs: None,
    };
    receive_as(jobs, asked, request).await
}

/// Takes the body of a request in as the corrected rejects of a job.
pub(super) async fn repair(
    jobs: &Jobs,
    repaired: JobId,
    request: Request,
) -> Result<JobId, Problem> {
    let asked = Asked {
        params: Params::parse(request.uri().query())?,
        key: key(request.headers())?,
        who: request.extensions().get().cloned(),
        repairs: Some(repaired),
    };
    receive_as(jobs, asked, request).await
}

/// What a request asks for, besides its body.
#[derive(Clone)]
struct Asked {
    params: Params,
    key: Option<String>,
    who: Option<Who>,
    repairs: Option<JobId>,
}

/// The key that a request names itself by: `Idempotency-Key`, bare or as a structured header's
/// string.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let key = key.to_str().unwrap_or_default().trim();
    let key = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key);
    if key.is_empty()
        || key.len() > MAX_KEY_BYTES
        || !key.bytes().all(|byte| byte.is_ascii_graphic())
    {
        let detail = format!("an Idempotency-Key has 1 to {MAX_KEY_BYTES} visible characters");
        return Err(Problem::bad_request(detail));
    }
    Ok(Some(key.to_owned()))
}

async fn receive_as(jobs: &Jobs, asked: Asked, request: Request) -> Result<JobId, Problem> {
    if let Err(problem) = accept::check(&request) {
        drain_request(request).await;
        return Err(problem);
    }
    if is_multipart(&request) {
        from_multipart(jobs, asked, request).await
    } else {
        from_raw(jobs, &asked, request).await
    }
}

/// Whether the body is a form.
pub(super) fn is_multipart(request: &Request) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    content_type
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.trim_start().starts_with("multipart/form-data"))
}

async fn from_raw(jobs: &Jobs, asked: &Asked, request: Request) -> Result<JobId, Problem> {
    let expected = content_length(&request);
    let waits = waits(&request);
    let mut body = Body::into_data_stream(request.into_body());
    let fits = expected.map_or(Ok(()), |bytes| jobs.check_size(bytes));
    let wanted = match fits {
        Ok(()) => asked.wanted(None, None, expected),
        Err(error) => Err(error.into()),
    };
    let opened = match wanted {
        Ok(wanted) => {
            let mut peek = jobs.peek(&wanted);
            while peek.wants_more() {
                peek.take(next(&mut body).await?);
            }
            open(jobs, asked, wanted, peek).await
        }
        Err(problem) => Err(problem),
    };
    let (mut upload, held) = match opened {
        Ok(opened) => opened,
        Err(problem) => {
            if !waits && !problem.is_of_limits() {
                drain(&mut body).await;
            }
            return Err(problem);
        }
    };
    let mut gather = Gather::default();
    gather.push_all(&mut upload, held).await;
    while let Some(data) = unless_stopped(&upload, next(&mut body)).await? {
        if !gather.push(&mut upload, data).await {
            break;
        }
    }
    gather.finish(upload).await
}

/// The next bytes for an upload; none where the master stops, whose answer is not to wait for them.
pub(super) async fn unless_stopped<T>(
    upload: &Upload,
    next: impl Future<Output = Result<Option<T>, Problem>>,
) -> Result<Option<T>, Problem> {
    tokio::select! {
        () = upload.stopped() => Ok(None),
        data = next => data,
    }
}

/// Whether a client asks before it sends: it needs no more than the answer.
fn waits(request: &Request) -> bool {
    request.headers().contains_key(header::EXPECT)
}

/// Reads a body that is of no use, unless it is not sent before the answer is there.
async fn drain_request(request: Request) {
    if !waits(&request) {
        drain(&mut Body::into_data_stream(request.into_body())).await;
    }
}

/// The next bytes of a body; a client that sends none for too long has gone.
pub(super) async fn next(body: &mut BodyDataStream) -> Result<Option<Bytes>, Problem> {
    match timeout(BODY_TIMEOUT, body.next()).await {
        Ok(Some(Ok(data))) => Ok(Some(data)),
        Ok(Some(Err(error))) => Err(Problem::of_body(&error, || broke_off(&error))),
        Ok(None) => Ok(None),
        Err(_) => Err(broke_off(&format!("no byte came for {} s", BODY_TIMEOUT.as_secs()))),
    }
}

/// Reads what is sent although it is of no use: see [`DRAIN_BYTES`].
pub(super) async fn drain(body: &mut BodyDataStream) {
    let mut drained = 0;
    while let Ok(Some(data)) = next(body).await {
        drained += data.len();
        if drained > DRAIN_BYTES {
            return;
        }
    }
}

async fn from_multipart(jobs: &Jobs, mut asked: Asked, request: Request) -> Result<JobId, Problem> {
    // The whole body's length: a little more than the file's, which is near enough for its tasks.
    let expected = content_length(&request);
    let mut parts = form(request).await?;
    let mut spec = None;
    while let Some(part) = parts.next_field().await.map_err(|error| unreadable(&error))? {
        match part.name() {
            Some("spec") => spec = Some(read_spec(part).await?),
            Some("file") => return take_file(jobs, &asked, spec, expected, part).await,
            Some(name) if OF_TABLE.contains(&name) => {
                let name = name.to_owned();
                asked.params.set(&name, read_text(part).await?)?;
            }
            other => {
                let detail = format!(
                    "there is no use for the part {:?}: `spec`, or table, mode, key and preset, may come \
                     first, then `file`",
                    other.unwrap_or_default()
                );
                drop(part);
                drain_form(&mut parts).await;
                return Err(Problem::bad_request(detail));
            }
        }
    }
    Err(Problem::bad_request("the form has no part `file` with the CSV"))
}

/// The parts of a form. The body of one that names no boundary is read all the same: a client that uses its
/// connection again would otherwise find it closed.
pub(super) async fn form(request: Request) -> Result<Multipart, Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(|kind| kind.contains("boundary=")) {
        drain_request(request).await;
        let detail = "the Content-Type of the form names no boundary between its parts";
        return Err(Problem::bad_request(detail));
    }
    let parts = Multipart::from_request(request, &()).await;
    parts.map_err(|rejection| Problem::bad_request(rejection.body_text()))
}

/// Reads what is left of a form that is of no use.
pub(super) async fn drain_form(parts: &mut Multipart) {
    let mut drained = 0;
    while drained <= DRAIN_BYTES
        && let Ok(Some(mut part)) = parts.next_field().await
    {
        drain_part(&mut part, &mut drained).await;
    }
}

/// Reads what is left of a part that is of no use.
async fn drain_part(part: &mut Field<'_>, drained: &mut usize) {
    while *drained <= DRAIN_BYTES
        && let Ok(Some(data)) = next_of(part).await
    {
        *drained += data.len();
    }
}

async fn next_of(part: &mut Field<'_>) -> Result<Option<Bytes>, Problem> {
    match timeout(BODY_TIMEOUT, part.chunk()).await {
        Ok(Ok(data)) => Ok(data),
        Ok(Err(error)) => Err(Problem::of_body(&error, || broke_off(&error))),
        Err(_) => Err(broke_off(&"no byte came for too long")),
    }
}

async fn take_file(
    jobs: &Jobs,
    asked: &Asked,
    spec: Option<SpecDraft>,
    expected: Option<u64>,
    mut part: Field<'_>,
) -> Result<JobId, Problem> {
    let name = part.file_name().map(str::to_owned);
    let wanted = match accept::check_media_type(part.content_type()) {
        Ok(()) => asked.wanted(spec, name, expected),
        Err(problem) => Err(problem),
    };
    let opened = match wanted {
        Ok(wanted) => {
            let mut peek = jobs.peek(&wanted);
            while peek.wants_more() {
                peek.take(next_of(&mut part).await?);
            }
            open(jobs, asked, wanted, peek).await
        }
        Err(problem) => Err(problem),
    };
    let (mut upload, held) = match opened {
        Ok(opened) => opened,
        Err(problem) => {
            if !problem.is_of_limits() {
                drain_part(&mut part, &mut 0).await;
            }
            return Err(problem);
        }
    };
    let mut gather = Gather::default();
    gather.push_all(&mut upload, held).await;
    while let Some(data) = unless_stopped(&upload, next_of(&mut part)).await? {
        if !gather.push(&mut upload, data).await {
            break;
        }
    }
    gather.finish(upload).await
}

/// Reads a part that is a parameter.
async fn read_text(mut part: Field<'_>) -> Result<String, Problem> {
    let mut text = Vec::new();
    while let Some(data) = next_of(&mut part).await? {
        text.extend_from_slice(&data);
        if text.len() > MAX_SPEC_BYTES {
            return Err(Problem::bad_request(format!("a part longer than {MAX_SPEC_BYTES} bytes")));
        }
    }
    String::from_utf8(text).map_err(|_| Problem::bad_request("a part that is not UTF-8"))
}

pub(super) async fn read_spec(mut part: Field<'_>) -> Result<SpecDraft, Problem> {
    let mut json = Vec::new();
    while let Some(data) = part.chunk().await.map_err(|error| unreadable(&error))? {
        json.extend_from_slice(&data);
        if json.len() > MAX_SPEC_BYTES {
            return Err(Problem::bad_spec(format!("longer than {MAX_SPEC_BYTES} bytes")));
        }
    }
    serde_json::from_slice(&json).map_err(|error| Problem::bad_spec(error.to_string()))
}

impl Asked {
    /// The job that is asked for. Of a repair only its name counts: all else is as it was.
    fn wanted(
        &self,
        spec: Option<SpecDraft>,
        file_name: Option<String>,
        expected: Option<u64>,
    ) -> Result<Wanted, Problem> {
        if self.repairs.is_some() {
            let plays = Spec::try_from(SpecDraft::plays())?;
            let owner = self.who.as_ref().and_then(Who::owner);
            return Ok(NewJob { expected, owner, ..NewJob::new(String::new(), plays) }.into());
        }
        Ok(wanted(&self.params, spec, file_name, expected)?.by(self.who.as_ref()))
    }
}

/// Opens the job, and gives what had to be read of its input for that.
async fn open(
    jobs: &Jobs,
    asked: &Asked,
    wanted: Wanted,
    peek: Peek,
) -> Result<(Upload, Vec<Bytes>), Problem> {
    let key = asked.key.clone();
    let new = jobs.job_of(wanted, &peek).await?;
    if let Some(repaired) = asked.repairs {
        let name = asked.params.name().map(str::to_owned);
        return Ok((
            jobs.repair(repaired, name, new.expected, (new.owner, key)).await?,
            Vec::new(),
        ));
    }
    Ok((jobs.upload(new, key).await?, peek.into_held()))
}

/// The job that the parameters and the spec describe.
pub(super) fn wanted(
    params: &Params,
    spec: Option<SpecDraft>,
    file_name: Option<String>,
    expected: Option<u64>,
) -> Result<Wanted, Problem> {
    let name = params.name().map(str::to_owned).or(file_name);
    let name = name.unwrap_or_else(|| "unnamed".to_owned());
    if name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        let detail = format!("a name has at most {MAX_NAME_BYTES} bytes, none of them control");
        return Err(Problem::bad_request(detail));
    }
    if let Some(table) = params.table() {
        if spec.is_some() {
            let detail = "a file that fills a table is not totalled: leave the spec away";
            return Err(Problem::bad_spec(detail));
        }
        let new = params.ingest(name, table.to_owned())?;
        return Ok(NewIngest { expected, ..new }.into());
    }
    let (priority, keep_input) = (params.priority(), params.keep_input());
    let new = NewJob { priority, keep_input, expected, ..NewJob::new(name, params.spec(spec)?) };
    Ok(new.into())
}

pub(super) fn content_length(request: &Request) -> Option<u64> {
    let length = request.headers().get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

fn broke_off(error: &dyn std::fmt::Display) -> Problem {
    Problem::upload_broke_off(format!("{error}; nothing of it is counted, submit it again"))
}

pub(super) fn unreadable(error: &MultipartError) -> Problem {
    Problem::of_body(error, || {
        Problem::bad_request(format!("the form can not be read: {}", error.body_text()))
    })
}
