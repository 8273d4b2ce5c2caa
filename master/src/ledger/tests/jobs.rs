//! A job's life, and what is made durable in it.

use super::*;
use crate::ledger::{Check, Fact, Failure, Merge, Outcome, Refusal};

fn only_failed(commands: &[Command]) -> &Failure {
    match commands {
        [Command::JobEnded { outcome: Outcome::Failed(failure), .. }] => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_job_is_counted_while_its_input_arrives() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    let (job, priority) = (job(1), Priority::Default);
    bench.apply(Event::JobOpened {
        job,
        priority,
        owner: OwnerId::NOBODY,
        max_rejects: MaxRejects::default(),
    });
    let first = bench.apply(Event::TaskCut { job, number: 0, bytes: BYTES });
    assert_eq!(assigned(&first), [(1, 0, 1)]);
    assert!(matches!(bench.answer(1, (1, 0), 1)[..], [Command::KeepRun { .. }]));
    assert_eq!(bench.state(1), JobState::Receiving);
    let merge = Command::StartMerge { job, outcome: Merge::Result };
    assert_eq!(bench.apply(Event::InputComplete { job }), [merge]);
    assert_eq!(bench.apply(Event::InputComplete { job }), []);
}

#[test]
fn a_job_without_tasks_goes_straight_to_the_merge() {
    let mut bench = Bench::new();
    assert_eq!(bench.open(1, 0), [Command::StartMerge { job: job(1), outcome: Merge::Result }]);
}

#[test]
fn facts_come_before_what_acknowledges_them() {
    let mut bench = Bench::new();
    let job = job(1);
    let (priority, max_rejects) = (Priority::Low, MaxRejects::default());
    let opened =
        bench.apply_all(Event::JobOpened { job, priority, owner: OwnerId::NOBODY, max_rejects });
    assert_eq!(opened, [Command::Persist(Fact::JobOpened { job, priority })]);
    let cut = bench.apply_all(Event::TaskCut { job, number: 0, bytes: BYTES });
    assert_eq!(cut, [Command::Persist(Fact::TaskCut { job, number: 0, bytes: BYTES })]);
    // A repeat is no news.
    assert_eq!(bench.apply_all(Event::TaskCut { job, number: 0, bytes: BYTES }), []);
    let complete = bench.apply_all(Event::InputComplete { job });
    assert_eq!(complete, [Command::Persist(Fact::InputComplete { job, tasks: 1 })]);
    let (message_id, upload) = (message(1, 0), UploadId(7));
    let arrived = Event::PartialArrived {
        session: session(1),
        message_id,
        attempt: 1,
        totals: totals(3, 0),
        groups: 2,
        upload,
        digest: None,
    };
    let kept =
        Fact::PartialKept { job, number: 0, totals: totals(3, 0), groups: 2, check: Check::None };
    assert_eq!(
        bench.apply_all(arrived),
        [
            Command::Persist(kept),
            Command::KeepRun { job, number: 0, message_id, upload, check: Check::None, took: None },
            Command::StartMerge { job, outcome: Merge::Result },
        ]
    );
    assert_eq!(
        bench.apply_all(Event::RunLost { job, number: 0 }),
        [Command::Persist(Fact::RunLost { job, number: 0 })]
    );
    bench.answer(1, (1, 0), 1);
    let outcome = Outcome::Succeeded;
    assert_eq!(
        bench.apply_all(Event::MergeDone { job }),
        [
            Command::Persist(Fact::ResultWritten { job }),
            Command::Persist(Fact::Ended { job, outcome: outcome.clone() }),
            Command::JobEnded { job, outcome },
        ]
    );
    assert_eq!(
        bench.apply_all(Event::Delete { job }),
        [Command::Persist(Fact::Deleted { job }), Command::DropJob { job }]
    );
}

#[test]
fn too_many_rejects_fail_the_job_after_all_is_counted() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.open_as(1, 2, Priority::Default, MaxRejects::Count(1));
    bench.answer_with(1, (1, 0), 1, totals(5, 2));
    assert_eq!(bench.state(1), JobState::Running);
    let merge = bench.answer(1, (1, 1), 1);
    let rejects_only = Command::StartMerge { job: job(1), outcome: Merge::RejectsOnly };
    assert!(merge.contains(&rejects_only), "{merge:?}");
    let ended = bench.apply(Event::MergeDone { job: job(1) });
    let allowed = MaxRejects::Count(1);
    let failure = Failure::TooManyRejects { rejects: 2, records: 10, allowed };
    assert_eq!(only_failed(&ended), &failure);
    assert_eq!(failure.to_string(), "2 of 10 records could not be counted, 1 are allowed");
}

#[test]
fn a_share_of_rejects_is_of_the_whole_job() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.open_as(1, 2, Priority::Default, MaxRejects::PartsPerMillion(100_000));
    bench.answer_with(1, (1, 0), 1, totals(5, 1));
    let merge = bench.answer_with(1, (1, 1), 1, totals(5, 0));
    let result = Command::StartMerge { job: job(1), outcome: Merge::Result };
    assert!(merge.contains(&result), "{merge:?}");
}

#[test]
fn a_failed_input_fails_the_job_and_takes_its_attempts_back() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    let (job, priority) = (job(1), Priority::Default);
    bench.apply(Event::JobOpened {
        job,
        priority,
        owner: OwnerId::NOBODY,
        max_rejects: MaxRejects::default(),
    });
    bench.apply(Event::TaskCut { job, number: 0, bytes: BYTES });
    let ended = bench.apply(Event::InputFailed { job, error: "no column Song".to_owned() });
    assert_eq!(ended[0], cancel(1, (1, 0), 1));
    assert_eq!(only_failed(&ended[1..]).to_string(), "no column Song");
    assert_eq!(bench.apply(Event::TaskCut { job, number: 1, bytes: BYTES }), []);
    assert_eq!(bench.summary(1).running, 0);
}

#[test]
fn a_gap_in_the_input_fails_the_job_and_a_repeat_does_not() {
    let (priority, max_rejects) = (Priority::Default, MaxRejects::default());
    let job = job(1);
    let mut bench = Bench::new();
    bench.apply(Event::JobOpened { job, priority, owner: OwnerId::NOBODY, max_rejects });
    for _ in 0..2 {
        assert_eq!(bench.apply(Event::TaskCut { job, number: 0, bytes: BYTES }), []);
    }
    assert_eq!(bench.summary(1).tasks, 1);
    let ended = bench.apply(Event::TaskCut { job, number: 2, bytes: BYTES });
    assert!(matches!(only_failed(&ended), Failure::Input(_)));

    let mut bench = Bench::new();
    bench.open(1, 1);
    let ended = bench.apply(Event::TaskCut { job, number: 1, bytes: BYTES });
    assert!(matches!(only_failed(&ended), Failure::Input(_)), "the input was complete");
}

#[test]
fn a_lost_run_is_counted_again() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.open(1, 2);
    bench.answer(1, (1, 0), 1);
    bench.answer(1, (1, 1), 1);
    assert_eq!(bench.state(1), JobState::Merging);
    let again = bench.apply(Event::RunLost { job: job(1), number: 0 });
    assert_eq!(assigned(&again), [(1, 0, 2)]);
    assert_eq!((bench.state(1), bench.summary(1).totals.records), (JobState::Running, 5));
    // It is open again: it is lost no second time, and the merge is not done.
    assert_eq!(bench.apply(Event::RunLost { job: job(1), number: 0 }), []);
    assert_eq!(bench.apply(Event::MergeDone { job: job(1) }), []);
    assert_eq!(bench.apply(Event::MergeFailed { job: job(1), error: "lost".into() }), []);
    bench.answer(1, (1, 0), 2);
    assert_eq!((bench.state(1), bench.summary(1).totals.records), (JobState::Merging, 10));
}

#[test]
fn a_run_that_is_lost_again_and_again_fails_the_job() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.open(1, 1);
    for attempt in 1..4 {
        bench.answer(1, (1, 0), attempt);
        bench.apply(Event::RunLost { job: job(1), number: 0 });
    }
    bench.answer(1, (1, 0), 4);
    let ended = bench.apply(Event::RunLost { job: job(1), number: 0 });
    assert!(matches!(only_failed(&ended), Failure::Poison { attempts: 4, .. }));
}

#[test]
fn a_failed_merge_fails_the_job() {
    let mut bench = Bench::new();
    bench.open(1, 0);
    let ended = bench.apply(Event::MergeFailed { job: job(1), error: "disk full".into() });
    assert_eq!(only_failed(&ended).to_string(), "the result could not be written: disk full");
}

#[test]
fn cancel_takes_all_attempts_back_and_drops_what_comes_late() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.open(1, 3);
    let ended = bench.apply(Event::Cancel { job: job(1) });
    assert_eq!(
        ended,
        [
            cancel(1, (1, 0), 1),
            cancel(1, (1, 1), 1),
            Command::JobEnded { job: job(1), outcome: Outcome::Cancelled },
        ]
    );
    let late = bench.answer(1, (1, 0), 1);
    assert!(matches!(late[..], [Command::DropUpload { reply: Refusal::Duplicate, .. }]));
    assert_eq!(bench.apply(Event::Cancel { job: job(1) }), []);
    assert_eq!(bench.ledger.tasks(&job(1)).count(), 0);
    let summary = bench.summary(1);
    assert_eq!((summary.tasks, summary.queued, summary.running), (3, 0, 0));
    // The slave is free for others.
    assert_eq!(assigned(&bench.open(2, 1)), [(1, 0, 1)]);
}

#[test]
fn cancel_and_completion_leave_one_final_state() {
    for cancel_first in [true, false] {
        let mut bench = Bench::new();
        bench.open(1, 0);
        let (cancel, done) = (Event::Cancel { job: job(1) }, Event::MergeDone { job: job(1) });
        let (first, second) = if cancel_first { (cancel, done) } else { (done, cancel) };
        let ended = bench.apply(first);
        assert!(matches!(ended[..], [Command::JobEnded { .. }]));
        let state = bench.state(1);
        assert_eq!(state == JobState::Cancelled, cancel_first);
        assert_eq!(bench.apply(second), []);
        assert_eq!(bench.state(1), state);
    }
}

#[test]
fn delete_cancels_a_live_job_first_and_forgets_it() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.open(1, 1);
    let dropped = bench.apply(Event::Delete { job: job(1) });
    assert_eq!(
        dropped,
        [
            cancel(1, (1, 0), 1),
            Command::JobEnded { job: job(1), outcome: Outcome::Cancelled },
            Command::DropJob { job: job(1) },
        ]
    );
    assert!(bench.ledger.job(&job(1)).is_none());
    assert_eq!(bench.apply(Event::Delete { job: job(1) }), []);
    assert_eq!(bench.apply(Event::MergeDone { job: job(1) }), []);
}

#[test]
fn jobs_are_listed_in_order_of_opening() {
    let mut bench = Bench::new();
    for n in [3, 1, 2] {
        bench.open(n, 1);
    }
    // One that is opened again stays as it is.
    bench.open(1, 0);
    bench.apply(Event::Delete { job: job(3) });
    let listed: Vec<_> = bench.ledger.jobs().map(|(id, summary)| (*id, summary.tasks)).collect();
    assert_eq!(listed, [(job(1), 1), (job(2), 1)]);
}
