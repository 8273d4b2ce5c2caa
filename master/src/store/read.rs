//! What the store gives back.

use std::path::PathBuf;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use tally_common::api::{IngestMode, JobView, Priority};
use tally_common::id::JobId;
use tally_common::run::TaskTotals;
use tally_common::spec::{KeyKind, Spec, SpecDraft};

use super::line::{Columns, Line, lines, select};
use super::row::id;
use super::{AsideRow, KeptRow, Param, Store, StoreError};
use crate::access::Owner;
use crate::coordinator::{InputInfo, NewJob};
use crate::intake::{Cut, Taken};
use crate::ledger::Check;

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

/// A job that has not ended, as it is read.
const JOB: Columns = &[
    ("id", KeyKind::Text),
    ("name", KeyKind::Text),
    ("priority", KeyKind::Text),
    ("spec", KeyKind::Text),
    ("opened_ms", KeyKind::Integer),
    ("expected", KeyKind::Integer),
    ("keep_input", KeyKind::Integer),
    ("resumable", KeyKind::Integer),
    ("repairs", KeyKind::Text),
    ("first_task", KeyKind::Integer),
    ("in_place", KeyKind::Text),
    ("result_path", KeyKind::Text),
    ("ingest_table", KeyKind::Text),
    ("ingest_mode", KeyKind::Text),
    ("owner", KeyKind::Text),
    ("received_bytes", KeyKind::Integer),
    ("received_crc32c", KeyKind::Integer),
    ("bytes", KeyKind::Integer),
    ("crc32c", KeyKind::Integer),
    ("(select min(key) from keys where job = jobs.id)", KeyKind::Text),
];

/// The last of them.
const USED_KEY: &str = JOB[JOB.len() - 1].0;

const INPUT: Columns = &[
    ("name", KeyKind::Text),
    ("path", KeyKind::Text),
    ("layout", KeyKind::Text),
    ("columns", KeyKind::Text),
    ("header_lines", KeyKind::Integer),
    ("header_bytes", KeyKind::Integer),
    ("header_crc32c", KeyKind::Integer),
];

const TASK: Columns = &[
    ("input", KeyKind::Integer),
    ("byte_offset", KeyKind::Integer),
    ("bytes", KeyKind::Integer),
    ("crc32c", KeyKind::Integer),
    ("records", KeyKind::Integer),
    ("rejects", KeyKind::Integer),
    ("blank_lines", KeyKind::Integer),
    ("lines", KeyKind::Integer),
    ("groups", KeyKind::Integer),
    ("run_bytes", KeyKind::Integer),
    ("run_crc32c", KeyKind::Integer),
    ("slave", KeyKind::Text),
    ("attempt", KeyKind::Integer),
    ("verified", KeyKind::Integer),
];

const ASIDE: Columns = &[
    ("name", KeyKind::Text),
    ("credential", KeyKind::Text),
    ("reason", KeyKind::Text),
    ("since_ms", KeyKind::Integer),
];

const KEY: Columns =
    &[("job", KeyKind::Text), ("fingerprint", KeyKind::Text), ("created_ms", KeyKind::Integer)];

const RECEIVED: Columns =
    &[("received_bytes", KeyKind::Integer), ("received_crc32c", KeyKind::Integer)];

const SPENT: Columns =
    &[("owner", KeyKind::Text), ("day", KeyKind::Integer), ("bytes", KeyKind::Integer)];

const ID: Columns = &[("id", KeyKind::Text)];
const GONE: Columns = &[("job", KeyKind::Text)];
const VIEW: Columns = &[("view", KeyKind::Text)];

pub(super) fn from_json<T: DeserializeOwned>(
    what: &'static str,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::nonsense(what, error))
}

pub(super) fn job_id(text: &str) -> Result<JobId, StoreError> {
    text.parse().map_err(|error| StoreError::nonsense("a job's id", error))
}

impl Store {
    /// The jobs that had not ended, in order of opening.
    pub(crate) async fn open_jobs(&self) -> Result<Vec<StoredJob>, StoreError> {
        let sql = select(JOB, "from jobs where ended_ms is null order by id");
        let mut jobs = Vec::new();
        for line in lines(self, sql, &[], JOB).await? {
            let id = job_id(line.text("id")?)?;
            let inputs = self.inputs(id).await?;
            let tasks = self.tasks(id).await?;
            jobs.push(job(&line, id, inputs, tasks)?);
        }
        Ok(jobs)
    }

    /// The inputs of a job.
    pub(crate) async fn inputs(&self, job: JobId) -> Result<Vec<InputInfo>, StoreError> {
        let sql = select(INPUT, "from inputs where job = $1 order by number");
        lines(self, sql, &[id(job)], INPUT).await?.iter().map(input).collect()
    }

    /// The tasks of a job.
    pub(crate) async fn tasks(&self, job: JobId) -> Result<Vec<StoredTask>, StoreError> {
        let sql = select(TASK, "from tasks where job = $1 order by number");
        lines(self, sql, &[id(job)], TASK).await?.iter().map(task).collect()
    }

    /// An ended job as it is shown.
    pub(crate) async fn view(&self, job: JobId) -> Result<Option<JobView>, StoreError> {
        let views = self.views_of("where id = $1 and view is not null", id(job)).await?;
        Ok(views.into_iter().next())
    }

    /// The newest ended jobs, at most `limit` of them, newest first.
    pub(crate) async fn views(&self, limit: u32) -> Result<Vec<JobView>, StoreError> {
        let limit = Param::int(limit.into());
        self.views_of("where view is not null order by id desc limit $1", limit).await
    }

    /// The repairs of a job that have succeeded, as they are shown, in order.
    pub(crate) async fn repairs(&self, job: JobId) -> Result<Vec<JobView>, StoreError> {
        let which = "where repairs = $1 and state = 'succeeded' order by id";
        self.views_of(which, id(job)).await
    }

    async fn views_of(&self, which: &str, param: Param) -> Result<Vec<JobView>, StoreError> {
        let sql = select(VIEW, &format!("from jobs {which}"));
        let found = lines(self, sql, &[param], VIEW).await?;
        found.iter().map(|line| from_json("a job", line.text("view")?)).collect()
    }

    /// Jobs that ended before that.
    pub(crate) async fn ended_before(&self, before_ms: u64) -> Result<Vec<JobId>, StoreError> {
        let sql = select(ID, "from jobs where ended_ms < $1");
        let found = lines(self, sql, &[Param::int(before_ms)], ID).await?;
        found.iter().map(|line| job_id(line.text("id")?)).collect()
    }

    /// All jobs that are known.
    pub(crate) async fn all_jobs(&self) -> Result<Vec<JobId>, StoreError> {
        let found = lines(self, select(ID, "from jobs"), &[], ID).await?;
        found.iter().map(|line| job_id(line.text("id")?)).collect()
    }

    /// What was submitted under a key.
    pub(crate) async fn key(&self, key: &str) -> Result<Option<StoredKey>, StoreError> {
        let sql = select(KEY, "from keys where key = $1");
        let found = lines(self, sql, &[Param::text(key)], KEY).await?;
        let stored = |line: &Line| {
            Ok(StoredKey {
                job: job_id(line.text("job")?)?,
                fingerprint: line.text("fingerprint")?.to_owned(),
                created_ms: line.number("created_ms")?,
            })
        };
        found.first().map(stored).transpose()
    }

    /// What owners have sent: whose, the day, and its bytes.
    pub(crate) async fn spent(&self) -> Result<Vec<(Owner, u64, u64)>, StoreError> {
        let spent = |line: &Line| {
            let owner = Owner::stored(line.text("owner")?);
            Ok((owner, line.number("day")?, line.number("bytes")?))
        };
        lines(self, select(SPENT, "from _spent"), &[], SPENT).await?.iter().map(spent).collect()
    }

    /// Whether there was such a job, which was deleted or whose time was over.
    pub(crate) async fn is_gone(&self, job: JobId) -> Result<bool, StoreError> {
        let sql = select(GONE, "from gone where job = $1");
        Ok(!lines(self, sql, &[id(job)], GONE).await?.is_empty())
    }

    /// Whether there are keys, or jobs that are gone, from before that.
    pub(crate) async fn has_keys_of(&self, before_ms: u64) -> Result<bool, StoreError> {
        let sql = "select job from keys where created_ms < $1
            union all select job from gone where gone_ms < $1 limit 1";
        let found = lines(self, sql.to_owned(), &[Param::int(before_ms)], GONE).await?;
        Ok(!found.is_empty())
    }

    /// The slaves that have lied, those first that did so first.
    pub(crate) async fn set_aside(&self) -> Result<Vec<AsideRow>, StoreError> {
        let sql = select(ASIDE, "from _slaves_set_aside order by since_ms, name, credential");
        let aside = |line: &Line| {
            Ok(AsideRow {
                name: line.text("name")?.to_owned(),
                credential: line.text("credential")?.to_owned(),
                reason: line.text("reason")?.to_owned(),
                since_ms: line.number("since_ms")?,
            })
        };
        lines(self, sql, &[], ASIDE).await?.iter().map(aside).collect()
    }

    /// What an ended job's upload came to, as it was sent; `None` where it was not all received.
    pub(crate) async fn received(&self, job: JobId) -> Result<Option<Taken>, StoreError> {
        let sql = select(RECEIVED, "from jobs where id = $1 and bytes is not null");
        let found = lines(self, sql, &[id(job)], RECEIVED).await?;
        found.first().map(|line| taken(line, "received_bytes", "received_crc32c")).transpose()
    }
}

fn taken(line: &Line, bytes: &str, crc32c: &str) -> Result<Taken, StoreError> {
    Ok(Taken { bytes: line.number(bytes)?, crc32c: line.narrow(crc32c)? })
}

fn job(
    line: &Line,
    id: JobId,
    inputs: Vec<InputInfo>,
    tasks: Vec<StoredTask>,
) -> Result<StoredJob, StoreError> {
    let priority = line.text("priority")?;
    let priority =
        Priority::parse(priority).ok_or_else(|| StoreError::nonsense("a priority", priority))?;
    let draft: SpecDraft = from_json("a spec", line.text("spec")?)?;
    let new = NewJob {
        name: line.text("name")?.to_owned(),
        spec: Spec::try_from(draft).map_err(|error| StoreError::nonsense("a spec", error))?,
        priority,
        expected: line.maybe_number("expected")?,
        keep_input: line.number("keep_input")? != 0,
        resumable: line.number("resumable")? != 0,
        in_place: line.maybe_text("in_place")?.map(PathBuf::from),
        // Nothing is fetched twice: only its key is still compared, and that is kept by itself.
        fetched_from: None,
        ingest: match line.maybe_text("ingest_table")? {
            None => None,
            Some(table) => Some((table.to_owned(), ingest_mode(line.maybe_text("ingest_mode")?)?)),
        },
        result_path: line.maybe_text("result_path")?.map(PathBuf::from),
        repairs: line.maybe_text("repairs")?.map(job_id).transpose()?,
        first_task: line.narrow("first_task")?,
        owner: line.maybe_text("owner")?.map(Owner::stored),
        trace: None,
    };
    let complete = line.maybe_number("bytes")?.is_some();
    Ok(StoredJob {
        id,
        new,
        opened_ms: line.number("opened_ms")?,
        taken: complete.then(|| taken(line, "bytes", "crc32c")).transpose()?,
        received: taken(line, "received_bytes", "received_crc32c")?,
        inputs,
        tasks,
        key: line.maybe_text(USED_KEY)?.map(str::to_owned),
    })
}

fn ingest_mode(name: Option<&str>) -> Result<IngestMode, StoreError> {
    let name = name.unwrap_or_default();
    IngestMode::parse(name).ok_or_else(|| StoreError::nonsense("a mode of an ingest", name))
}

fn input(line: &Line) -> Result<InputInfo, StoreError> {
    Ok(InputInfo {
        name: line.text("name")?.to_owned(),
        path: Arc::new(PathBuf::from(line.text("path")?)),
        layout: from_json("a layout", line.text("layout")?)?,
        columns: from_json("columns", line.text("columns")?)?,
        header_lines: line.number("header_lines")?,
        header: taken(line, "header_bytes", "header_crc32c")?,
    })
}

fn task(line: &Line) -> Result<StoredTask, StoreError> {
    let cut = Cut {
        offset: line.number("byte_offset")?,
        len: line.number("bytes")?,
        crc32c: line.narrow("crc32c")?,
    };
    let answered = line.maybe_number("records")?.is_some();
    let kept = || {
        Ok::<_, StoreError>(KeptRow {
            totals: TaskTotals {
                records: line.number("records")?,
                rejects: line.number("rejects")?,
                blank_lines: line.number("blank_lines")?,
                lines: line.number("lines")?,
                bytes: cut.len,
            },
            groups: line.number("groups")?,
            run: (line.number("run_bytes")?, line.narrow("run_crc32c")?),
            slave: line.text("slave")?.to_owned(),
            attempt: line.narrow("attempt")?,
            check: match line.maybe_number("verified")? {
                None => Check::None,
                Some(0) => Check::Alone,
                Some(_) => Check::Agreed,
            },
        })
    };
    Ok(StoredTask { input: line.narrow("input")?, cut, kept: answered.then(kept).transpose()? })
}
