//! Tasks and partials that are compressed on their way.

use std::time::Duration;

use tally_tests::{Cluster, Options, Proxy, input, tally};

/// Several tasks of 16 MiB.
const BYTES: usize = 100 << 20;

fn compressing(how: &str) -> Options {
    Options { slave_flags: vec!["--compress".to_owned(), how.to_owned()], ..Options::default() }
}

#[test]
fn slaves_of_each_kind_in_one_cluster() {
    let mut cluster = Cluster::start(0);
    let mut links = Vec::new();
    for how in ["none", "zstd", "lz4"] {
        let link = Proxy::start(cluster.grpc());
        cluster.set_options(compressing(how));
        cluster.add_slave_via(&link.url(), 1);
        links.push(link);
    }
    cluster.wait_for_slaves(3);
    let plays = input::plays(91, 3000, BYTES);
    let expected = input::totals(plays.as_bytes());
    let file = cluster.path("plays.csv");
    std::fs::write(&file, plays).unwrap();
    assert!(cluster.count(&file, &[]) == expected);
    // Each of them has had a hand in it.
    for link in &links {
        assert!(link.carried_down() > 1 << 20, "{} bytes", link.carried_down());
    }
}

#[test]
fn bits_that_flip_in_compressed_bytes_are_found() {
    let mut cluster = Cluster::start(0);
    let link = Proxy::start(cluster.grpc());
    for how in ["zstd", "lz4"] {
        cluster.set_options(compressing(how));
        cluster.add_slave_via(&link.url(), 1);
    }
    cluster.wait_for_slaves(2);
    let plays = input::plays(93, 3000, BYTES);
    let expected = input::totals(plays.as_bytes());
    let file = cluster.path("plays.csv");
    std::fs::write(&file, plays).unwrap();
    // In one piece of 16 KiB in so many: several tasks are hit, and most of those sent again are not.
    link.corrupt(500);
    assert!(cluster.count(&file, &[]) == expected);
    assert!(link.carried_down() > 500 * (16 << 10), "nothing was hit");
}

#[test]
fn a_compression_that_is_not_known_is_refused() {
    let refused = tally().arg("slave").env("TALLY_COMPRESS", "brotli").output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("zstd, lz4"), "{said}");
}

/// Counts by one slave behind a link of 20 MB/s; gives the bytes that went down and up that link.
fn carried(how: &str, plays: &str, expected: &[u8]) -> (u64, u64) {
    let mut cluster = Cluster::start(0);
    let link = Proxy::start(cluster.grpc());
    link.throttle(20_000_000);
    cluster.set_options(compressing(how));
    cluster.add_slave_via(&link.url(), 1);
    cluster.wait_for_slaves(1);
    let file = cluster.path("plays.csv");
    std::fs::write(&file, plays).unwrap();
    assert!(cluster.count(&file, &[]) == expected, "{how}");
    // What is carried late is little: the answer to the last partial.
    std::thread::sleep(Duration::from_millis(50));
    (link.carried_down(), link.carried_up())
}

#[test]
fn a_slow_link_carries_less() {
    let plays = input::plays(92, 3000, 20 << 20);
    let expected = input::totals(plays.as_bytes());
    let (down, up) = carried("none", &plays, &expected);
    let input = plays.len() as u64;
    assert!((input..input * 21 / 20).contains(&down), "{down} bytes for {input}");
    for how in ["zstd", "lz4"] {
        let (packed_down, packed_up) = carried(how, &plays, &expected);
        assert!(packed_down < down * 7 / 10, "{how}: {packed_down} bytes down, {down} plain");
        // Runs are columns of numbers that are narrow already: lz4 gains little on them.
        assert!(packed_up < up, "{how}: {packed_up} bytes up, {up} plain");
    }
}
