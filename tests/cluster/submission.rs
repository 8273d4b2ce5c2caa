//! Submissions that are repeated, cut off and taken up again: counted once, or not at all.

use std::io::Write;
use std::sync::Barrier;

use flate2::Compression;
use flate2::write::GzEncoder;
use tally_tests::{Answer, Cluster, Http, Process, Proxy, eventually, input};

fn submit(http: &Http, key: &str, body: &[u8]) -> Answer {
    http.request("POST", "/api/v1/jobs", &[("idempotency-key", key)], body)
}

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned()
}

fn jobs(cluster: &Cluster) -> usize {
    cluster.http().get("/api/v1/jobs").json()["jobs"].as_array().unwrap().len()
}

#[test]
pub(crate) fn a_repeat_gets_the_first_job_and_other_content_is_refused() {
    let mut cluster = Cluster::start(1);
    let plays = input::plays(71, 50, 50_000);
    let first = submit(&cluster.http(), "\"once\"", plays.as_bytes());
    assert_eq!(first.status, 202, "{}", first.text());
    let first = id(&first);
    // While it is counted, when it has ended, and after a restart.
    for moment in 0..3 {
        let http = cluster.http();
        assert_eq!(id(&submit(&http, "once", plays.as_bytes())), first, "{moment}");
        let other = submit(&http, "once", &plays.as_bytes()[..plays.len() - 10]);
        assert_eq!(other.status, 422, "{}", other.text());
        assert!(other.json()["type"].as_str().unwrap().ends_with("#key-reused"));
        let more = format!("{plays}a,2020-01-01,1\n");
        assert_eq!(submit(&http, "once", more.as_bytes()).status, 422);
        let headers = [("idempotency-key", "once")];
        let path = "/api/v1/jobs?order=first-seen";
        assert_eq!(http.request("POST", path, &headers, plays.as_bytes()).status, 422);
        http.ended(&first);
        if moment == 1 {
            cluster.restart_master(Process::kill);
        }
    }
    assert_eq!(jobs(&cluster), 1);
    // The job goes, its key stays: a late retry is never taken for a new request.
    assert_eq!(cluster.http().delete(&format!("/api/v1/jobs/{first}")).status, 204);
    let late = submit(&cluster.http(), "once", plays.as_bytes());
    assert_eq!(late.status, 410, "{}", late.text());
    assert_eq!(jobs(&cluster), 0);
    assert_eq!(submit(&cluster.http(), "bad key", b"").status, 400);
}

#[test]
fn a_request_whose_input_was_bad_fails_again_in_the_same_way() {
    let cluster = Cluster::start(0);
    let answers = [(); 2].map(|()| submit(&cluster.http(), "bad", b"no,such,columns\n1,2,3\n"));
    assert_eq!(answers[0].status, 422);
    assert_eq!(answers[0].body, answers[1].body);
    assert_eq!(jobs(&cluster), 1);
}

#[test]
fn concurrent_repeats_make_one_job() {
    let cluster = Cluster::start(1);
    let plays = input::plays(72, 500, 5 << 20);
    let start = Barrier::new(8);
    let (http, plays) = (cluster.http(), plays.as_bytes());
    let ids: Vec<String> = std::thread::scope(|scope| {
        let threads = [(); 8].map(|()| {
            scope.spawn(|| {
                start.wait();
                eventually("the submission to be taken", || {
                    let answer = submit(&http, "many", plays);
                    assert!([202, 409].contains(&answer.status), "{}", answer.text());
                    (answer.status == 202).then(|| id(&answer))
                })
            })
        });
        threads.map(|thread| thread.join().unwrap()).to_vec()
    });
    assert!(ids.iter().all(|other| *other == ids[0]));
    assert_eq!(jobs(&cluster), 1);
}

#[test]
fn a_submission_goes_on_after_its_connection_breaks() {
    let mut cluster = Cluster::start(1);
    let plays = input::plays(73, 5000, 60 << 20);
    let expected = input::totals(plays.as_bytes());
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(plays.as_bytes()).unwrap();
    for (name, bytes) in [("plain", plays.as_bytes()), ("gzip", &gzip.finish().unwrap())] {
        let proxy = Proxy::start(cluster.grpc());
        let file = cluster.path(name);
        std::fs::write(&file, bytes).unwrap();
        let out = cluster.path("out.csv");
        let mut command = tally_tests::tally();
        command.arg("submit").arg(&file).args(["--wait", "--master", &proxy.url(), "-o"]).arg(&out);
        proxy.cut_after(bytes.len() as u64 / 3);
        let mut client = Process::start("client", command);
        client.says("The upload broke off");
        proxy.cut_after(bytes.len() as u64 / 3);
        assert!(client.ended().success(), "{name}");
        assert!(std::fs::read(&out).unwrap() == expected, "{name}");
        let jobs = cluster.http().get("/api/v1/jobs").json();
        assert_eq!(jobs["jobs"][0]["receipt"]["bytes"], plays.len(), "{name}");
    }
    assert_eq!(jobs(&cluster), 2);
    cluster.master().stop();
}

#[test]
pub(crate) fn a_submission_goes_on_after_the_master_dies_under_it() {
    goes_on_after(Process::kill);
}

#[test]
fn a_submission_goes_on_after_the_master_is_stopped_and_started() {
    goes_on_after(|master| assert!(master.stop().success()));
}

fn goes_on_after(how: fn(&mut Process)) {
    let mut cluster = Cluster::start(1);
    let plays = input::plays(74, 5000, 80 << 20);
    let expected = input::totals(plays.as_bytes());
    let file = cluster.path("plays.csv");
    std::fs::write(&file, &plays).unwrap();
    let out = cluster.path("out.csv");
    let mut command = tally_tests::tally();
    command.arg("submit").arg(&file).args(["--wait", "--master", cluster.grpc(), "-o"]).arg(&out);
    let mut client = Process::start("client", command);
    eventually("a task to be cut", || {
        let jobs = cluster.http().get("/api/v1/jobs").json();
        jobs["jobs"][0]["tasks"]["cut"].as_u64().filter(|cut| *cut > 0)
    });
    cluster.restart_master(how);
    assert!(client.ended().success());
    assert!(std::fs::read(&out).unwrap() == expected);
    assert_eq!(jobs(&cluster), 1);
}

pub(crate) const TUS: (&str, &str) = ("tus-resumable", "1.0.0");

pub(crate) fn patch(
    http: &Http,
    path: &str,
    offset: usize,
    more: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let offset = offset.to_string();
    let kind = ("content-type", "application/offset+octet-stream");
    let headers = [&[TUS, kind, ("upload-offset", offset.as_str())], more].concat();
    http.request("PATCH", path, &headers, body)
}

#[test]
fn the_tus_protocol() {
    let mut cluster = Cluster::start(1);
    let http = cluster.http();
    let plays = input::plays(75, 300, 40 << 20);
    let plays = plays.as_bytes();
    let options = http.request("OPTIONS", "/api/v1/uploads", &[], b"");
    assert_eq!(options.header("tus-version"), "1.0.0");
    assert!(options.header("tus-extension").contains("creation"));
    let length = plays.len().to_string();
    // "plays.csv" in base64.
    let metadata = "filename cGxheXMuY3N2";
    let create = [TUS, ("upload-length", &length), ("upload-metadata", metadata)];
    let created = http.request("POST", "/api/v1/uploads?max_rejects=1", &create, b"");
    assert_eq!(created.status, 201, "{}", created.text());
    let path = created.header("location").to_owned();
    let job = path.rsplit('/').next().unwrap().to_owned();

    let offset = |http: &Http| {
        let head = http.request("HEAD", &path, &[TUS], b"");
        assert_eq!(head.header("upload-length"), length);
        head.header("upload-offset").parse::<usize>().unwrap()
    };
    assert_eq!(offset(&http), 0);
    let half = 25 << 20;
    let patched = patch(&http, &path, 0, &[], &plays[..half]);
    assert_eq!((patched.status, patched.header("upload-offset")), (204, half.to_string().as_str()));
    assert_eq!(patch(&http, &path, 7, &[], b"x").status, 409, "a wrong offset");
    assert_eq!(http.request("PATCH", &path, &[TUS], b"x").status, 415);
    assert_eq!(http.request("HEAD", &path, &[], b"").status, 412);
    // A piece that does not fit its checksum leaves no trace.
    let wrong = [("upload-checksum", "sha256 AAAA")];
    assert_eq!(patch(&http, &path, half, &wrong, &plays[half..half + 5]).status, 460);
    assert_eq!(offset(&http), half);
    cluster.restart_master(Process::kill);
    let http = cluster.http();
    assert_eq!(offset(&http), half, "what was acknowledged is durable");
    let rest = patch(&http, &path, half, &[], &plays[half..]);
    assert_eq!(rest.status, 204, "{}", rest.text());
    assert_eq!(offset(&http), plays.len());
    let ended = http.ended(&job);
    assert_eq!((&ended["state"], &ended["name"]), (&"succeeded".into(), &"plays.csv".into()));
    let result = http.get(&format!("/api/v1/jobs/{job}/result"));
    assert!(result.body == input::totals(plays));

    // One that is not wanted any more is gone.
    let create = [TUS, ("upload-length", "1000")];
    let created = http.request("POST", "/api/v1/uploads", &create, &plays[..500]);
    let path = created.header("location").to_owned();
    assert_eq!(created.header("upload-offset"), "500");
    assert_eq!(http.request("DELETE", &path, &[TUS], b"").status, 204);
    assert_eq!(http.request("HEAD", &path, &[TUS], b"").status, 410);
}

#[test]
fn uploads_that_nobody_goes_on_with_end() {
    let options = tally_tests::Options {
        flags: ["--upload-hours", "0", "--sweep", "0.05"].map(str::to_owned).to_vec(),
        ..Default::default()
    };
    let cluster = Cluster::start_with(0, options);
    let create = [TUS, ("upload-length", "1000")];
    let body = b"Song,Date,Number of Plays\n";
    let created = cluster.http().request("POST", "/api/v1/uploads", &create, body);
    let job = created.header("location").rsplit('/').next().unwrap().to_owned();
    let job = cluster.http().ended(&job);
    assert_eq!(job["state"], "failed");
    assert!(job["error"].as_str().unwrap().contains("not taken up again"), "{job}");
}
