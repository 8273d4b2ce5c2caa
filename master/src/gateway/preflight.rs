//! `POST /api/v1/preflight`: what the first bytes of an input say of all of it. Opens no job, keeps
//! nothing.

use std::io;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::IntoResponse;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use tally_common::api::Preflight;
use tally_common::preflight::Surroundings;
use tally_common::spec::SpecDraft;

use super::jobs::SubmitForm;
use super::openapi::{OfInput, SpecParams};
use super::problem::Problem;
use super::spec::Params;
use super::upload::{
    content_length, drain, drain_form, form, is_multipart, next, read_spec, unreadable,
};
use super::{Answer, App};
use crate::jobs::Jobs;
use crate::sample::Sampler;

/// Preflights at a time: each takes up to a few hundred MB for a moment, more would crowd out jobs.
const MAX_PREFLIGHTS: usize = 4;

/// How long sending a sample may take.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes that a worker counts a second: what one core does with the benchmark's inputs. Slaves are as
/// fast as their machines are, so a prediction from that is one of the order of magnitude.
const WORKER_BYTES_PER_SECOND: f64 = 300e6;

/// Groups that a master of two cores merges and writes a second: the same.
const GROUPS_PER_SECOND: f64 = 4e6;

static PLACES: Semaphore = Semaphore::const_new(MAX_PREFLIGHTS);

/// What was sent of an input.
struct Sent {
    sampler: Sampler,
    spec: Option<SpecDraft>,
    /// All that was sent has been read.
    ended: bool,
}

/// `POST /api/v1/preflight`
#[utoipa::path(
    operation_id = "preflight",
    post, path = "/api/v1/preflight", tag = "jobs",
    params(
        SpecParams,
        ("bytes" = Option<u64>, Query, description = "Bytes of the whole input, as it lies on the disk"),
    ),
    request_body(
        description = "The first bytes of an input, plain, gzip or zstd; 16 MiB of them are looked at",
        content(
            (String = "text/csv", example = "Song,Date,Number of Plays\nA,2026-01-31,12\n"),
            (String = "application/octet-stream"),
            (SubmitForm = "multipart/form-data"),
        ),
    ),
    responses(
        (status = 200, description = "What they say of all of it", body = Preflight),
        OfInput,
    ),
)]
pub(super) async fn look(State(jobs): App, request: Request) -> Answer {
    let (size, query) = size(request.uri().query())?;
    let params = Params::parse(Some(&query))?;
    let Ok(_place) = PLACES.try_acquire() else {
        return Err(Problem::busy("as many preflights as the master takes are under way"));
    };
    // The length of a form is not that of the file in it.
    let multipart = is_multipart(&request);
    let size = size.or_else(|| content_length(&request).filter(|_| !multipart));
    let sample =
        async { if multipart { from_form(request).await } else { from_raw(request).await } };
    let slow = || Problem::upload_broke_off("the sample took too long to come");
    let sent = timeout(SAMPLE_TIMEOUT, sample).await.map_err(|_| slow())??;
    let spec = params.spec(sent.spec)?;
    let around = surroundings(&jobs).await?;
    let looked = spawn_blocking(move || sent.sampler.look(sent.ended, size, &spec, &around));
    let report =
        looked.await.map_err(|error| Problem::storage(&io::Error::other(error.to_string())))?;
    Ok(Json(report).into_response())
}

/// The size of the whole input as it lies, and what else the query says.
fn size(query: Option<&str>) -> Result<(Option<u64>, String), Problem> {
    let mut size = None;
    let mut others = form_urlencoded::Serializer::new(String::new());
    for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if key == "bytes" {
            let number = value.parse();
            size = Some(number.map_err(|_| Problem::bad_request("the parameter bytes: a number"))?);
        } else {
            others.append_pair(&key, &value);
        }
    }
    Ok((size, others.finish()))
}

async fn surroundings(jobs: &Jobs) -> Result<Surroundings, Problem> {
    let workers: u32 = jobs.slaves().await?.iter().map(|slave| slave.workers).sum();
    let rate = f64::from(workers) * WORKER_BYTES_PER_SECOND;
    Ok(Surroundings {
        bytes_per_second: (workers > 0).then_some(rate),
        groups_per_second: Some(GROUPS_PER_SECOND),
        workers,
        disk_room: Some(jobs.disk_room()),
    })
}

async fn from_raw(request: Request) -> Result<Sent, Problem> {
    let waits = request.headers().contains_key(header::EXPECT);
    let mut body: BodyDataStream = Body::into_data_stream(request.into_body());
    let mut sampler = Sampler::default();
    while let Some(data) = next(&mut body).await? {
        if !sampler.feed(&data) {
            // Most clients look for an answer only when they have sent everything.
            if !waits {
                drain(&mut body).await;
            }
            return Ok(Sent { sampler, spec: None, ended: false });
        }
    }
    Ok(Sent { sampler, spec: None, ended: true })
}

async fn from_form(request: Request) -> Result<Sent, Problem> {
    let mut parts = form(request).await?;
    let mut spec = None;
    while let Some(mut part) = parts.next_field().await.map_err(|error| unreadable(&error))? {
        match part.name() {
            Some("spec") => spec = Some(read_spec(part).await?),
            Some("file") => {
                let mut sampler = Sampler::default();
                let mut ended = true;
                while let Some(data) = part.chunk().await.map_err(|error| unreadable(&error))? {
                    // The rest of a form is read, and thrown away.
                    ended = ended && sampler.feed(&data);
                }
                return Ok(Sent { sampler, spec, ended });
            }
            other => {
                let other = other.unwrap_or_default();
                let detail = format!("there is no use for the part {other:?}: `file` is looked at");
                drop(part);
                drain_form(&mut parts).await;
                return Err(Problem::bad_request(detail));
            }
        }
    }
    Err(Problem::bad_request("the form has no part `file` with the CSV"))
}
