//! Whose turn it is: jobs with waiting tasks, in turn within a priority, higher priorities first.

use std::collections::VecDeque;

use tally_common::api::Priority;
use tally_common::id::JobId;

/// Jobs with waiting tasks; the one at the front of its priority is served next.
#[derive(Debug, Default)]
pub(super) struct Rota {
    high: VecDeque<JobId>,
    default: VecDeque<JobId>,
    low: VecDeque<JobId>,
}

impl Rota {
    fn turn(&mut self, priority: Priority) -> &mut VecDeque<JobId> {
        match priority {
            Priority::High => &mut self.high,
            Priority::Default => &mut self.default,
            Priority::Low => &mut self.low,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.high.is_empty() && self.default.is_empty() && self.low.is_empty()
    }

    /// All jobs, in the order in which they are to be served.
    pub(super) fn iter(&self) -> impl Iterator<Item = JobId> {
        self.high.iter().chain(&self.default).chain(&self.low).copied()
    }

    /// Puts a job at the end, unless it is there already.
    pub(super) fn add(&mut self, priority: Priority, job: JobId) {
        let turn = self.turn(priority);
        if !turn.contains(&job) {
            turn.push_back(job);
        }
    }

    /// Takes a job off.
    pub(super) fn remove(&mut self, priority: Priority, job: JobId) {
        self.turn(priority).retain(|other| *other != job);
    }

    /// A job has had its turn.
    pub(super) fn served(&mut self, priority: Priority, job: JobId) {
        self.remove(priority, job);
        self.turn(priority).push_back(job);
    }
}
