//! What a slave needs to know to start.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tally_common::backoff::Backoff;
use tally_common::id::SlaveId;
use tally_proto::dial::Dial;
use tally_proto::frames::Compression;

/// A slave's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the master listens for gRPC, and how it is dialled.
    pub master: Dial,
    /// This process: drawn anew at each start.
    pub id: SlaveId,
    /// A name for people.
    pub name: String,
    /// Worker threads, at least 1.
    pub workers: u32,
    /// Free-form labels, for people.
    pub labels: BTreeMap<String, String>,
    /// Folders of this machine that are the master's data folder, or such that it counts files in: tasks
    /// are read there where the master allows that, instead of having them sent.
    pub read_spool: Vec<PathBuf>,
    /// How bytes are compressed on their way from and to the master.
    pub compression: Option<Compression>,
    /// Waits between attempts to reach the master.
    pub reconnect: Backoff,
    /// How long a draining slave may take to finish what it holds.
    pub grace: Duration,
}

impl Config {
    /// The waits between attempts to reach the master, unless told otherwise.
    pub const RECONNECT: Backoff =
        Backoff::new(Duration::from_millis(200), Duration::from_secs(10));

    /// How long draining may take, unless told otherwise.
    pub const GRACE: Duration = Duration::from_secs(30);
}
