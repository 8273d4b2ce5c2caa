//! What the coordinator shows for the metrics: what there is now.

use tally_common::api::{JobState, Priority};

use super::Coordinator;
use crate::metrics::{self, Now};

impl Coordinator {
    /// Shows what there is now of what. Costs nothing where nobody measures.
    pub(super) fn measure(&self) {
        if !metrics::is_installed() {
            return;
        }
        let started_ms = self.clock.unix_ms() - self.clock.now().as_millis() as u64;
        let mut now = Now { disk: self.disk.view(), started_ms, ..Now::default() };
        for (_, job) in self.ledger.jobs() {
            match job.state {
                JobState::Receiving => now.receiving += 1,
                JobState::Running => now.running += 1,
                JobState::Merging => now.merging += 1,
                JobState::Succeeded | JobState::Failed | JobState::Cancelled => continue,
            }
            now.tasks_queued += job.queued;
            now.tasks_running += job.running;
            let queue = match job.priority {
                Priority::High => &mut now.queue[0],
                Priority::Default => &mut now.queue[1],
                Priority::Low => &mut now.queue[2],
            };
            queue.0 += 1;
            queue.1 += job.queued;
        }
        for (_, session) in self.ledger.sessions() {
            now.sessions += 1;
            now.workers += session.workers;
            now.quarantined += u32::from(session.quarantined);
        }
        metrics::now(&now, self.ledger.counts());
    }
}
