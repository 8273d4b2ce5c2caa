//! What can be downloaded of a job: its result, its rejects, its receipt, its input.

use std::path::PathBuf;
use std::sync::Arc;

use tally_common::api::{FullReceipt, InputReceipt, JobState, JobView, TaskAnswer, TaskReceipt};
use tally_common::id::JobId;
use tempfile::TempPath;

use super::{Jobs, JobsError};
use crate::finish::{rejects_path, result_path};
use crate::readers::Lease;
use crate::store::StoredTask;

/// A file that can be downloaded. Its job is not swept away as long as this is kept.
#[derive(Debug)]
pub struct Download {
    /// Where it lies.
    pub path: PathBuf,
    /// The job as it was when asked.
    pub job: Arc<JobView>,
    /// Keeps it there.
    pub lease: Keep,
}

/// Keeps a file that is downloaded where it is, until it is dropped.
#[derive(Debug, Default)]
pub struct Keep {
    /// The jobs whose file it is.
    pub(super) _leases: Vec<Lease>,
    /// A file that was made for this download alone.
    pub(super) _temporary: Option<TempPath>,
}

impl Keep {
    fn of(leases: Vec<Lease>) -> Self {
        Self { _leases: leases, _temporary: None }
    }
}

impl Jobs {
    /// The result of a job that has succeeded.
    ///
    /// # Errors
    /// [`JobsError::NotFound`], [`JobsError::State`] and [`JobsError::ResultGone`].
    pub async fn result(&self, id: JobId) -> Result<Download, JobsError> {
        let mut lease = vec![self.readers.read(id)];
        let job = self.get(id).await?;
        if job.state != JobState::Succeeded {
            let (state, needs) = (job.state, "only a job that has succeeded has a result");
            return Err(JobsError::State { job: id, state, needs });
        }
        // The result of a repaired job is that of the last repair.
        let of = job.repaired_by.unwrap_or(id);
        lease.push(self.readers.read(of));
        let path = match &job.result_path {
            Some(path) if of == id => {
                let path = PathBuf::from(path);
                let found = tokio::fs::metadata(&path).await.ok().map(|found| found.len());
                if found != job.result.as_ref().map(|result| result.bytes) {
                    return Err(JobsError::ResultGone { job: id, path });
                }
                path
            }
            _ => result_path(&self.folder(of)),
        };
        Ok(Download { path, job, lease: Keep::of(lease) })
    }

    /// The rejects of a job that has ended, with or without a result.
    ///
    /// # Errors
    /// [`JobsError::NotFound`] and [`JobsError::State`].
    pub async fn rejects(&self, id: JobId) -> Result<Download, JobsError> {
        let lease = vec![self.readers.read(id)];
        let job = self.get(id).await?;
        let path = rejects_path(&self.folder(id));
        if !job.state.ended() || !path.exists() {
            let (state, needs) = (job.state, "rejects are listed once all of a job is counted");
            return Err(JobsError::State { job: id, state, needs });
        }
        Ok(Download { path, job, lease: Keep::of(lease) })
    }

    /// The input of a job, decompressed, where it is kept.
    ///
    /// # Errors
    /// [`JobsError::NotFound`] and [`JobsError::State`].
    pub async fn input(&self, id: JobId) -> Result<Download, JobsError> {
        let lease = vec![self.readers.read(id)];
        let job = self.get(id).await?;
        let spooled = self.folder(id).join("spool").join("0.csv");
        let (path, kept) = match &job.in_place {
            // A compressed one was spooled.
            Some(path) if !spooled.exists() => (PathBuf::from(path), self.may_be_read(path).await),
            _ => (spooled, job.keep_input),
        };
        if !kept || !path.exists() {
            let (state, needs) = (
                job.state,
                "its input is not kept; it would have to be asked for when it is submitted",
            );
            return Err(JobsError::State { job: id, state, needs });
        }
        Ok(Download { path, job, lease: Keep::of(lease) })
    }

    /// What a job's records came to, task by task.
    ///
    /// # Errors
    /// [`JobsError::NotFound`].
    pub async fn receipt(&self, id: JobId) -> Result<FullReceipt, JobsError> {
        let job = self.get(id).await?;
        let Some(store) = &self.store else { return Err(JobsError::NotFound(id)) };
        let inputs = store.inputs(id).await?.into_iter().map(|input| InputReceipt {
            name: input.name,
            header_bytes: input.header.bytes,
            header_crc32c: input.header.crc32c,
        });
        let tasks = store.tasks(id).await?;
        let tasks = (0..).zip(tasks).map(|(number, task)| task_receipt(number, task));
        Ok(FullReceipt {
            job: id,
            state: job.state,
            total: job.receipt,
            inputs: inputs.collect(),
            tasks: tasks.collect(),
        })
    }
}

fn task_receipt(number: u32, task: StoredTask) -> TaskReceipt {
    let answer = task.kept.map(|kept| TaskAnswer {
        records: kept.totals.records,
        counted: kept.totals.records - kept.totals.rejects,
        rejected: kept.totals.rejects,
        blank_lines: kept.totals.blank_lines,
        lines: kept.totals.lines,
        groups: kept.groups,
        run_bytes: kept.run.0,
        run_crc32c: kept.run.1,
        slave: kept.slave,
        attempt: kept.attempt,
    });
    TaskReceipt {
        number,
        input: task.input,
        byte_offset: task.cut.offset,
        bytes: task.cut.len,
        crc32c: task.cut.crc32c,
        answer,
    }
}
