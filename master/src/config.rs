//! What a master needs to know to start.

use std::path::PathBuf;
use std::time::Duration;

use crate::ledger::Policy;

/// A master's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where spools, runs and results are kept; made where it does not exist.
    pub data_dir: PathBuf,
    /// How the ledger treats slaves and attempts.
    pub policy: Policy,
    /// Threads that merge one job's runs; at least 1.
    pub merge_threads: usize,
    /// Uploads that may run at the same time; more are told to come back.
    pub max_uploads: usize,
    /// HTTP requests that may be under way at the same time; more are told to come back.
    pub max_http_requests: usize,
    /// How long a stopping master waits for requests under way.
    pub grace: Duration,
}

impl Config {
    /// The defaults, for a data folder.
    pub fn new(data_dir: PathBuf) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            data_dir,
            policy: Policy::default(),
            merge_threads: cores.min(16),
            max_uploads: 64,
            max_http_requests: 1024,
            grace: Duration::from_secs(10),
        }
    }
}
