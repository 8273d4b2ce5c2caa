//! Seeded simulation: the ledger among slaves that join, leave, hang, die without a word, answer
//! late, twice, out of order or wrongly, inputs and merges that fail, users who cancel and delete,
//! and a master that sleeps, dies, before and behind a commit, and comes back with what is durable. After each event the ledger checks its invariants and an [`oracle::Oracle`], which knows
//! nothing of how the ledger works, checks its commands; at the end every job has ended as it should.
//!
//! `TALLY_SIM_SEEDS` sets how many seeds are run, `TALLY_SIM_SEED` runs one alone.

mod mistake;
mod oracle;
mod random;
mod world;

use std::panic::catch_unwind;

use mistake::Mistake;
use world::World;

/// Seeds in a normal run of the tests.
const SEEDS: u64 = 2000;

fn run(seed: u64, mistake: Option<Mistake>) -> World {
    live(World::new(seed, mistake, false))
}

/// All that happens with a seed.
fn story(seed: u64) -> String {
    live(World::new(seed, None, true)).story().to_owned()
}

fn live(mut world: World) -> World {
    world.storm();
    world.calm();
    world.clear();
    world
}

fn number(name: &str) -> Option<u64> {
    Some(std::env::var(name).ok()?.parse().expect("a number of seeds, or a seed"))
}

#[test]
fn exactly_once_whatever_happens() {
    if let Some(seed) = number("TALLY_SIM_SEED") {
        println!("{}", story(seed));
        return;
    }
    for seed in 0..number("TALLY_SIM_SEEDS").unwrap_or(SEEDS) {
        let ran = catch_unwind(|| run(seed, None));
        assert!(ran.is_ok(), "seed {seed} fails: TALLY_SIM_SEED={seed} runs it alone");
        if seed % 100 == 0 {
            assert_eq!(story(seed), story(seed), "seed {seed} does not give the same story twice");
        }
    }
}

#[test]
fn all_that_can_happen_does() {
    let mut seen = oracle::Seen::default();
    for seed in 0..100 {
        seen.add(&run(seed, None).seen());
    }
    assert!(seen.all(), "the simulation is too tame: {seen:?}");
}

#[test]
fn a_seed_gives_the_same_story_each_time() {
    for seed in 0..20 {
        assert_eq!(story(seed), story(seed), "seed {seed}");
    }
}

#[test]
fn the_simulation_finds_planted_mistakes() {
    for mistake in Mistake::ALL {
        let found = (0..1000).find(|seed| catch_unwind(|| run(*seed, Some(mistake))).is_err());
        let found = found.unwrap_or_else(|| panic!("{mistake:?} is not found"));
        println!("{mistake:?} is found by seed {found}");
    }
}
