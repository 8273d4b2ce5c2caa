//! Networks that part, swallow, lose acknowledgements and flip bits between the master and a slave.

use serde_json::Value;
use tally_tests::{Options, Process, Proxy, eventually, input, tally};

use crate::field::Field;

/// Bytes of input: several tasks of 16 MiB.
const BYTES: usize = 70 << 20;

/// A job that is being submitted while a link goes bad.
struct Counted {
    field: Field,
    expected: Vec<u8>,
    submitted: std::thread::JoinHandle<String>,
}

impl Counted {
    /// Submits an input to a cluster of `slaves` slaves, and goes on when the first one counts.
    fn begin(seed: u64, slaves: usize) -> Self {
        let plays = input::plays(seed, 4000, BYTES);
        let expected = input::totals(plays.as_bytes());
        let field = Field::start_with(slaves, Options::default());
        let http = field.cluster.http();
        let submitted = std::thread::spawn(move || {
            let answer = http.post("/api/v1/jobs", plays.as_bytes());
            assert_eq!(answer.status, 202, "{}", answer.text());
            answer.json()["id"].as_str().unwrap().to_owned()
        });
        field.wait_until_counting(0);
        Self { field, expected, submitted }
    }

    /// Waits for the end of the job and compares; gives the cluster back, and the job.
    fn end(self) -> (Field, Value) {
        let id = self.submitted.join().unwrap();
        let http = self.field.cluster.http();
        let job = http.ended(&id);
        assert_eq!(job["state"], "succeeded", "{job}");
        let result = http.get(&format!("/api/v1/jobs/{id}/result"));
        assert!(result.body == self.expected);
        let receipt = &job["receipt"];
        assert_eq!(receipt["records"], receipt["counted"], "{job}");
        (self.field, job)
    }
}

/// Sees that a field that has been healed is whole, and still counts.
fn is_whole(field: &Field) {
    field.wait_for_all();
    let plays = input::plays(9, 100, 100_000);
    let http = field.cluster.http();
    let id = http.post("/api/v1/jobs", plays.as_bytes()).json()["id"].clone();
    let id = id.as_str().unwrap();
    assert_eq!(http.ended(id)["state"], "succeeded");
    let result = http.get(&format!("/api/v1/jobs/{id}/result"));
    assert!(result.body == input::totals(plays.as_bytes()));
}

#[test]
fn a_partition_that_outlasts_the_session() {
    let counted = Counted::begin(101, 2);
    counted.field.slaves[0].link.part();
    counted.field.wait_until_gone(0);
    let (field, _) = counted.end();
    field.slaves[0].link.heal();
    is_whole(&field);
}

#[test]
fn a_partition_of_all_slaves_holds_a_job_up_and_no_more() {
    let counted = Counted::begin(102, 2);
    for slave in &counted.field.slaves {
        slave.link.close();
    }
    counted.field.wait_until_gone(0);
    counted.field.wait_until_gone(1);
    for slave in &counted.field.slaves {
        slave.link.heal();
    }
    is_whole(&counted.end().0);
}

#[test]
fn a_slave_that_is_not_heard_is_given_up_and_comes_back() {
    let counted = Counted::begin(103, 2);
    counted.field.slaves[0].link.swallow_up();
    counted.field.wait_until_gone(0);
    let (field, _) = counted.end();
    field.slaves[0].link.heal();
    is_whole(&field);
}

#[test]
fn a_slave_that_hears_nothing_holds_no_job_up() {
    let counted = Counted::begin(104, 2);
    counted.field.slaves[0].link.swallow_down();
    // It still beats, so it is still trusted with tasks; others must count them in its stead.
    let (field, _) = counted.end();
    field.slaves[0].link.heal();
    is_whole(&field);
}

#[test]
fn a_lost_acknowledgement_counts_nothing_twice() {
    let mut counted = Counted::begin(105, 1);
    // More than heartbeats ever are, less than a partial: the first partial arrives, and its
    // acknowledgement does not.
    counted.field.slaves[0].link.lose_answers_after(100_000);
    let http = counted.field.cluster.http();
    let done = || http.get("/api/v1/jobs").json()["jobs"][0]["tasks"]["done"].as_u64().unwrap();
    eventually("a partial to be taken", || {
        (counted.field.slaves[0].link.loses_answers() && done() > 0).then_some(())
    });
    counted.field.slaves[0].link.heal();
    counted.field.slaves[0].process.says("verdict=Duplicate");
    let (field, job) = counted.end();
    let path = format!("/api/v1/jobs/{}/receipt", job["id"].as_str().unwrap());
    let receipt = field.cluster.http().get(&path).json();
    let tasks = receipt["tasks"].as_array().unwrap();
    let counted = tasks.iter().map(|task| task["answer"]["counted"].as_u64().unwrap());
    assert_eq!(job["receipt"]["counted"], counted.sum::<u64>());
}

#[test]
fn flipped_bits_are_found_and_what_they_were_in_is_sent_again() {
    let mut counted = Counted::begin(106, 1);
    counted.field.slaves[0].link.corrupt(50);
    // More often than a task has attempts: the link is to blame, and not the task.
    let master = counted.field.cluster.master();
    eventually("bytes to arrive damaged", || (master.said("arrived damaged") > 5).then_some(()));
    counted.field.slaves[0].link.heal();
    is_whole(&counted.end().0);
}

#[test]
fn a_slow_link_is_slow_and_exact() {
    let counted = Counted::begin(107, 2);
    counted.field.slaves[0].link.throttle(300_000);
    counted.field.slaves[1].link.delay(std::time::Duration::from_millis(2));
    is_whole(&counted.end().0);
}

#[test]
fn an_upload_in_the_middle_of_which_the_master_is_stopped_is_not_taken_for_whole() {
    let mut field = Field::start(1);
    let link = Proxy::start(field.cluster.grpc());
    let plays = input::plays(108, 1000, 40 << 20);
    let (file, out) = (field.cluster.path("plays.csv"), field.cluster.path("out.csv"));
    std::fs::write(&file, &plays).unwrap();
    // Slow enough to be in the middle, and fast enough for the master to hear more while it stops.
    link.throttle(2_000_000);
    let mut submit = tally();
    submit.arg("submit").arg(&file).args(["--wait", "--master", &link.url(), "-o"]).arg(&out);
    let mut submit = Process::start("submit", submit);
    eventually("some of it to come", || {
        let jobs = field.cluster.http().get("/api/v1/jobs").json();
        (jobs["jobs"][0]["progress"]["bytes_received"].as_u64()? > 0).then_some(())
    });
    field.cluster.restart_master(|master| assert!(master.stop().success()));
    link.heal();
    link.cut();
    assert!(submit.ended().success());
    assert!(std::fs::read(&out).unwrap() == input::totals(plays.as_bytes()));
}
