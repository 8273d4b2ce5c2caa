//! Turns: while an owner has something that any slave may have, no other of the same priority gets two turns
//! before he gets one.

use std::collections::BTreeSet;

use super::Oracle;
use crate::ledger::{Ledger, TaskState};

impl Oracle {
    pub(super) fn check_turns(&mut self, ledger: &Ledger) {
        let jobs = self.jobs.iter().filter(|(_, job)| job.known && job.ended.is_none());
        // Of these somebody has waited all the time that the event took: what was never tried, and still is
        // not, suits every slave.
        let waiting: BTreeSet<_> = jobs
            .filter(|(id, _)| {
                ledger.tasks(id).any(|task| task.state == TaskState::Queued && task.attempts == 0)
            })
            .map(|(_, job)| job.line)
            .collect();
        self.since.retain(|line, _| waiting.contains(line));
        for message_id in &self.turns {
            let job = self.tasks.get(message_id).and_then(|task| self.jobs.get(&task.job?));
            // Its job may have ended by the same event.
            let Some((priority, owner)) = job.map(|job| job.line) else { continue };
            self.since.remove(&(priority, owner));
            let others = waiting.iter().filter(|line| line.0 == priority && line.1 != owner);
            for line in others {
                let first = self.since.entry(*line).or_default().insert(owner);
                assert!(first, "{owner:?} has two turns while {line:?} waits");
                self.seen.turns_waited_for += 1;
            }
        }
    }
}
