//! Jobs that were open when the master stopped, taken up again; and ended ones, forgotten.

use tally_common::api::Priority;
use tally_common::id::{JobId, MessageId};
use tally_common::spec::MaxRejects;

use super::job::{Job, Phase};
use super::{Ledger, RestoredTask};

impl Ledger {
    pub(super) fn restore(
        &mut self,
        id: JobId,
        priority: Priority,
        max_rejects: MaxRejects,
        tasks: &[RestoredTask],
        complete: bool,
    ) {
        if self.jobs.contains_key(&id) {
            return;
        }
        let mut job = Job::new(priority, max_rejects);
        if complete {
            job.phase = Phase::Running;
        }
        self.jobs.insert(id, job);
        self.opened.push(id);
        for (number, task) in (0..).zip(tasks) {
            let message_id = MessageId::of_task(id, number);
            self.tasks.insert(message_id, (id, number));
            if let Some(job) = self.jobs.get_mut(&id) {
                job.add_task(message_id, task.bytes);
            }
            self.enqueue(id, number);
            if let Some((totals, groups)) = task.kept
                && let Some(job) = self.jobs.get_mut(&id)
            {
                job.keep(number, totals, groups);
                if job.queue.is_empty() {
                    self.rota.remove(priority, id);
                }
            }
        }
        self.merge_if_counted(id);
    }

    pub(super) fn forget(&mut self, id: JobId) {
        if self.jobs.get(&id).is_some_and(|job| job.ended().is_some()) {
            self.jobs.remove(&id);
            self.opened.retain(|other| *other != id);
        }
    }
}
