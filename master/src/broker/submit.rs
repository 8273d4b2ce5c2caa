//! How the file of a message becomes a job: under the parameters that HTTP has for the same, from where
//! the operator allows that inputs come from.

use std::path::PathBuf;

use bytes::Bytes;
use tokio::sync::mpsc;

use tally_common::id::JobId;

use super::decide::{self, Failure, Where};
use crate::fetch::Source;
use crate::gateway;
use crate::jobs::{Jobs, JobsError, Wanted};

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
    let wanted =
        |name, expected| gateway::wanted(parameters, name, expected).map_err(Failure::Final);
    match place {
        Where::Body => {
            let bytes = body.len() as u64;
            jobs.check_size(bytes)?;
            let wanted = wanted(None, Some(bytes))?;
            let (sender, pieces) = mpsc::channel(1);
            let sending = async move {
                for piece in body.chunks(PIECE_BYTES) {
                    // Whoever takes no more says why.
                    if sender.send(Ok(Bytes::copy_from_slice(piece))).await.is_err() {
                        break;
                    }
                }
            };
            let (taken, ()) = tokio::join!(jobs.submit_pieces(wanted, key, || pieces), sending);
            Ok(taken?)
        }
        Where::Url(url) => {
            let source = Source::new(&url, jobs.config());
            let source = source.map_err(|error| Failure::Final(error.to_string()))?;
            let mut wanted = wanted(source.file_name().map(str::to_owned), None)?;
            match &mut wanted {
                Wanted::Count(new) => new.fetched_from = Some(url),
                Wanted::Ingest(new) => new.fetched_from = Some(url),
            }
            Ok(jobs.submit_pieces(wanted, key, || source.fetch()).await?)
        }
        Where::Path(path) => {
            let path = PathBuf::from(path);
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            let new = jobs.job_of_file(wanted(name, None)?, path.clone()).await?;
            Ok(jobs.in_place(new, path, key).await?.finish().await?)
        }
    }
}
