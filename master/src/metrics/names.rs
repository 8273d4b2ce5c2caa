//! The names: what each is, in which unit, and with which labels. `docs/observability.md` lists the same,
//! which a test compares.

use ::metrics::{describe_counter, describe_gauge, describe_histogram};

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Seconds, in buckets with these upper bounds.
    Histogram(&'static [f64]),
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it is.
    pub help: &'static str,
}

impl Metric {
    /// Says what it is to the recorder.
    pub(super) fn describe(&self) {
        match self.kind {
            Kind::Counter => describe_counter!(self.name, self.help),
            Kind::Gauge => describe_gauge!(self.name, self.help),
            Kind::Histogram(_) => describe_histogram!(self.name, self.help),
        }
    }
}

/// Of a commit: from a page in the cache to a disk that is busy with everything else.
const COMMITS: &[f64] =
    &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

/// Of a request: most are answered from memory, an upload takes as long as its link.
const REQUESTS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 600.0];

/// Of a task or a merge: a task is 16 MiB mostly, a merge may be of hundreds of gigabytes.
const WORK: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];

/// Of a job: from a handful of records to a day's upload.
const JOBS_TAKE: &[f64] =
    &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86_400.0];

macro_rules! metrics {
    ($($constant:ident = $name:literal, $kind:expr, [$($label:literal),*], $help:literal;)*) => {
        $(pub(super) const $constant: &str = $name;)*
        /// All of them.
        pub const METRICS: &[Metric] = &[
            $(Metric { name: $name, kind: $kind, labels: &[$($label),*], help: $help },)*
        ];
    };
}

metrics! {
    JOBS_OPENED = "tally_jobs_opened_total", Kind::Counter, ["priority"],
        "Jobs that were opened.";
    JOBS_ENDED = "tally_jobs_ended_total", Kind::Counter, ["outcome"],
        "Jobs that have ended.";
    JOBS = "tally_jobs", Kind::Gauge, ["state"],
        "Jobs that have not ended.";
    JOB_SECONDS = "tally_job_seconds", Kind::Histogram(JOBS_TAKE), ["outcome"],
        "Seconds from a job's opening to its end.";
    MERGE_SECONDS = "tally_merge_seconds", Kind::Histogram(WORK), [],
        "Seconds that merging a job's partials and writing its result and rejects took.";
    QUEUE_JOBS = "tally_queue_jobs", Kind::Gauge, ["priority"],
        "Jobs that have not ended.";
    QUEUE_TASKS = "tally_queue_tasks", Kind::Gauge, ["priority"],
        "Tasks that wait for a slave.";
    TASKS_CUT = "tally_tasks_cut_total", Kind::Counter, [],
        "Tasks that were cut off inputs.";
    TASKS_KEPT = "tally_tasks_kept_total", Kind::Counter, [],
        "Tasks whose answer was kept.";
    TASKS_LOST = "tally_tasks_lost_total", Kind::Counter, [],
        "Answers that were kept and did not hold, whose tasks are counted again.";
    TASKS = "tally_tasks", Kind::Gauge, ["state"],
        "Tasks that wait for a slave (queued) or are held by one (running).";
    TASK_SECONDS = "tally_task_seconds", Kind::Histogram(WORK), [],
        "Seconds from when a slave could begin a task to its answer; not of answers out of turn.";
    ATTEMPTS_STARTED = "tally_attempts_started_total", Kind::Counter, [],
        "Attempts at tasks that slaves were given.";
    ATTEMPTS_FAILED = "tally_attempts_failed_total", Kind::Counter, [],
        "Attempts that failed, also by the end of their session.";
    ATTEMPTS_RETRIED = "tally_attempts_retried_total", Kind::Counter, [],
        "Failures of attempts, and lost answers, that another attempt follows.";
    ATTEMPTS_SPECULATED = "tally_attempts_speculated_total", Kind::Counter, [],
        "Second attempts at tasks that took long.";
    PARTIALS = "tally_partials_total", Kind::Counter, ["verdict"],
        "Answers that slaves handed in.";
    INPUT_SENT_BYTES = "tally_input_sent_bytes_total", Kind::Counter, [],
        "Bytes of input that came in, as they were sent.";
    INPUT_BYTES = "tally_input_bytes_total", Kind::Counter, [],
        "Bytes of input that came in, decompressed.";
    COUNTED_BYTES = "tally_counted_bytes_total", Kind::Counter, [],
        "Bytes of the tasks whose answer was kept.";
    RECORDS_COUNTED = "tally_records_counted_total", Kind::Counter, [],
        "Records that were counted, in answers that were kept.";
    RECORDS_REJECTED = "tally_records_rejected_total", Kind::Counter, [],
        "Records that could not be counted, in answers that were kept.";
    SESSIONS_JOINED = "tally_sessions_joined_total", Kind::Counter, [],
        "Sessions of slaves that were opened.";
    SESSIONS_LOST = "tally_sessions_lost_total", Kind::Counter, ["reason"],
        "Sessions of slaves that have ended: the connection did (left), heartbeats were missing (silent), or the slave has lied (set_aside).";
    SESSIONS = "tally_sessions", Kind::Gauge, [],
        "Slaves that are joined.";
    WORKERS = "tally_workers", Kind::Gauge, [],
        "Worker threads of the slaves that are joined.";
    TASKS_VERIFIED = "tally_tasks_verified_total", Kind::Counter, ["outcome"],
        "Tasks that were to be counted twice: two counts agreed (agreed), no other slave was there (unverified), or they differed and the master has counted the task (disputed; it is among the agreed, too).";
    SET_ASIDE = "tally_slaves_set_aside_total", Kind::Counter, [],
        "Slaves that have lied about a task and are not let in any more.";
    QUARANTINED = "tally_slaves_quarantined", Kind::Gauge, [],
        "Slaves that are joined and get nothing to count, because their answers were false.";
    DISK_SIZE = "tally_disk_size_bytes", Kind::Gauge, [],
        "Size of the disk under the data folder.";
    DISK_FREE = "tally_disk_free_bytes", Kind::Gauge, [],
        "Bytes of it that are free.";
    DISK_RESERVE = "tally_disk_reserve_bytes", Kind::Gauge, [],
        "Bytes of it that are kept free.";
    DISK_FULL = "tally_disk_full", Kind::Gauge, [],
        "1 while less than the reserve is free, so that what would write waits; else 0.";
    STORE_COMMIT_SECONDS = "tally_store_commit_seconds", Kind::Histogram(COMMITS), [],
        "Seconds that it took to make a batch of facts durable.";
    STORE_FAILURES = "tally_store_failures_total", Kind::Counter, [],
        "Batches that could not be made durable, and were tried again.";
    TABLE_OPERATIONS = "tally_table_operations_total", Kind::Counter, ["outcome"],
        "Operations on tables that were answered, repeated ones included.";
    TABLE_INGESTED_ROWS = "tally_table_ingested_rows_total", Kind::Counter, ["change"],
        "Rows that ingests have applied to tables, or found unchanged.";
    REFUSED = "tally_requests_refused_total", Kind::Counter, ["reason"],
        "HTTP requests and gRPC calls that were refused for who sent them (unauthenticated, not_allowed), or because \
         a key was used too often (rate_limited).";
    AUDIT_LOST = "tally_audit_lines_lost_total", Kind::Counter, [],
        "Lines of the audit log that were not written.";
    HTTP_REQUESTS = "tally_http_requests_total", Kind::Counter, ["route", "method", "status"],
        "HTTP requests, by the pattern of their route and the class of their status.";
    HTTP_REQUEST_SECONDS = "tally_http_request_seconds", Kind::Histogram(REQUESTS), ["route", "method"],
        "Seconds from an HTTP request's headers to its answer's.";
    HTTP_IN_FLIGHT = "tally_http_requests_in_flight", Kind::Gauge, [],
        "HTTP requests that wait for their answer.";
    LISTENERS = "tally_listeners", Kind::Gauge, ["kind"],
        "Clients that listen to a stream of events.";
    GRPC_CALLS = "tally_grpc_calls_total", Kind::Counter, ["method", "code"],
        "gRPC calls that have ended, by method and status code.";
    GRPC_IN_FLIGHT = "tally_grpc_calls_in_flight", Kind::Gauge, [],
        "gRPC calls that are under way; each slave has one for its session.";
    BROKER_MESSAGES = "tally_broker_messages_total", Kind::Counter, ["kind", "outcome"],
        "Messages of the AMQP broker that were acknowledged, by what became of them.";
    BROKER_IN_FLIGHT = "tally_broker_messages_in_flight", Kind::Gauge, ["kind"],
        "Messages of the AMQP broker that are in work.";
    BROKER_CONNECTED = "tally_broker_queues_connected", Kind::Gauge, ["kind"],
        "Queues of the AMQP broker that are being consumed.";
    BROKER_RECONNECTS = "tally_broker_reconnects_total", Kind::Counter, ["kind"],
        "Times that a queue of the AMQP broker could not be consumed any more, or not yet.";
    SOURCES = "tally_sources", Kind::Gauge, [],
        "Sources that are watched.";
    SOURCE_POLLS = "tally_source_polls_total", Kind::Counter, [],
        "Looks at sources.";
    SOURCE_CHANGES = "tally_source_changes_total", Kind::Counter, [],
        "Submissions of new data of sources.";
    SOURCE_ERRORS = "tally_source_errors_total", Kind::Counter, [],
        "Looks at sources, and jobs of their data, that have failed.";
    CERTIFICATE_ENDS = "tally_tls_certificate_expiry_seconds", Kind::Gauge, [],
        "When the master's TLS certificate ends, in seconds since 1970; not there without TLS.";
    RESIDENT_MEMORY = "tally_resident_memory_bytes", Kind::Gauge, [],
        "Memory of the master that is not swapped out.";
    OPEN_FILES = "tally_open_files", Kind::Gauge, [],
        "Files, sockets and the like that the master has open.";
    MAX_OPEN_FILES = "tally_open_files_max", Kind::Gauge, [],
        "As many as it may have.";
    START_TIME = "tally_start_time_seconds", Kind::Gauge, [],
        "When the master was started, in seconds since 1970.";
    BUILD_INFO = "tally_build_info", Kind::Gauge, ["version"],
        "Always 1; the label is the master's version.";
}
