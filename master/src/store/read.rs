//! What the store gives back.

use std::path::PathBuf;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use tally_common::api::{IngestMode, JobView, Priority};
use tally_common::id::JobId;
use tally_common::run::TaskTotals;
use tally_common::spec::{Spec, SpecDraft};

use super::{KeptRow, Store, StoreError};
use crate::coordinator::{InputInfo, NewJob};
use crate::intake::{Cut, Taken};

/// A job that had not ended.
#[derive(Clone, Debug)]
pub(crate) struct StoredJob {
    pub(crate) id: JobId,
    pub(crate) new: NewJob,
    pub(crate) opened_ms: u64,
    /// What its input came to, if all of it was there.
    pub(crate) taken: Option<Taken>,
    /// What is durable of its upload, as it was sent.
    pub(crate) received: Taken,
    pub(crate) inputs: Vec<InputInfo>,
    pub(crate) tasks: Vec<StoredTask>,
    /// The key under which it was submitted.
    pub(crate) key: Option<String>,
}

/// A task, and its answer if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredTask {
    pub(crate) input: u32,
    pub(crate) cut: Cut,
    pub(crate) kept: Option<KeptRow>,
}

/// A key under which a job was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredKey {
    pub(crate) job: JobId,
    pub(crate) fingerprint: String,
    pub(crate) created_ms: u64,
}

fn nonsense(what: &'static str, problem: impl ToString) -> StoreError {
    StoreError::Nonsense { what, problem: problem.to_string() }
}

pub(super) fn from_json<T: DeserializeOwned>(
    what: &'static str,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| nonsense(what, error))
}

pub(super) fn job_id(text: &str) -> Result<JobId, StoreError> {
    text.parse().map_err(|error| nonsense("a job's id", error))
}

pub(super) fn get<'r, T>(row: &'r SqliteRow, column: &str) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    Ok(row.try_get(column)?)
}

fn number(row: &SqliteRow, column: &str) -> Result<u64, StoreError> {
    let number: i64 = get(row, column)?;
    u64::try_from(number).map_err(|error| nonsense("a number", error))
}

fn narrow(row: &SqliteRow, column: &str) -> Result<u32, StoreError> {
    u32::try_from(number(row, column)?).map_err(|error| nonsense("a number", error))
}

impl Store {
    /// The jobs that had not ended, in order of opening.
    pub(crate) async fn open_jobs(&self) -> Result<Vec<StoredJob>, StoreError> {
        let sql = "select jobs.*, keys.key as used_key
            from jobs left join keys on keys.job = jobs.id where ended_ms is null order by id";
        let rows = sqlx::query(sql).fetch_all(&self.0).await?;
        let mut jobs = Vec::new();
        for row in rows {
            let id = job_id(get(&row, "id")?)?;
            let inputs = self.inputs(id).await?;
            let tasks = self.tasks(id).await?;
            jobs.push(job(&row, id, inputs, tasks)?);
        }
        Ok(jobs)
    }

    /// The inputs of a job.
    pub(crate) async fn inputs(&self, job: JobId) -> Result<Vec<InputInfo>, StoreError> {
        let sql = "select * from inputs where job = $1 order by number";
        let rows = sqlx::query(sql).bind(job.to_string()).fetch_all(&self.0).await?;
        rows.iter().map(input).collect()
    }

    /// The tasks of a job.
    pub(crate) async fn tasks(&self, job: JobId) -> Result<Vec<StoredTask>, StoreError> {
        let sql = "select * from tasks where job = $1 order by number";
        let rows = sqlx::query(sql).bind(job.to_string()).fetch_all(&self.0).await?;
        rows.iter().map(task).collect()
    }

    /// An ended job as it is shown.
    pub(crate) async fn view(&self, job: JobId) -> Result<Option<JobView>, StoreError> {
        let sql = "select view from jobs where id = $1 and view is not null";
        let found: Option<(String,)> =
            sqlx::query_as(sql).bind(job.to_string()).fetch_optional(&self.0).await?;
        found.map(|(view,)| from_json("a job", &view)).transpose()
    }

    /// The newest ended jobs, at most `limit` of them, newest first.
    pub(crate) async fn views(&self, limit: u32) -> Result<Vec<JobView>, StoreError> {
        let sql = "select view from jobs where view is not null order by id desc limit $1";
        let found: Vec<(String,)> = sqlx::query_as(sql).bind(limit).fetch_all(&self.0).await?;
        found.into_iter().map(|(view,)| from_json("a job", &view)).collect()
    }

    /// The repairs of a job that have succeeded, as they are shown, in order.
    pub(crate) async fn repairs(&self, job: JobId) -> Result<Vec<JobView>, StoreError> {
        let sql = "select view from jobs where repairs = $1 and state = 'succeeded' order by id";
        let found: Vec<(String,)> =
            sqlx::query_as(sql).bind(job.to_string()).fetch_all(&self.0).await?;
        found.into_iter().map(|(view,)| from_json("a job", &view)).collect()
    }

    /// Jobs that ended before that.
    pub(crate) async fn ended_before(&self, before_ms: u64) -> Result<Vec<JobId>, StoreError> {
        let sql = "select id from jobs where ended_ms < $1";
        let before = i64::try_from(before_ms).unwrap_or(i64::MAX);
        let found: Vec<(String,)> = sqlx::query_as(sql).bind(before).fetch_all(&self.0).await?;
        found.iter().map(|(id,)| job_id(id)).collect()
    }

    /// All jobs that are known.
    pub(crate) async fn all_jobs(&self) -> Result<Vec<JobId>, StoreError> {
        let found: Vec<(String,)> =
            sqlx::query_as("select id from jobs").fetch_all(&self.0).await?;
        found.iter().map(|(id,)| job_id(id)).collect()
    }

    /// What was submitted under a key.
    pub(crate) async fn key(&self, key: &str) -> Result<Option<StoredKey>, StoreError> {
        let sql = "select job, fingerprint, created_ms from keys where key = $1";
        let found: Option<(String, String, i64)> =
            sqlx::query_as(sql).bind(key).fetch_optional(&self.0).await?;
        let Some((job, fingerprint, created_ms)) = found else { return Ok(None) };
        let created_ms = created_ms.unsigned_abs();
        Ok(Some(StoredKey { job: job_id(&job)?, fingerprint, created_ms }))
    }

    /// Whether there was such a job, which was deleted or whose time was over.
    pub(crate) async fn is_gone(&self, job: JobId) -> Result<bool, StoreError> {
        let sql = "select job from gone where job = $1";
        let found: Option<(String,)> =
            sqlx::query_as(sql).bind(job.to_string()).fetch_optional(&self.0).await?;
        Ok(found.is_some())
    }

    /// Whether there are keys, or jobs that are gone, from before that.
    pub(crate) async fn has_keys_of(&self, before_ms: u64) -> Result<bool, StoreError> {
        let sql = "select key from keys where created_ms < $1
            union all select job from gone where gone_ms < $1 limit 1";
        let before = i64::try_from(before_ms).unwrap_or(i64::MAX);
        let found: Option<(String,)> =
            sqlx::query_as(sql).bind(before).fetch_optional(&self.0).await?;
        Ok(found.is_some())
    }

    /// What an ended job's upload came to, as it was sent; `None` where it was not all received.
    pub(crate) async fn received(&self, job: JobId) -> Result<Option<Taken>, StoreError> {
        let sql = "select received_bytes, received_crc32c from jobs
            where id = $1 and bytes is not null";
        let found: Option<(i64, u32)> =
            sqlx::query_as(sql).bind(job.to_string()).fetch_optional(&self.0).await?;
        Ok(found.map(|(bytes, crc32c)| Taken { bytes: bytes.unsigned_abs(), crc32c }))
    }
}

fn job(
    row: &SqliteRow,
    id: JobId,
    inputs: Vec<InputInfo>,
    tasks: Vec<StoredTask>,
) -> Result<StoredJob, StoreError> {
    let priority: &str = get(row, "priority")?;
    let priority = Priority::parse(priority).ok_or_else(|| nonsense("a priority", priority))?;
    let draft: SpecDraft = from_json("a spec", get(row, "spec")?)?;
    let repairs: Option<&str> = get(row, "repairs")?;
    let new = NewJob {
        name: get(row, "name")?,
        spec: Spec::try_from(draft).map_err(|error| nonsense("a spec", error))?,
        priority,
        expected: get::<Option<i64>>(row, "expected")?.map(i64::unsigned_abs),
        keep_input: get(row, "keep_input")?,
        resumable: get(row, "resumable")?,
        in_place: get::<Option<String>>(row, "in_place")?.map(PathBuf::from),
        // Nothing is fetched twice: only its key is still compared, and that is kept by itself.
        fetched_from: None,
        ingest: match get::<Option<String>>(row, "ingest_table")? {
            None => None,
            Some(table) => Some((table, ingest_mode(get(row, "ingest_mode")?)?)),
        },
        result_path: get::<Option<String>>(row, "result_path")?.map(PathBuf::from),
        repairs: repairs.map(job_id).transpose()?,
        first_task: narrow(row, "first_task")?,
        trace: None,
    };
    let complete = get::<Option<i64>>(row, "bytes")?.is_some();
    let taken = |bytes, crc32c| {
        Ok::<_, StoreError>(Taken { bytes: number(row, bytes)?, crc32c: narrow(row, crc32c)? })
    };
    Ok(StoredJob {
        id,
        new,
        opened_ms: number(row, "opened_ms")?,
        taken: complete.then(|| taken("bytes", "crc32c")).transpose()?,
        received: taken("received_bytes", "received_crc32c")?,
        inputs,
        tasks,
        key: get(row, "used_key")?,
    })
}

fn ingest_mode(name: Option<&str>) -> Result<IngestMode, StoreError> {
    let name = name.unwrap_or_default();
    IngestMode::parse(name).ok_or_else(|| nonsense("a mode of an ingest", name))
}

fn input(row: &SqliteRow) -> Result<InputInfo, StoreError> {
    Ok(InputInfo {
        name: get(row, "name")?,
        path: Arc::new(PathBuf::from(get::<String>(row, "path")?)),
        layout: from_json("a layout", get(row, "layout")?)?,
        columns: from_json("columns", get(row, "columns")?)?,
        header_lines: number(row, "header_lines")?,
        header: Taken {
            bytes: number(row, "header_bytes")?,
            crc32c: narrow(row, "header_crc32c")?,
        },
    })
}

fn task(row: &SqliteRow) -> Result<StoredTask, StoreError> {
    let cut = Cut {
        offset: number(row, "byte_offset")?,
        len: number(row, "bytes")?,
        crc32c: narrow(row, "crc32c")?,
    };
    let answered = get::<Option<i64>>(row, "records")?.is_some();
    let kept = || {
        Ok::<_, StoreError>(KeptRow {
            totals: TaskTotals {
                records: number(row, "records")?,
                rejects: number(row, "rejects")?,
                blank_lines: number(row, "blank_lines")?,
                lines: number(row, "lines")?,
                bytes: cut.len,
            },
            groups: number(row, "groups")?,
            run: (number(row, "run_bytes")?, narrow(row, "run_crc32c")?),
            slave: get(row, "slave")?,
            attempt: narrow(row, "attempt")?,
        })
    };
    Ok(StoredTask { input: narrow(row, "input")?, cut, kept: answered.then(kept).transpose()? })
}
