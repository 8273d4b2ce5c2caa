//! What the master counts and measures, for Prometheus. Names and meanings are in [`names`]; the ledger's
//! share comes in by its events, commands and facts ([`ledger`]), so that the ledger itself stays pure.
//!
//! Nothing is counted by row or by record, only by task, batch, frame, request: the hot path never comes
//! here. No label holds what a user has named; each has a handful of values. A process that has not called
//! [`install`] counts nothing, at the cost of a look at an atomic.

mod broker;
mod ledger;
mod names;
mod process;

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::{MissedTickBehavior, interval};

use tally_common::api::{
    ClusterCounts, DiskView, IngestCounts, JobState, OperationResult, Outcome as OperationOutcome,
    Priority, QueueView,
};

#[cfg(feature = "broker")]
pub(crate) use broker::{broker_connected, broker_in_flight, broker_message, broker_reconnect};
pub(crate) use ledger::{command, event, fact};
pub use names::{Kind, METRICS, Metric};

use crate::ledger::{Counts, Outcome};

/// How often what histograms have been told is put into their buckets. Until then each value takes eight
/// bytes; the requests of five seconds are a bound on these.
const UPKEEP: Duration = Duration::from_secs(5);

static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Begins to count in this process. A second call, or one in a process that counts for another recorder
/// already, changes nothing. Must be called within a tokio runtime.
pub fn install() {
    let handle = HANDLE.get_or_init(|| {
        let mut builder = PrometheusBuilder::new();
        for metric in METRICS {
            if let Kind::Histogram(buckets) = metric.kind {
                let name = Matcher::Full(metric.name.to_owned());
                // It refuses an empty list alone, and none is.
                builder = builder.set_buckets_for_metric(name, buckets).ok()?;
            }
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        ::metrics::set_global_recorder(recorder).ok()?;
        for metric in METRICS {
            metric.describe();
        }
        begin();
        tokio::spawn(upkeep(handle.clone()));
        Some(handle)
    });
    if handle.is_none() {
        tracing::warn!("nothing is measured: this process has a recorder of another kind");
    }
}

/// Whether anything is counted here.
pub(crate) fn is_installed() -> bool {
    HANDLE.get().is_some_and(Option::is_some)
}

/// All that was counted, in Prometheus's text format; `None` where nothing is.
pub(crate) fn render() -> Option<String> {
    let handle = HANDLE.get()?.as_ref()?;
    process::look();
    Some(handle.render())
}

async fn upkeep(handle: PrometheusHandle) {
    let mut times = interval(UPKEEP);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        handle.run_upkeep();
    }
}

/// Shows each series whose labels are known beforehand from the start: a rate needs a first value, and an
/// alert on what has never happened needs a zero.
fn begin() {
    broker::begin();
    gauge!(names::BUILD_INFO, "version" => tally_proto::BUILD).set(1);
    for priority in [Priority::High, Priority::Default, Priority::Low] {
        counter!(names::JOBS_OPENED, "priority" => priority.as_str()).absolute(0);
    }
    for outcome in ["succeeded", "failed", "cancelled"] {
        counter!(names::JOBS_ENDED, "outcome" => outcome).absolute(0);
        let _ = histogram!(names::JOB_SECONDS, "outcome" => outcome);
    }
    for verdict in ["accepted", "duplicate", "rejected"] {
        counter!(names::PARTIALS, "verdict" => verdict).absolute(0);
    }
    for outcome in OperationOutcome::ALL {
        counter!(names::TABLE_OPERATIONS, "outcome" => outcome.as_str()).absolute(0);
    }
    for change in ["added", "updated", "unchanged", "deleted"] {
        counter!(names::TABLE_INGESTED_ROWS, "change" => change).absolute(0);
    }
    for reason in ["left", "silent", "set_aside"] {
        counter!(names::SESSIONS_LOST, "reason" => reason).absolute(0);
    }
    for reason in ["unauthenticated", "not_allowed", "rate_limited"] {
        counter!(names::REFUSED, "reason" => reason).absolute(0);
    }
    for outcome in ["agreed", "unverified", "disputed"] {
        counter!(names::TASKS_VERIFIED, "outcome" => outcome).absolute(0);
    }
    for kind in LISTENERS {
        gauge!(names::LISTENERS, "kind" => kind).set(0);
    }
    for metric in METRICS.iter().filter(|metric| metric.labels.is_empty()) {
        match metric.kind {
            Kind::Counter => counter!(metric.name).absolute(0),
            Kind::Gauge => gauge!(metric.name).set(0),
            Kind::Histogram(_) => drop(histogram!(metric.name)),
        }
    }
}

/// Kinds of streams that somebody may listen to.
const LISTENERS: [&str; 4] = ["events", "job_events", "socket_io", "table_changes"];

/// So many listeners more (or fewer) to a stream of events: `events`, `job_events`, `socket_io`,
/// `table_changes`.
pub fn listeners(kind: &'static str, delta: i32) {
    gauge!(names::LISTENERS, "kind" => kind).increment(delta);
}

/// A request was refused for who sent it.
pub(crate) fn refused(reason: &'static str) {
    counter!(names::REFUSED, "reason" => reason).increment(1);
}

/// A line of the audit log was not written.
pub(crate) fn audit_lost() {
    counter!(names::AUDIT_LOST).increment(1);
}

/// A job has ended, so long after it was opened.
pub(crate) fn job_ended(outcome: &Outcome, took: Duration) {
    let outcome = outcome_name(outcome);
    histogram!(names::JOB_SECONDS, "outcome" => outcome).record(took);
}

/// How a job has ended, in a word.
pub(crate) fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => JobState::Succeeded.as_str(),
        Outcome::Failed(_) => JobState::Failed.as_str(),
        Outcome::Cancelled => JobState::Cancelled.as_str(),
    }
}

/// A merge has ended, well or not.
pub(crate) fn merged(took: Duration) {
    histogram!(names::MERGE_SECONDS).record(took);
}

/// The store has written a batch of facts, or could not.
pub(crate) fn committed(took: Duration, failed: bool) {
    histogram!(names::STORE_COMMIT_SECONDS).record(took);
    if failed {
        counter!(names::STORE_FAILURES).increment(1);
    }
}

/// Operations on tables have been answered.
pub(crate) fn operations(results: &[OperationResult]) {
    for outcome in OperationOutcome::ALL {
        let count = results.iter().filter(|result| result.outcome == outcome).count() as u64;
        if count > 0 {
            counter!(names::TABLE_OPERATIONS, "outcome" => outcome.as_str()).increment(count);
        }
    }
}

/// An ingest has come from one count to another.
pub(crate) fn ingested(now: &IngestCounts, before: Option<&IngestCounts>) {
    let before = before.copied().unwrap_or_default();
    for (what, now, before) in [
        ("added", now.added, before.added),
        ("updated", now.updated, before.updated),
        ("unchanged", now.unchanged, before.unchanged),
        ("deleted", now.deleted, before.deleted),
    ] {
        let more = now.saturating_sub(before);
        if more > 0 {
            counter!(names::TABLE_INGESTED_ROWS, "change" => what).increment(more);
        }
    }
}

/// Bytes of input have come, as they were sent or as they lie.
pub(crate) fn input_sent(bytes: usize) {
    counter!(names::INPUT_SENT_BYTES).increment(bytes as u64);
}

/// Bytes of input have come, decompressed.
pub(crate) fn input(bytes: usize) {
    counter!(names::INPUT_BYTES).increment(bytes as u64);
}

/// An HTTP request has been answered: its route's pattern, its method, `2xx` or the like.
pub(crate) fn http_request(
    route: &str,
    method: &'static str,
    status: &'static str,
    took: Duration,
) {
    let route = route.to_owned();
    counter!(names::HTTP_REQUESTS, "route" => route.clone(), "method" => method, "status" => status)
        .increment(1);
    histogram!(names::HTTP_REQUEST_SECONDS, "route" => route, "method" => method).record(took);
}

/// So many HTTP requests more (or fewer) wait for their answer.
pub(crate) fn http_in_flight(delta: i32) {
    gauge!(names::HTTP_IN_FLIGHT).increment(delta);
}

/// A gRPC call has ended.
pub(crate) fn grpc_call(method: &str, code: &'static str) {
    let method = method.to_owned();
    counter!(names::GRPC_CALLS, "method" => method, "code" => code).increment(1);
}

/// So many gRPC calls more (or fewer) are under way.
pub(crate) fn grpc_in_flight(delta: i32) {
    gauge!(names::GRPC_IN_FLIGHT).increment(delta);
}

/// The certificate ends then, in seconds since 1970.
pub(crate) fn certificate_ends(unix: i64) {
    gauge!(names::CERTIFICATE_ENDS).set(unix as f64);
}

/// So many sources are watched.
pub(crate) fn sources(count: usize) {
    gauge!(names::SOURCES).set(count as f64);
}

/// A source has been looked at.
pub(crate) fn source_polled() {
    counter!(names::SOURCE_POLLS).increment(1);
}

/// New data of a source has been submitted.
pub(crate) fn source_changed() {
    counter!(names::SOURCE_CHANGES).increment(1);
}

/// A look at a source, or a job of its data, has failed.
pub(crate) fn source_failed() {
    counter!(names::SOURCE_ERRORS).increment(1);
}

/// What there is now of what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) counts: ClusterCounts,
    pub(crate) queue: [QueueView; 3],
    /// Slaves that are in quarantine.
    pub(crate) quarantined: u32,
    pub(crate) disk: DiskView,
    /// Milliseconds since 1970 when the master started.
    pub(crate) started_ms: u64,
}

/// Shows what there is now, and what the ledger has counted so far.
pub(crate) fn now(now: &Now, counts: &Counts) {
    for (state, jobs) in [
        (JobState::Receiving, now.counts.receiving),
        (JobState::Running, now.counts.running),
        (JobState::Merging, now.counts.merging),
    ] {
        gauge!(names::JOBS, "state" => state.as_str()).set(jobs);
    }
    gauge!(names::TASKS, "state" => "queued").set(now.counts.tasks_queued);
    gauge!(names::TASKS, "state" => "running").set(now.counts.tasks_running);
    for QueueView { priority, jobs, tasks } in now.queue {
        gauge!(names::QUEUE_JOBS, "priority" => priority.as_str()).set(jobs);
        gauge!(names::QUEUE_TASKS, "priority" => priority.as_str()).set(tasks);
    }
    gauge!(names::SESSIONS).set(now.counts.slaves);
    gauge!(names::WORKERS).set(now.counts.workers);
    gauge!(names::QUARANTINED).set(now.quarantined);
    gauge!(names::DISK_SIZE).set(now.disk.total as f64);
    gauge!(names::DISK_FREE).set(now.disk.free as f64);
    gauge!(names::DISK_RESERVE).set(now.disk.reserve as f64);
    gauge!(names::DISK_FULL).set(u32::from(now.disk.full));
    gauge!(names::START_TIME).set(now.started_ms as f64 / 1000.0);
    counter!(names::ATTEMPTS_STARTED).absolute(counts.started);
    counter!(names::ATTEMPTS_FAILED).absolute(counts.failed);
    counter!(names::ATTEMPTS_RETRIED).absolute(counts.retried);
    counter!(names::ATTEMPTS_SPECULATED).absolute(counts.speculated);
    for (outcome, tasks) in [
        ("agreed", counts.verified),
        ("unverified", counts.unverified),
        ("disputed", counts.disputed),
    ] {
        counter!(names::TASKS_VERIFIED, "outcome" => outcome).absolute(tasks);
    }
    counter!(names::SET_ASIDE).absolute(counts.set_aside);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_prometheus_names_and_each_stands_once() {
        let mut names: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
        for metric in METRICS {
            let name = metric.name;
            assert!(name.starts_with("tally_"), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
            let counts = matches!(metric.kind, Kind::Counter);
            assert_eq!(name.ends_with("_total"), counts, "{name}");
            if let Kind::Histogram(buckets) = metric.kind {
                assert!(name.ends_with("_seconds"), "{name}");
                assert!(!buckets.is_empty() && buckets.is_sorted(), "{name}");
            }
        }
    }
}
