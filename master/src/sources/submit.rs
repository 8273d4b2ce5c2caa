//! What was fetched becomes a job.

use std::fs::File;
use std::path::Path;

use tally_common::id::JobId;

use super::config::{Destination, SourceConfig};
use crate::jobs::{Jobs, JobsError, NewIngest, NewJob};

/// Submits a file under a key; returns when all of it has been taken in.
pub(super) async fn submit(
    jobs: &Jobs,
    source: &SourceConfig,
    item: &str,
    key: String,
    file: &Path,
) -> Result<JobId, JobsError> {
    let file = File::open(file)?;
    let expected = Some(file.metadata()?.len());
    let from = Box::new(file);
    let name = match item {
        "" => source.name.clone(),
        item => format!("{}: {item}", source.name),
    };
    match &source.into {
        Destination::Count(spec) => {
            let new = NewJob { expected, ..NewJob::new(name, (**spec).clone()) };
            jobs.submit_reader(new, Some(key), from).await
        }
        Destination::Table(into) => {
            let new = NewIngest {
                mode: into.mode,
                preset: into.preset.clone(),
                key: into.key.clone(),
                delimiter: into.delimiter,
                max_rejects: into.max_rejects,
                expected,
                ..NewIngest::new(name, into.table.clone())
            };
            jobs.submit_ingest(new, Some(key), from).await
        }
    }
}
