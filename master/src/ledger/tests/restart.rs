//! What a master that starts again makes of what the store remembers, and what it may forget.

use super::*;
use crate::ledger::{Check, Merge, Outcome, Refusal, RestoredTask};

fn restored(kept: &[Option<u64>]) -> Vec<RestoredTask> {
    let task = |records: &Option<u64>| RestoredTask {
        bytes: BYTES,
        kept: records.map(|records| (totals(records, 0), 1)),
        by: None,
        check: Check::None,
    };
    kept.iter().map(task).collect()
}

impl Bench {
    fn restore(&mut self, n: u128, kept: &[Option<u64>], complete: bool) -> Vec<Command> {
        let (priority, max_rejects) = (Priority::Default, MaxRejects::Count(0));
        let (job, tasks) = (job(n), restored(kept));
        // With the facts, of which there must be none.
        self.apply_all(Event::JobRestored {
            job,
            priority,
            owner: OwnerId::NOBODY,
            max_rejects,
            tasks,
            complete,
        })
    }
}

#[test]
fn what_second_counts_said_is_remembered_and_goes_with_its_answer() {
    let mut bench = Bench::new();
    let checks = [Check::Agreed, Check::Alone, Check::Agreed, Check::None];
    let kept = restored(&[Some(1); 4]).into_iter().zip(checks);
    let tasks = kept.map(|(task, check)| RestoredTask { check, ..task }).collect();
    let (priority, max_rejects) = (Priority::Default, MaxRejects::Count(0));
    let job = job(1);
    bench.apply_all(Event::JobRestored {
        job,
        priority,
        owner: OwnerId::NOBODY,
        max_rejects,
        tasks,
        complete: false,
    });
    let summary = bench.summary(1);
    assert_eq!((summary.verified, summary.unverified), (2, 1));
    bench.apply_all(Event::RunLost { job, number: 0 });
    let summary = bench.summary(1);
    assert_eq!((summary.kept, summary.verified, summary.unverified), (3, 1, 1));
}

#[test]
fn a_restored_job_goes_on_with_what_is_not_kept() {
    let mut bench = Bench::new();
    assert_eq!(bench.restore(1, &[Some(5), None, Some(7), None], true), []);
    let summary = bench.summary(1);
    assert_eq!((summary.state, summary.tasks, summary.kept), (JobState::Running, 4, 2));
    assert_eq!((summary.queued, summary.running, summary.bytes_cut), (2, 0, 4 * BYTES));
    assert_eq!((summary.totals.records, summary.totals.bytes, summary.groups), (12, 2 * BYTES, 2));
    assert_eq!(assigned(&bench.join(1, 1)), [(1, 1, 1), (1, 3, 1)]);
    bench.answer(1, (1, 1), 1);
    let last = bench.answer(1, (1, 3), 1);
    assert!(last.contains(&Command::StartMerge { job: job(1), outcome: Merge::Result }));
    assert_eq!(bench.summary(1).totals.records, 22);
}

#[test]
fn a_restored_job_that_was_counted_merges_at_once() {
    for kept in [&[Some(5), Some(7)][..], &[]] {
        let mut bench = Bench::new();
        let merge = Command::StartMerge { job: job(1), outcome: Merge::Result };
        assert_eq!(bench.restore(1, kept, true), [merge]);
        assert_eq!(bench.state(1), JobState::Merging);
    }
    let mut bench = Bench::new();
    let mut tasks = restored(&[Some(5)]);
    tasks[0].kept = Some((totals(5, 2), 1));
    let (job, priority, max_rejects) = (job(1), Priority::Default, MaxRejects::Count(1));
    let commands = bench.apply(Event::JobRestored {
        job,
        priority,
        owner: OwnerId::NOBODY,
        max_rejects,
        tasks,
        complete: true,
    });
    assert_eq!(commands, [Command::StartMerge { job, outcome: Merge::RejectsOnly }]);
}

#[test]
fn the_input_of_a_restored_job_goes_on_where_it_was() {
    let mut bench = Bench::new();
    let job = job(1);
    assert_eq!(bench.restore(1, &[Some(5), None], false), []);
    assert_eq!(bench.state(1), JobState::Receiving);
    assert_eq!(bench.apply(Event::TaskCut { job, number: 1, bytes: BYTES }), []);
    assert_eq!(bench.summary(1).tasks, 2, "a repeat changes nothing");
    bench.apply(Event::TaskCut { job, number: 2, bytes: BYTES });
    bench.apply(Event::InputComplete { job });
    assert_eq!((bench.summary(1).tasks, bench.state(1)), (3, JobState::Running));
    assert_eq!(assigned(&bench.join(1, 1)), [(1, 1, 1), (1, 2, 1)]);
}

#[test]
fn a_restored_job_whose_input_is_gone_fails() {
    let mut bench = Bench::new();
    bench.restore(1, &[None], false);
    let error = "the master stopped while the input arrived".to_owned();
    let ended = bench.apply(Event::InputFailed { job: job(1), error });
    assert!(matches!(ended[..], [Command::JobEnded { outcome: Outcome::Failed(_), .. }]));
}

#[test]
fn late_partials_of_sessions_before_the_restart_count() {
    let mut bench = Bench::new();
    bench.restore(1, &[Some(5), None], true);
    bench.join(2, 1);
    let again = bench.answer(1, (1, 0), 1);
    assert!(matches!(again[..], [Command::DropUpload { reply: Refusal::Duplicate, .. }]));
    let kept = bench.answer(1, (1, 1), 3);
    assert!(matches!(kept[0], Command::KeepRun { .. }), "{kept:?}");
    assert_eq!(kept[1], cancel(2, (1, 1), 1));
    assert_eq!(bench.summary(1).totals.records, 10);
}

#[test]
fn a_restored_run_that_no_longer_holds_is_counted_again() {
    let mut bench = Bench::new();
    bench.restore(1, &[Some(5), Some(7)], true);
    bench.apply(Event::RunLost { job: job(1), number: 1 });
    assert_eq!((bench.state(1), bench.summary(1).totals.records), (JobState::Running, 5));
    assert_eq!(assigned(&bench.join(1, 1)), [(1, 1, 1)]);
}

#[test]
fn a_job_that_is_known_is_not_restored() {
    let mut bench = Bench::new();
    bench.open(1, 1);
    assert_eq!(bench.restore(1, &[Some(5), Some(7)], true), []);
    assert_eq!((bench.summary(1).tasks, bench.summary(1).kept), (1, 0));
}

#[test]
fn restored_jobs_take_turns_and_are_listed_in_order() {
    let mut bench = Bench::new();
    bench.restore(2, &[None, None], true);
    bench.restore(1, &[None, None], false);
    bench.open(3, 1);
    let listed: Vec<_> = bench.ledger.jobs().map(|(id, _)| *id).collect();
    assert_eq!(listed, [job(2), job(1), job(3)]);
    bench.join(1, 1);
    assert_eq!((bench.summary(2).running, bench.summary(1).running), (1, 1));
}

#[test]
fn a_job_is_forgotten_only_when_it_has_ended() {
    let mut bench = Bench::new();
    bench.open(1, 0);
    bench.open(2, 1);
    for n in [1, 2, 9] {
        assert_eq!(bench.apply_all(Event::Forget { job: job(n) }), []);
    }
    assert_eq!(bench.ledger.jobs().count(), 2);
    bench.apply(Event::MergeDone { job: job(1) });
    assert_eq!(bench.apply_all(Event::Forget { job: job(1) }), []);
    assert!(bench.ledger.job(&job(1)).is_none());
    assert_eq!(bench.ledger.jobs().count(), 1);
    // It is not there to be deleted; what comes late for it is dropped.
    assert_eq!(bench.apply_all(Event::Delete { job: job(1) }), []);
    let late = bench.answer(1, (1, 0), 1);
    assert!(matches!(late[..], [Command::DropUpload { reply: Refusal::Duplicate, .. }]));
}
