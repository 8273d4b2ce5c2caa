//! The gateway: routes, statuses, headers, problems.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;

use tally_tests::{Cluster, Options, eventually, input};

#[test]
fn a_job_from_submission_to_deletion() {
    let cluster = Cluster::start(1);
    let http = cluster.http();
    let plays = input::plays(21, 50, 50_000);
    let expected = input::totals(plays.as_bytes());
    let answer = http.post("/api/v1/jobs?name=night%20shift&priority=high", plays.as_bytes());
    assert_eq!(answer.status, 202, "{}", answer.text());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("/api/v1/jobs/{id}"));
    let job = http.ended(&id);
    assert_eq!(job["name"], "night shift");
    assert_eq!(job["priority"], "high");
    assert_eq!(job["receipt"]["bytes"], plays.len());
    assert_eq!(job["result"]["bytes"], expected.len());
    assert_eq!(job["slaves"][0]["name"], "slave-0");
    assert_eq!(http.get("/api/v1/jobs").json()["jobs"][0]["id"], id.as_str());

    let path = format!("/api/v1/jobs/{id}/result");
    let result = http.get(&path);
    assert!(result.body == expected);
    assert_eq!(result.header("content-type"), "text/csv; charset=utf-8");
    let sha256 = job["result"]["sha256"].as_str().unwrap();
    assert_eq!(result.header("etag"), format!("\"{sha256}\""));
    let part = http.get_with(&path, &[("range", "bytes=5-14")]);
    assert_eq!(part.status, 206);
    assert_eq!(part.body, &expected[5..15]);
    for range in ["bytes=99999999-", "bytes=3-921-p"] {
        let none = http.get_with(&path, &[("range", range)]);
        assert_eq!(none.status, 416, "{range}");
        assert_eq!(none.header("content-type"), "application/problem+json");
        assert_eq!(none.header("content-range"), format!("bytes */{}", expected.len()));
    }

    assert_eq!(http.delete(&format!("/api/v1/jobs/{id}")).status, 204);
    assert_eq!(http.get(&format!("/api/v1/jobs/{id}")).status, 410);
    assert_eq!(http.get(&path).status, 410);
    assert_eq!(http.delete(&format!("/api/v1/jobs/{id}")).status, 410);
}

#[test]
fn a_spec_comes_as_a_part_or_as_parameters() {
    let cluster = Cluster::start(1);
    let http = cluster.http();
    let csv = b"name;price;sku\nshoe;5;1\nhat;7;2\nshoe;-9;3\n";
    let spec = br#"{"group_by": [{"name": "Name", "kind": "text"}], "aggregates": [
        {"op": "min", "column": "price", "name": "cheapest"},
        {"op": "count", "column": null, "name": "n"}]}"#;
    let parts = [("spec", None, &spec[..]), ("file", Some("products.csv"), &csv[..])];
    let by_part = http.form("/api/v1/jobs", &parts);
    let query = "group_by=Name&min=price%3Dcheapest&count=n";
    let by_query = http.post(&format!("/api/v1/jobs?{query}"), csv);
    for answer in [by_part, by_query] {
        assert_eq!(answer.status, 202, "{}", answer.text());
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        http.ended(&id);
        let result = http.get(&format!("/api/v1/jobs/{id}/result"));
        assert_eq!(result.text(), "Name,cheapest,n\nhat,7,1\nshoe,-9,2\n");
    }
}

#[test]
fn errors_are_problems() {
    let cluster = Cluster::start(0);
    let http = cluster.http();
    let nobody = "/api/v1/jobs/00000000-0000-0000-0000-000000000000";
    let expect = |answer: tally_tests::Answer, status: u16, word: &str| {
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        assert!(problem["type"].as_str().unwrap().contains('#'));
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(word), "{word:?} is not in {detail:?}");
    };
    expect(http.get(nobody), 404, "no job");
    expect(http.get("/api/v1/jobs/17"), 404, "17");
    expect(http.get("/api/v2/jobs"), 404, "/api/v2/jobs");
    expect(http.delete("/api/v1/jobs"), 405, "DELETE");
    expect(http.post("/api/v1/jobs?sort=up", b""), 400, "sort");
    expect(http.post("/api/v1/jobs?preset=songs", b""), 422, "songs");
    expect(http.post("/api/v1/jobs?max_rejects=half", b""), 422, "half");
    expect(http.form("/api/v1/jobs", &[("data", None, b"x")]), 400, "file");
    expect(http.form("/jobs/count/", &[]), 400, "file");
    expect(http.form("/api/v1/jobs", &[("spec", None, b"{")]), 422, "EOF");
    expect(http.post_as("/api/v1/jobs", "multipart/form-data", b"x"), 400, "boundary");
    expect(http.post("/api/v1/jobs", b""), 422, "empty");

    let id = http.post("/api/v1/jobs", b"Song,Date,Number of Plays\na,2020-01-01,1\n").json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    expect(http.get(&format!("/api/v1/jobs/{id}/result")), 409, "succeeded");
    expect(http.get(&format!("/api/v1/jobs/{id}/rejects")), 409, "counted");
    // The route that people call today answers with the status as text.
    let status = http.get(&format!("/jobs/{id}/result/"));
    assert_eq!((status.status, status.text().as_str()), (200, "running\n"));
}

#[test]
fn health_says_what_is_there() {
    let cluster = Cluster::start(1);
    let http = cluster.http();
    for path in ["/health", "/healthz", "/readyz"] {
        assert_eq!(http.get(path).status, 200, "{path}");
    }
    assert_eq!(http.get("/readyz").text(), "ready\n");
    let health = http.get("/health").json();
    assert_eq!((&health["status"], &health["broker"]), (&"ok".into(), &serde_json::Value::Null));
    assert_eq!((&health["slaves"], &health["workers"]), (&1.into(), &1.into()));
    let slave = &cluster.slaves_now()[0];
    assert_eq!(slave["name"], "slave-0");
    assert_eq!(slave["draining"], false);
}

#[test]
fn more_jobs_than_a_master_takes_are_told_to_come_back() {
    let flags = ["--max-jobs", "2"].map(str::to_owned).to_vec();
    let mut cluster = Cluster::start_with(0, Options { flags, ..Options::default() });
    let http = cluster.http();
    let plays = input::plays(22, 10, 1000);
    let submit = || http.post("/api/v1/jobs", plays.as_bytes());
    let first = submit().json()["id"].as_str().unwrap().to_owned();
    assert_eq!(submit().status, 202);
    let refused = submit();
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.json()["detail"].as_str().unwrap().contains("2 jobs"));
    assert!(!refused.header("retry-after").is_empty());
    // Jobs that have ended are not in the way.
    cluster.add_slave(1);
    http.ended(&first);
    eventually("room for another one", || (submit().status == 202).then_some(()));
}

#[test]
fn an_upload_that_a_stopping_master_can_not_take_is_told_so() {
    let mut cluster = Cluster::start(1);
    let mut connection = TcpStream::connect(cluster.http().address()).unwrap();
    let head = "POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n";
    connection.write_all(head.as_bytes()).unwrap();
    connection.write_all(b"Song,Date,Number of Plays\na,2021-01-01,1\n").unwrap();
    eventually("the upload to be there", || {
        let list = cluster.http().get("/api/v1/jobs?state=receiving").json();
        (list["jobs"].as_array()?.len() == 1).then_some(())
    });
    cluster.master().signal(Signal::TERM);
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(
        answer.contains("retry-after: ") && answer.contains("/docs/http.md#stopping"),
        "{answer}"
    );
}

#[test]
fn pages_of_other_sites_change_nothing_here() {
    let options =
        Options { flags: vec!["--http-host".into(), "tally.example".into()], ..Options::default() };
    let cluster = Cluster::start_with(1, options);
    let http = cluster.http();
    let answer = http.post("/api/v1/jobs", b"Song,Date,Number of Plays\na,2021-01-01,1\n");
    let path = format!("/api/v1/jobs/{}", answer.json()["id"].as_str().unwrap());
    let ask = |method: &str, path: &str, headers: &[(&str, &str)]| {
        http.request(method, path, headers, b"").status
    };
    let own = format!("http://{}", http.address());
    // What a form of any page can send, and what its scripts can.
    let plays = b"Song,Date,Number of Plays\nb,2021-01-01,1\n";
    for origin in ["https://evil.example", "null", "http://localhost:1"] {
        let headers = [("origin", origin), ("content-type", "text/plain")];
        let refused = http.request("POST", "/api/v1/jobs", &headers, plays);
        assert_eq!(refused.status, 403, "{origin}");
        let problem = refused.json();
        assert!(problem["type"].as_str().unwrap().ends_with("#forbidden"), "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(origin) && !detail.contains('\n'), "{problem}");
        assert_eq!(ask("DELETE", &path, &[("origin", origin)]), 403);
    }
    assert_eq!(http.jobs().len(), 1);
    // A name that somebody had lead here: what it reads would be its pages'.
    assert_eq!(ask("GET", "/api/v1/jobs", &[("host", "rebound.evil.example")]), 403);
    assert_eq!(ask("GET", "/api/v1/jobs", &[("host", "tally.example")]), 200);
    // Behind a proxy that says its own name for us, and ourselves.
    http.ended(path.rsplit('/').next().unwrap());
    assert_eq!(ask("DELETE", &path, &[("origin", "https://tally.example")]), 204);
    let headers = [("origin", own.as_str())];
    assert_eq!(http.request("POST", "/api/v1/jobs", &headers, plays).status, 202);
}
