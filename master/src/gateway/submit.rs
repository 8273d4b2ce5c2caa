//! Submissions that name an input instead of sending it: `POST /api/v1/jobs` with JSON. What is to be
//! counted lies where the master can read it, or is fetched by it; both only as the operator allows.

use std::path::PathBuf;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use serde::Deserialize;
use utoipa::ToSchema;

use tally_common::api::Priority;
use tally_common::id::JobId;
use tally_common::spec::SpecDraft;

use super::problem::Problem;
use super::spec::Params;
use super::upload::{MAX_SPEC_BYTES, key, new_job, next};
use crate::fetch::{NotAllowed, Source};
use crate::jobs::{Jobs, NewJob};

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
    let mut new = new_job(&params, spec, name, None)?;
    if let Some(path) = result_path {
        new.result_path = Some(jobs.result_place(path).await?);
    }
    match (fetched, path) {
        (Some((source, url)), _) => {
            fetch(jobs, source, NewJob { fetched_from: Some(url), ..new }, key).await
        }
        (None, path) => {
            Ok(jobs.in_place(new, path.unwrap_or_default(), key).await?.finish().await?)
        }
    }
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
        ];
        all.extend_pairs(named.into_iter().filter_map(|(name, value)| Some((name, value?))));
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

/// Fetches an input, as if it were uploaded by whoever has asked for it.
async fn fetch(
    jobs: &Jobs,
    source: Source,
    new: NewJob,
    key: Option<String>,
) -> Result<JobId, Problem> {
    let mut upload = jobs.upload(new, key).await?;
    if upload.came_whole() {
        // It was fetched then; what the source has now is of no interest.
        return Ok(upload.job());
    }
    let mut pieces = source.fetch();
    while let Some(piece) = pieces.recv().await {
        match piece {
            Ok(data) => {
                if !upload.push(data).await {
                    break;
                }
            }
            Err(why) => return Err(upload.fail(why).await.into()),
        }
    }
    Ok(upload.finish().await?)
}

impl From<NotAllowed> for Problem {
    fn from(error: NotAllowed) -> Self {
        let (status, title) = (StatusCode::UNPROCESSABLE_ENTITY, "Nothing is fetched from there");
        Self::of(status, "source-not-allowed", title, error.to_string())
    }
}
