//! Slaves that die, hang, leave and come back; a master that comes back. Totals stay exact.

use rustix::process::Signal;

use tally_tests::{Cluster, eventually, input};

/// Large enough for several tasks of 16 MiB for each slave.
const BYTES: usize = 150 << 20;

fn running(cluster: &Cluster, name: &str) -> u64 {
    let slaves = cluster.slaves_now();
    let slave = slaves.iter().find(|slave| slave["name"] == name);
    slave.and_then(|slave| slave["running"].as_u64()).unwrap_or(0)
}

/// Stops a slave in its tracks at a moment when it is counting.
fn freeze_while_counting(cluster: &mut Cluster, slave: usize) {
    let name = format!("slave-{slave}");
    eventually("a slave to be counting", || {
        if running(cluster, &name) == 0 {
            return None;
        }
        cluster.slaves()[slave].signal(Signal::STOP);
        // What it has handed in before it froze shows by now: it can hand in no more.
        if running(cluster, &name) > 0 {
            return Some(());
        }
        cluster.slaves()[slave].signal(Signal::CONT);
        None
    });
}

#[test]
fn a_slave_killed_half_way() {
    let plays = input::plays(11, 5000, BYTES);
    let expected = input::totals(plays.as_bytes());
    let mut cluster = Cluster::start(3);
    let (file, out) = (cluster.path("plays.csv"), cluster.path("out.csv"));
    std::fs::write(&file, &plays).unwrap();

    // One submission over gRPC and one over HTTP, at the same time.
    let mut command = tally_tests::tally();
    command.arg("submit").arg(&file).args(["--wait", "-o"]).arg(&out);
    command.args(["--master", cluster.grpc()]);
    let mut over_grpc = tally_tests::Process::start("submit", command);
    let http = cluster.http();
    let over_http = std::thread::spawn(move || {
        let answer = http.post("/api/v1/jobs", plays.as_bytes());
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()["id"].as_str().unwrap().to_owned()
    });
    freeze_while_counting(&mut cluster, 1);
    cluster.slaves()[1].kill();

    let id = over_http.join().unwrap();
    let job = cluster.http().ended(&id);
    assert_eq!(job["state"], "succeeded", "{job}");
    assert!(over_grpc.ended().success());
    assert!(std::fs::read(&out).unwrap() == expected, "over gRPC");
    let result = cluster.http().get(&format!("/api/v1/jobs/{id}/result"));
    assert!(result.body == expected, "over HTTP");
    let receipt = &job["receipt"];
    assert_eq!(receipt["records"], receipt["counted"]);
    let jobs = cluster.http().get("/api/v1/jobs").json();
    let retried = |job: &serde_json::Value| job["tasks"]["retried"].as_u64().unwrap();
    let retried: u64 = jobs["jobs"].as_array().unwrap().iter().map(retried).sum();
    assert!(retried > 0, "the slave was killed in the middle of a task: {jobs}");
    cluster.wait_for_slaves(2);
}

#[test]
fn a_slave_that_hangs_and_comes_back_late() {
    let plays = input::plays(12, 5000, BYTES);
    let expected = input::totals(plays.as_bytes());
    let mut cluster = Cluster::start(2);
    let http = cluster.http();
    let submitted = std::thread::spawn(move || {
        http.post("/api/v1/jobs", plays.as_bytes()).json()["id"].as_str().unwrap().to_owned()
    });
    freeze_while_counting(&mut cluster, 0);
    let id = submitted.join().unwrap();
    let job = cluster.http().ended(&id);
    assert_eq!(job["state"], "succeeded", "{job}");
    // It wakes up with an answer that nobody needs any more, and goes on as a slave in good standing.
    cluster.slaves()[0].signal(Signal::CONT);
    cluster.wait_for_slaves(2);
    let result = cluster.http().get(&format!("/api/v1/jobs/{id}/result"));
    assert!(result.body == expected);
    assert_eq!(cluster.http().job(&id)["receipt"], job["receipt"]);
}

#[test]
fn a_slave_that_drains_finishes_what_it_holds() {
    let plays = input::plays(13, 5000, BYTES);
    let expected = input::totals(plays.as_bytes());
    let mut cluster = Cluster::start(2);
    let http = cluster.http();
    let submitted = std::thread::spawn(move || {
        http.post("/api/v1/jobs", plays.as_bytes()).json()["id"].as_str().unwrap().to_owned()
    });
    eventually("the slave to be counting", || (running(&cluster, "slave-0") > 0).then_some(()));
    assert!(cluster.slaves()[0].stop().success());
    let id = submitted.join().unwrap();
    let job = cluster.http().ended(&id);
    assert_eq!(job["state"], "succeeded", "{job}");
    assert_eq!(job["tasks"]["retried"], 0, "draining costs no attempt: {job}");
    let result = cluster.http().get(&format!("/api/v1/jobs/{id}/result"));
    assert!(result.body == expected);
}

#[test]
fn slaves_come_and_go_around_a_job_that_waits() {
    let mut cluster = Cluster::start(0);
    let plays = input::plays(14, 100, 100_000);
    let id = cluster.http().post("/api/v1/jobs", plays.as_bytes()).json()["id"].clone();
    let id = id.as_str().unwrap();
    let job = cluster.http().job(id);
    assert_eq!(job["state"], "running");
    assert_eq!(job["waiting_for"], "a slave to join");
    cluster.add_slave(2);
    assert_eq!(cluster.http().ended(id)["state"], "succeeded");
    let result = cluster.http().get(&format!("/api/v1/jobs/{id}/result"));
    assert!(result.body == input::totals(plays.as_bytes()));
}

#[test]
fn slaves_reconnect_to_a_master_that_comes_back() {
    let mut cluster = Cluster::start(2);
    for stop_politely in [true, false] {
        cluster.restart_master(|master| {
            if stop_politely {
                assert!(master.stop().success());
            } else {
                master.kill();
            }
        });
        cluster.wait_for_slaves(2);
        let file = cluster.path("plays.csv");
        let plays = input::plays(15, 100, 100_000);
        std::fs::write(&file, &plays).unwrap();
        assert!(cluster.count(&file, &[]) == input::totals(plays.as_bytes()));
    }
}

#[test]
fn a_cancelled_job_ends_once_and_leaves_the_slaves_free() {
    let mut cluster = Cluster::start(1);
    let http = cluster.http();
    let plays = input::plays(16, 5000, 60 << 20);
    let submitted = std::thread::spawn(move || http.post("/api/v1/jobs", plays.as_bytes()));
    freeze_while_counting(&mut cluster, 0);
    let jobs = cluster.http().get("/api/v1/jobs").json();
    let id = jobs["jobs"][0]["id"].as_str().unwrap().to_owned();
    let cancelled = cluster.run(["cancel", &id]);
    assert!(cancelled.status.success(), "{}", String::from_utf8_lossy(&cancelled.stderr));
    assert_eq!(cluster.http().job(&id)["state"], "cancelled");
    cluster.slaves()[0].signal(Signal::CONT);
    // The upload may have been taken in before, or have been told.
    assert!([202, 422].contains(&submitted.join().unwrap().status));
    let small = input::plays(17, 10, 1000);
    let next = cluster.http().post("/api/v1/jobs", small.as_bytes()).json();
    assert_eq!(cluster.http().ended(next["id"].as_str().unwrap())["state"], "succeeded");
    assert_eq!(cluster.http().job(&id)["state"], "cancelled");
}
