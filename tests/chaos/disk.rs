//! A disk that is too small, or that somebody else fills: jobs wait for room and go on when there is.
//!
//! The data folder is a file system of its own, in memory, which only root may mount: elsewhere
//! these tests say so, and pass.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tally_tests::{Http, Options, Process, eventually, input};
use tempfile::TempDir;

use crate::field::Field;

/// The file system, in bytes.
const SIZE: u64 = 64 << 20;

/// What the master is to leave free of it, in bytes.
const RESERVE: u64 = 8 << 20;

/// A small file system, gone when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None`, and a word about it, where it can not be mounted.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={SIZE}"), "tmpfs"]).arg(folder.path());
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self(folder)),
            output => {
                println!("SKIPPED: no small file system can be mounted here: {output:?}");
                eprintln!("SKIPPED: no small file system can be mounted here: {output:?}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A master on it.
    fn field(&self, slaves: usize) -> Field {
        let flags = ["--disk-reserve", &RESERVE.to_string()].map(str::to_owned).to_vec();
        let data = Some(self.path().join("data"));
        Field::start_with(slaves, Options { flags, data, ..Options::default() })
    }

    /// Fills it to the last byte; gives the file that does.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("somebody else's");
        let mut file = File::create(&path).unwrap();
        for piece in [&[7; 1 << 16][..], &[7; 1]] {
            while file.write_all(piece).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that is about to end may hold a file of it.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
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
fn an_upload_that_does_not_fit_is_refused_before_it_fills_the_disk() {
    let Some(disk) = SmallDisk::mount() else { return };
    let field = disk.field(1);
    let http = field.cluster.http();
    let large = input::plays(401, 100, SIZE as usize);
    let answer = http.post("/api/v1/jobs", large.as_bytes());
    assert_eq!(answer.status, 507, "{}", answer.text());
    assert!(answer.json()["detail"].as_str().unwrap().contains("room"), "{}", answer.text());
    let small = input::plays(402, 100, 1 << 20);
    has_result(&http, &submit(&http, &small), &small);
}

#[test]
fn a_disk_that_somebody_else_fills_makes_jobs_wait_and_not_fail() {
    let Some(disk) = SmallDisk::mount() else { return };
    let field = disk.field(1);
    let http = field.cluster.http();
    let small = input::plays(403, 100, 1 << 20);
    let before = submit(&http, &small);
    has_result(&http, &before, &small);

    let plays = input::plays(404, 1000, 18 << 20);
    let slave = &field.slaves[0];
    // It can not answer before there is no room left.
    slave.process.signal(rustix::process::Signal::STOP);
    let id = submit(&http, &plays);
    let filler = disk.fill();
    slave.process.signal(rustix::process::Signal::CONT);
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
    let Some(disk) = SmallDisk::mount() else { return };
    let mut field = disk.field(1);
    let plays = input::plays(405, 1000, 18 << 20);
    field.slaves[0].process.signal(rustix::process::Signal::STOP);
    let id = submit(&field.cluster.http(), &plays);
    let filler = disk.fill();
    field.slaves[0].process.signal(rustix::process::Signal::CONT);
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
