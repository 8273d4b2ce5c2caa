//! Sessions: beats, deaths, drains, departures.

use super::*;
use crate::ledger::TaskState;

#[test]
fn a_silent_slave_dies_after_three_missed_beats() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.join(2, 1);
    for second in 1..=3 {
        bench.now = Duration::from_secs(second);
        bench.apply(Event::Beat { session: session(2) });
        assert_eq!(bench.apply(Event::Tick), []);
    }
    bench.now = Duration::from_millis(3001);
    let reason = "no heartbeat for 3000 ms".to_owned();
    assert_eq!(bench.apply(Event::Tick), [Command::EndSession { session: session(1), reason }]);
    let left: Vec<_> = bench.ledger.sessions().map(|(id, _)| *id).collect();
    assert_eq!(left, [session(2)]);
    // What it says now is of no interest.
    assert_eq!(bench.apply(Event::Beat { session: session(1) }), []);
    assert_eq!(bench.leave(1), []);
}

#[test]
fn only_what_a_dead_slave_had_begun_has_failed() {
    let mut bench = Bench::new();
    bench.open(1, 2);
    assert_eq!(assigned(&bench.join(1, 1)), [(1, 0, 1), (1, 1, 1)]);
    bench.leave(1);
    let tasks: Vec<_> = bench.ledger.tasks(&job(1)).collect();
    assert_eq!((tasks[0].failures, tasks[1].failures), (1, 0));
    // The one that had not begun is handed out at once, the other after its wait.
    assert_eq!(assigned(&bench.join(2, 1)), [(2, 1, 2)]);
    assert_eq!(assigned(&bench.seconds(1)), [(2, 0, 2)]);
    assert_eq!(bench.summary(1).retries, 1);
}

#[test]
fn a_draining_slave_keeps_what_it_counts_and_gives_the_rest_back() {
    let mut bench = Bench::new();
    bench.open(1, 2);
    bench.join(1, 1);
    let commands = bench.apply(Event::SlaveDraining { session: session(1) });
    assert_eq!(commands, [cancel(1, (1, 1), 1)]);
    assert!(bench.ledger.session(&session(1)).unwrap().draining);
    assert_eq!(assigned(&bench.join(2, 2)), [(2, 1, 2)]);
    assert!(matches!(bench.answer(1, (1, 0), 1)[..], [Command::KeepRun { .. }]));
    assert_eq!(
        bench
            .open(2, 9)
            .iter()
            .filter(|c| matches!(c, Command::Assign { session: s, .. } if *s == session(1)))
            .count(),
        0
    );
    bench.leave(1);
    assert_eq!(bench.summary(1).retries, 0);
}

#[test]
fn a_draining_slave_that_is_the_only_other_is_not_waited_for() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.join(2, 1);
    bench.open(1, 1);
    bench.apply(Event::SlaveDraining { session: session(2) });
    bench.fail(1, (1, 0), 1);
    assert_eq!(assigned(&bench.seconds(1)), [(1, 0, 2)]);
}

#[test]
fn jobs_wait_while_there_are_no_slaves() {
    let mut bench = Bench::new();
    assert_eq!(bench.open(1, 3), []);
    assert_eq!(bench.seconds(1000), []);
    assert_eq!(bench.summary(1).queued, 3);
    assert_eq!(assigned(&bench.join(1, 2)).len(), 3);
}

#[test]
fn a_slave_without_workers_counts_as_one_with_one() {
    let mut bench = Bench::new();
    bench.open(1, 1);
    assert_eq!(assigned(&bench.join(1, 0)), [(1, 0, 1)]);
}

#[test]
fn a_session_that_joins_again_keeps_what_it_holds() {
    let mut bench = Bench::new();
    bench.open(1, 1);
    bench.join(1, 1);
    assert_eq!(bench.join(1, 1), []);
    assert_eq!(bench.ledger.session(&session(1)).unwrap().running, 1);
}

#[test]
fn time_that_goes_back_stands_still() {
    let mut bench = Bench::new();
    bench.now = Duration::from_secs(100);
    bench.join(1, 1);
    bench.now = Duration::ZERO;
    bench.apply(Event::Beat { session: session(1) });
    assert_eq!(bench.ledger.session(&session(1)).unwrap().last_beat, Duration::from_secs(100));
}

#[test]
fn a_session_says_what_it_has_done() {
    let mut bench = Bench::new();
    bench.open(1, 4);
    bench.join(1, 1);
    bench.answer(1, (1, 0), 1);
    bench.fail(1, (1, 1), 1);
    let summary = bench.ledger.session(&session(1)).unwrap();
    assert_eq!((summary.completed, summary.failed), (1, 1));
    assert_eq!((summary.running, summary.prefetched), (1, 1));
    assert_eq!(summary.slave, slave(1));
}

#[test]
fn a_slave_that_comes_back_was_not_killed_by_its_task() {
    let mut bench = Bench::new();
    bench.open(1, 1);
    bench.join(1, 1);
    // More often than a task has attempts.
    for connection in 2..12 {
        bench.leave(connection - 1);
        let rejoined =
            Event::SlaveJoined { session: session(connection), slave: slave(1), workers: 1 };
        bench.apply(rejoined);
        bench.seconds(1);
        let tasks: Vec<_> = bench.ledger.tasks(&job(1)).collect();
        assert_eq!((tasks[0].failures, tasks[0].state), (0, TaskState::Running));
    }
    assert_eq!(bench.ledger.job(&job(1)).unwrap().outcome, None);
}
