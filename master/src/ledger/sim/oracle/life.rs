//! Jobs that come, are restored, and go; restarts of the master. What was durable before a restart
//! is so after it: the account of tasks and ends goes on.

use tally_common::api::Priority;
use tally_common::id::JobId;
use tally_common::spec::MaxRejects;

use super::{Job, Oracle};
use crate::ledger::{OwnerId, RestoredTask};

impl Oracle {
    pub(super) fn opened(
        &mut self,
        job: JobId,
        line: (Priority, OwnerId),
        max_rejects: MaxRejects,
    ) {
        self.jobs.entry(job).or_insert(Job {
            known: true,
            restored: 0,
            line,
            max_rejects,
            tasks: Vec::new(),
            complete: false,
            merging: None,
            ended: None,
        });
    }

    /// What is stored of a job is what has been said of it, no more and no less.
    pub(super) fn restored(&mut self, id: JobId, tasks: &[RestoredTask], complete: bool) {
        let job = self.jobs.get_mut(&id).expect("a job to restore");
        if job.known {
            // It changes nothing.
            return;
        }
        assert_eq!(job.ended, None, "a job that has ended is restored");
        assert_eq!(job.complete, complete, "its input is forgotten or invented");
        assert_eq!(job.tasks.len(), tasks.len(), "tasks are forgotten or invented");
        for (message_id, stored) in job.tasks.iter().zip(tasks) {
            let kept = self.tasks[message_id].kept;
            assert_eq!(kept, stored.kept.map(|(totals, _)| totals), "{message_id}");
        }
        (job.known, job.restored) = (true, tasks.len());
        self.seen.restored += 1;
        self.seen.restored_while_receiving += u64::from(!complete && !tasks.is_empty());
        let full = complete && tasks.iter().all(|task| task.kept.is_some());
        self.seen.restored_in_full += u64::from(full && !tasks.is_empty());
    }

    pub(super) fn forgotten(&mut self, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id).filter(|job| job.ended.is_some()) {
            self.seen.forgotten += u64::from(job.known);
            job.known = false;
        }
    }

    /// A job is deleted for good.
    pub(in crate::ledger::sim) fn removed(&mut self, id: JobId) {
        let removed = self.jobs.remove(&id).expect("a job to remove");
        assert!(removed.ended.is_some(), "a live job is removed");
        self.tasks.retain(|_, task| task.job != Some(id));
    }

    /// The master starts again. It knows no sessions, no attempts, no failures and no merges.
    pub(in crate::ledger::sim) fn restart(&mut self) {
        self.seen.restarts += 1;
        self.earlier.extend(std::mem::take(&mut self.sessions).into_keys());
        self.uploads.clear();
        self.failed.clear();
        self.false_partials.clear();
        self.quarantined.clear();
        self.authors.clear();
        self.aside.clear();
        self.since.clear();
        (self.clock, self.awake) = (None, std::time::Duration::ZERO);
        for job in self.jobs.values_mut() {
            (job.known, job.merging) = (false, None);
        }
        for task in self.tasks.values_mut() {
            (task.attempts, task.lost) = (0, 0);
        }
    }
}
