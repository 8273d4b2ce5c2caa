//! The only place in the master where a clock is read.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use tally_common::id::{JobId, SessionId};

/// Milliseconds since 1970, UTC, by the machine's clock as it is now. For what is compared with times that others
/// have written: when a key ends. It may go back, so nothing else is decided by it.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Measures how long something takes; decides nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// One that starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since then.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Time since the coordinator's start, and of day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// Milliseconds since 1970 at the start.
    start_ms: u64,
}

impl Clock {
    /// A clock that starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub(crate) fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Self { start: Instant::now(), start_ms }
    }

    /// Time since the start; never goes back.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Milliseconds since 1970, UTC. The system's clock is looked at once, at the start: one that is
    /// set while the master runs neither ends a job's time early nor makes it begin in the future.
    pub(crate) fn unix_ms(&self) -> u64 {
        self.start_ms.saturating_add(self.now().as_millis() as u64)
    }

    /// Milliseconds since 1970, UTC, at the start.
    pub(crate) fn started_ms(&self) -> u64 {
        self.start_ms
    }

    /// A new job's id: a UUID v7, so it sorts by time.
    pub(crate) fn job_id(&self) -> JobId {
        JobId::from_uuid(Uuid::now_v7())
    }

    /// A new session's id.
    pub(crate) fn session_id(&self) -> SessionId {
        SessionId::from_uuid(Uuid::new_v4())
    }
}
