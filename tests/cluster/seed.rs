//! The example that Tally grew from, to the byte.

use std::process::Output;

use tally_tests::Cluster;

const INPUT: &str = "Song,Date,Number of Plays\n\
    Umbrella,2020-01-02,200\n\
    Umbrella,2020-01-01,100\n\
    In The End,2020-01-01,2000\n\
    Umbrella,2020-01-02,50\n\
    In The End,2020-01-01,5500\n\
    Umbrella,2020-01-01,650\n\
    In The End,2020-01-02,2500\n\
    Umbrella,2020-01-02,1000\n";

const FIRST_SEEN: &str = "Song,Date,Total Number of Plays for Date\n\
    Umbrella,2020-01-01,750\n\
    Umbrella,2020-01-02,1250\n\
    In The End,2020-01-01,7500\n\
    In The End,2020-01-02,2500\n";

const SORTED: &str = "Song,Date,Total Number of Plays for Date\n\
    In The End,2020-01-01,7500\n\
    In The End,2020-01-02,2500\n\
    Umbrella,2020-01-01,750\n\
    Umbrella,2020-01-02,1250\n";

fn stdout(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn embedded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plays.csv");
    std::fs::write(&file, INPUT).unwrap();
    let file = file.to_str().unwrap();
    let count = |more: &[&str]| {
        let args = ["count", file].into_iter().chain(more.iter().copied());
        stdout(tally_tests::tally().args(args).output().unwrap())
    };
    assert_eq!(count(&[]), SORTED);
    assert_eq!(count(&["--order", "first-seen"]), FIRST_SEEN);
    assert_eq!(count(&["--group-by", "Song,Date", "--sum", "Number of Plays"]), SORTED);
}

#[test]
fn cluster() {
    let cluster = Cluster::start(2);
    let file = cluster.path("plays.csv");
    std::fs::write(&file, INPUT).unwrap();
    let count = |more: &[&str]| String::from_utf8(cluster.count(&file, more)).unwrap();
    assert_eq!(count(&[]), SORTED);
    assert_eq!(count(&["--order", "first-seen"]), FIRST_SEEN);
}

#[test]
fn the_routes_that_people_call_today() {
    let cluster = Cluster::start(1);
    let http = cluster.http();
    let file = ("file", Some("plays.csv"), INPUT.as_bytes());
    let answer = http.form("/jobs/count/?order=first-seen", &[file]);
    assert_eq!(answer.status, 202, "{}", answer.text());
    let answer = answer.json();
    let id = answer["jobId"].as_str().unwrap();
    assert!(answer["message"].is_string());
    http.ended(id);
    let result = http.get(&format!("/jobs/{id}/result/"));
    assert_eq!(result.text(), FIRST_SEEN);
    assert!(result.header("content-disposition").starts_with("attachment"));
    assert_eq!(result.header("x-content-type-options"), "nosniff");
}
