//! Messages of a real RabbitMQ become operations and jobs: each once, whatever breaks in between.

mod client;
mod files;
mod links;
mod operations;

use client::{Client, properties};
use tally_tests::{Cluster, Options, Rabbit, eventually};

/// A cluster that takes from `rabbit`, with more flags.
fn start(rabbit: &Rabbit, slaves: usize, more: &[&str]) -> Cluster {
    let url = rabbit.url();
    let flags = ["--amqp", &url].into_iter().chain(more.iter().copied()).map(str::to_owned);
    let cluster =
        Cluster::start_with(slaves, Options { flags: flags.collect(), ..Options::default() });
    connected(&cluster);
    cluster
}

/// Waits until both kinds of queues are consumed.
fn connected(cluster: &Cluster) {
    for kind in ["operations", "files"] {
        let line = format!("tally_broker_queues_connected{{kind=\"{kind}\"}} 1");
        eventually(&line, || cluster.http().get("/metrics").text().contains(&line).then_some(()));
    }
}

/// How many messages had an outcome so far.
fn counted(cluster: &Cluster, kind: &str, outcome: &str) -> u64 {
    let line = format!("tally_broker_messages_total{{kind=\"{kind}\",outcome=\"{outcome}\"}} ");
    let metrics = cluster.http().get("/metrics").text();
    let found = metrics.lines().find_map(|found| found.strip_prefix(&line)).map(str::to_owned);
    found.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{line} in {metrics}"))
}

/// `tally publish`, to its end.
fn publish(rabbit: &Rabbit, args: &[&str]) -> std::process::Output {
    let url = rabbit.url();
    let all = ["publish"].into_iter().chain(args.iter().copied()).chain(["--amqp", &url]);
    tally_tests::run(all)
}
