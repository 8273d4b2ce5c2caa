//! Jobs and slaves as they are shown: the JSON of the HTTP gateway and of `tally --output json`.

mod cluster;
mod list;
mod look;
mod preflight;
mod source;
mod table;

use serde::{Deserialize, Serialize};

pub use cluster::{
    ClusterCounts, ClusterView, DiskView, History, MemoryView, QueueView, Sample, SetAsideView,
    TaskState, TaskView,
};
pub use list::{JobList, JobQuery, JobSort};
pub use look::{Coverage, DateTotal, KeyTotal, Look, LookQuery, Span, Summary};
pub use preflight::{ColumnReport, Prediction, Preflight, PreflightSample};
pub use source::{SourceList, SourcePhase, SourceView};
pub use table::{
    AggregatePage, AggregateQuery, ChangeKind, ChangeView, Comparison, IngestCounts, IngestMode,
    IngestView, OperationDraft, OperationResult, OperationResults, Outcome, Recount,
    RecountedAggregate, RowView, RowsPage, RowsQuery, TableView,
};

use crate::id::{JobId, SessionId, SlaveId};
use crate::spec::SpecDraft;
use crate::value::{format_date, parse_date};

/// Where a job's life stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum JobState {
    /// Its input is still arriving; what has arrived is being counted.
    Receiving,
    /// All of its input is there; being counted.
    Running,
    /// All is counted; the result is being written.
    Merging,
    /// The result is there.
    Succeeded,
    /// There will be no result; the job says why.
    Failed,
    /// Cancelled by a user.
    Cancelled,
}

impl JobState {
    /// Whether nothing more will happen to the job.
    pub const fn ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// The state of a name.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [
            Self::Receiving,
            Self::Running,
            Self::Merging,
            Self::Succeeded,
            Self::Failed,
            Self::Cancelled,
        ];
        all.into_iter().find(|known| known.as_str() == name)
    }

    /// Its name as JSON and text show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Running => "running",
            Self::Merging => "merging",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Which jobs go first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Priority {
    /// Before all others.
    High,
    /// As they come.
    #[default]
    Default,
    /// When nothing else waits.
    Low,
}

impl Priority {
    /// Its name as JSON and text show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Default => "default",
            Self::Low => "low",
        }
    }

    /// The priority of a name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::High, Self::Default, Self::Low].into_iter().find(|known| known.as_str() == name)
    }
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobView {
    /// Its id.
    pub id: JobId,
    /// Its name for people, such as the file's.
    pub name: String,
    /// Where its life stands.
    pub state: JobState,
    /// Which jobs go first.
    pub priority: Priority,
    /// What it computes.
    pub spec: SpecDraft,
    /// When it was opened: RFC 3339, UTC.
    pub opened_at: String,
    /// When it ended: RFC 3339, UTC.
    pub ended_at: Option<String>,
    /// When it will be removed: RFC 3339, UTC.
    pub expires_at: Option<String>,
    /// Its input is kept as long as its result.
    #[serde(default)]
    pub keep_input: bool,
    /// The job whose rejects this one corrects.
    #[serde(default)]
    pub repairs: Option<JobId>,
    /// The last job that has corrected rejects of this one: the result is its.
    #[serde(default)]
    pub repaired_by: Option<JobId>,
    /// Whose it is: the id of a key, or `cert:` and the name of a certificate; absent where nobody in particular
    /// has submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// What it waits for, such as a slave.
    pub waiting_for: Option<String>,
    /// It failed because its input never came whole: what was sent may be sent again.
    #[serde(default)]
    pub input_lost: bool,
    /// Where its input lies on the master's machine, where it is counted there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_place: Option<String>,
    /// Where its result is written on the master's machine, where the master does not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_path: Option<String>,
    /// Which table its records go into, and what that came to, where they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingest: Option<IngestView>,
    /// How far it is.
    pub progress: Progress,
    /// How many tasks are where.
    pub tasks: TaskCounts,
    /// The proof that nothing was lost; complete once the job is past counting.
    pub receipt: Receipt,
    /// What came out, once the job has succeeded.
    pub result: Option<ResultInfo>,
    /// The first rejects, in input order.
    pub rejects: Vec<RejectView>,
    /// Which slaves have counted what.
    pub slaves: Vec<Share>,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Progress {
    /// Bytes of (decompressed) input that have arrived.
    pub bytes_received: u64,
    /// Bytes of (decompressed) input that are expected; `None` where that is not known.
    pub bytes_expected: Option<u64>,
    /// Bytes of input that have been counted, running attempts included.
    pub bytes_counted: u64,
    /// Milliseconds since the job was opened, up to its end.
    pub elapsed_ms: u64,
    /// Records counted a second so far.
    pub records_per_second: u64,
    /// Bytes counted a second so far.
    pub bytes_per_second: u64,
}

impl Progress {
    /// Derives the rates from what was counted in the time that has gone by.
    pub fn new(
        bytes_received: u64,
        bytes_expected: Option<u64>,
        bytes_counted: u64,
        elapsed_ms: u64,
        records: u64,
    ) -> Self {
        let rate = |n: u64| n.saturating_mul(1000) / elapsed_ms.max(1);
        Self {
            bytes_received,
            bytes_expected,
            bytes_counted,
            elapsed_ms,
            records_per_second: rate(records),
            bytes_per_second: rate(bytes_counted),
        }
    }
}

/// How many of a job's tasks are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskCounts {
    /// Cut so far.
    pub cut: u32,
    /// Waiting for a slave.
    pub queued: u32,
    /// Being counted.
    pub running: u32,
    /// Answered.
    pub done: u32,
    /// Attempts beyond the first.
    pub retried: u32,
}

/// The proof that nothing was lost: `records = counted + rejected`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Receipt {
    /// Records found, rejected ones included.
    pub records: u64,
    /// Records in the totals.
    pub counted: u64,
    /// Records that could not be counted.
    pub rejected: u64,
    /// How many of these were counted after all, corrected, by repairs; the totals have them.
    #[serde(default)]
    pub repaired: u64,
    /// Blank lines, which are skipped.
    pub blank_lines: u64,
    /// Bytes of (decompressed) input, the header included.
    pub bytes: u64,
    /// CRC-32C of these bytes.
    pub crc32c: u32,
    /// Tasks whose answer two counts agree on, where this master counts a share of them twice.
    #[serde(default)]
    pub verified: u64,
    /// Tasks that were to be counted twice, for which no other slave was there.
    #[serde(default)]
    pub unverified: u64,
}

/// A receipt with all that it adds up: the parts of each input, and who answered for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FullReceipt {
    /// The job.
    pub job: JobId,
    /// Where its life stands.
    pub state: JobState,
    /// The sums.
    pub total: Receipt,
    /// The inputs, in order.
    pub inputs: Vec<InputReceipt>,
    /// The tasks, in input order.
    pub tasks: Vec<TaskReceipt>,
}

/// An input, up to where its first task begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InputReceipt {
    /// Its name for people.
    pub name: String,
    /// Bytes of the header and what comes before it.
    pub header_bytes: u64,
    /// CRC-32C of these bytes.
    pub header_crc32c: u32,
}

/// What one task came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskReceipt {
    /// Its number in the job, from 0.
    pub number: u32,
    /// Index of its input.
    pub input: u32,
    /// Offset of its first byte in the (decompressed) input.
    pub byte_offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// CRC-32C of these bytes.
    pub crc32c: u32,
    /// Its answer; `None` where it has none.
    pub answer: Option<TaskAnswer>,
}

/// The answer to a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskAnswer {
    /// Records found, rejected ones included.
    pub records: u64,
    /// Records in the totals.
    pub counted: u64,
    /// Records that could not be counted.
    pub rejected: u64,
    /// Blank lines, which are skipped.
    pub blank_lines: u64,
    /// Line breaks.
    pub lines: u64,
    /// Groups in its run.
    pub groups: u64,
    /// Bytes of its run.
    pub run_bytes: u64,
    /// CRC-32C of these bytes.
    pub run_crc32c: u32,
    /// The slave that gave it.
    pub slave: String,
    /// The attempt, from 1.
    pub attempt: u32,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResultInfo {
    /// Rows, the header not included.
    pub rows: u64,
    /// Bytes of CSV.
    pub bytes: u64,
    /// SHA-256 of these bytes: 64 hexadecimal digits.
    pub sha256: String,
    /// For each aggregate its value over the whole input.
    pub totals: Vec<Total>,
}

/// An aggregate over the whole input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Total {
    /// The output column.
    pub name: String,
    /// Its value in decimal; it may be larger than 64 bits.
    pub value: String,
}

/// A record that could not be counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RejectView {
    /// Line of the input, from 1, the header being the first.
    pub line: u64,
    /// Offset of its first byte in the (decompressed) input.
    pub byte_offset: u64,
    /// The column at fault; `None` where the record as a whole is.
    pub column: Option<String>,
    /// What is wrong, for people.
    pub reason: String,
    /// The record's bytes as text, the first 256 of them.
    pub record: String,
}

/// What one slave has done for a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Share {
    /// The slave's name.
    pub name: String,
    /// Tasks answered.
    pub tasks: u32,
    /// Bytes counted.
    pub bytes: u64,
    /// Records counted, rejected ones included.
    pub records: u64,
}

/// A slave that is joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SlaveView {
    /// The slave process.
    pub id: SlaveId,
    /// Its session.
    pub session: SessionId,
    /// Its name for people.
    pub name: String,
    /// Its build version.
    pub version: String,
    /// Worker threads.
    pub workers: u32,
    /// Tasks that are being counted.
    pub running: u32,
    /// Tasks that wait on the slave for a worker.
    pub prefetched: u32,
    /// Tasks that it has answered in this session.
    pub completed: u64,
    /// Attempts that failed in this session.
    pub failed: u64,
    /// It finishes what it has and takes no more.
    pub draining: bool,
    /// It has handed in partials that were not right, and gets nothing to count for some time.
    #[serde(default)]
    pub quarantined: bool,
    /// Milliseconds since it was last heard of.
    pub last_heard_ms: u64,
    /// Bytes that it has counted in this session.
    pub bytes: u64,
    /// Records that it has counted in this session, rejected ones included.
    pub records: u64,
    /// Bytes that it has counted a second over the last few seconds, running attempts included.
    #[serde(default)]
    pub bytes_per_second: u64,
    /// The same for each of the last 60 seconds, oldest first; shorter for one that joined later.
    #[serde(default)]
    pub history: Vec<u64>,
}

/// The RFC 3339 form, in UTC, of a number of milliseconds since 1970.
pub fn timestamp(unix_ms: u64) -> String {
    let (seconds, ms) = (unix_ms / 1000, unix_ms % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Clocks past the year 9999 are no use to anybody; the date's four digits just wrap.
    let date = format_date(i32::try_from(days).unwrap_or(0));
    let date = String::from_utf8_lossy(&date);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{date}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// The milliseconds since 1970 of an RFC 3339 time in UTC (`2026-01-31T12:00:00.5Z`), or of the beginning of
/// a day (`2026-01-31`); `None` for what is neither.
pub fn parse_timestamp(text: &str) -> Option<u64> {
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, time.strip_suffix(['Z', 'z'])?),
        None => (text, "00:00:00"),
    };
    let days = u64::try_from(parse_date(date.as_bytes()).ok()?).ok()?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then_some(());
    digits(fraction)?;
    let mut ms = 0;
    for i in 0..3 {
        ms = ms * 10 + u64::from(fraction.as_bytes().get(i).map_or(0, |digit| digit - b'0'));
    }
    let mut parts = time.split(':').map(|part| {
        digits(part)?;
        part.parse::<u64>().ok().filter(|_| part.len() == 2)
    });
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    // A leap second is as good as the one after it.
    if hour > 23 || minute > 59 || second > 60 || parts.next().is_some() {
        return None;
    }
    Some(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_read_as_they_are_written() {
        for ms in [0, 1_582_934_400_007, 1_582_934_399_999, 4_102_444_800_000] {
            assert_eq!(parse_timestamp(&timestamp(ms)), Some(ms));
        }
        assert_eq!(parse_timestamp("2020-02-29"), Some(1_582_934_400_000));
        assert_eq!(parse_timestamp("2020-02-29T00:00:00.1234Z"), Some(1_582_934_400_123));
        for bad in [
            "",
            "now",
            "2020-02-30",
            "2020-02-29T24:00:00Z",
            "2020-02-29T00:00:00",
            "1969-12-31",
            "2020-02-29T1:00:00Z",
            "2020-02-29T00:00:00.x1Z",
            "2020-02-29T00:00:00:00Z",
        ] {
            assert_eq!(parse_timestamp(bad), None, "{bad}");
        }
    }

    #[test]
    fn timestamps_are_rfc_3339() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(1_582_934_400_007), "2020-02-29T00:00:00.007Z");
        assert_eq!(timestamp(1_582_934_399_999), "2020-02-28T23:59:59.999Z");
    }
}
