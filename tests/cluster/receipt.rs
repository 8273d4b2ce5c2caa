//! Receipts: what was counted can be counted once more; what was rejected can be corrected.

use serde_json::Value;
use tally_tests::{Cluster, input};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn submit(cluster: &Cluster, name: &str, content: &[u8], more: &[&str]) -> String {
    let file = cluster.path(name);
    std::fs::write(&file, content).unwrap();
    let args = [&["submit", file.to_str().unwrap()], more].concat();
    let output = cluster.run(args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let id = text(&output.stdout).trim().to_owned();
    cluster.http().ended(&id);
    id
}

#[test]
pub(crate) fn tasks_add_up_to_the_job() {
    let cluster = Cluster::start(2);
    let plays = input::plays(81, 1000, 50 << 20);
    let id = submit(&cluster, "plays.csv", plays.as_bytes(), &[]);
    let receipt = cluster.http().get(&format!("/api/v1/jobs/{id}/receipt")).json();
    let sum = |path: fn(&Value) -> &Value| -> u64 {
        let tasks = receipt["tasks"].as_array().unwrap();
        assert!(tasks.len() > 2);
        tasks.iter().map(|task| path(task).as_u64().unwrap()).sum()
    };
    let total = &receipt["total"];
    assert_eq!(total["records"], sum(|task| &task["answer"]["records"]));
    assert_eq!(total["counted"], sum(|task| &task["answer"]["counted"]));
    let header = receipt["inputs"][0]["header_bytes"].as_u64().unwrap();
    assert_eq!(total["bytes"], header + sum(|task| &task["bytes"]));
    assert_eq!(total["bytes"], plays.len());
    let shown = cluster.run(["receipt", &id]);
    assert!(text(&shown.stdout).contains("CRC-32C"), "{}", text(&shown.stdout));
}

#[test]
fn a_job_can_be_verified_from_the_original_and_from_what_was_kept() {
    let cluster = Cluster::start(1);
    let plays = input::plays(82, 1000, 40 << 20);
    let id = submit(&cluster, "plays.csv", plays.as_bytes(), &["--keep-input"]);
    let file = cluster.path("plays.csv");
    let file = file.to_str().unwrap();
    let verify = |more: &[&str]| cluster.run([&["verify", &id], more].concat());
    for more in [&["--input", file][..], &[], &["--tasks", "1"]] {
        let output = verify(more);
        assert!(output.status.success(), "{more:?}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains("as the receipt says"));
    }
    let kept = cluster.http().get(&format!("/api/v1/jobs/{id}/input"));
    assert!(kept.body == plays.as_bytes());
    // Another file is found out.
    let other = plays.replacen(",2021-01-01,", ",2021-01-02,", 1);
    std::fs::write(file, &other).unwrap();
    let output = verify(&["--input", file]);
    assert_eq!(output.status.code(), Some(3));
    let error = text(&output.stderr);
    assert!(error.contains("task 0: CRC-32C") && error.contains("SHA-256"), "{error}");
    std::fs::write(file, format!("{plays}a,2021-01-01,1\n")).unwrap();
    assert_eq!(verify(&["--input", file]).status.code(), Some(3));
    // Without the input there is nothing to verify from.
    let id = submit(&cluster, "gone.csv", plays.as_bytes(), &[]);
    let output = cluster.run(["verify", &id]);
    assert!(text(&output.stderr).contains("not kept"), "{}", text(&output.stderr));
}

const BAD: &str = "Song,Date,Number of Plays\na,2021-01-01,1\nb,2021-02-30,2\nc,2021-01-01,x\n\
    a,2021-01-01,10\nd;2021-01-01;4\n";

fn result(cluster: &Cluster, id: &str) -> String {
    cluster.http().get(&format!("/api/v1/jobs/{id}/result")).text()
}

#[test]
pub(crate) fn corrected_rejects_are_added_to_the_result() {
    let mut cluster = Cluster::start(1);
    let id = submit(&cluster, "bad.csv", BAD.as_bytes(), &["--max-rejects", "5"]);
    let header = "Song,Date,Total Number of Plays for Date\n";
    assert_eq!(result(&cluster, &id), format!("{header}a,2021-01-01,11\n"));
    // Two of three, with the columns in another order; one of them adds to a group that is there.
    let fixed = cluster.path("fixed.csv");
    std::fs::write(&fixed, "Date,Song,Number of Plays\n2021-02-28,b,2\n2021-01-01,a,3\n").unwrap();
    let fixed = fixed.to_str().unwrap();
    let repair = |cluster: &Cluster| {
        cluster.run(["repair", &id, fixed, "--message-id", "r1", "--output", "json"])
    };
    let output = repair(&cluster);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let repaired = format!("{header}a,2021-01-01,14\nb,2021-02-28,2\n");
    assert_eq!(result(&cluster, &id), repaired);
    let job = cluster.http().job(&id);
    let receipt = &job["receipt"];
    let numbers = ["records", "counted", "rejected", "repaired"].map(|name| &receipt[name]);
    assert_eq!(numbers, [5, 2, 3, 2].map(Value::from).each_ref());
    // The same message again adds nothing, also after a restart.
    cluster.restart_master(tally_tests::Process::kill);
    assert!(repair(&cluster).status.success());
    assert_eq!(result(&cluster, &id), repaired);
    // More rows than there are rejects can not all be corrections.
    std::fs::write(fixed, "Date,Song,Number of Plays\n2021-01-01,c,1\n2021-01-01,d,1\n").unwrap();
    let output = cluster.run(["repair", &id, fixed]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("only 1 rejects are open"), "{}", text(&output.stderr));
    assert_eq!(result(&cluster, &id), repaired);
    // The last one.
    std::fs::write(fixed, "Date,Song,Number of Plays\n2021-01-01,d,4\n").unwrap();
    assert!(cluster.run(["repair", &id, fixed, "-o", fixed]).status.success());
    let whole = format!("{header}a,2021-01-01,14\nb,2021-02-28,2\nd,2021-01-01,4\n");
    assert_eq!(std::fs::read_to_string(fixed).unwrap(), whole);
    let output = cluster.run(["repair", &id, fixed]);
    assert!(text(&output.stderr).contains("none of its records"), "{}", text(&output.stderr));
    // Its repairs go with it.
    assert!(cluster.run(["delete", &id]).status.success());
    assert_eq!(cluster.http().get("/api/v1/jobs").json()["jobs"][0]["state"], "failed");
}

#[test]
fn a_job_that_failed_for_its_rejects_succeeds_when_they_are_repaired() {
    let cluster = Cluster::start(1);
    let id = submit(&cluster, "bad.csv", BAD.as_bytes(), &["--max-rejects", "1"]);
    assert_eq!(cluster.http().job(&id)["state"], "failed");
    let repair = |rows: &str| {
        let path = format!("/api/v1/jobs/{id}/repairs");
        let body = format!("Song,Date,Number of Plays\n{rows}");
        let answer = cluster.http().post(&path, body.as_bytes());
        assert_eq!(answer.status, 202, "{}", answer.text());
        cluster.http().ended(answer.json()["id"].as_str().unwrap())
    };
    // One of these is still wrong.
    let first = repair("b,2021-02-28,2\nc,2021-01-01,y\n");
    assert_eq!(first["receipt"]["rejected"], 1);
    let job = cluster.http().job(&id);
    assert_eq!((&job["state"], &job["receipt"]["repaired"]), (&"failed".into(), &1.into()));
    repair("c,2021-01-01,3\n");
    assert_eq!(cluster.http().job(&id)["state"], "succeeded");
    let whole = "Song,Date,Total Number of Plays for Date\n\
        a,2021-01-01,11\nb,2021-02-28,2\nc,2021-01-01,3\n";
    assert_eq!(result(&cluster, &id), whole);
}

#[test]
fn first_appearances_are_those_of_the_job_and_then_of_its_repairs() {
    let cluster = Cluster::start(1);
    let input = "Song,Date,Number of Plays\nz,2021-01-01,1\nbad\nm,2021-01-01,1\n";
    let more = ["--max-rejects", "1", "--order", "first-seen"];
    let id = submit(&cluster, "z.csv", input.as_bytes(), &more);
    let fixed = cluster.path("fixed.csv");
    std::fs::write(&fixed, "Song,Date,Number of Plays\na,2021-01-01,1\n").unwrap();
    assert!(cluster.run(["repair", &id, fixed.to_str().unwrap()]).status.success());
    let rows = "Song,Date,Total Number of Plays for Date\n\
        z,2021-01-01,1\nm,2021-01-01,1\na,2021-01-01,1\n";
    assert_eq!(result(&cluster, &id), rows);
}
