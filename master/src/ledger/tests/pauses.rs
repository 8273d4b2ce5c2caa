//! Pauses of the master: nobody is to blame for what nobody listened to.

use super::*;

#[test]
fn a_pause_of_the_master_ends_no_session_and_no_attempt() {
    let mut bench = Bench::new();
    bench.open(1, 1);
    bench.join(1, 1);
    bench.seconds(2);
    bench.now += Duration::from_secs(3600);
    assert_eq!(bench.apply(Event::Tick), []);
    assert_eq!(bench.ledger.session(&session(1)).unwrap().last_beat, bench.now);
    assert_eq!(bench.seconds(58), [], "the attempt has as much time left as it had before");
    let late = bench.seconds(1);
    assert_eq!(late[0], cancel(1, (1, 0), 1));
}

#[test]
fn a_slave_that_is_silent_after_a_pause_dies_when_it_would_have() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    for _ in 0..2 {
        bench.now += Duration::from_secs(1);
        bench.apply(Event::Tick);
    }
    bench.now += Duration::from_secs(50);
    assert_eq!(bench.apply(Event::Tick), []);
    bench.now += Duration::from_secs(1);
    assert_eq!(bench.apply(Event::Tick), []);
    bench.now += Duration::from_millis(1);
    assert!(matches!(bench.apply(Event::Tick)[..], [Command::EndSession { .. }]));
}

#[test]
fn a_pause_is_noticed_by_whatever_comes_first_and_counts_once() {
    let mut bench = Bench::new();
    bench.open(1, 1);
    bench.join(1, 1);
    bench.join(2, 1);
    bench.seconds(2);
    bench.now += Duration::from_secs(60);
    bench.apply(Event::Beat { session: session(1) });
    assert_eq!(bench.apply(Event::Tick), []);
    let beat = |n| bench.ledger.session(&session(n)).unwrap().last_beat;
    assert_eq!((beat(1), beat(2)), (bench.now, bench.now));
    // Two of its 60 seconds are gone, as before the pause.
    assert_eq!(bench.seconds(58), []);
    assert_eq!(bench.seconds(1)[0], cancel(1, (1, 0), 1));
}

#[test]
fn time_between_ticks_is_no_pause() {
    let mut bench = Bench::new();
    bench.join(1, 1);
    for _ in 0..3 {
        bench.now += Duration::from_secs(1);
        assert_eq!(bench.apply(Event::Tick), []);
    }
    bench.now += Duration::from_millis(100);
    assert!(matches!(bench.apply(Event::Tick)[..], [Command::EndSession { .. }]));
}
