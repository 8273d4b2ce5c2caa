//! What is kept, for how long, and what is removed at once.

use std::io::Read;
use std::net::TcpStream;

use tally_tests::{Cluster, Http, Options, eventually, input};

fn swept(retain: &str) -> Options {
    let flags = ["--retain-days", retain, "--sweep", "0.05"];
    Options { flags: flags.map(str::to_owned).to_vec(), ..Options::default() }
}

fn submit(http: &Http, plays: &[u8]) -> String {
    let answer = http.post("/api/v1/jobs", plays);
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Files of a job that are there.
fn files(cluster: &Cluster, id: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(cluster.path(&format!("data/jobs/{id}"))) else {
        return Vec::new();
    };
    let mut names: Vec<_> =
        entries.flatten().map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
pub(crate) fn input_and_runs_go_with_the_end_of_the_job_and_the_rest_with_its_time() {
    let cluster = Cluster::start(1);
    let id = submit(&cluster.http(), input::plays(91, 50, 50_000).as_bytes());
    let job = cluster.http().ended(&id);
    assert!(job["expires_at"].as_str() > job["ended_at"].as_str());
    eventually("what only counting needed to go", || {
        let kept = ["history.json", "rejects.csv", "result.csv", "result.index", "summary.json"];
        (files(&cluster, &id) == kept).then_some(())
    });
    // A time of nothing is over at once.
    let cluster = Cluster::start_with(1, swept("0"));
    let id = submit(&cluster.http(), input::plays(92, 50, 50_000).as_bytes());
    eventually("the job to go", || {
        let gone = cluster.http().get(&format!("/api/v1/jobs/{id}")).status == 410;
        (gone && files(&cluster, &id).is_empty()).then_some(())
    });
    assert!(cluster.http().get("/api/v1/jobs").json()["jobs"].as_array().unwrap().is_empty());
}

#[test]
fn a_result_that_is_being_read_stays() {
    // A second: enough to begin to read in, however busy the machine is.
    let cluster = Cluster::start_with(1, swept("0.00002"));
    let http = cluster.http();
    let plays = input::plays(93, u64::from(u32::MAX), 20 << 20);
    let expected = input::totals(plays.as_bytes());
    let mut stream = eventually("a result to read", || {
        let id = submit(&http, plays.as_bytes());
        let state = eventually("the job to end or go", || {
            let answer = http.get(&format!("/api/v1/jobs/{id}"));
            let state = answer.json()["state"].as_str().unwrap_or("gone").to_owned();
            ["succeeded", "gone"].contains(&state.as_str()).then_some(state)
        });
        if state == "gone" {
            return None;
        }
        let mut stream = TcpStream::connect(http.address()).unwrap();
        let request = format!("GET /api/v1/jobs/{id}/result HTTP/1.1\r\nhost: localhost\r\n\r\n");
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        (&start == b"HTTP/1.1 200").then_some((stream, id))
    });
    // Its time is over; it is still there, and so are all of its bytes.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(files(&cluster, &stream.1).contains(&"result.csv".to_owned()));
    let mut body = Vec::new();
    let mut piece = vec![0; 1 << 20];
    while !body.ends_with(&expected[expected.len() - 50..]) {
        let n = stream.0.read(&mut piece).unwrap();
        assert!(n > 0, "{} of {} bytes came", body.len(), expected.len());
        body.extend_from_slice(&piece[..n]);
    }
    assert!(body.ends_with(&expected));
    drop(stream.0);
    eventually("the job to go", || files(&cluster, &stream.1).is_empty().then_some(()));
}

#[test]
pub(crate) fn what_is_deleted_is_gone_at_once() {
    let cluster = Cluster::start(1);
    let http = cluster.http();
    let id = submit(&http, input::plays(94, 50, 50_000).as_bytes());
    http.ended(&id);
    assert_eq!(http.delete(&format!("/api/v1/jobs/{id}")).status, 204);
    assert_eq!(http.get(&format!("/api/v1/jobs/{id}")).status, 410);
    eventually("its files to go", || files(&cluster, &id).is_empty().then_some(()));
}
