//! What a master needs to know to start.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tally_common::id::JobId;

use crate::access::{Access, Tls};
use crate::fetch::SourcePrefix;
use crate::ledger::Policy;
use crate::recount::Recounter;
use crate::sources::SourceConfig;
use crate::tables::Keep;

/// Where a store is. Not shown, since there may be a password in it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(pub String);

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreUrl(…)")
    }
}

/// A master's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who may ask it for what.
    pub access: Access,
    /// Where spools, runs and results are kept; made where it does not exist.
    pub data_dir: PathBuf,
    /// The URL of a Postgres that has the store; `None` for a file in the data folder. May hold a
    /// password.
    pub store: Option<StoreUrl>,
    /// How the ledger treats slaves and attempts.
    pub policy: Policy,
    /// Threads that merge one job's runs; at least 1.
    pub merge_threads: usize,
    /// Uploads that may run at the same time; more are told to come back.
    pub max_uploads: usize,
    /// HTTP connections that may be open at the same time; more wait to be accepted. The same number
    /// again of gRPC connections.
    pub max_connections: usize,
    /// TLS on both listeners; `None` where they speak plain HTTP.
    pub tls: Option<Tls>,
    /// Names by which browsers reach the HTTP gateway, besides those of this machine.
    pub http_hosts: Vec<String>,
    /// HTTP requests that may be under way at the same time; more are told to come back.
    pub max_http_requests: usize,
    /// How long a stopping master waits for requests under way.
    pub grace: Duration,
    /// Jobs outlive the process. Without this there is no store: for a master that counts one thing
    /// and is gone.
    pub durable: bool,
    /// Jobs that may be open at the same time; more are told to come back.
    pub max_jobs: usize,
    /// Bytes that tasks should have, in place of what fits input and cluster: for tests and experiments.
    pub task_bytes: Option<u64>,
    /// Bytes of the disk that are left free.
    pub disk_reserve: u64,
    /// How long a job is kept after its end.
    pub retain: Duration,
    /// How long the key of a submission is remembered: a repeat of it after that is a new one.
    pub retain_keys: Duration,
    /// How long a broken upload may wait to be taken up again.
    pub upload_timeout: Duration,
    /// Slaves that can may read the bytes of their tasks where they lie, instead of having them sent.
    pub share_spool: bool,
    /// Folders whose files may be counted where they lie, without an upload.
    pub input_dirs: Vec<PathBuf>,
    /// Folders that results may be written to.
    pub output_dirs: Vec<PathBuf>,
    /// What URLs inputs may be fetched from, if that is asked for.
    pub source_prefixes: Vec<SourcePrefix>,
    /// How long such a source may be silent.
    pub source_timeout: Duration,
    /// Most bytes of an upload, as it is sent; `None` where only the disk is a limit.
    pub max_input: Option<u64>,
    /// The AMQP broker whose messages are taken, if there is one.
    #[cfg(feature = "broker")]
    pub broker: Option<crate::broker::BrokerConfig>,
    /// Places that are watched for new data.
    pub sources: Vec<SourceConfig>,
    /// How long a table's history and the message ids of its operations are kept.
    pub keep: Keep,
    /// How often it is looked whether something may be removed.
    pub sweep: Duration,
    /// How long a client may take over its first bytes, and over the headers of a request.
    pub header_timeout: Duration,
    /// Over how much waiting the least rate of a body is taken.
    pub pace_window: Duration,
    /// Counts tasks here that slaves contradict each other about; without it such a task begins anew.
    pub recounter: Option<Recounter>,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Config {
    /// The defaults, for a data folder.
    pub fn new(data_dir: PathBuf) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            access: Access::open(),
            data_dir,
            store: None,
            policy: Policy::default(),
            merge_threads: cores.min(16),
            max_uploads: 64,
            max_connections: 4096,
            tls: None,
            http_hosts: Vec::new(),
            max_http_requests: 1024,
            grace: Duration::from_secs(10),
            durable: true,
            max_jobs: 10_000,
            task_bytes: None,
            disk_reserve: 256 << 20,
            retain: 7 * DAY,
            retain_keys: 400 * DAY,
            upload_timeout: DAY,
            share_spool: false,
            input_dirs: Vec::new(),
            output_dirs: Vec::new(),
            source_prefixes: Vec::new(),
            source_timeout: Duration::from_secs(60),
            max_input: None,
            #[cfg(feature = "broker")]
            broker: None,
            sources: Vec::new(),
            keep: Keep::default(),
            sweep: Duration::from_secs(30),
            header_timeout: crate::greeting::HEADER_TIMEOUT,
            pace_window: crate::pace::WINDOW,
            recounter: None,
        }
    }

    /// Where all that belongs to a job lies.
    pub(crate) fn job_folder(&self, job: JobId) -> PathBuf {
        self.data_dir.join("jobs").join(job.to_string())
    }
}
