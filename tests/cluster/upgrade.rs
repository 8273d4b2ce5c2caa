//! Upgrades while a job is under way: slaves one by one, then the master; and masters and slaves that speak
//! different minor versions of the protocol. What they speak is set by a variable of the environment: a
//! process then leaves out what came later. `scripts/upgrade-test` does the same with two real builds.

use rustix::process::Signal;
use tally_tests::{Cluster, Options, eventually, input};

/// Processes that speak a minor version; the slaves would have their bytes compressed.
fn speaking(minor: u32) -> Options {
    let envs = vec![("TALLY_PROTOCOL_MINOR".to_owned(), minor.to_string())];
    let flags = ["--task-bytes", "10000"].map(str::to_owned).to_vec();
    let slave_flags = ["--compress", "zstd"].map(str::to_owned).to_vec();
    Options { slave_envs: envs.clone(), envs, flags, slave_flags, ..Options::default() }
}

/// Begins a job with slaves of one version, goes over to another, and looks at the result.
fn upgrade(from: u32, to: u32) {
    let mut cluster = Cluster::start_with(2, speaking(from));
    let plays = input::plays(160, 50, 3 << 20);
    let expected = input::totals(plays.as_bytes());
    let id = cluster.http().post("/api/v1/jobs", plays.as_bytes()).json()["id"].clone();
    let id = id.as_str().unwrap();
    let counted = |cluster: &Cluster| cluster.http().job(id)["tasks"]["done"].as_u64().unwrap();
    let more = |cluster: &Cluster| {
        let before = counted(cluster);
        let all = cluster.http().job(id)["tasks"]["cut"].as_u64().unwrap();
        eventually("the job to go on", || (counted(cluster) > before.min(all - 1)).then_some(()));
    };
    more(&cluster);
    for old in 0..2 {
        // Only what is started from now on is new: the master is not, yet.
        cluster.set_options(speaking(to));
        cluster.add_slave(1);
        cluster.wait_for_slaves(3);
        cluster.slaves()[old].signal(Signal::TERM);
        cluster.wait_for_slaves(2);
        assert!(cluster.slaves()[old].has_ended() || cluster.slaves_now().len() == 2);
        more(&cluster);
    }
    cluster.restart_master(|master| {
        master.signal(Signal::TERM);
        eventually("the master to stop", || master.has_ended().then_some(()));
    });
    let job = cluster.http().ended(id);
    assert_eq!(job["state"], "succeeded", "{job}");
    assert!(cluster.http().get(&format!("/api/v1/jobs/{id}/result")).body == expected);
}

#[test]
fn slaves_then_the_master_are_replaced_by_newer_ones_while_a_job_is_counted() {
    let ours = tally_proto::PROTOCOL.minor;
    upgrade(ours - 1, ours);
}

#[test]
fn and_by_older_ones() {
    let ours = tally_proto::PROTOCOL.minor;
    upgrade(ours + 1, ours - 1);
}
