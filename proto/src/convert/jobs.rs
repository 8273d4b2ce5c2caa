//! Jobs and slaves as clients see them.

use tally_common::api::{
    JobState, JobView, Priority, Progress, Receipt, RejectView, ResultInfo, Share, SlaveView,
    TaskCounts, Total,
};
use tally_common::id::{JobId, SessionId, SlaveId};

use super::ingest::{ingest_from_wire, ingest_to_wire};
use super::{WireError, draft_from_wire, draft_to_wire, wrong};
use crate::v1;

/// A job's id as clients write it.
///
/// # Errors
/// [`WireError`] where it is not a UUID.
pub fn job_id_from_text(text: &str) -> Result<JobId, WireError> {
    text.parse().map_err(|_| wrong("job_id", format!("{text:?} is not a UUID")))
}

/// The wire form of a priority.
pub fn priority_to_wire(priority: Priority) -> v1::Priority {
    match priority {
        Priority::High => v1::Priority::High,
        Priority::Default => v1::Priority::Default,
        Priority::Low => v1::Priority::Low,
    }
}

/// A priority from the wire.
///
/// # Errors
/// [`WireError`] for a number without a meaning.
pub fn priority_from_wire(wire: i32) -> Result<Priority, WireError> {
    match v1::Priority::try_from(wire) {
        Ok(v1::Priority::High) => Ok(Priority::High),
        Ok(v1::Priority::Unspecified | v1::Priority::Default) => Ok(Priority::Default),
        Ok(v1::Priority::Low) => Ok(Priority::Low),
        Err(_) => Err(wrong("priority", "unknown value")),
    }
}

pub(super) fn state_to_wire(state: JobState) -> v1::JobState {
    match state {
        JobState::Receiving => v1::JobState::Receiving,
        JobState::Running => v1::JobState::Running,
        JobState::Merging => v1::JobState::Merging,
        JobState::Succeeded => v1::JobState::Succeeded,
        JobState::Failed => v1::JobState::Failed,
        JobState::Cancelled => v1::JobState::Cancelled,
    }
}

pub(super) fn state_from_wire(wire: i32) -> Result<JobState, WireError> {
    Ok(match v1::JobState::try_from(wire) {
        Ok(v1::JobState::Receiving) => JobState::Receiving,
        Ok(v1::JobState::Running) => JobState::Running,
        Ok(v1::JobState::Merging) => JobState::Merging,
        Ok(v1::JobState::Succeeded) => JobState::Succeeded,
        Ok(v1::JobState::Failed) => JobState::Failed,
        Ok(v1::JobState::Cancelled) => JobState::Cancelled,
        Ok(v1::JobState::Unspecified) | Err(_) => return Err(wrong("job.state", "unknown value")),
    })
}

/// The wire form of a job.
pub fn job_to_wire(job: &JobView) -> v1::Job {
    v1::Job {
        job_id: job.id.to_string(),
        name: job.name.clone(),
        state: state_to_wire(job.state) as i32,
        priority: priority_to_wire(job.priority) as i32,
        spec: Some(draft_to_wire(&job.spec)),
        opened_at: job.opened_at.clone(),
        ended_at: job.ended_at.clone().unwrap_or_default(),
        error: job.error.clone().unwrap_or_default(),
        waiting_for: job.waiting_for.clone().unwrap_or_default(),
        progress: Some(v1::Progress {
            bytes_received: job.progress.bytes_received,
            bytes_expected: job.progress.bytes_expected.unwrap_or(0),
            bytes_counted: job.progress.bytes_counted,
            elapsed_ms: job.progress.elapsed_ms,
        }),
        tasks: Some(v1::Tasks {
            cut: job.tasks.cut,
            queued: job.tasks.queued,
            running: job.tasks.running,
            done: job.tasks.done,
            retried: job.tasks.retried,
        }),
        receipt: Some(receipt_to_wire(&job.receipt)),
        result: job.result.as_ref().map(result_to_wire),
        rejects: job.rejects.iter().map(reject_to_wire).collect(),
        slaves: job.slaves.iter().map(share_to_wire).collect(),
        expires_at: job.expires_at.clone().unwrap_or_default(),
        keep_input: job.keep_input,
        repairs: id_to_text(job.repairs),
        repaired_by: id_to_text(job.repaired_by),
        input_lost: job.input_lost,
        in_place: job.in_place.clone().unwrap_or_default(),
        result_path: job.result_path.clone().unwrap_or_default(),
        ingest: job.ingest.as_ref().map(ingest_to_wire),
        owner: job.owner.clone().unwrap_or_default(),
    }
}

fn id_to_text(id: Option<JobId>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

pub(super) fn receipt_to_wire(receipt: &Receipt) -> v1::Receipt {
    v1::Receipt {
        records: receipt.records,
        counted: receipt.counted,
        rejected: receipt.rejected,
        repaired: receipt.repaired,
        blank_lines: receipt.blank_lines,
        bytes: receipt.bytes,
        crc32c: receipt.crc32c,
        verified: receipt.verified,
        unverified: receipt.unverified,
    }
}

pub(super) fn receipt_from_wire(wire: v1::Receipt) -> Receipt {
    Receipt {
        records: wire.records,
        counted: wire.counted,
        rejected: wire.rejected,
        repaired: wire.repaired,
        blank_lines: wire.blank_lines,
        bytes: wire.bytes,
        crc32c: wire.crc32c,
        verified: wire.verified,
        unverified: wire.unverified,
    }
}

/// A job's id as clients write it, where there may be none.
///
/// # Errors
/// [`WireError`] where it is neither empty nor a UUID.
pub fn optional_job_id(text: &str) -> Result<Option<JobId>, WireError> {
    (!text.is_empty()).then(|| job_id_from_text(text)).transpose()
}

fn result_to_wire(result: &ResultInfo) -> v1::ResultInfo {
    let total = |total: &Total| v1::Total { name: total.name.clone(), value: total.value.clone() };
    v1::ResultInfo {
        rows: result.rows,
        bytes: result.bytes,
        sha256: result.sha256.clone(),
        totals: result.totals.iter().map(total).collect(),
    }
}

fn reject_to_wire(reject: &RejectView) -> v1::Reject {
    v1::Reject {
        line: reject.line,
        byte_offset: reject.byte_offset,
        column: reject.column.clone().unwrap_or_default(),
        reason: reject.reason.clone(),
        record: reject.record.clone(),
    }
}

fn share_to_wire(share: &Share) -> v1::Share {
    let (tasks, bytes, records) = (share.tasks, share.bytes, share.records);
    v1::Share { name: share.name.clone(), tasks, bytes, records }
}

/// A job from the wire.
///
/// # Errors
/// [`WireError`] where an id, state or spec has no meaning.
pub fn job_from_wire(wire: v1::Job) -> Result<JobView, WireError> {
    let some = |text: String| (!text.is_empty()).then_some(text);
    let tasks = wire.tasks.unwrap_or_default();
    let receipt = wire.receipt.unwrap_or_default();
    let progress = wire.progress.unwrap_or_default();
    let spec = wire.spec.as_ref().ok_or(WireError::Missing("job.spec"))?;
    Ok(JobView {
        id: job_id_from_text(&wire.job_id)?,
        state: state_from_wire(wire.state)?,
        priority: priority_from_wire(wire.priority)?,
        spec: draft_from_wire(spec)?,
        name: wire.name,
        opened_at: wire.opened_at,
        ended_at: some(wire.ended_at),
        error: some(wire.error),
        waiting_for: some(wire.waiting_for),
        progress: Progress::new(
            progress.bytes_received,
            (progress.bytes_expected > 0).then_some(progress.bytes_expected),
            progress.bytes_counted,
            progress.elapsed_ms,
            receipt.records,
        ),
        tasks: TaskCounts {
            cut: tasks.cut,
            queued: tasks.queued,
            running: tasks.running,
            done: tasks.done,
            retried: tasks.retried,
        },
        receipt: receipt_from_wire(receipt),
        result: wire.result.map(result_from_wire),
        rejects: wire.rejects.into_iter().map(reject_from_wire).collect(),
        slaves: wire.slaves.into_iter().map(share_from_wire).collect(),
        expires_at: some(wire.expires_at),
        keep_input: wire.keep_input,
        repairs: optional_job_id(&wire.repairs)?,
        repaired_by: optional_job_id(&wire.repaired_by)?,
        input_lost: wire.input_lost,
        ingest: wire.ingest.map(ingest_from_wire).transpose()?,
        in_place: some(wire.in_place),
        owner: some(wire.owner),
        result_path: some(wire.result_path),
    })
}

fn result_from_wire(wire: v1::ResultInfo) -> ResultInfo {
    let total = |total: v1::Total| Total { name: total.name, value: total.value };
    ResultInfo {
        rows: wire.rows,
        bytes: wire.bytes,
        sha256: wire.sha256,
        totals: wire.totals.into_iter().map(total).collect(),
    }
}

fn reject_from_wire(wire: v1::Reject) -> RejectView {
    RejectView {
        line: wire.line,
        byte_offset: wire.byte_offset,
        column: (!wire.column.is_empty()).then_some(wire.column),
        reason: wire.reason,
        record: wire.record,
    }
}

fn share_from_wire(wire: v1::Share) -> Share {
    Share { name: wire.name, tasks: wire.tasks, bytes: wire.bytes, records: wire.records }
}

/// The wire form of a slave.
pub fn slave_to_wire(slave: &SlaveView) -> v1::Slave {
    v1::Slave {
        slave_id: slave.id.to_string(),
        session_id: slave.session.to_string(),
        name: slave.name.clone(),
        version: slave.version.clone(),
        workers: slave.workers,
        running: slave.running,
        prefetched: slave.prefetched,
        completed: slave.completed,
        failed: slave.failed,
        draining: slave.draining,
        quarantined: slave.quarantined,
        last_heard_ms: slave.last_heard_ms,
        bytes: slave.bytes,
        records: slave.records,
        bytes_per_second: slave.bytes_per_second,
        history: slave.history.clone(),
    }
}

/// A slave from the wire.
///
/// # Errors
/// [`WireError`] where an id is not a UUID.
pub fn slave_from_wire(wire: v1::Slave) -> Result<SlaveView, WireError> {
    let id: SlaveId = wire.slave_id.parse().map_err(|_| wrong("slave_id", "not a UUID"))?;
    let session: SessionId =
        wire.session_id.parse().map_err(|_| wrong("session_id", "not a UUID"))?;
    Ok(SlaveView {
        id,
        session,
        name: wire.name,
        version: wire.version,
        workers: wire.workers,
        running: wire.running,
        prefetched: wire.prefetched,
        completed: wire.completed,
        failed: wire.failed,
        draining: wire.draining,
        quarantined: wire.quarantined,
        last_heard_ms: wire.last_heard_ms,
        bytes: wire.bytes,
        records: wire.records,
        bytes_per_second: wire.bytes_per_second,
        history: wire.history,
    })
}
