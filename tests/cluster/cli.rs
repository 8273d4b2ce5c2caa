//! The command line: what scripts rely on.

use tally_tests::{Cluster, input};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_job_by_hand() {
    let cluster = Cluster::start(1);
    let file = cluster.path("plays.csv");
    let plays = input::plays(41, 50, 50_000);
    std::fs::write(&file, &plays).unwrap();
    let submitted = cluster.run(["submit", file.to_str().unwrap()]);
    assert!(submitted.status.success(), "{}", text(&submitted.stderr));
    let id = text(&submitted.stdout).trim().to_owned();
    let watched = cluster.run(["watch", &id]);
    assert!(watched.status.success(), "{}", text(&watched.stderr));
    let status = cluster.run(["status", &id, "--output", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["state"], "succeeded");
    assert!(text(&cluster.run(["status"]).stdout).contains(&id));
    assert!(text(&cluster.run(["slaves"]).stdout).contains("slave-0"));
    assert!(cluster.run(["result", &id]).stdout == input::totals(plays.as_bytes()));
    let rejects = cluster.run(["rejects", &id]);
    assert_eq!(text(&rejects.stdout), "line,byte_offset,column,reason,record\n");
    assert!(cluster.run(["delete", &id]).status.success());
    assert_eq!(cluster.run(["status", &id]).status.code(), Some(6));
}

#[test]
fn a_master_that_is_not_there_is_an_error_of_its_own() {
    let output =
        tally_tests::tally().args(["status", "--master", "http://127.0.0.1:1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("127.0.0.1:1"));
}

#[test]
fn a_master_is_not_opened_to_the_world_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    let output = tally_tests::tally()
        .args(["master", "--grpc", "0.0.0.0:0", "--http", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("--insecure"), "{}", text(&output.stderr));
}

#[test]
fn two_masters_never_share_a_data_folder() {
    let cluster = Cluster::start(0);
    let output = tally_tests::tally()
        .args(["master", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir"])
        .arg(cluster.path("data"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("in use"), "{}", text(&output.stderr));
}

#[test]
fn what_is_generated_can_be_counted() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["low", "high", "unique", "quoted", "wide"] {
        let file = folder.path().join(kind);
        let generate = ["generate", "--size", "2MB", "--seed", "7", "--kind", kind, "-o"];
        let output = tally_tests::tally().args(generate).arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let mut count = tally_tests::tally();
        count.arg("count").arg(&file);
        if kind == "wide" {
            count.args(["--group-by", "Artist,Song", "--count"]);
        }
        let output = count.output().unwrap();
        assert!(output.status.success(), "{kind}: {}", text(&output.stderr));
        if kind != "wide" {
            let expected = input::totals(&std::fs::read(&file).unwrap());
            assert!(output.stdout == expected, "{kind}");
        }
    }
}
