//! What was fetched becomes a job.

use std::path::Path;

use bytes::Bytes;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use tally_common::id::JobId;

use super::config::{Destination, SourceConfig};
use crate::jobs::{Jobs, JobsError, NewJob};

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 256 << 10;

/// Submits a file under a key; returns when all of it has been taken in.
pub(super) async fn submit(
    jobs: &Jobs,
    source: &SourceConfig,
    item: &str,
    key: String,
    file: &Path,
) -> Result<JobId, JobsError> {
    let name =
        if item.is_empty() { source.name.clone() } else { format!("{}: {item}", source.name) };
    match &source.into {
        Destination::Count(spec) => {
            let new = NewJob::new(name, (**spec).clone());
            upload(jobs, new, key, file).await
        }
        Destination::Table(_) => Err(std::io::Error::other("tables are not there yet").into()),
    }
}

async fn upload(jobs: &Jobs, new: NewJob, key: String, file: &Path) -> Result<JobId, JobsError> {
    let mut file = File::open(file).await?;
    let mut upload = jobs.upload(new, Some(key)).await?;
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        let n = file.read(&mut piece).await?;
        piece.truncate(n);
        if n == 0 || !upload.push(Bytes::from(piece)).await {
            return upload.finish().await;
        }
    }
}
