//! How the file of a message becomes a job: under the parameters that HTTP has for the same, from where
//! the operator allows that inputs come from.

use std::path::PathBuf;

use bytes::Bytes;

use tally_common::id::JobId;

use super::decide::{self, Failure, Where};
use crate::fetch::Source;
use crate::gateway;
use crate::jobs::{Jobs, JobsError, Upload};

/// Bytes that are handed to an upload at a time.
const PIECE_BYTES: usize = 1 << 20;

impl From<JobsError> for Failure {
    fn from(error: JobsError) -> Self {
        decide::failure(&error)
    }
}

/// Opens a job and takes its input in.
pub(super) async fn submit(
    jobs: &Jobs,
    parameters: &str,
    place: Where,
    body: &[u8],
    key: Option<String>,
) -> Result<JobId, Failure> {
    let job = |name, expected| gateway::job_of(parameters, name, expected).map_err(Failure::Final);
    match place {
        Where::Body => {
            let bytes = body.len() as u64;
            jobs.check_size(bytes)?;
            let upload = jobs.upload(job(None, Some(bytes))?, key).await?;
            push(upload, body).await
        }
        Where::Url(url) => {
            let source = Source::new(&url, jobs.config());
            let source = source.map_err(|error| Failure::Final(error.to_string()))?;
            let mut new = job(source.file_name().map(str::to_owned), None)?;
            new.fetched_from = Some(url);
            fetch(jobs.upload(new, key).await?, source).await
        }
        Where::Path(path) => {
            let path = PathBuf::from(path);
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            let reading = jobs.in_place(job(name, None)?, path, key).await?;
            Ok(reading.finish().await?)
        }
    }
}

async fn push(mut upload: Upload, body: &[u8]) -> Result<JobId, Failure> {
    for piece in body.chunks(PIECE_BYTES) {
        if !upload.push(Bytes::copy_from_slice(piece)).await {
            break;
        }
    }
    Ok(upload.finish().await?)
}

async fn fetch(mut upload: Upload, source: Source) -> Result<JobId, Failure> {
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
