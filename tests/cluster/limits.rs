//! Bounded memory: input and groups may be larger than what a process may have.

use tally_tests::{Cluster, Options, input};

/// Address space for each process, in bytes; the threads' stacks and the allocator's arenas, of
/// which little is ever touched, are counted in it.
const MEMORY: u64 = 1 << 30;

#[test]
fn a_file_is_counted_within_less_memory_than_it_has() {
    let cluster = Cluster::start_with(2, Options { memory: Some(MEMORY), ..Options::default() });
    let file = cluster.path("plays.csv");
    let plays = input::plays(31, 2_000_000, 200 << 20);
    let expected = input::totals(plays.as_bytes());
    std::fs::write(&file, plays).unwrap();
    assert!(cluster.count(&file, &[]) == expected);
}

#[test]
fn a_master_holds_neither_input_nor_groups() {
    let mut cluster = Cluster::start(1);
    let file = cluster.path("plays.csv");
    // Every row its own group.
    let plays = input::plays(32, u64::from(u32::MAX), 100 << 20);
    std::fs::write(&file, plays).unwrap();
    cluster.count(&file, &[]);
    let peak = cluster.master().peak_memory();
    assert!(peak < 150 << 20, "{} MiB", peak >> 20);
}

#[test]
fn a_masters_memory_does_not_grow_with_jobs() {
    let mut cluster = Cluster::start(2);
    let file = cluster.path("plays.csv");
    let plays = input::plays(33, u64::from(u32::MAX), 40 << 20);
    std::fs::write(&file, plays).unwrap();
    for _ in 0..12 {
        cluster.count(&file, &[]);
    }
    let peak = cluster.master().peak_own_memory() >> 20;
    // 60 to 80 MiB; an arena for each thread took 70 more after all of these jobs.
    assert!(peak < 95, "{peak} MiB");
}
