//! Looks at what a job comes to: rows of its result, of its rejects, or of what has been counted so far.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tempfile::TempPath;
use tokio::task::spawn_blocking;
use tracing::debug;

use tally_common::api::{Coverage, Look, LookQuery, Summary};
use tally_common::id::{JobId, TaskNumber};
use tally_common::spec::Spec;

use super::{Download, Jobs, JobsError, Keep};
use crate::coordinator::Message;
use crate::finish::{index_path, open_run, summary_path};
use crate::look;
use crate::merge::{MergeError, MergeInput, MergeOptions, merge_to_csv};

/// Looks at what has been counted so far that may be made at a time: each merges, beside the counting.
pub(super) const PARTIAL_LOOKS: usize = 2;

/// What has been counted of a job so far.
#[derive(Clone, Debug)]
pub(crate) struct SoFar {
    pub(crate) spec: Spec,
    pub(crate) folder: PathBuf,
    /// The tasks that have their answers.
    pub(crate) kept: Vec<TaskNumber>,
    pub(crate) coverage: Coverage,
}

impl Jobs {
    /// Some rows of a job's result, or with `query.partial` of what has been counted so far; of a job that
    /// has ended there is only the result.
    ///
    /// # Errors
    /// [`JobsError::NotFound`], [`JobsError::State`], [`JobsError::Query`] and [`JobsError::Busy`].
    pub async fn look(&self, id: JobId, query: LookQuery) -> Result<Look, JobsError> {
        if query.partial
            && let Some(so_far) = self.so_far(id).await?
        {
            let permit = Arc::clone(&self.looks).try_acquire_owned();
            let permit = permit.map_err(|_| JobsError::Looks(PARTIAL_LOOKS))?;
            let _kept = self.readers.read(id);
            let query = query.clone();
            let looked = spawn_blocking(move || {
                let _permit = permit;
                let cancelled = AtomicBool::new(false);
                let runs = open_runs(id, &so_far)?;
                let found = look::runs(&so_far.spec, &runs, &query, (&so_far.folder, &cancelled))??;
                Ok(Look { coverage: Some(so_far.coverage), ..found })
            });
            match joined(looked.await) {
                // The runs go when a job has ended: then there is the result.
                Err(JobsError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
                looked => return looked,
            }
        }
        let file = self.result(id).await?;
        let spec = spec_of(&file)?;
        let result = file.job.result.clone().unwrap_or_default();
        let index = index_path(&self.folder(file.job.repaired_by.unwrap_or(id)));
        let looked = spawn_blocking(move || {
            let marks = look::read_marks(&index, result.bytes);
            let found = look::result(&file.path, &spec, &marks, &query)??;
            Ok(Look { total_rows: Some(result.rows), ..found })
        });
        joined(looked.await)
    }

    /// What the result of a job comes to, for charts.
    ///
    /// # Errors
    /// [`JobsError::NotFound`] and [`JobsError::State`], also for a result of a version that made none.
    pub async fn summary(&self, id: JobId) -> Result<Summary, JobsError> {
        let file = self.result(id).await?;
        if file.job.ingest.is_some() {
            let needs = "the report of an ingest has no charts; look at its table";
            return Err(JobsError::State { job: id, state: file.job.state, needs });
        }
        let path = summary_path(&self.folder(file.job.repaired_by.unwrap_or(id)));
        let json = tokio::fs::read(path).await.unwrap_or_default();
        serde_json::from_slice(&json).map_err(|error| {
            debug!(job = %id, %error, "a result has no summary");
            let needs = "its result has no summary; it is of an earlier version, submit it again";
            JobsError::State { job: id, state: file.job.state, needs }
        })
    }

    /// Some of the records that could not be counted.
    ///
    /// # Errors
    /// [`JobsError::NotFound`] and [`JobsError::State`].
    pub async fn rejects_page(
        &self,
        id: JobId,
        limit: u32,
        offset: u64,
    ) -> Result<Look, JobsError> {
        let file = self.rejects(id).await?;
        let total = file.job.receipt.rejected;
        let looked = spawn_blocking(move || {
            let found = look::plain(&file.path, limit, offset)?;
            Ok(Look { total_rows: Some(total), ..found })
        });
        joined(looked.await)
    }

    /// All that has been counted so far, as a result, and how much of the input that is. Of a job that has
    /// ended, the result.
    ///
    /// # Errors
    /// [`JobsError::NotFound`], [`JobsError::State`], [`JobsError::Busy`] and [`JobsError::NoRoom`].
    pub async fn partial(&self, id: JobId) -> Result<(Download, Option<Coverage>), JobsError> {
        let Some(so_far) = self.so_far(id).await? else {
            return Ok((self.result(id).await?, None));
        };
        if self.disk.is_low() {
            return Err(JobsError::NoRoom { needed: 1, room: 0 });
        }
        let permit = Arc::clone(&self.looks).try_acquire_owned();
        let permit = permit.map_err(|_| JobsError::Looks(PARTIAL_LOOKS))?;
        let lease = self.readers.read(id);
        let coverage = so_far.coverage;
        let threads = self.config.merge_threads;
        let merged = spawn_blocking(move || {
            let _permit = permit;
            let runs = open_runs(id, &so_far)?;
            merge(&so_far, &runs, threads)
        });
        match joined(merged.await) {
            Err(JobsError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                Ok((self.result(id).await?, None))
            }
            Err(error) => Err(error),
            Ok(file) => {
                let (path, job) = (file.to_path_buf(), self.get(id).await?);
                let lease = Keep { _leases: vec![lease], _temporary: Some(file) };
                Ok((Download { path, job, lease }, Some(coverage)))
            }
        }
    }

    /// What has been counted so far; `None` where the job has ended.
    async fn so_far(&self, id: JobId) -> Result<Option<SoFar>, JobsError> {
        let so_far = self.ask(|reply| Message::SoFar { job: id, reply }).await?;
        if so_far.as_ref().is_some_and(|so_far| so_far.spec.rows().is_some()) {
            let state = self.get(id).await?.state;
            let needs =
                "an ingest has no partial result; its rows are in the table when it has ended";
            return Err(JobsError::State { job: id, state, needs });
        }
        match so_far {
            Some(so_far) if so_far.kept.is_empty() => {
                let (state, needs) = (self.get(id).await?.state, "nothing of it is counted yet");
                Err(JobsError::State { job: id, state, needs })
            }
            so_far => Ok(so_far),
        }
    }
}

fn spec_of(file: &Download) -> Result<Spec, JobsError> {
    // It was checked when the job was opened.
    Spec::try_from(file.job.spec.clone())
        .map_err(|error| io::Error::other(error.to_string()).into())
}

fn open_runs(id: JobId, so_far: &SoFar) -> Result<Vec<MergeInput>, JobsError> {
    let runs = so_far.kept.iter().map(|number| open_run(&so_far.spec, id, &so_far.folder, *number));
    Ok(runs.collect::<Result<_, _>>().map_err(run_error)?)
}

fn run_error(error: tally_common::run::RunError) -> io::Error {
    match error {
        tally_common::run::RunError::Io(error) => error,
        error => io::Error::other(error.to_string()),
    }
}

fn merge(so_far: &SoFar, runs: &[MergeInput], threads: usize) -> Result<TempPath, JobsError> {
    let scratch = tempfile::Builder::new().prefix("partial").tempdir_in(&so_far.folder)?;
    let file = tempfile::Builder::new().prefix("partial").tempfile_in(&so_far.folder)?;
    let cancelled = AtomicBool::new(false);
    let options = MergeOptions { threads, cancelled: &cancelled, scratch_dir: scratch.path() };
    let (mut out, path) = file.into_parts();
    merge_to_csv(&so_far.spec, runs, &mut out, &options)?;
    Ok(path)
}

impl From<MergeError> for JobsError {
    fn from(error: MergeError) -> Self {
        match error {
            MergeError::Io(error) => Self::Io(error),
            error => Self::Io(io::Error::other(error.to_string())),
        }
    }
}

fn joined<T>(ended: Result<Result<T, JobsError>, tokio::task::JoinError>) -> Result<T, JobsError> {
    ended.map_err(|error| io::Error::other(error.to_string()))?
}
