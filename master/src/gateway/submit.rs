//! Submissions that name an input instead of sending it: `POST /api/v1/jobs` with JSON. What is to be
//! counted lies where the master can read it, or is fetched by it; both only as the operator allows.

use std::path::PathBuf;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use serde::Deserialize;
use utoipa::ToSchema;

use tally_common::api::{IngestMode, Priority};
use tally_common::id::JobId;
use tally_common::spec::SpecDraft;

use super::problem::Problem;
use super::spec::Params;
use super::upload::{MAX_SPEC_BYTES, key, next, wanted};
use crate::access::Who;
use crate::fetch::{NotAllowed, Source};
use crate::jobs::{Jobs, NewIngest, NewJob, Wanted};

/// What such a request says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Submission {
    source: Where,
    name: Option<String>,
    priority: Option<Priority>,
    spec: Option<SpecDraft>,
    preset: Option<String>,
    keep_input: Option<bool>,
    table: Option<String>,
    mode: Option<IngestMode>,
    /// The key columns of a table that is made after the file.
    key: Option<Vec<String>>,
    #[schema(value_type = Option<String>)]
    result_path: Option<PathBuf>,
}

/// Where an input is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Where {
    Url(String),
    Path(String),
}

/// Whether a request names its input in JSON.
pub(super) fn is_json(request: &Request) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = content_type.split(';').next().unwrap_or_default();
    name.trim().eq_ignore_ascii_case("application/json")
}

/// Opens the job and takes its input in.
pub(super) async fn receive(jobs: &Jobs, request: Request) -> Result<JobId, Problem> {
    let query = request.uri().query().map(str::to_owned);
    let key = key(request.headers())?;
    let who: Option<Who> = request.extensions().get().cloned();
    let submission = read(request).await?;
    let params = Params::parse(Some(&submission.query(query.as_deref())))?;
    let Submission { source, spec, result_path, .. } = submission;
    let (fetched, path) = match source {
        Where::Url(url) => (Some((Source::new(&url, jobs.config())?, url)), None),
        Where::Path(path) => (None, Some(PathBuf::from(path))),
    };
    let name = match (&fetched, &path) {
        (Some((source, _)), _) => source.file_name().map(str::to_owned),
        (None, path) => {
            let name = path.as_ref().and_then(|path| path.file_name());
            name.map(|name| name.to_string_lossy().into_owned())
        }
    };
    let wanted = wanted(&params, spec, name, None)?.by(who.as_ref());
    let result_path = match result_path {
        Some(path) => Some(jobs.result_place(path).await?),
        None => None,
    };
    match (fetched, path) {
        (Some((source, url)), _) => {
            let fetched_from = Some(url);
            let wanted = match wanted {
                Wanted::Count(new) => NewJob { fetched_from, result_path, ..new }.into(),
                Wanted::Ingest(_) if result_path.is_some() => return Err(no_result_path()),
                Wanted::Ingest(new) => NewIngest { fetched_from, ..new }.into(),
            };
            Ok(jobs.submit_pieces(wanted, key, || source.fetch()).await?)
        }
        (None, path) => {
            let path = path.unwrap_or_default();
            let new = jobs.job_of_file(wanted, path.clone()).await?;
            let new = NewJob { result_path, ..new };
            Ok(jobs.in_place(new, path, key).await?.finish().await?)
        }
    }
}

fn no_result_path() -> Problem {
    Problem::bad_request("what an ingest comes to is in its table; leave result_path away")
}

impl Submission {
    /// The request's query, and what the body says in its stead.
    fn query(&self, query: Option<&str>) -> String {
        let mut all = form_urlencoded::Serializer::new(query.unwrap_or_default().to_owned());
        let priority = self.priority.map(Priority::as_str);
        let keep = self.keep_input.map(|keep| if keep { "true" } else { "false" });
        let named = [
            ("name", self.name.as_deref()),
            ("priority", priority),
            ("preset", self.preset.as_deref()),
            ("keep_input", keep),
            ("table", self.table.as_deref()),
            ("mode", self.mode.map(IngestMode::as_str)),
        ];
        all.extend_pairs(named.into_iter().filter_map(|(name, value)| Some((name, value?))));
        all.extend_pairs(self.key.iter().flatten().map(|name| ("key", name)));
        all.finish()
    }
}

async fn read(request: Request) -> Result<Submission, Problem> {
    let mut body = Body::into_data_stream(request.into_body());
    let mut json = Vec::new();
    while let Some(data) = next(&mut body).await? {
        json.extend_from_slice(&data);
        if json.len() > MAX_SPEC_BYTES {
            let detail = format!("a submission in JSON has at most {MAX_SPEC_BYTES} bytes");
            return Err(Problem::bad_request(detail));
        }
    }
    serde_json::from_slice(&json)
        .map_err(|error| Problem::bad_request(format!("the JSON of the submission: {error}")))
}

impl From<NotAllowed> for Problem {
    fn from(error: NotAllowed) -> Self {
        let (status, title) = (StatusCode::UNPROCESSABLE_ENTITY, "Nothing is fetched from there");
        Self::of(status, "source-not-allowed", title, error.to_string())
    }
}
