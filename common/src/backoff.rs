//! Exponential backoff with jitter; pure: the randomness is handed in.

use std::time::Duration;

/// A schedule of waits that double from `base` to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    max: Duration,
}

impl Backoff {
    /// Waits from `base` up to `max`.
    pub const fn new(base: Duration, max: Duration) -> Self {
        Self { base, max }
    }

    /// The wait before retry number `retry` (from 0), between half and all of the doubled base.
    /// `jitter` is any number; equal ones give equal waits. The spread keeps the slaves of a
    /// restarted master from all dialling in the same instant.
    pub fn wait(&self, retry: u32, jitter: u64) -> Duration {
        let factor = 1u32.checked_shl(retry.min(31)).unwrap_or(u32::MAX);
        let full = self.base.saturating_mul(factor).min(self.max);
        let half = full / 2;
        let share = (jitter % 1024) as u32;
        half + half * share / 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_maximum_and_never_below_half() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        for retry in 0..64 {
            let full = Duration::from_millis(100).saturating_mul(1 << retry.min(16));
            let full = full.min(Duration::from_secs(5));
            for jitter in [0, 1, 511, 1023, u64::MAX] {
                let wait = backoff.wait(retry, jitter);
                assert!(wait >= full / 2 && wait <= full, "{retry} {jitter} {wait:?}");
            }
        }
    }
}
