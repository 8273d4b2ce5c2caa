//! What the master has written down, as its store keeps it: facts, all of one event or none. A fact
//! that contradicts what is there already is a bug, whatever the ledger meant by it.

use tally_common::api::Priority;
use tally_common::id::{JobId, MessageId};
use tally_common::run::TaskTotals;
use tally_common::spec::MaxRejects;

use crate::ledger::{Check, Event, Fact, Outcome, OwnerId, RestoredTask};

#[derive(Clone)]
pub(super) struct StoredJob {
    pub(super) id: JobId,
    priority: Priority,
    pub(super) tasks: Vec<RestoredTask>,
    pub(super) complete: bool,
    result: bool,
    pub(super) ended: Option<Outcome>,
}

impl StoredJob {
    pub(super) fn receiving(&self) -> bool {
        self.ended.is_none() && !self.complete
    }

    /// The message ids of its tasks, and what they came to where they are kept.
    pub(super) fn answers(&self) -> impl Iterator<Item = (MessageId, Option<TaskTotals>)> {
        let answer = |(number, task): (_, &RestoredTask)| {
            (MessageId::of_task(self.id, number), task.kept.map(|(totals, _)| totals))
        };
        (0..).zip(&self.tasks).map(answer)
    }

    /// How a master that starts again hears of it.
    pub(super) fn restored(&self, max_rejects: MaxRejects, owner: OwnerId) -> Event {
        let (job, priority, complete) = (self.id, self.priority, self.complete);
        let tasks = self.tasks.clone();
        Event::JobRestored { job, priority, owner, max_rejects, tasks, complete }
    }
}

/// All jobs that have not been deleted, in order of opening.
#[derive(Default)]
pub(super) struct Store {
    jobs: Vec<StoredJob>,
}

impl Store {
    pub(super) fn jobs(&self) -> impl Iterator<Item = &StoredJob> {
        self.jobs.iter()
    }

    pub(super) fn job(&self, id: JobId) -> Option<&StoredJob> {
        self.jobs.iter().find(|job| job.id == id)
    }

    pub(super) fn remove(&mut self, id: JobId) {
        self.jobs.retain(|job| job.id != id);
    }

    fn live(&mut self, id: JobId) -> &mut StoredJob {
        let job = self.jobs.iter_mut().find(|job| job.id == id).expect("a fact of no job");
        assert!(job.ended.is_none(), "a fact of a job that has ended");
        job
    }

    pub(super) fn write(&mut self, fact: &Fact) {
        match *fact {
            Fact::JobOpened { job: id, priority } => {
                assert!(self.job(id).is_none(), "{id} is opened twice");
                let (tasks, complete, result, ended) = (Vec::new(), false, false, None);
                self.jobs.push(StoredJob { id, priority, tasks, complete, result, ended });
            }
            Fact::TaskCut { job, number, bytes } => {
                let job = self.live(job);
                assert!(!job.complete && job.tasks.len() == number as usize, "a gap: {fact:?}");
                job.tasks.push(RestoredTask { bytes, kept: None, by: None, check: Check::None });
            }
            Fact::InputComplete { job, tasks } => {
                let job = self.live(job);
                assert!(!job.complete && job.tasks.len() == tasks as usize, "tasks are missing");
                job.complete = true;
            }
            Fact::PartialKept { job, number, totals, groups, check } => {
                let task = &mut self.live(job).tasks[number as usize];
                let before = task.kept.replace((totals, groups));
                assert_eq!(before, None, "{fact:?} is counted twice");
                task.check = check;
            }
            Fact::RunLost { job, number } | Fact::Disowned { job, number } => {
                let lost = self.live(job).tasks[number as usize].kept.take();
                assert!(lost.is_some(), "{fact:?} was not kept");
            }
            Fact::ResultWritten { job } => {
                let job = self.live(job);
                let counted = job.complete && job.tasks.iter().all(|task| task.kept.is_some());
                assert!(counted, "a result of what is not there");
                assert!(!std::mem::replace(&mut job.result, true), "a second result");
            }
            Fact::Ended { job, ref outcome } => {
                let job = self.live(job);
                assert_eq!(job.result, *outcome == Outcome::Succeeded, "{outcome:?}");
                job.ended = Some(outcome.clone());
            }
            Fact::Deleted { job } => {
                let ended = self.job(job).is_some_and(|job| job.ended.is_some());
                assert!(ended, "a live job is deleted");
                self.remove(job);
            }
        }
    }
}
