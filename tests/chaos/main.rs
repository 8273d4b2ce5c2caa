//! Clusters under fire: a storm of random faults from a printed seed, and one test for each promise
//! that a bad network, rude clients and a full disk must not break. Every job that was accepted ends
//! with exactly the bytes of an independent count.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails, as it should")]

mod crowd;
mod disk;
mod field;
mod links;
mod storm;
