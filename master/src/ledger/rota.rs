//! Whose turn it is: jobs with waiting tasks, in turn within a priority, higher priorities first.

use std::collections::{BTreeMap, HashMap};

use tally_common::api::Priority;
use tally_common::id::JobId;

/// A place in the order of service: by priority, then by when it was taken.
type Turn = (Priority, u64);

/// Jobs with waiting tasks; the first is served next. No call walks all of them: there may be
/// thousands, and each event comes by here.
#[derive(Debug, Default)]
pub(super) struct Rota {
    turns: BTreeMap<Turn, JobId>,
    places: HashMap<JobId, Turn>,
    /// Turns ever taken.
    taken: u64,
}

impl Rota {
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// All jobs, in the order in which they are to be served.
    pub(super) fn iter(&self) -> impl Iterator<Item = JobId> {
        self.turns.values().copied()
    }

    /// Puts a job at the end of its priority, unless it is there already.
    pub(super) fn add(&mut self, priority: Priority, job: JobId) {
        if !self.places.contains_key(&job) {
            self.take_turn(priority, job);
        }
    }

    /// Takes a job off.
    pub(super) fn remove(&mut self, job: JobId) {
        if let Some(turn) = self.places.remove(&job) {
            self.turns.remove(&turn);
        }
    }

    /// A job has had its turn.
    pub(super) fn served(&mut self, job: JobId) {
        if let Some(turn) = self.places.remove(&job) {
            self.turns.remove(&turn);
            self.take_turn(turn.0, job);
        }
    }

    fn take_turn(&mut self, priority: Priority, job: JobId) {
        self.taken += 1;
        let turn = (priority, self.taken);
        self.turns.insert(turn, job);
        self.places.insert(job, turn);
    }
}
