//! Slaves that send false partials.

use super::*;

/// A slave that counts one task and has fetched another ahead, after two false partials.
fn suspect() -> Bench {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.open(1, 4);
    bench.refuse(1, (1, 0), 1);
    bench.answer_with(1, (1, 1), 1, totals(1, 2));
    assert!(!quarantined(&bench, 1));
    bench
}

fn quarantined(bench: &Bench, n: u128) -> bool {
    bench.ledger.session(&session(n)).unwrap().quarantined
}

#[test]
fn a_refused_partial_fails_its_attempt() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.open(1, 1);
    assert_eq!(bench.refuse(1, (1, 0), 1), []);
    assert_eq!(bench.ledger.session(&session(1)).unwrap().failed, 1);
    assert_eq!(bench.summary(1).retries, 1);
    assert_eq!(assigned(&bench.seconds(1)), [(1, 0, 2)]);
    // One of an attempt that is over, or of a session that nobody knows, fails nothing.
    bench.refuse(1, (1, 0), 1);
    bench.refuse(7, (1, 0), 1);
    assert_eq!((bench.summary(1).retries, bench.summary(1).running), (1, 1));
}

#[test]
fn after_three_false_partials_a_slave_gets_nothing_for_ten_minutes() {
    let mut bench = suspect();
    let commands = bench.refuse(1, (1, 2), 1);
    assert_eq!(commands, [cancel(1, (1, 3), 1)]);
    assert!(quarantined(&bench, 1));
    let summary = bench.ledger.session(&session(1)).unwrap();
    assert_eq!((summary.running, summary.prefetched), (0, 0));
    assert_eq!(bench.seconds(599), [], "the job waits");
    assert_eq!(bench.summary(1).queued, 4);
    assert_eq!(assigned(&bench.seconds(1)).len(), 2);
    assert!(!quarantined(&bench, 1));
}

#[test]
fn what_a_slave_in_quarantine_held_goes_to_others() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.open(1, 2);
    for _ in 0..2 {
        bench.refuse(1, (9, 0), 1);
    }
    let commands = bench.refuse(1, (9, 0), 1);
    assert_eq!(commands, [cancel(1, (1, 1), 1), cancel(1, (1, 0), 1)]);
    // The one that was only fetched has not failed; the one that was counted has.
    let failures: Vec<_> = bench.ledger.tasks(&job(1)).map(|task| task.failures).collect();
    assert_eq!(failures, [1, 0]);
    assert_eq!(assigned(&bench.join(2, 1)), [(2, 1, 2)]);
    assert_eq!(assigned(&bench.seconds(1)), [(2, 0, 2)]);
    // What it sends later is as good as any.
    assert!(matches!(bench.answer(1, (1, 0), 1)[0], Command::KeepRun { .. }));
    assert!(quarantined(&bench, 1), "but that does not let it out");
}

#[test]
fn a_slave_stays_in_quarantine_when_it_connects_again() {
    let mut bench = suspect();
    bench.leave(1);
    let (second, slave) = (session(2), slave(1));
    bench.apply(Event::SlaveJoined { session: second, slave, workers: 1 });
    bench.refuse(2, (1, 2), 1);
    assert!(quarantined(&bench, 2), "its false partials are remembered");
    bench.leave(2);
    let third = session(3);
    assert_eq!(bench.apply(Event::SlaveJoined { session: third, slave, workers: 1 }), []);
    assert!(quarantined(&bench, 3));
}

#[test]
fn all_sessions_of_a_slave_are_in_quarantine() {
    let mut bench = suspect();
    let (second, slave) = (session(2), slave(1));
    bench.apply(Event::SlaveJoined { session: second, slave, workers: 1 });
    bench.refuse(2, (9, 0), 1);
    assert!(quarantined(&bench, 1) && quarantined(&bench, 2));
    assert_eq!(bench.summary(1).running, 0);
}

#[test]
fn a_right_partial_clears_a_slave() {
    let mut bench = suspect();
    bench.answer(1, (1, 2), 1);
    for number in 0..2 {
        bench.refuse(1, (9, number), 1);
    }
    assert!(!quarantined(&bench, 1));
    // Nobody else's does.
    bench.join(2, 1);
    bench.seconds(1);
    bench.answer(2, (1, 0), 2);
    bench.refuse(1, (9, 2), 1);
    assert!(quarantined(&bench, 1) && !quarantined(&bench, 2));
}

#[test]
fn after_quarantine_a_slave_begins_anew() {
    let mut bench = suspect();
    for _ in 0..5 {
        bench.refuse(1, (9, 0), 1);
    }
    bench.seconds(600);
    bench.refuse(1, (9, 0), 1);
    bench.refuse(1, (9, 0), 1);
    assert!(!quarantined(&bench, 1));
}

#[test]
fn a_slave_in_quarantine_is_not_waited_for() {
    let mut bench = suspect();
    bench.refuse(1, (9, 0), 1);
    bench.join(2, 1);
    bench.seconds(1);
    // The other has failed a task, and the one that has not is in quarantine.
    let task = bench.ledger.tasks(&job(1)).find(|task| task.sessions == [session(2)]).unwrap();
    bench.fail(2, (1, task.number), task.attempts);
    bench.answer(2, (1, 3), 2);
    bench.seconds(2);
    assert_eq!(bench.ledger.session(&session(2)).unwrap().running, 1);
}
