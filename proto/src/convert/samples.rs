//! Jobs, slaves and clusters for tests, with something in every field.

use uuid::Uuid;

use tally_common::api::{
    ClusterCounts, ClusterView, DiskView, IngestCounts, IngestMode, IngestView, JobState, JobView,
    MemoryView, Priority, Progress, QueueView, Receipt, RejectView, ResultInfo, SetAsideView,
    Share, SlaveView, TaskCounts, Total,
};
use tally_common::id::{JobId, SessionId, SlaveId};
use tally_common::spec::SpecDraft;

pub(super) fn job(number: u128) -> JobView {
    let id = |more| JobId::from_uuid(Uuid::from_u128(number + more));
    let some = |text: &str| Some(text.to_owned());
    JobView {
        id: id(0),
        name: format!("job {number}"),
        state: JobState::Succeeded,
        priority: Priority::Low,
        spec: SpecDraft::plays(),
        opened_at: "2026-11-21T00:00:00.000Z".to_owned(),
        ended_at: some("2026-11-21T00:00:01.000Z"),
        expires_at: some("2026-11-28T00:00:01.000Z"),
        keep_input: true,
        repairs: Some(id(1)),
        repaired_by: Some(id(2)),
        error: some("none"),
        waiting_for: some("a slave"),
        input_lost: true,
        ingest: Some(IngestView {
            table: "plays".to_owned(),
            mode: IngestMode::Replace,
            counts: IngestCounts {
                keys: 9,
                added: 2,
                updated: 3,
                unchanged: 4,
                deleted: 5,
                repeated_keys: 6,
                replaced_records: 7,
            },
        }),
        in_place: some("/in"),
        owner: some("0123456789ab"),
        result_path: some("/out"),
        progress: Progress::new(1000, Some(2000), 900, 500, 40),
        tasks: TaskCounts { cut: 1, queued: 2, running: 3, done: 4, retried: 5 },
        receipt: Receipt {
            records: 40,
            counted: 39,
            rejected: 1,
            repaired: 1,
            blank_lines: 2,
            bytes: 1000,
            crc32c: 7,
            verified: 3,
            unverified: 2,
        },
        result: Some(ResultInfo {
            rows: 3,
            bytes: 30,
            sha256: "ab".repeat(32),
            totals: vec![Total { name: "Plays".to_owned(), value: "12".to_owned() }],
        }),
        rejects: vec![RejectView {
            line: 2,
            byte_offset: 11,
            column: some("Plays"),
            reason: "not a number".to_owned(),
            record: "a,b".to_owned(),
        }],
        slaves: vec![Share { name: "one".to_owned(), tasks: 1, bytes: 2, records: 3 }],
    }
}

pub(super) fn slave() -> SlaveView {
    SlaveView {
        id: SlaveId::from_uuid(Uuid::from_u128(1)),
        session: SessionId::from_uuid(Uuid::from_u128(2)),
        name: "one".to_owned(),
        version: "1".to_owned(),
        workers: 3,
        running: 2,
        prefetched: 1,
        completed: 9,
        failed: 4,
        draining: true,
        quarantined: true,
        last_heard_ms: 11,
        bytes: 12,
        records: 13,
        bytes_per_second: 14,
        history: vec![1, 0, 14],
    }
}

pub(super) fn cluster() -> ClusterView {
    let queue = |priority| QueueView { priority, jobs: 1, tasks: 2 };
    ClusterView {
        version: "1".to_owned(),
        started_at: "2026-11-20T00:00:00.000Z".to_owned(),
        now: "2026-11-21T00:00:00.000Z".to_owned(),
        counts: ClusterCounts {
            slaves: 1,
            workers: 2,
            receiving: 3,
            running: 4,
            merging: 5,
            tasks_running: 6,
            tasks_queued: 7,
        },
        bytes_per_second: 8,
        history: vec![0, 8, 1 << 40],
        queue: [Priority::High, Priority::Default, Priority::Low].map(queue).to_vec(),
        disk: DiskView { total: 4, free: 3, reserve: 2, full: true },
        memory: MemoryView { resident: 1, peak: 2, total: 3 },
        set_aside: vec![SetAsideView {
            name: "liar".to_owned(),
            reason: "its answer was false".to_owned(),
            since: "2026-11-20T00:00:00.000Z".to_owned(),
        }],
    }
}
