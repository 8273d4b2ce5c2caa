//! Facts as rows: what one commit writes.

use std::path::PathBuf;

use tally_common::api::{IngestMode, JobState, JobView, Priority};
use tally_common::id::{Attempt, JobId, TaskNumber};
use tally_common::run::TaskTotals;
use tally_common::spec::{KeyKind, SpecDraft};
use tally_common::table::Value;

use super::{Param, StoreError, Tx};
use crate::access::Owner;
use crate::coordinator::InputInfo;
use crate::intake::Taken;
use crate::ledger::Check;

/// A task's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptRow {
    pub(crate) totals: TaskTotals,
    pub(crate) groups: u64,
    /// Length of its run in bytes, and their checksum.
    pub(crate) run: (u64, u32),
    pub(crate) slave: String,
    pub(crate) attempt: Attempt,
    /// What a second count said of it.
    pub(crate) check: Check,
}

/// A slave that has lied: by what it is known, and why it is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AsideRow {
    pub(crate) name: String,
    /// What it showed of itself; empty where that was nothing.
    pub(crate) credential: String,
    pub(crate) reason: String,
    pub(crate) since_ms: u64,
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
        ingest: Option<(String, IngestMode)>,
        repairs: Option<JobId>,
        first_task: TaskNumber,
        owner: Option<Owner>,
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
    /// A slave has lied.
    SetAside(AsideRow),
    /// Those of a name that have lied are let in again.
    Trusted {
        name: String,
    },
    /// So many bytes of input an owner has sent in a day.
    Spent {
        owner: Owner,
        day: u64,
        bytes: u64,
    },
    /// Keys that were made before that are forgotten, and jobs that had gone by then.
    KeysExpired {
        before_ms: u64,
    },
}

/// The integers of a database have a sign. No number of bytes or records comes near its end; a checksum or
/// a count that a slave invents is brought back to it.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// An id, as it is kept.
pub(super) fn id(job: JobId) -> Param {
    Param::text(&job.to_string())
}

fn maybe_int(n: Option<u64>) -> Param {
    Param::Value(KeyKind::Integer, n.map_or(Value::Null, |n| Value::Integer(int(n))))
}

fn maybe_text(text: Option<&str>) -> Param {
    text.map_or(Param::Value(KeyKind::Text, Value::Null), Param::text)
}

fn json<T: serde::Serialize>(what: &'static str, value: &T) -> Result<Param, StoreError> {
    let text = serde_json::to_string(value);
    text.map(|text| Param::text(&text)).map_err(|error| StoreError::nonsense(what, error))
}

async fn run<const N: usize>(to: &mut Tx, sql: &str, params: [Param; N]) -> Result<(), StoreError> {
    to.run(sql.to_owned(), &params).await?;
    Ok(())
}

impl Row {
    /// Writes the row.
    pub(super) async fn write(&self, to: &mut Tx) -> Result<(), StoreError> {
        match self {
            Self::Opened { .. } => self.write_opened(to).await,
            Self::Key { key, job, fingerprint, created_ms } => {
                let sql = "insert into keys (key, job, fingerprint, created_ms)
                    values ($1, $2, $3, $4) on conflict (key) do update
                    set job = excluded.job, fingerprint = excluded.fingerprint";
                let (key, fingerprint) = (Param::text(key), Param::text(fingerprint));
                run(to, sql, [key, id(*job), fingerprint, Param::int(*created_ms)]).await
            }
            Self::Input { job, number, info } => write_input(*job, *number, info, to).await,
            Self::Task { job, number, input, cut } => {
                let sql = "insert into tasks (job, number, input, byte_offset, bytes, crc32c)
                    values ($1, $2, $3, $4, $5, $6) on conflict do nothing";
                let (number, input) = (Param::int((*number).into()), Param::int((*input).into()));
                let (offset, bytes) = (Param::int(cut.offset), Param::int(cut.len));
                let crc32c = Param::int(cut.crc32c.into());
                run(to, sql, [id(*job), number, input, offset, bytes, crc32c]).await
            }
            Self::Received { job, received } => {
                let sql = "update jobs set received_bytes = $2, received_crc32c = $3 where id = $1";
                let [bytes, crc32c] = taken(received);
                run(to, sql, [id(*job), bytes, crc32c]).await
            }
            Self::Complete { job, taken: all, received } => {
                let sql = "update jobs set state = 'running', bytes = $2, crc32c = $3,
                    received_bytes = $4, received_crc32c = $5 where id = $1 and ended_ms is null";
                let ([bytes, crc32c], [sent, sent_crc32c]) = (taken(all), taken(received));
                run(to, sql, [id(*job), bytes, crc32c, sent, sent_crc32c]).await
            }
            Self::Kept { job, number, kept } => write_kept(*job, *number, kept, to).await,
            Self::Lost { job, number } => {
                let sql = "update tasks set records = null, rejects = null, blank_lines = null,
                    lines = null, groups = null, run_bytes = null, run_crc32c = null, slave = null,
                    attempt = null, verified = null where job = $1 and number = $2";
                run(to, sql, [id(*job), Param::int((*number).into())]).await
            }
            Self::Ended { view, ended_ms } => write_view(view, Some(*ended_ms), to).await,
            Self::Revised { view } => write_view(view, None, to).await,
            Self::Deleted { job, gone_ms } => {
                run(to, "delete from jobs where id = $1", [id(*job)]).await?;
                let sql = "insert into gone (job, gone_ms) values ($1, $2) on conflict do nothing";
                run(to, sql, [id(*job), Param::int(*gone_ms)]).await
            }
            Self::SetAside(aside) => {
                let sql = "insert into _slaves_set_aside (name, credential, reason, since_ms)
                    values ($1, $2, $3, $4) on conflict (name, credential) do update
                    set reason = excluded.reason";
                let AsideRow { name, credential, reason, since_ms } = aside;
                let [name, credential, reason] = [name, credential, reason].map(|s| Param::text(s));
                run(to, sql, [name, credential, reason, Param::int(*since_ms)]).await
            }
            Self::Trusted { name } => {
                run(to, "delete from _slaves_set_aside where name = $1", [Param::text(name)]).await
            }
            Self::Spent { owner, day, bytes } => {
                let sql = "insert into _spent (owner, day, bytes) values ($1, $2, $3)
                    on conflict (owner) do update set day = excluded.day, bytes = excluded.bytes";
                let owner = Param::text(owner.as_str());
                run(to, sql, [owner, Param::int(*day), Param::int(*bytes)]).await
            }
            Self::KeysExpired { before_ms } => {
                let before = Param::int(*before_ms);
                let sql = "delete from keys where created_ms < $1
                    and job not in (select id from jobs)";
                run(to, sql, [before.clone()]).await?;
                run(to, "delete from gone where gone_ms < $1", [before]).await
            }
        }
    }

    async fn write_opened(&self, to: &mut Tx) -> Result<(), StoreError> {
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
            ingest,
            repairs,
            first_task,
            owner,
        } = self
        else {
            return Ok(());
        };
        let sql = "insert into jobs (id, name, state, priority, spec, opened_ms, expected,
            keep_input, resumable, repairs, first_task, in_place, result_path,
            ingest_table, ingest_mode, owner)
            values ($1, $2, 'receiving', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
            on conflict do nothing";
        let path = |path: &Option<PathBuf>| {
            maybe_text(path.as_ref().map(|path| path.to_string_lossy()).as_deref())
        };
        let params = [
            id(*job),
            Param::text(name),
            Param::text(priority.as_str()),
            json("a spec", spec)?,
            Param::int(*opened_ms),
            maybe_int(*expected),
            Param::int((*keep_input).into()),
            Param::int((*resumable).into()),
            maybe_text(repairs.map(|job| job.to_string()).as_deref()),
            Param::int((*first_task).into()),
            path(in_place),
            path(result_path),
            maybe_text(ingest.as_ref().map(|(table, _)| table.as_str())),
            maybe_text(ingest.as_ref().map(|(_, mode)| mode.as_str())),
            maybe_text(owner.as_ref().map(Owner::as_str)),
        ];
        run(to, sql, params).await
    }
}

fn taken(taken: &Taken) -> [Param; 2] {
    [Param::int(taken.bytes), Param::int(taken.crc32c.into())]
}

async fn write_input(
    job: JobId,
    number: u32,
    info: &InputInfo,
    to: &mut Tx,
) -> Result<(), StoreError> {
    let sql = "insert into inputs (job, number, name, path, layout, columns, header_lines,
        header_bytes, header_crc32c) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        on conflict (job, number) do update set name = excluded.name, path = excluded.path,
            layout = excluded.layout, columns = excluded.columns, header_lines = excluded.header_lines,
            header_bytes = excluded.header_bytes, header_crc32c = excluded.header_crc32c";
    let [header_bytes, header_crc32c] = taken(&info.header);
    let params = [
        id(job),
        Param::int(number.into()),
        Param::text(&info.name),
        Param::text(&info.path.to_string_lossy()),
        json("a layout", &info.layout)?,
        json("columns", &info.columns)?,
        Param::int(info.header_lines),
        header_bytes,
        header_crc32c,
    ];
    run(to, sql, params).await
}

async fn write_kept(
    job: JobId,
    number: TaskNumber,
    kept: &KeptRow,
    to: &mut Tx,
) -> Result<(), StoreError> {
    let TaskTotals { records, rejects, blank_lines, lines, .. } = kept.totals;
    let sql = "update tasks set records = $3, rejects = $4, blank_lines = $5, lines = $6,
        groups = $7, run_bytes = $8, run_crc32c = $9, slave = $10, attempt = $11, verified = $12
        where job = $1 and number = $2";
    let params = [
        id(job),
        Param::int(number.into()),
        Param::int(records),
        Param::int(rejects),
        Param::int(blank_lines),
        Param::int(lines),
        Param::int(kept.groups),
        Param::int(kept.run.0),
        Param::int(kept.run.1.into()),
        Param::text(&kept.slave),
        Param::int(kept.attempt.into()),
        maybe_int(match kept.check {
            Check::None => None,
            Check::Alone => Some(0),
            Check::Agreed => Some(1),
        }),
    ];
    run(to, sql, params).await
}

/// Writes an ended job as it is shown; `ended_ms` where it ends now.
async fn write_view(view: &JobView, ended_ms: Option<u64>, to: &mut Tx) -> Result<(), StoreError> {
    debug_assert!(matches!(
        view.state,
        JobState::Succeeded | JobState::Failed | JobState::Cancelled
    ));
    let sql = "update jobs set state = $2, error = $3, records = $4, rejected = $5, rows = $6,
        result_sha256 = $7, view = $8, ended_ms = coalesce(ended_ms, $9) where id = $1";
    let result = view.result.as_ref();
    let params = [
        id(view.id),
        Param::text(view.state.as_str()),
        maybe_text(view.error.as_deref()),
        Param::int(view.receipt.records),
        Param::int(view.receipt.rejected),
        maybe_int(result.map(|result| result.rows)),
        maybe_text(result.map(|result| &*result.sha256)),
        json("a job", view)?,
        maybe_int(ended_ms),
    ];
    run(to, sql, params).await
}
