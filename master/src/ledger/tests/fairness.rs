//! Who gets what: spread over slaves, turns of jobs, priorities, second attempts.

use super::*;

#[test]
fn a_slave_gets_a_task_for_each_worker_and_one_ahead_for_each() {
    let mut bench = Bench::new();
    bench.open(1, 9);
    assert_eq!(assigned(&bench.join(1, 2)), [(1, 0, 1), (1, 1, 1), (1, 2, 1), (1, 3, 1)]);
    let summary = bench.ledger.session(&session(1)).unwrap();
    assert_eq!((summary.running, summary.prefetched), (2, 2));
    // A slot that comes free is filled at once.
    assert_eq!(assigned(&bench.answer(1, (1, 0), 1)), [(1, 4, 1)]);
}

#[test]
fn few_tasks_are_spread_over_all_slaves() {
    let mut bench = Bench::new();
    for n in 1..=3 {
        bench.join(n, 2);
    }
    let commands = bench.open(1, 4);
    assert_eq!(assigned(&commands), [(1, 0, 1), (2, 1, 1), (3, 2, 1), (1, 3, 1)]);
}

#[test]
fn nothing_is_fetched_ahead_while_a_worker_has_nothing() {
    let mut bench = Bench::new();
    bench.open(1, 3);
    assert_eq!(assigned(&bench.join(1, 1)), [(1, 0, 1), (1, 1, 1)]);
    assert_eq!(assigned(&bench.join(2, 1)), [(2, 2, 1)]);
    // A third takes over what only waits on the first; that is not a failure.
    let commands = bench.join(3, 1);
    assert_eq!(commands[0], cancel(1, (1, 1), 1));
    assert_eq!(assigned(&commands), [(3, 1, 2)]);
    assert_eq!(bench.summary(1).retries, 0);
    // There is nothing left for a fourth.
    assert_eq!(bench.join(4, 1), []);
}

#[test]
fn slaves_fill_up_evenly_for_their_size() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.join(2, 3);
    let commands = bench.open(1, 8);
    let to = |n| assigned(&commands).iter().filter(|(session, ..)| *session == n).count();
    assert_eq!((to(1), to(2)), (2, 6));
}

#[test]
fn a_large_cluster_is_served_in_one_go() {
    let mut bench = Bench::new();
    for n in 1..=100 {
        bench.join(n, 4);
    }
    let commands = bench.open(1, 500);
    assert_eq!(assigned(&commands).len(), 500);
    let sessions: Vec<_> = bench.ledger.sessions().map(|(_, summary)| summary).collect();
    assert!(sessions.iter().all(|session| session.running == 4 && session.prefetched == 1));
}

#[test]
fn jobs_take_turns_and_priorities_go_first() {
    let mut bench = Bench::new();
    for (n, priority) in [(1, Priority::Low), (2, Priority::Default), (3, Priority::Default)] {
        bench.open_as(n, 2, priority, MaxRejects::default());
    }
    bench.open_as(4, 1, Priority::High, MaxRejects::default());
    let commands = bench.join(1, 4);
    let job = |command: &Command| match command {
        Command::Assign { job, .. } => Some(job.uuid().as_u128()),
        _ => None,
    };
    let jobs: Vec<_> = commands.iter().filter_map(job).collect();
    assert_eq!(jobs, [4, 2, 3, 2, 3, 1, 1]);
}

#[test]
fn a_small_job_does_not_wait_for_a_large_one() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.open(1, 100);
    bench.open(2, 1);
    // The next free slot but one at the latest.
    bench.answer(1, (1, 0), 1);
    bench.answer(1, (1, 1), 1);
    assert_eq!(bench.summary(2).running, 1);
}

/// One slave holds a straggler, the other has finished three tasks in one second each.
fn straggling() -> Bench {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.join(2, 1);
    bench.open(1, 4);
    for (number, attempt) in [(1, 1), (3, 1), (2, 2)] {
        bench.seconds(1);
        bench.answer(2, (1, number), attempt);
    }
    assert_eq!(bench.summary(1).kept, 3);
    bench
}

#[test]
fn a_straggler_gets_a_second_attempt_and_the_first_partial_wins() {
    let mut bench = straggling();
    assert_eq!(bench.now, Duration::from_secs(3));
    // The median is one second: patience ends after three.
    assert_eq!(assigned(&bench.wait(Duration::from_millis(500))), [(2, 0, 2)]);
    assert_eq!(bench.seconds(9), [], "there are never more than two");
    let won = bench.answer(2, (1, 0), 2);
    assert!(matches!(won[0], Command::KeepRun { .. }), "{won:?}");
    assert_eq!(won[1], cancel(1, (1, 0), 1));
    let summary = bench.summary(1);
    assert_eq!((summary.speculated, summary.retries), (1, 0));
}

#[test]
fn a_second_attempt_that_fails_leaves_the_first_alone() {
    let mut bench = straggling();
    bench.seconds(1);
    assert_eq!(bench.fail(2, (1, 0), 2), []);
    assert_eq!(bench.summary(1).running, 1);
    // The slave that failed it does not get it again while another holds it.
    assert_eq!(bench.seconds(9), []);
    assert!(matches!(bench.answer(1, (1, 0), 1)[0], Command::KeepRun { .. }));
}

#[test]
fn nobody_speculates_while_there_is_other_work_or_nothing_to_compare_with() {
    let mut bench = Bench::new();
    bench.open(1, 1);
    bench.join(1, 1);
    bench.join(2, 1);
    assert_eq!(bench.seconds(50), [], "no attempt has finished: nothing is known");
    bench.open(2, 40);
    bench.answer(2, (2, 0), 1);
    let busy = bench.seconds(5);
    assert_eq!(assigned(&busy), [], "both slaves have work");
}

#[test]
fn a_quick_job_is_not_speculated_on_within_the_floor() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.join(2, 1);
    bench.open(1, 2);
    bench.wait(Duration::from_millis(10));
    bench.answer(2, (1, 1), 1);
    assert_eq!(bench.wait(Duration::from_millis(1900)), []);
    assert_eq!(assigned(&bench.wait(Duration::from_millis(600))), [(2, 0, 2)]);
}

#[test]
fn a_task_that_has_failed_too_often_gets_no_second_attempt_beside_its_last() {
    let mut bench = straggling();
    // Two fail it; the other of the last two attempts is still under way.
    bench.seconds(1);
    for n in 3..=5 {
        bench.fail(n - 1, (1, 0), n as Attempt - 1);
        assert_eq!(assigned(&bench.join(n, 1)), [(n, 0, n as Attempt)], "slave {n}");
    }
    bench.join(6, 1);
    bench.fail(1, (1, 0), 1);
    // Four attempts have failed, and one is left.
    assert_eq!((bench.state(1), bench.summary(1).running), (JobState::Running, 1));
    assert_eq!(bench.seconds(30), []);
    let kept = bench.answer(5, (1, 0), 5);
    assert!(matches!(kept[0], Command::KeepRun { .. }), "{kept:?}");
}

#[test]
fn a_task_fails_for_good_with_its_last_attempt_only() {
    let mut bench = straggling();
    bench.seconds(1);
    for n in 3..=5 {
        bench.fail(n - 1, (1, 0), n as Attempt - 1);
        bench.join(n, 1);
    }
    assert_eq!(bench.fail(1, (1, 0), 1), []);
    let ended = bench.fail(5, (1, 0), 5);
    let Some(crate::ledger::Failure::Poison { attempts, .. }) = bench.summary(1).failure().cloned()
    else {
        panic!("{ended:?}");
    };
    assert_eq!(attempts, 5);
}

/// Jobs in the order in which their tasks are given to one slave, who answers each before he gets the next.
fn order_of_service(bench: &mut Bench, count: usize) -> Vec<u128> {
    let mut commands = bench.join(1, 1);
    let mut order = Vec::new();
    loop {
        let given: Vec<_> = commands
            .iter()
            .filter_map(|command| match command {
                Command::Assign { job, number, attempt, .. } => {
                    Some((job.uuid().as_u128(), *number, *attempt))
                }
                _ => None,
            })
            .collect();
        order.extend(given.iter().map(|(job, ..)| *job));
        if order.len() >= count {
            order.truncate(count);
            return order;
        }
        let (job, number, attempt) = given[0];
        commands = bench.answer(1, (job, number), attempt);
    }
}

#[test]
fn who_has_a_thousand_jobs_takes_no_more_than_who_has_one() {
    let mut bench = Bench::new();
    for n in 1..=1000 {
        bench.open_of(OwnerId(1), n, 2);
    }
    bench.open_of(OwnerId(2), 2000, 10);
    bench.open(3000, 10);
    let order = order_of_service(&mut bench, 30);
    let of = |jobs: std::ops::RangeInclusive<u128>| {
        order.iter().filter(|job| jobs.contains(job)).count()
    };
    assert_eq!((of(1..=1000), of(2000..=2000), of(3000..=3000)), (10, 10, 10), "{order:?}");
    // And his own take turns among each other.
    let own: Vec<_> = order.iter().filter(|job| **job <= 1000).copied().collect();
    assert_eq!(own, (1..=10).collect::<Vec<_>>());
}

#[test]
fn what_is_restored_takes_turns_by_its_owner() {
    let mut bench = Bench::new();
    let (priority, max_rejects) = (Priority::Default, MaxRejects::default());
    for (n, owner) in [(1, 1), (2, 1), (3, 1), (4, 2)] {
        let (kept, by, check) = (None, None, crate::ledger::Check::None);
        let task = crate::ledger::RestoredTask { bytes: BYTES, kept, by, check };
        let (job, owner, tasks) = (job(n), OwnerId(owner), vec![task; 3]);
        let complete = true;
        bench.apply(Event::JobRestored { job, priority, owner, max_rejects, tasks, complete });
    }
    assert_eq!(order_of_service(&mut bench, 6), [1, 4, 2, 4, 3, 4]);
}
