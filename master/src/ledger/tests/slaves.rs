//! Sessions: beats, deaths, drains, departures.

use super::*;

#[test]
fn a_silent_slave_dies_after_three_missed_beats() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.join(2, 1);
    for second in 1..4 {
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
fn a_pause_of_the_master_is_held_against_nobody() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.open(1, 1);
    bench.seconds(1);
    // Its machine slept for an hour; the first thing that it hears of is its own clock.
    bench.now += Duration::from_secs(3600);
    assert_eq!(bench.apply(Event::Tick), []);
    assert_eq!(bench.ledger.sessions().count(), 1);
    // From here on silence counts again.
    for _ in 0..8 {
        bench.now += Duration::from_millis(500);
        bench.apply(Event::Tick);
    }
    assert_eq!(bench.ledger.sessions().count(), 0);
}

#[test]
fn a_slave_that_hands_in_nonsense_is_set_aside_for_a_while() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.join(2, 1);
    bench.open(1, 8);
    let refuse = |bench: &mut Bench, number| {
        let (session, message_id) = (session(1), message(1, number));
        let reason = "its checksum does not fit".to_owned();
        bench.apply(Event::PartialRefused { session, message_id, attempt: 1, reason })
    };
    refuse(&mut bench, 0);
    bench.answer_with(1, (1, 2), 1, totals(BYTES + 1, 0));
    assert!(!bench.ledger.session(&session(1)).unwrap().quarantined);
    let set_aside = refuse(&mut bench, 4);
    let shown = bench.ledger.session(&session(1)).unwrap();
    assert!(shown.quarantined && shown.running + shown.prefetched == 0, "{set_aside:?}");
    assert!(assigned(&set_aside).iter().all(|(to, ..)| *to == 2));
    // A new session does not help it; time does.
    bench.leave(1);
    bench.apply(Event::SlaveJoined { session: session(3), slave: slave(1), workers: 1 });
    assert!(bench.ledger.session(&session(3)).unwrap().quarantined);
    bench.apply(Event::Cancel { job: job(1) });
    bench.seconds(601);
    bench.open(2, 4);
    let shown = bench.ledger.session(&session(3)).unwrap();
    assert!(!shown.quarantined && shown.running > 0);
}

#[test]
fn a_right_partial_makes_up_for_wrong_ones() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    bench.open(1, 9);
    for _ in 0..2 {
        for right in [false, false, true] {
            let held = bench.ledger.tasks(&job(1)).find(|task| !task.sessions.is_empty()).unwrap();
            let records = if right { 5 } else { BYTES + 1 };
            bench.answer_with(1, (1, held.number), held.attempts, totals(records, 0));
        }
    }
    assert!(!bench.ledger.session(&session(1)).unwrap().quarantined);
}
