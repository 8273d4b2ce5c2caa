//! How patient the ledger is.

use std::time::Duration;

use tally_common::backoff::Backoff;
use tally_common::limits::MAX_ATTEMPTS;

use super::Sample;

/// How the ledger treats slaves and attempts.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How often a slave is to beat.
    pub heartbeat: Duration,
    /// Intervals without a beat after which a session is dead.
    pub missed_beats: u32,
    /// Time that any attempt may take, whatever its size.
    pub attempt_base: Duration,
    /// The slowest counting that is waited for, in bytes a second, beyond that time.
    pub attempt_rate: u64,
    /// Failed attempts at one task after which its job fails.
    pub max_attempts: u32,
    /// Waits before a task is tried again.
    pub retry: Backoff,
    /// An attempt is a straggler when it takes so many times the median of its job's.
    pub straggler_factor: u32,
    /// And at least so long.
    pub straggler_floor: Duration,
    /// False partials of one slave, without a right one between them, that put it into quarantine.
    pub max_false_partials: u32,
    /// How long a slave stays there.
    pub quarantine: Duration,
    /// A longer time than this between two ticks means that the master slept, or its machine.
    pub pause: Duration,
    /// Which tasks are counted twice.
    pub sample: Sample,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(1),
            missed_beats: 3,
            attempt_base: Duration::from_secs(60),
            attempt_rate: 1_000_000,
            max_attempts: MAX_ATTEMPTS,
            retry: Backoff::new(Duration::from_millis(200), Duration::from_secs(10)),
            straggler_factor: 3,
            straggler_floor: Duration::from_secs(2),
            max_false_partials: 3,
            quarantine: Duration::from_secs(600),
            pause: Duration::from_secs(1),
            sample: Sample::default(),
        }
    }
}

impl Policy {
    /// Time that an attempt at a task of so many bytes may take.
    pub(super) fn attempt_limit(&self, bytes: u64) -> Duration {
        self.attempt_base + Duration::from_secs(bytes / self.attempt_rate.max(1))
    }
}
