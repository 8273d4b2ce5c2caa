//! How attempts end: partials, failures, retries, poison, time-outs.

use super::*;
use crate::ledger::{Failure, Merge, Outcome, Refusal, TaskState};

#[test]
fn the_first_partial_counts_and_every_other_is_a_duplicate() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.open(1, 1);
    let kept = bench.answer(1, (1, 0), 1);
    assert!(matches!(kept[0], Command::KeepRun { upload: UploadId(1), .. }), "{kept:?}");
    assert!(matches!(kept[1], Command::StartMerge { outcome: Merge::Result, .. }), "{kept:?}");
    for from in [1, 2] {
        let again = bench.answer(from, (1, 0), 1);
        assert!(matches!(again[..], [Command::DropUpload { reply: Refusal::Duplicate, .. }]));
    }
    assert_eq!(bench.summary(1).totals, totals(5, 0));
    bench.apply(Event::MergeDone { job: job(1) });
    let late = bench.answer(1, (1, 0), 1);
    assert!(matches!(late[..], [Command::DropUpload { reply: Refusal::Duplicate, .. }]));
    assert_eq!(bench.summary(1).totals, totals(5, 0));
}

#[test]
fn a_partial_of_a_task_that_never_was_is_dropped() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.open(1, 1);
    for task in [(1, 7), (9, 0)] {
        let dropped = bench.answer(1, task, 1);
        assert!(matches!(dropped[..], [Command::DropUpload { .. }]), "{dropped:?}");
    }
}

#[test]
fn a_late_partial_of_a_dead_session_counts_while_the_task_is_open() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.open(1, 1);
    bench.leave(1);
    bench.join(2, 1);
    assert_eq!(assigned(&bench.seconds(1)), [(2, 0, 2)]);
    let kept = bench.answer(1, (1, 0), 1);
    assert!(matches!(kept[0], Command::KeepRun { .. }), "{kept:?}");
    assert_eq!(kept[1], cancel(2, (1, 0), 2));
    assert_eq!(bench.ledger.session(&session(2)).unwrap().running, 0);
}

#[test]
fn a_late_partial_counts_while_the_task_waits_for_its_retry() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.open(1, 2);
    bench.fail(1, (1, 0), 1);
    let kept = bench.answer(1, (1, 0), 1);
    assert!(matches!(kept[..], [Command::KeepRun { .. }]), "{kept:?}");
    assert_eq!(bench.seconds(20), [], "it is not tried again");
}

#[test]
fn an_old_attempts_partial_cancels_the_new_attempt_on_the_same_slave() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.open(1, 1);
    bench.fail(1, (1, 0), 1);
    assert_eq!(assigned(&bench.seconds(1)), [(1, 0, 2)]);
    let kept = bench.answer(1, (1, 0), 1);
    assert!(kept.contains(&cancel(1, (1, 0), 2)), "{kept:?}");
}

#[test]
fn a_partial_that_can_not_be_right_is_rejected_and_its_task_tried_again() {
    let wrong = [
        totals(1, 2),
        totals(0, 0),
        totals(BYTES + 1, 0),
        totals(u64::MAX, 0),
        TaskTotals { blank_lines: u64::MAX, ..totals(5, 0) },
        TaskTotals { lines: BYTES + 1, ..totals(5, 0) },
        TaskTotals { bytes: BYTES - 1, ..totals(5, 0) },
    ];
    for totals in wrong {
        let mut bench = Bench::new();
        bench.join(1, 1);
        bench.open(1, 1);
        let rejected = bench.answer_with(1, (1, 0), 1, totals);
        assert!(
            matches!(rejected[..], [Command::DropUpload { reply: Refusal::Rejected(_), .. }]),
            "{totals:?}: {rejected:?}"
        );
        assert_eq!(assigned(&bench.seconds(1)), [(1, 0, 2)]);
        assert_eq!(bench.summary(1).retries, 1);
    }
}

#[test]
fn a_wrong_partial_of_an_old_attempt_does_not_fail_the_new_one() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.open(1, 1);
    bench.fail(1, (1, 0), 1);
    bench.seconds(1);
    bench.answer_with(1, (1, 0), 1, totals(1, 2));
    let summary = bench.summary(1);
    assert_eq!((summary.running, summary.retries), (1, 1));
}

#[test]
fn a_failed_task_goes_to_another_slave_after_a_while() {
    let mut bench = Bench::new();
    bench.open(1, 1);
    bench.join(1, 1);
    bench.join(2, 1);
    assert_eq!(bench.fail(1, (1, 0), 1), []);
    let waiting = bench.ledger.tasks(&job(1)).next().unwrap();
    assert_eq!((waiting.state, waiting.attempts, waiting.failures), (TaskState::Waiting, 1, 1));
    assert_eq!(bench.wait(Duration::from_millis(99)), [], "not before half of the first wait");
    assert_eq!(assigned(&bench.seconds(1)), [(2, 0, 2)]);
}

#[test]
fn a_failed_task_waits_for_a_slave_that_has_not_failed_it() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.join(2, 1);
    bench.open(1, 1);
    bench.open(2, 3);
    bench.fail(1, (1, 0), 1);
    // The one that failed it works on; the other gets it when it has room.
    bench.seconds(1);
    bench.answer(1, (2, 1), 1);
    assert_eq!(bench.summary(1).running, 1);
    let holder = bench.ledger.tasks(&job(1)).next().unwrap().sessions;
    assert_eq!(holder, [session(2)]);
}

#[test]
fn the_only_slave_may_try_again_but_not_for_ever() {
    let mut bench = Bench::new();
    bench.open(1, 2);
    bench.join(1, 1);
    for attempt in 1..4 {
        assert!(
            !bench.fail(1, (1, 0), attempt).iter().any(|c| matches!(c, Command::JobEnded { .. }))
        );
        assert!(assigned(&bench.seconds(5)).contains(&(1, 0, attempt + 1)));
    }
    let ended = bench.fail(1, (1, 0), 4);
    let failure = Failure::Poison { number: 0, attempts: 4, error: "no".to_owned() };
    let outcome = Outcome::Failed(failure.clone());
    // The slave is told to stop what it holds of the job before the job ends.
    assert_eq!(ended, [cancel(1, (1, 1), 1), Command::JobEnded { job: job(1), outcome }]);
    assert_eq!(bench.summary(1).failure(), Some(&failure));
    assert_eq!(
        failure.to_string(),
        "task 0 could not be counted in 4 attempts; the last one failed because: no"
    );
    assert_eq!(bench.summary(1).retries, 3);
}

#[test]
fn a_task_that_kills_every_slave_is_poison() {
    let mut bench = Bench::new();
    bench.open(1, 1);
    for n in 1..=4 {
        bench.join(n, 1);
        bench.seconds(10);
        bench.leave(n);
    }
    let failure = bench.summary(1).failure().cloned();
    assert!(matches!(failure, Some(Failure::Poison { number: 0, attempts: 4, .. })), "{failure:?}");
}

#[test]
fn a_failure_of_an_attempt_that_was_taken_back_is_no_failure() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.open(1, 2);
    bench.join(2, 1);
    // Task 1 was moved to the newcomer; the first slave had failed it just then.
    assert_eq!(bench.fail(1, (1, 1), 1), []);
    assert_eq!(bench.fail(7, (1, 1), 2), []);
    let summary = bench.summary(1);
    assert_eq!((summary.running, summary.retries), (2, 0));
}

#[test]
fn an_attempt_that_takes_too_long_is_taken_back() {
    let mut bench = Bench::new();
    bench.open(1, 1);
    bench.join(1, 1);
    bench.join(2, 1);
    assert_eq!(bench.seconds(60), []);
    let commands = bench.seconds(1);
    assert_eq!(commands[0], cancel(1, (1, 0), 1));
    assert_eq!(assigned(&commands), [(2, 0, 2)]);
}

#[test]
fn a_large_task_may_take_longer() {
    let policy = Policy::default();
    assert_eq!(policy.attempt_limit(256_000_000), Duration::from_secs(60 + 256));
}

#[test]
fn a_task_fetched_ahead_has_its_time_from_when_it_begins() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.open(1, 2);
    bench.seconds(50);
    bench.answer(1, (1, 0), 1);
    assert_eq!(bench.seconds(50), []);
    assert!(!bench.seconds(11).is_empty());
}
