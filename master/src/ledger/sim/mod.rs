//! Seeded simulation: the ledger among slaves that join, leave, hang, die without a word, answer
//! late, twice, out of order or wrongly, inputs and merges that fail, users who cancel and delete,
//! and a master that sleeps, stops at any moment and starts again from what its [`store::Store`]
//! holds. After each event the ledger checks its invariants and an [`oracle::Oracle`], which knows
//! nothing of how the ledger works, checks its commands, over all restarts; at the end every job has
//! ended as it should, and what is stored is what its input holds.
//!
//! `TALLY_SIM_SEEDS` sets how many seeds are run; `TALLY_SIM_SEED` runs one alone and tells all that
//! happens with it (`cargo test -p tally-master --lib exactly_once -- --nocapture`).

mod mistake;
mod oracle;
mod random;
mod store;
mod world;

use std::panic::catch_unwind;

use mistake::Mistake;
use world::World;

/// Seeds in a normal run of the tests.
const SEEDS: u64 = 2000;

/// One seed in so many is run twice more, to see that it tells the same story.
const RERUN_EVERY: u64 = 64;

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

/// Runs a seed as the only one that matters; whether all that was promised was kept.
fn holds(seed: u64, mistake: Option<Mistake>) -> bool {
    catch_unwind(|| run(seed, mistake)).is_ok()
}

#[test]
fn exactly_once_whatever_happens() {
    if let Some(seed) = number("TALLY_SIM_SEED") {
        println!("{}", story(seed));
        return;
    }
    for seed in 0..number("TALLY_SIM_SEEDS").unwrap_or(SEEDS) {
        assert!(holds(seed, None), "seed {seed} fails: TALLY_SIM_SEED={seed} runs it alone");
        if seed % RERUN_EVERY == 0 {
            assert_eq!(story(seed), story(seed), "seed {seed} is not the same each time");
        }
    }
}

#[test]
fn no_lie_is_believed_among_an_honest_majority() {
    let mut seen = oracle::Seen::default();
    for seed in (3..400).step_by(4) {
        let mut world = World::new(seed, None, false);
        world.honest_majority();
        world.clear();
        seen.add(&world.seen());
    }
    assert!(seen.set_aside > 100 && seen.answers_agreed > 1000, "{seen:#?}");
}

#[test]
fn all_that_can_happen_does() {
    let mut seen = oracle::Seen::default();
    for seed in 0..300 {
        seen.add(&run(seed, None).seen());
    }
    println!("{seen:#?}");
    assert_eq!(seen.missing(), [""; 0], "the simulation is too tame");
}

#[test]
fn the_simulation_finds_planted_mistakes() {
    for mistake in Mistake::ALL {
        let found = (0..1000).find(|seed| !holds(*seed, Some(*mistake)));
        let seed = found.unwrap_or_else(|| panic!("{mistake:?} is not found"));
        println!("{mistake:?} is found with seed {seed}");
    }
}
