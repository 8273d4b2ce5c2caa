//! Time, and slaves that are not to be trusted.

use std::time::Duration;

use tally_common::id::SessionId;

use super::{Oracle, PAUSE};

/// False partials in a row that put a slave into quarantine: the promise, not the policy's value.
const FALSE_PARTIALS: u32 = 3;

/// How long a slave stays there in a simulation: short, so that it is seen to end.
pub(in crate::ledger::sim) const QUARANTINE: Duration = Duration::from_secs(20);

/// Time that every attempt has, in which the master is awake.
const ATTEMPT: Duration = Duration::from_secs(60);

impl Oracle {
    /// A tick takes attempts back that are late: others only where their task went to another slave,
    /// or their job ended.
    pub(super) fn check_late_attempts(&mut self) {
        for cancelled in std::mem::take(&mut self.cancelled) {
            let job = self.tasks[&cancelled.message_id].job.expect("a job");
            if self.assigned.contains(&cancelled.message_id) {
                continue;
            }
            if self.jobs[&job].ended.is_none() {
                assert!(self.awake > cancelled.since + ATTEMPT, "an attempt had time left");
                self.seen.late_attempts += 1;
            }
            self.failed.insert(cancelled.slave);
        }
    }

    /// The master looks at its clock, which never goes back for the ledger.
    pub(super) fn time_is(&mut self, now: Duration) {
        let before = self.clock.unwrap_or(now);
        let gap = now.saturating_sub(before);
        if gap > PAUSE {
            self.seen.pauses += 1;
        } else {
            self.awake += gap;
        }
        self.clock = Some(now.max(before));
    }

    pub(super) fn end_quarantines(&mut self) {
        let (before, now) = (self.quarantined.len(), self.clock.unwrap_or_default());
        self.quarantined.retain(|_, until| *until > now);
        self.seen.quarantines_that_ended += (before - self.quarantined.len()) as u64;
    }

    pub(super) fn false_partial(&mut self, session: SessionId) {
        let Some(slave) = self.sessions.get(&session).map(|session| session.slave) else { return };
        if self.quarantined.contains_key(&slave) {
            return;
        }
        let count = self.false_partials.entry(slave).or_default();
        *count += 1;
        if *count == FALSE_PARTIALS {
            self.false_partials.remove(&slave);
            self.quarantined.insert(slave, self.clock.unwrap_or_default() + QUARANTINE);
            self.seen.quarantines += 1;
        }
    }

    pub(super) fn right_partial(&mut self, session: SessionId) {
        if let Some(session) = self.sessions.get(&session) {
            self.false_partials.remove(&session.slave);
        }
    }
}
