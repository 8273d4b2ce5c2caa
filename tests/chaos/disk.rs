//! A disk that somebody else fills to the last byte while tasks are being counted: jobs wait for room
//! and go on when there is, also under a master that dies meanwhile.

use rustix::process::Signal;
use tally_tests::{Http, Options, Process, SmallDisk, eventually, input};

use crate::field::Field;

/// A master on a small disk, and a slave.
fn field(disk: &SmallDisk) -> Field {
    let flags = ["--disk-reserve", "8MB"].map(str::to_owned).to_vec();
    let data_dir = Some(disk.path().join("data"));
    Field::start_with(1, Options { flags, data_dir, ..Options::default() })
}

fn submit(http: &Http, plays: &str) -> String {
    let answer = http.post("/api/v1/jobs", plays.as_bytes());
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn has_result(http: &Http, id: &str, plays: &str) {
    let job = http.ended(id);
    assert_eq!(job["state"], "succeeded", "{job}");
    let result = http.get(&format!("/api/v1/jobs/{id}/result"));
    assert!(result.body == input::totals(plays.as_bytes()));
}

fn wait_for_want_of_space(http: &Http, id: &str) {
    eventually("the job to wait for space", || {
        let job = http.job(id);
        assert_ne!(job["state"], "failed", "{job}");
        job["waiting_for"].as_str()?.contains("space").then_some(())
    });
}

#[test]
fn a_disk_that_somebody_else_fills_makes_jobs_wait_and_not_fail() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let field = field(&disk);
    let http = field.cluster.http();
    let small = input::plays(403, 100, 1 << 20);
    let before = submit(&http, &small);
    has_result(&http, &before, &small);

    let plays = input::plays(404, 1000, 18 << 20);
    let slave = &field.slaves[0];
    // It can not answer before there is no room left.
    slave.process.signal(Signal::STOP);
    let id = submit(&http, &plays);
    let filler = disk.fill();
    slave.process.signal(Signal::CONT);
    wait_for_want_of_space(&http, &id);
    // What is there can be read, and what would need room is refused.
    has_result(&http, &before, &small);
    let refused = http.post("/api/v1/jobs", small.as_bytes());
    assert_eq!(refused.status, 507, "{}", refused.text());

    std::fs::remove_file(filler).unwrap();
    has_result(&http, &id, &plays);
    has_result(&http, &submit(&http, &small), &small);
}

#[test]
fn a_master_that_dies_on_a_full_disk_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let mut field = field(&disk);
    let plays = input::plays(405, 1000, 18 << 20);
    field.slaves[0].process.signal(Signal::STOP);
    let id = submit(&field.cluster.http(), &plays);
    let filler = disk.fill();
    field.slaves[0].process.signal(Signal::CONT);
    wait_for_want_of_space(&field.cluster.http(), &id);
    field.cluster.master().kill();
    // Whether it comes up on a full disk is its own affair; that it does when there is room is not.
    let up = field.cluster.start_master_again();
    println!("on a full disk the master comes up: {up}");
    std::fs::remove_file(filler).unwrap();
    if !up {
        assert!(field.cluster.start_master_again());
    }
    has_result(&field.cluster.http(), &id, &plays);
    field.cluster.restart_master(Process::kill);
    has_result(&field.cluster.http(), &id, &plays);
}
