//! A master that dies and comes back: what was accepted ends with the same bytes, what was cut off
//! says so.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::process::Signal;
use serde_json::Value;
use tally_tests::{Cluster, Options, Process, SmallDisk, eventually, input};

/// Bytes of input: several tasks of 16 MiB.
const BYTES: usize = 60 << 20;

fn id(answer: &tally_tests::Answer) -> String {
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn totals(cluster: &Cluster, id: &str) -> Vec<u8> {
    let job = cluster.http().ended(id);
    assert_eq!(job["state"], "succeeded", "{job}");
    check_receipt(&job);
    cluster.http().get(&format!("/api/v1/jobs/{id}/result")).body
}

fn check_receipt(job: &Value) {
    let receipt = &job["receipt"];
    let number = |name: &str| receipt[name].as_u64().unwrap();
    assert_eq!(number("records"), number("counted") + number("rejected"), "{receipt}");
}

#[test]
pub(crate) fn a_job_outlives_its_master_in_the_middle_of_counting() {
    let plays = input::plays(61, 5000, BYTES);
    let mut cluster = Cluster::start(2);
    let id = id(&cluster.http().post("/api/v1/jobs", plays.as_bytes()));
    for _ in 0..3 {
        cluster.restart_master(Process::kill);
    }
    assert!(totals(&cluster, &id) == input::totals(plays.as_bytes()));
}

#[test]
pub(crate) fn ended_jobs_stay_as_they_were() {
    let mut cluster = Cluster::start(1);
    let http = cluster.http();
    let plays = input::plays(62, 50, 50_000);
    let good = id(&http.post("/api/v1/jobs?name=good", plays.as_bytes()));
    let bad = id(&http.post("/api/v1/jobs?name=bad", b"Song,Date,Number of Plays\na,b,c\n"));
    let before = [http.ended(&good), http.ended(&bad)];
    for how in [Process::kill, |master: &mut Process| assert!(master.stop().success())] {
        cluster.restart_master(how);
        let after = [cluster.http().job(&good), cluster.http().job(&bad)];
        assert_eq!(before, after);
        assert!(totals(&cluster, &good) == input::totals(plays.as_bytes()));
        assert_eq!(cluster.http().get(&format!("/api/v1/jobs/{bad}/rejects")).status, 200);
        let listed = cluster.http().get("/api/v1/jobs").json();
        let names: Vec<_> = listed["jobs"].as_array().unwrap().iter().map(|j| &j["name"]).collect();
        assert_eq!(names, ["bad", "good"]);
    }
}

#[test]
fn an_upload_that_the_master_dies_under_is_gone_and_says_so() {
    let mut cluster = Cluster::start(1);
    // A client that sends a part and then waits.
    let mut client = Command::new("python3");
    let script = "import http.client, sys, time\n\
        c = http.client.HTTPConnection(sys.argv[1])\n\
        c.putrequest('POST', '/api/v1/jobs?name=cut'); c.putheader('Content-Length', '100000000')\n\
        c.endheaders(); c.send(b'Song,Date,Number of Plays\\n' + b'a,2020-01-01,1\\n' * 100000)\n\
        time.sleep(600)";
    let address = cluster.http().address().to_owned();
    client.args(["-c", script, &address]).stderr(Stdio::null());
    let mut client = client.spawn().unwrap();
    let first = |cluster: &Cluster| {
        let jobs = cluster.http().get("/api/v1/jobs").json();
        jobs["jobs"].get(0).cloned()
    };
    eventually("some of the input to arrive", || {
        first(&cluster).filter(|job| job["progress"]["bytes_received"].as_u64() > Some(1_000_000))
    });
    cluster.restart_master(Process::kill);
    client.kill().unwrap();
    client.wait().unwrap();
    let job = first(&cluster).unwrap();
    assert_eq!((&job["state"], &job["name"]), (&"failed".into(), &"cut".into()));
    assert!(job["error"].as_str().unwrap().contains("submit it again"), "{job}");
    assert_eq!(job["input_lost"], true);
}

/// A compressed upload is decompressed when all of it is there. Its header is told of before its first bytes are on
/// the disk, and a master that dies between the two has less than it knows of.
#[test]
fn a_master_that_dies_after_the_header_and_before_the_first_task() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let flags = ["--disk-reserve", "4MB", "--task-bytes", "48MB"].map(str::to_owned).to_vec();
    let data_dir = disk.path().join("data");
    let options = Options { flags, data_dir: Some(data_dir.clone()), ..Options::default() };
    let mut cluster = Cluster::start_with(1, options);
    let plays = input::plays(66, 50, 30 << 20);
    let file = cluster.path("plays.csv.gz");
    let mut packed = GzEncoder::new(File::create(&file).unwrap(), Compression::fast());
    packed.write_all(plays.as_bytes()).unwrap();
    packed.finish().unwrap();
    // There is room for what is sent, and not for what becomes of it.
    let ballast = disk.path().join("ballast");
    let sent = file.metadata().unwrap().len() as usize;
    std::fs::write(&ballast, vec![7; (48 << 20) - sent]).unwrap();

    let out = cluster.path("out.csv");
    let mut command = tally_tests::tally();
    command.arg("submit").arg(&file).args(["--wait", "-o"]).arg(&out);
    command.args(["--master", cluster.grpc()]);
    let mut client = Process::start("submit", command);
    let job = eventually("the job to wait for space", || {
        let jobs = cluster.http().get("/api/v1/jobs").json();
        let waits = jobs["jobs"][0]["waiting_for"].as_str().unwrap_or_default().contains("space");
        waits.then(|| jobs["jobs"][0].clone())
    });
    assert_eq!(job["tasks"]["cut"], 0, "{job}");
    cluster.master().kill();
    let spool = data_dir.join("jobs").join(job["id"].as_str().unwrap()).join("spool/0.csv");
    File::options().write(true).open(spool).unwrap().set_len(0).unwrap();
    std::fs::remove_file(&ballast).unwrap();
    cluster.restart_master(|_| ());
    assert!(client.ended().success());
    assert!(std::fs::read(&out).unwrap() == input::totals(plays.as_bytes()));
}

/// Counts a job while one of its runs is damaged by `damage`, and sees that nothing comes of it.
fn with_a_damaged_run(damage: impl FnOnce(&mut Cluster, &Path)) {
    let mut cluster = Cluster::start(1);
    let plays = input::plays(63, 3000, BYTES);
    let http = cluster.http();
    let submitted = std::thread::spawn(move || {
        let answer = http.post("/api/v1/jobs", plays.as_bytes());
        (id(&answer), plays)
    });
    // One task is counted, and the slave can not go on.
    let jobs = cluster.path("data/jobs");
    let run = eventually("a run to be kept", || {
        let job = std::fs::read_dir(&jobs).ok()?.next()?.ok()?.path();
        Some(std::fs::read_dir(job.join("runs")).ok()?.next()?.ok()?.path())
    });
    cluster.slaves()[0].signal(Signal::STOP);
    let (id, plays) = submitted.join().unwrap();
    damage(&mut cluster, &run);
    cluster.slaves()[0].signal(Signal::CONT);
    assert!(totals(&cluster, &id) == input::totals(plays.as_bytes()));
}

fn flip_a_bit(path: &Path, at: impl FnOnce(usize) -> usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_run_that_is_damaged_is_counted_again_after_a_restart() {
    with_a_damaged_run(|cluster, run| {
        cluster.restart_master(|master| {
            master.kill();
            // In the footer, which a restarted master looks at.
            flip_a_bit(run, |len| len - 30);
        });
    });
}

#[test]
pub(crate) fn a_run_that_is_gone_is_counted_again_after_a_restart() {
    with_a_damaged_run(|cluster, run| {
        cluster.restart_master(|master| {
            master.kill();
            std::fs::remove_file(run).unwrap();
        });
    });
}

#[test]
fn a_damaged_block_of_a_run_is_found_by_the_merge() {
    with_a_damaged_run(|_, run| flip_a_bit(run, |_| 200));
}

#[test]
fn a_damaged_spool_fails_the_job_and_names_the_bytes() {
    let mut cluster = Cluster::start(0);
    let plays = input::plays(66, 300, 100_000);
    let id = id(&cluster.http().post("/api/v1/jobs", plays.as_bytes()));
    flip_a_bit(&cluster.path(&format!("data/jobs/{id}/spool/0.csv")), |len| len / 2);
    cluster.add_slave(1);
    cluster.add_slave(1);
    let job = cluster.http().ended(&id);
    assert_eq!(job["state"], "failed", "{job}");
    let error = job["error"].as_str().unwrap();
    for words in ["4 attempts", "damaged where the master keeps them", "bytes 26 to"] {
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_store_that_is_damaged_or_newer_is_not_served() {
    for damage in ["garbage", "newer"] {
        let mut cluster = Cluster::start(0);
        assert!(cluster.master().stop().success());
        let path = cluster.path("data/tally.db");
        let words = if damage == "garbage" {
            let mut bytes = std::fs::read(&path).unwrap();
            for byte in &mut bytes[200..8000] {
                *byte ^= 0x55;
            }
            std::fs::write(&path, bytes).unwrap();
            ["tally.db", "damaged"]
        } else {
            let sql = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(\"insert into \
                _sqlx_migrations (version, description, success, checksum, execution_time) values \
                (99, 'later', 1, x'00', 0)\"); c.commit()";
            let done = Command::new("python3").args(["-c", sql]).arg(&path).status().unwrap();
            assert!(done.success());
            ["tally.db", "99"]
        };
        let output = tally_tests::tally()
            .args(["master", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir"])
            .arg(cluster.path("data"))
            .output()
            .unwrap();
        assert!(!output.status.success());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        assert!(!error.contains("panicked"), "{error}");
    }
}

/// Every place where the master makes something durable is a place where it may die; and so is every
/// one on the way back. `TALLY_SWEEPS` says how often all of them are gone through: once in a run of
/// all tests; at each time it dies elsewhere on its way back.
#[test]
pub(crate) fn a_master_that_dies_at_any_point_of_a_job_and_of_its_recovery() {
    let sweeps = std::env::var("TALLY_SWEEPS").map_or(1, |sweeps| sweeps.parse().unwrap());
    let points: Vec<_> = (0..sweeps).map(|number| sweep(number, &[])).collect();
    println!("died at each of {points:?} points");
}

#[test]
fn a_master_that_dies_at_any_point_of_a_job_whose_input_it_reads_itself() {
    println!("died at each of {} points", sweep(0, &["--in-place", "--result-in-place"]));
}

/// Dies at every point there is, and gives how many that are.
fn sweep(number: u64, how: &[&str]) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let inputs = folder.path().to_str().unwrap();
    let file = input::plays(65, 300, 300_000);
    let expected = input::totals(file.as_bytes());
    let path = folder.path().join("plays.csv");
    std::fs::write(&path, &file).unwrap();
    for at in 1..200 {
        let abort = |n: u64| Options {
            envs: vec![("TALLY_ABORT_AT".to_owned(), n.to_string())],
            flags: ["--input-dir", inputs, "--output-dir", inputs].map(str::to_owned).to_vec(),
            ..Options::default()
        };
        let mut cluster = Cluster::start_with(0, abort(at));
        cluster.add_slave(1);
        let out = folder.path().join("totals.csv");
        let mut submit = tally_tests::tally();
        submit.arg("submit").arg(&path).args(how);
        submit.args(["--wait", "--master", cluster.grpc(), "-o"]);
        submit.arg(&out).args(["--message-id", "sweep"]).stderr(Stdio::null());
        let mut submit = submit.spawn().unwrap();
        let mut died = 0;
        let status = eventually("the submission to come through", || {
            if let Some(status) = submit.try_wait().unwrap() {
                return Some(status);
            }
            if cluster.master().has_ended() {
                died += 1;
                // It dies once more on its way back, or soon after, and then lives.
                cluster.set_options(abort(if died == 1 { 1 + (at + number) % 7 } else { 0 }));
                while !cluster.start_master_again() {
                    cluster.set_options(abort(0));
                }
            }
            None
        });
        assert!(status.success(), "died at point {at}");
        assert!(std::fs::read(&out).unwrap() == expected, "died at point {at}");
        std::fs::remove_file(&out).unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "died at point {at}");
        let jobs = cluster.http().get("/api/v1/jobs").json();
        let jobs = jobs["jobs"].as_array().unwrap();
        assert_eq!(jobs.len(), 1, "died at point {at}: {jobs:?}");
        check_receipt(&jobs[0]);
        if died == 0 {
            return at - 1;
        }
    }
    panic!("there are more points than were tried");
}
