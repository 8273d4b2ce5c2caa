//! Preflights, over HTTP and by the command line: what they say of an input is what a job then finds.

use std::io::Write;

use serde_json::Value;
use tally_tests::{Cluster, input};

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_preflight_says_what_a_job_then_finds() {
    let cluster = Cluster::start(1);
    let http = cluster.http();
    let mut plays = input::plays(71, 40, 300_000);
    plays.push_str("x,2021-02-30,5\ny,2021-01-01\n\"open,2021-01-01,3\n");
    let report = http.post("/api/v1/preflight?max_rejects=5", plays.as_bytes());
    assert_eq!(report.status, 200, "{}", report.text());
    let report = report.json();
    assert_eq!(report["ok"], true, "{report}");
    let id = http.post("/api/v1/jobs?max_rejects=5", plays.as_bytes()).json()["id"].clone();
    let job = http.ended(id.as_str().unwrap());
    assert_eq!(job["state"], "succeeded", "{job}");
    assert_eq!(report["sample"]["records"], job["receipt"]["records"]);
    assert_eq!(report["sample"]["rejected"], job["receipt"]["rejected"]);
    assert_eq!(report["sample"]["groups"], job["result"]["rows"]);
    assert_eq!(report["sample"]["rejects"], job["rejects"]);
    let prediction = &report["prediction"];
    assert_eq!(prediction["groups"], job["result"]["rows"]);
    let (expected, found) = (prediction["result_bytes"].as_f64(), job["result"]["bytes"].as_f64());
    let ratio = expected.unwrap() / found.unwrap();
    assert!((0.9..1.1).contains(&ratio), "{ratio}");
    assert!(prediction["seconds"].as_f64().unwrap() > 0.0);
    assert!(prediction["disk_room"].as_u64().unwrap() > 0);
    // Without the rejects that are allowed, it would fail; and so would the job.
    let strict = http.post("/api/v1/preflight", plays.as_bytes()).json();
    assert_eq!(strict["ok"], false);
    // Nothing is left of any of these but the job.
    assert_eq!(http.get("/api/v1/jobs").json()["jobs"].as_array().unwrap().len(), 1);
}

#[test]
fn a_part_of_an_input_is_enough() {
    let cluster = Cluster::start(0);
    let http = cluster.http();
    let plays = input::plays(72, 1000, 3_000_000);
    let all = plays.lines().count() as f64;
    for (data, compression) in
        [(plays.clone().into_bytes(), "none"), (gzip(plays.as_bytes()), "gzip")]
    {
        let path = format!("/api/v1/preflight?bytes={}", data.len());
        let half = &data[..data.len() / 2];
        let form = http.form(&path, &[("file", Some("plays.csv"), half)]);
        for answer in [http.post(&path, half), form] {
            assert_eq!(answer.status, 200, "{}", answer.text());
            let report = answer.json();
            assert_eq!(report["ok"], true, "{report}");
            assert_eq!(report["compression"], compression);
            assert_eq!(report["sample"]["whole"], false);
            let records = report["prediction"]["records"].as_f64().unwrap();
            // A record with a line break in it is two lines.
            assert!((0.8..1.1).contains(&(records / all)), "{records} of {all}");
            assert_eq!(report["prediction"]["seconds"], Value::Null);
        }
    }
    // More than is looked at: the rest is thrown away, and the length is that of the request.
    let long = input::plays(73, 1000, 17 << 20);
    let report = http.post("/api/v1/preflight", long.as_bytes()).json();
    assert_eq!(report["sample"]["bytes"], 16 << 20);
    assert_eq!(report["prediction"]["bytes"], long.len());
    // What makes no sense is a problem, not a report.
    assert_eq!(http.post("/api/v1/preflight?bytes=x", b"").status, 400);
    assert_eq!(http.post("/api/v1/preflight?preset=songs", b"").status, 422);
    assert_eq!(http.form("/api/v1/preflight", &[("data", None, b"x")]).status, 400);
    let nothing = http.post("/api/v1/preflight", b"");
    assert_eq!((nothing.status, nothing.json()["ok"].clone()), (200, Value::Bool(false)));
}

#[test]
fn the_command_looks_without_a_master() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plays.csv.gz");
    let run = |args: &[&str]| {
        let mut command = tally_tests::tally();
        command.arg("preflight").arg(&path).args(args).output().unwrap()
    };
    let plays = input::plays(74, 40, 100_000);
    std::fs::write(&path, gzip(plays.as_bytes())).unwrap();
    let good = run(&[]);
    let text = String::from_utf8_lossy(&good.stdout).into_owned();
    assert_eq!(good.status.code(), Some(0), "{text}");
    for word in ["can be counted", "gzip", "Number of Plays", "integer", "group by"] {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
    let json: Value = serde_json::from_slice(&run(&["--output", "json"]).stdout).unwrap();
    assert_eq!((&json["ok"], &json["sample"]["whole"]), (&true.into(), &true.into()));
    std::fs::write(&path, "Shop;Day;Price\nA;2020-01-01;5\n").unwrap();
    let bad = run(&[]);
    let text = String::from_utf8_lossy(&bad.stdout).into_owned();
    assert_eq!(bad.status.code(), Some(3), "{text}");
    assert!(text.contains("--group-by 'Shop:text,Day:date' --sum 'Price=Total Price for Day'"));
    assert_eq!(run(&["--group-by", "Shop", "--sum", "Price"]).status.code(), Some(0));
    assert_eq!(run(&["--preset", "songs"]).status.code(), Some(2));
}
