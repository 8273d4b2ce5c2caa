//! Facts as rows: what one commit writes.

use std::path::PathBuf;

use sqlx::{Sqlite, Transaction};

use tally_common::api::{JobState, JobView, Priority};
use tally_common::id::{Attempt, JobId, TaskNumber};
use tally_common::run::TaskTotals;
use tally_common::spec::SpecDraft;

use super::StoreError;
use crate::coordinator::InputInfo;
use crate::intake::Taken;

/// A task's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptRow {
    pub(crate) totals: TaskTotals,
    pub(crate) groups: u64,
    /// Length of its run in bytes, and their checksum.
    pub(crate) run: (u64, u32),
    pub(crate) slave: String,
    pub(crate) attempt: Attempt,
}

/// Something to be written.
#[derive(Clone, Debug)]
pub(crate) enum Row {
    Opened {
        job: JobId,
        name: String,
        priority: Priority,
        spec: SpecDraft,
        opened_ms: u64,
        expected: Option<u64>,
        keep_input: bool,
        resumable: bool,
        in_place: Option<PathBuf>,
        result_path: Option<PathBuf>,
        repairs: Option<JobId>,
        first_task: TaskNumber,
    },
    Key {
        key: String,
        job: JobId,
        fingerprint: String,
        created_ms: u64,
    },
    Input {
        job: JobId,
        number: u32,
        info: InputInfo,
    },
    Task {
        job: JobId,
        number: TaskNumber,
        input: u32,
        cut: crate::intake::Cut,
    },
    /// So much of an upload, as it was sent, is durable.
    Received {
        job: JobId,
        received: Taken,
    },
    Complete {
        job: JobId,
        taken: Taken,
        received: Taken,
    },
    Kept {
        job: JobId,
        number: TaskNumber,
        kept: KeptRow,
    },
    Lost {
        job: JobId,
        number: TaskNumber,
    },
    Ended {
        view: Box<JobView>,
        ended_ms: u64,
    },
    /// An ended job is shown otherwise from now on.
    Revised {
        view: Box<JobView>,
    },
    /// A job is gone. That it was there is remembered for as long as keys are.
    Deleted {
        job: JobId,
        gone_ms: u64,
    },
    /// Keys that were made before that are forgotten, and jobs that had gone by then.
    KeysExpired {
        before_ms: u64,
    },
}

/// SQLite's integers have a sign. No number of bytes or records comes near its end; a checksum or a
/// count that a slave invents is brought back to it.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn json<T: serde::Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Nonsense { what, problem: error.to_string() })
}

type Write<'a, 'c> = &'a mut Transaction<'c, Sqlite>;

impl Row {
    /// Writes the row.
    pub(super) async fn write(&self, to: Write<'_, '_>) -> Result<(), StoreError> {
        match self {
            Self::Opened { .. } => self.write_opened(to).await,
            Self::Key { key, job, fingerprint, created_ms } => {
                let sql = "insert into keys (key, job, fingerprint, created_ms)
                    values ($1, $2, $3, $4) on conflict (key) do update
                    set job = excluded.job, fingerprint = excluded.fingerprint";
                let query = sqlx::query(sql).bind(key).bind(job.to_string());
                query.bind(fingerprint).bind(int(*created_ms)).execute(&mut **to).await?;
                Ok(())
            }
            Self::Input { job, number, info } => write_input(*job, *number, info, to).await,
            Self::Task { job, number, input, cut } => {
                let sql = "insert into tasks (job, number, input, byte_offset, bytes, crc32c)
                    values ($1, $2, $3, $4, $5, $6) on conflict do nothing";
                let query = sqlx::query(sql).bind(job.to_string()).bind(*number).bind(*input);
                let query = query.bind(int(cut.offset)).bind(int(cut.len)).bind(cut.crc32c);
                query.execute(&mut **to).await?;
                Ok(())
            }
            Self::Received { job, received } => {
                let sql = "update jobs set received_bytes = $2, received_crc32c = $3 where id = $1";
                let query = sqlx::query(sql).bind(job.to_string());
                let query = query.bind(int(received.bytes)).bind(received.crc32c);
                query.execute(&mut **to).await?;
                Ok(())
            }
            Self::Complete { job, taken, received } => {
                let sql = "update jobs set state = 'running', bytes = $2, crc32c = $3,
                    received_bytes = $4, received_crc32c = $5 where id = $1 and ended_ms is null";
                let query = sqlx::query(sql).bind(job.to_string());
                let query = query.bind(int(taken.bytes)).bind(taken.crc32c);
                let query = query.bind(int(received.bytes)).bind(received.crc32c);
                query.execute(&mut **to).await?;
                Ok(())
            }
            Self::Kept { job, number, kept } => write_kept(*job, *number, kept, to).await,
            Self::Lost { job, number } => {
                let sql = "update tasks set records = null, rejects = null, blank_lines = null,
                    lines = null, groups = null, run_bytes = null, run_crc32c = null, slave = null,
                    attempt = null where job = $1 and number = $2";
                sqlx::query(sql).bind(job.to_string()).bind(*number).execute(&mut **to).await?;
                Ok(())
            }
            Self::Ended { view, ended_ms } => write_view(view, Some(*ended_ms), to).await,
            Self::Revised { view } => write_view(view, None, to).await,
            Self::Deleted { job, gone_ms } => {
                let sql = "delete from jobs where id = $1";
                sqlx::query(sql).bind(job.to_string()).execute(&mut **to).await?;
                let sql = "insert into gone (job, gone_ms) values ($1, $2) on conflict do nothing";
                let query = sqlx::query(sql).bind(job.to_string()).bind(int(*gone_ms));
                query.execute(&mut **to).await?;
                Ok(())
            }
            Self::KeysExpired { before_ms } => {
                let sql = "delete from keys where created_ms < $1
                    and job not in (select id from jobs)";
                sqlx::query(sql).bind(int(*before_ms)).execute(&mut **to).await?;
                let sql = "delete from gone where gone_ms < $1";
                sqlx::query(sql).bind(int(*before_ms)).execute(&mut **to).await?;
                Ok(())
            }
        }
    }

    async fn write_opened(&self, to: Write<'_, '_>) -> Result<(), StoreError> {
        let Self::Opened {
            job,
            name,
            priority,
            spec,
            opened_ms,
            expected,
            keep_input,
            resumable,
            in_place,
            result_path,
            repairs,
            first_task,
        } = self
        else {
            return Ok(());
        };
        let sql = "insert into jobs (id, name, state, priority, spec, opened_ms, expected,
            keep_input, resumable, repairs, first_task, in_place, result_path)
            values ($1, $2, 'receiving', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
            on conflict do nothing";
        let query = sqlx::query(sql).bind(job.to_string()).bind(name).bind(priority.as_str());
        let query = query.bind(json("a spec", spec)?).bind(int(*opened_ms));
        let query = query.bind(expected.map(int)).bind(*keep_input).bind(*resumable);
        let query = query.bind(repairs.map(|job| job.to_string())).bind(*first_task);
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let query = query.bind(in_place.as_ref().map(text)).bind(result_path.as_ref().map(text));
        query.execute(&mut **to).await?;
        Ok(())
    }
}

async fn write_input(
    job: JobId,
    number: u32,
    info: &InputInfo,
    to: Write<'_, '_>,
) -> Result<(), StoreError> {
    let sql = "insert into inputs (job, number, name, path, layout, columns, header_lines,
        header_bytes, header_crc32c) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        on conflict do nothing";
    let query = sqlx::query(sql).bind(job.to_string()).bind(number).bind(&info.name);
    let query = query.bind(info.path.to_string_lossy().into_owned());
    let query = query.bind(json("a layout", &info.layout)?).bind(json("columns", &info.columns)?);
    let query = query.bind(int(info.header_lines)).bind(int(info.header.bytes));
    query.bind(info.header.crc32c).execute(&mut **to).await?;
    Ok(())
}

async fn write_kept(
    job: JobId,
    number: TaskNumber,
    kept: &KeptRow,
    to: Write<'_, '_>,
) -> Result<(), StoreError> {
    let TaskTotals { records, rejects, blank_lines, lines, .. } = kept.totals;
    let sql = "update tasks set records = $3, rejects = $4, blank_lines = $5, lines = $6,
        groups = $7, run_bytes = $8, run_crc32c = $9, slave = $10, attempt = $11
        where job = $1 and number = $2";
    let query = sqlx::query(sql).bind(job.to_string()).bind(number);
    let query = query.bind(int(records)).bind(int(rejects)).bind(int(blank_lines));
    let query = query.bind(int(lines)).bind(int(kept.groups)).bind(int(kept.run.0));
    query.bind(kept.run.1).bind(&kept.slave).bind(kept.attempt).execute(&mut **to).await?;
    Ok(())
}

/// Writes an ended job as it is shown; `ended_ms` where it ends now.
async fn write_view(
    view: &JobView,
    ended_ms: Option<u64>,
    to: Write<'_, '_>,
) -> Result<(), StoreError> {
    debug_assert!(matches!(
        view.state,
        JobState::Succeeded | JobState::Failed | JobState::Cancelled
    ));
    let sql = "update jobs set state = $2, error = $3, records = $4, rejected = $5, rows = $6,
        result_sha256 = $7, view = $8, ended_ms = coalesce(ended_ms, $9) where id = $1";
    let result = view.result.as_ref();
    let query = sqlx::query(sql).bind(view.id.to_string()).bind(view.state.as_str());
    let query = query.bind(&view.error).bind(int(view.receipt.records));
    let query = query.bind(int(view.receipt.rejected)).bind(result.map(|result| int(result.rows)));
    let query = query.bind(result.map(|result| result.sha256.clone()));
    query.bind(json("a job", view)?).bind(ended_ms.map(int)).execute(&mut **to).await?;
    Ok(())
}
