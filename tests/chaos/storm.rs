//! The storm: jobs come in all the time, while slaves, master and networks are killed, frozen, cut
//! and damaged at random, from a seed that is printed. When it is over every job that was accepted
//! has ended with exactly the bytes of an independent count, and each submission made one job.
//!
//! - `TALLY_CHAOS_SEED` plays one again: the same faults in the same order. Where the processes stand
//!   when these strike is up to the machine.
//! - `TALLY_CHAOS_SECONDS` is how long it blows, besides the time that restarts take; 600 is a long
//!   run.
//! - `TALLY_CHAOS_MASTER=0` leaves the master alone.

mod clients;
mod deed;
mod verdict;

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};

use tally_tests::Proxy;
use tally_tests::input::{self, Random};

use crate::field::Field;
use clients::{Accepted, Client, Way};
use deed::Chaos;

/// How long it blows in a run of all tests, in seconds.
const SECONDS: u64 = 45;

/// Bytes of the inputs: from a few records to several tasks.
const SIZES: [usize; 6] = [1 << 10, 40 << 10, 900 << 10, 5 << 20, 24 << 20, 60 << 20];

/// An input and what must come of it.
pub(crate) struct Input {
    bytes: Vec<u8>,
    records: u64,
    totals: Vec<u8>,
}

impl Input {
    fn new(number: usize, bytes: usize) -> Self {
        let bytes = input::plays(200 + number as u64, 4000, bytes).into_bytes();
        let totals = input::totals(&bytes);
        let records = csv::Reader::from_reader(&bytes[..]).into_byte_records().count() as u64;
        Self { bytes, records, totals }
    }
}

fn setting<T: FromStr>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} makes no sense")),
        Err(_) => default,
    }
}

#[test]
fn nothing_is_lost_and_nothing_counted_twice() {
    let seed = setting("TALLY_CHAOS_SEED", u64::from(std::process::id()));
    let seconds = setting("TALLY_CHAOS_SECONDS", SECONDS);
    let master_too = setting("TALLY_CHAOS_MASTER", 1) != 0;
    println!("TALLY_CHAOS_SEED={seed} TALLY_CHAOS_SECONDS={seconds}");

    let inputs = SIZES.iter().enumerate().map(|(number, size)| Input::new(number, *size));
    let inputs: Arc<[Input]> = inputs.collect();
    let mut field = Field::start(3);
    // What goes wrong between a client and the master must be no harm either.
    let grpc = Proxy::start(field.cluster.grpc());
    let http = Proxy::start(field.cluster.http().address());
    let over = Arc::new(AtomicBool::new(false));
    let clients = start_clients(seed, &inputs, &over, &field, &grpc.url(), &http.url());

    let mut chaos = Chaos::new(Random::new(seed), master_too, vec![grpc, http]);
    chaos.rage(&mut field, seconds);
    chaos.calm(&mut field);
    over.store(true, Ordering::Relaxed);
    println!("the storm is over: {}", chaos.summary());
    let accepted: Vec<Accepted> = clients
        .into_iter()
        .flat_map(|client| client.join().expect("clients get through"))
        .collect();
    println!("{} submissions were accepted", accepted.len());
    verdict::judge(&field.cluster.http(), &inputs, &accepted);
}

fn start_clients(
    seed: u64,
    inputs: &Arc<[Input]>,
    over: &Arc<AtomicBool>,
    field: &Field,
    grpc: &str,
    http: &str,
) -> Vec<JoinHandle<Vec<Accepted>>> {
    let direct = format!("http://{}", field.cluster.http().address());
    let ways = [
        Way::Http(direct),
        Way::Http(http.to_owned()),
        Way::Command(grpc.to_owned(), field.cluster.path("client")),
    ];
    let start = |(number, way)| {
        let random = Random::new(seed ^ (number as u64 + 1) << 32);
        let (inputs, over) = (Arc::clone(inputs), Arc::clone(over));
        let client = Client::new(number, seed, random, way, inputs, over);
        spawn(move || client.run())
    };
    ways.into_iter().enumerate().map(start).collect()
}
