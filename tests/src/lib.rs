//! A harness for whole-cluster tests: real `tally` processes on free loopback ports, stopped when
//! dropped. Tests wait on conditions ([`eventually`]), never on the clock.

mod cluster;
mod http;
pub mod input;
pub mod postgres;
mod process;
mod proxy;
mod rabbit;
pub mod served;
mod small_disk;

use std::path::PathBuf;
use std::time::Duration;

pub use cluster::{Cluster, Options, on_postgres};
pub use http::{Answer, Http, Trust};
pub use postgres::Postgres;
pub use process::{Process, run, tally};
pub use proxy::Proxy;
pub use rabbit::Rabbit;
pub use small_disk::SmallDisk;

/// How long a condition may take before a test gives up: far longer than it ever does, since tests
/// share two cores with each other.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `condition` gives a value.
///
/// # Panics
/// When [`PATIENCE`] is over, naming `what` was waited for.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let pause = Duration::from_millis(10);
    let mut waited = Duration::ZERO;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(waited < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(pause);
        waited += pause;
    }
}

/// The `tally` binary that the tests run: `TALLY_BIN`, or the one that cargo built beside them.
///
/// # Panics
/// Where there is none.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("TALLY_BIN") {
        return path.into();
    }
    let tests = std::env::current_exe().expect("a test knows its own path");
    let beside = tests.ancestors().nth(2).map(|folder| folder.join("tally"));
    let found = beside.filter(|path| path.exists());
    found.expect("no tally binary: run ./test, or cargo build -p tally-cli first")
}
