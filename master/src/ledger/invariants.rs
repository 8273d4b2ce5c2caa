//! What must hold after each event, checked in debug builds and tests.

use std::collections::BTreeSet;

use tally_common::run::TaskTotals;

use super::Ledger;
use super::job::{Phase, add};
use super::task::Place;

/// Tasks beyond which not every event is followed by a look at all of them.
pub(super) const MANY_TASKS: usize = 512;

impl Ledger {
    /// Panics where an invariant does not hold: a bug of the ledger's, whatever the events were.
    pub(super) fn check_invariants(&self) {
        self.invariant_every_task_is_in_one_place();
        self.invariant_waiting_tasks_will_be_tried_again();
        self.invariant_jobs_with_waiting_tasks_have_a_turn();
        self.invariant_tasks_and_sessions_agree_on_attempts();
        self.invariant_slots_are_never_exceeded();
        self.invariant_quarantine_holds_nothing();
        self.invariant_the_first_of_a_session_are_running();
        self.invariant_sums_are_those_of_the_kept_tasks();
        self.invariant_message_ids_name_the_tasks_of_open_jobs();
        self.invariant_ended_jobs_hold_nothing();
        self.invariant_only_counted_jobs_merge();
        self.invariant_jobs_are_listed_once();
    }

    fn invariant_every_task_is_in_one_place(&self) {
        for job in self.jobs.values() {
            let mut live = 0;
            for (number, task) in (0..).zip(&job.tasks) {
                assert_eq!(job.queue.contains(&number), task.place == Place::Queued, "{task:?}");
                assert_eq!(task.live.is_empty(), task.place != Place::Live, "{task:?}");
                assert!(task.live.len() <= 2, "more than two attempts at once: {task:?}");
                let tried = matches!(task.place, Place::Queued | Place::Waiting(_));
                let poison = task.failures >= self.policy.max_attempts;
                assert!(!(tried && poison), "poison is tried again: {task:?}");
                live += u32::from(task.place == Place::Live);
            }
            assert_eq!(job.live, live, "running tasks are miscounted");
            assert!(job.queue.iter().all(|number| job.task(*number).is_some()));
        }
    }

    fn invariant_waiting_tasks_will_be_tried_again(&self) {
        for (id, job) in &self.jobs {
            for (number, task) in (0..).zip(&job.tasks) {
                if let Place::Waiting(until) = task.place {
                    assert!(self.retries.contains(&(until, *id, number)), "lost: {task:?}");
                }
            }
        }
    }

    fn invariant_jobs_with_waiting_tasks_have_a_turn(&self) {
        let turns: Vec<_> = self.rota.iter().collect();
        let on_rota: BTreeSet<_> = turns.iter().copied().collect();
        assert_eq!(turns.len(), on_rota.len(), "a job has two turns");
        let queued = self.jobs.iter().filter(|(_, job)| !job.queue.is_empty());
        assert_eq!(on_rota, queued.map(|(id, _)| *id).collect());
        self.rota.check(|job| self.jobs.get(&job).map(|job| (job.priority, job.owner)));
    }

    fn invariant_tasks_and_sessions_agree_on_attempts(&self) {
        let mut live = BTreeSet::new();
        for (id, job) in &self.jobs {
            for (number, task) in (0..).zip(&job.tasks) {
                for attempt in &task.live {
                    assert!(attempt.attempt <= task.attempts);
                    live.insert((attempt.session, *id, number, task.message_id, attempt.attempt));
                }
            }
        }
        let mut held = BTreeSet::new();
        for (id, session) in &self.sessions {
            for slot in session.held() {
                held.insert((*id, slot.job, slot.number, slot.message_id, slot.attempt));
            }
            let tasks: BTreeSet<_> = session.held().iter().map(|held| held.message_id).collect();
            assert_eq!(tasks.len(), session.held().len(), "a slave holds a task twice");
        }
        assert_eq!(live, held);
    }

    fn invariant_slots_are_never_exceeded(&self) {
        for session in self.sessions.values() {
            assert!(session.held().len() <= 2 * session.workers as usize, "{session:?}");
            assert!(!session.draining || session.waiting().is_empty(), "{session:?}");
        }
    }

    fn invariant_the_first_of_a_session_are_running(&self) {
        for session in self.sessions.values() {
            for (i, held) in session.held().iter().enumerate() {
                assert_eq!(held.started.is_some(), i < session.workers as usize, "{session:?}");
            }
        }
    }

    fn invariant_sums_are_those_of_the_kept_tasks(&self) {
        for job in self.jobs.values().filter(|job| job.ended().is_none()) {
            let (mut sum, mut groups, mut kept) = (TaskTotals::default(), 0, 0);
            for task in job.tasks.iter().filter(|task| task.place == Place::Kept) {
                add(&mut sum, &task.totals, u64::saturating_add);
                groups += task.groups;
                kept += 1;
            }
            assert_eq!((job.totals, job.groups, job.kept), (sum, groups, kept));
            assert_eq!(job.bytes_cut, job.tasks.iter().map(|task| task.bytes).sum::<u64>());
        }
    }

    fn invariant_message_ids_name_the_tasks_of_open_jobs(&self) {
        let mut named = 0;
        for (id, job) in &self.jobs {
            for (number, task) in (0..).zip(&job.tasks) {
                assert_eq!(self.tasks.get(&task.message_id), Some(&(*id, number)));
                named += 1;
            }
        }
        assert_eq!(named, self.tasks.len(), "tasks of no job are remembered");
    }

    fn invariant_ended_jobs_hold_nothing(&self) {
        for job in self.jobs.values() {
            if job.ended().is_some() {
                assert!(job.tasks.is_empty() && job.queue.is_empty() && job.live == 0);
            } else {
                assert_eq!(job.cut as usize, job.tasks.len());
            }
        }
    }

    fn invariant_only_counted_jobs_merge(&self) {
        for job in self.jobs.values() {
            match job.phase {
                Phase::Merging(_) => assert_eq!(job.kept, job.cut),
                Phase::Running => assert!(job.kept < job.cut, "a counted job does not merge"),
                Phase::Receiving | Phase::Ended(_) => {}
            }
        }
    }

    fn invariant_jobs_are_listed_once(&self) {
        let listed: BTreeSet<_> = self.opened.values().collect();
        assert_eq!(listed.len(), self.opened.len());
        assert!(listed.into_iter().eq(self.jobs.keys()));
        for (id, job) in &self.jobs {
            assert_eq!(self.opened.get(&job.opened), Some(id));
        }
    }

    fn invariant_quarantine_holds_nothing(&self) {
        for session in self.sessions.values() {
            let quarantined = self.quarantined.contains_key(&session.slave);
            assert_eq!(session.quarantined, quarantined, "{session:?}");
            assert!(!quarantined || session.held().is_empty(), "{session:?}");
        }
    }
}
