//! What one key may have and send: jobs at a time, bytes in a day, and turns beside others.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use bytes::Bytes;
use serde_json::Value;
use tally_proto::v1::jobs_client::JobsClient;
use tally_proto::v1::{SubmitFrame, SubmitHeader, submit_frame::Frame};
use tally_tests::{Answer, Cluster, Http, Process, eventually, input};
use tokio::runtime::Runtime;
use tonic::{Code, Request, Status};

use crate::keys::{Keys, PLAYS, ask, kind, text};

/// A request with more headers than the key's.
fn send(http: &Http, path: &str, key: &str, more: &[(&str, &str)], body: &[u8]) -> Answer {
    let bearer = format!("Bearer {key}");
    http.request("POST", path, &[&[("authorization", bearer.as_str())], more].concat(), body)
}

fn submit(http: &Http, key: &str, body: &[u8]) -> Answer {
    send(http, "/api/v1/jobs", key, &[("content-type", "text/csv")], body)
}

fn id(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Submits by gRPC, with that as the request's name if there is one.
fn call(cluster: &Cluster, key: &str, message_id: &str, data: &[u8]) -> Result<String, Status> {
    Runtime::new().unwrap().block_on(async {
        let mut client = JobsClient::connect(cluster.grpc().to_owned()).await.unwrap();
        let header = SubmitHeader { message_id: message_id.to_owned(), ..Default::default() };
        let data = data.chunks(1 << 20).map(|data| Frame::Data(Bytes::copy_from_slice(data)));
        let frames = std::iter::once(Frame::Header(header)).chain(data);
        let frames: Vec<_> = frames.map(|frame| SubmitFrame { frame: Some(frame) }).collect();
        let mut request = Request::new(tokio_stream::iter(frames));
        let bearer = format!("Bearer {key}").parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        Ok(client.submit(request).await?.into_inner().job_id)
    })
}

const TUS: [(&str, &str); 2] = [("tus-resumable", "1.0.0"), ("upload-length", "43")];

const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=b");

fn form() -> Vec<u8> {
    let head = b"--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n";
    [head, PLAYS, b"\r\n--b--\r\n"].concat()
}

#[test]
fn a_key_has_only_so_many_jobs_whichever_way_they_come() {
    let keys = Keys::new();
    let admin = keys.create("admin", "admin", &[]);
    let few = keys.create("few", "submit", &["--max-jobs", "2"]);
    let folder = keys.data().parent().unwrap().join("inputs");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a.csv"), PLAYS).unwrap();
    let folder = folder.to_str().unwrap();
    // Nobody counts: no job ends by itself.
    let mut cluster = keys.cluster(&["--input-dir", folder], &admin);
    let http = cluster.http();
    let table = send(&http, "/api/v1/tables", &admin, &[], br#"{"preset":"products"}"#);
    assert_eq!(table.status, 201, "{}", table.text());
    let first = id(&submit(&http, &few, PLAYS));
    let named = [("idempotency-key", "once"), ("content-type", "text/csv")];
    let second = id(&send(&http, "/api/v1/jobs", &few, &named, PLAYS));
    assert_eq!(http_job(&http, &admin, &first)["owner"], few[6..18]);
    let in_place = format!(r#"{{"source":{{"path":"{folder}/a.csv"}},"preset":"plays"}}"#);
    let url = br#"{"source":{"url":"http://127.0.0.1:9/a.csv"},"preset":"plays"}"#;
    let json = ("content-type", "application/json");
    let too_many = |http: &Http| {
        for (path, headers, body) in [
            ("/api/v1/jobs", &[("content-type", "text/csv")][..], PLAYS),
            ("/api/v1/jobs", &[FORM], &form()),
            ("/api/v1/jobs", &[json], in_place.as_bytes()),
            ("/api/v1/uploads", &TUS, b""),
            ("/api/v1/tables/products/ingests", &[], b"sku,name,description\na,b,c\n"),
            ("/jobs/count/", &[FORM], &form()),
        ] {
            let refused = send(http, path, &few, headers, body);
            assert_eq!(refused.status, 429, "{path}: {}", refused.text());
            assert_eq!(kind(&refused), "too-many-jobs", "{path}");
            assert_eq!(refused.header("retry-after"), "5", "{path}");
            assert!(refused.text().contains("as it may (2)"), "{}", refused.text());
        }
        // What may not be fetched is told first.
        assert_eq!(send(http, "/api/v1/jobs", &few, &[json], url).status, 422);
    };
    too_many(&http);
    let refused = call(&cluster, &few, "", PLAYS).unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.message().contains("as it may (2)"), "{refused}");
    // One who says before that he will send is not read from: nothing of the body is here yet.
    let head = format!(
        "POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {few}\r\n\
         content-length: 100000000\r\nexpect: 100-continue\r\n\r\n"
    );
    assert!(answer_to(&http, head.as_bytes()).starts_with("HTTP/1.1 429"));
    // A repeat opens no job, and no other key is held up.
    assert_eq!(id(&send(&http, "/api/v1/jobs", &few, &named, PLAYS)), second);
    assert_eq!(
        call(&cluster, &few, "once", PLAYS).map_err(|error| error.code()),
        Ok(second.clone())
    );
    let other = id(&submit(&http, &admin, PLAYS));
    // The master remembers whose they are.
    cluster.restart_master(Process::kill);
    let http = cluster.http();
    too_many(&http);
    assert_eq!(id(&send(&http, "/api/v1/jobs", &few, &named, PLAYS)), second);
    assert_eq!(http_job(&http, &admin, &second)["owner"], few[6..18]);
    assert_eq!(http_job(&http, &admin, &other)["owner"], admin[6..18]);
    assert_eq!(ask(&http, "POST", &format!("/api/v1/jobs/{first}/cancel"), &few, b"").status, 200);
    id(&submit(&http, &few, PLAYS));
    too_many(&http);
    let metrics = ask(&http, "GET", "/metrics", &admin, b"").text();
    let reason = "tally_requests_refused_total{reason=\"too_many_jobs\"}";
    assert!(metrics.contains(reason), "{metrics}");
}

#[test]
fn of_many_at_once_no_more_get_in_than_may() {
    let keys = Keys::new();
    let admin = keys.create("admin", "admin", &[]);
    let few = keys.create("few", "submit", &[]);
    let cluster = keys.cluster(&["--key-max-jobs", "5"], &admin);
    let http = cluster.http();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let some = || (0..4).map(|_| submit(&http, &few, PLAYS).status).collect::<Vec<_>>();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(some)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let of = |status| statuses.iter().filter(|found| **found == status).count();
    assert_eq!((of(202), of(429)), (5, 27), "{statuses:?}");
}

fn http_job(http: &Http, key: &str, id: &str) -> Value {
    ask(http, "GET", &format!("/api/v1/jobs/{id}"), key, b"").json()
}

/// What is answered to these bytes, as far as it comes before a pause.
fn answer_to(http: &Http, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(http.address()).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    // It closes behind an answer that came before the body.
    stream.read_to_end(&mut answer).unwrap();
    text(&answer)
}

fn plays(bytes: usize) -> Vec<u8> {
    let row = b"a,2021-01-01,1\n";
    let mut plays = b"Song,Date,Number of Plays\n".to_vec();
    while plays.len() + row.len() <= bytes {
        plays.extend_from_slice(row);
    }
    plays
}

/// The same as chunks, whose length nobody knows before.
fn chunked(path: &str, key: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\
         content-type: text/csv\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n",
        body.len()
    );
    [head.as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
}

#[test]
fn a_key_sends_only_so_many_bytes_in_a_day() {
    let keys = Keys::new();
    let admin = keys.create("admin", "admin", &[]);
    let small = keys.create("small", "admin", &["--bytes-per-day", "10kB"]);
    let mut cluster = keys.cluster(&[], &admin);
    let http = cluster.http();
    let refused = |answer: &Answer| {
        assert_eq!(answer.status, 429, "{}", answer.text());
        assert_eq!(kind(answer), "too-many-bytes");
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=24 * 3600).contains(&wait), "{wait}");
    };
    // What is announced to be too much is refused before it comes.
    refused(&submit(&http, &small, &plays(20_000)));
    let upload = [("tus-resumable", "1.0.0"), ("upload-length", "10001")];
    refused(&send(&http, "/api/v1/uploads", &small, &upload, b""));
    let first = id(&submit(&http, &small, &plays(6000)));
    refused(&submit(&http, &small, &plays(6000)));
    // What is not announced is taken until it is too much, and is said to be then.
    let answer = answer_to(&http, &chunked("/api/v1/jobs", &small, &plays(6000)));
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert!(answer.contains("too-many-bytes") && answer.contains("retry-after"), "{answer}");
    let streamed = call(&cluster, &small, "later", &plays(6000)).unwrap_err();
    assert_eq!(streamed.code(), Code::ResourceExhausted, "{streamed}");
    assert!(streamed.message().contains("10000 bytes"), "{streamed}");
    let failed = ask(&http, "GET", "/api/v1/jobs?state=failed", &admin, b"").json();
    assert_eq!(failed["jobs"].as_array().unwrap().len(), 2, "{failed}");
    // The bytes of a job that is gone were sent all the same, whatever became of the master.
    let gone = ask(&http, "DELETE", &format!("/api/v1/jobs/{first}"), &small, b"");
    assert_eq!(gone.status, 204);
    cluster.restart_master(Process::kill);
    let http = cluster.http();
    refused(&submit(&http, &small, &plays(6000)));
    id(&submit(&http, &small, &plays(3900)));
    // Two that would fit alone do not fit together.
    refused(&submit(&http, &small, &plays(3900)));
    id(&submit(&http, &admin, &plays(20_000)));
    let listed = keys.run(&["list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed[1]["limits"], serde_json::json!({"bytes_per_day": 10_000}));
    let listed = text(&keys.run(&["list"]).stdout);
    let line = listed.lines().find(|line| line.contains("small")).unwrap();
    assert!(listed.contains("BYTES/DAY") && line.contains("10.0 kB"), "{listed}");
}

#[test]
fn compressed_bytes_count_as_they_are_sent_and_files_in_place_as_they_lie() {
    let keys = Keys::new();
    let small = keys.create("small", "admin", &["--bytes-per-day", "10kB"]);
    let folder = keys.data().parent().unwrap().join("inputs");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a.csv"), plays(6000)).unwrap();
    let folder = folder.to_str().unwrap();
    let cluster = keys.cluster(&["--input-dir", folder], &small);
    let http = cluster.http();
    let packed = zstd::encode_all(&plays(100_000)[..], 3).unwrap();
    assert!(packed.len() < 2000);
    id(&submit(&http, &small, &packed));
    let json = [("content-type", "application/json")];
    let in_place = format!(r#"{{"source":{{"path":"{folder}/a.csv"}},"preset":"plays"}}"#);
    id(&send(&http, "/api/v1/jobs", &small, &json, in_place.as_bytes()));
    let refused = send(&http, "/api/v1/jobs", &small, &json, in_place.as_bytes());
    assert_eq!((refused.status, kind(&refused).as_str()), (429, "too-many-bytes"));
}

#[test]
fn a_heap_of_jobs_does_not_keep_another_key_waiting() {
    let keys = Keys::new();
    let admin = keys.create("admin", "admin", &[]);
    let (many, one) = (keys.create("many", "submit", &[]), keys.create("one", "submit", &[]));
    let mut cluster = keys.cluster(&[], &admin);
    let http = cluster.http();
    let body = input::plays(5, 10, 2000);
    for _ in 0..60 {
        id(&submit(&http, &many, body.as_bytes()));
    }
    let own: Vec<_> = (0..3).map(|_| id(&submit(&http, &one, body.as_bytes()))).collect();
    // One at a time.
    cluster.set_options(keys.slaves_by(&keys.token_file(), &admin));
    cluster.add_slave(1);
    let jobs = eventually("all jobs to end", || {
        let jobs = ask(&http, "GET", "/api/v1/jobs?limit=1000", &admin, b"").json();
        let jobs = jobs["jobs"].as_array().unwrap().clone();
        jobs.iter().all(|job| job["state"] == "succeeded").then_some(jobs)
    });
    let ended = |job: &Value| job["ended_at"].as_str().unwrap().to_owned();
    let is_own = |job: &&Value| own.iter().any(|id| job["id"] == id.as_str());
    let last = jobs.iter().filter(is_own).map(ended).max().unwrap();
    let before = jobs.iter().filter(|job| !is_own(job) && ended(job) < last).count();
    // It has three turns of the first six; what is merged at the same time may come in any order.
    assert!(before < 20, "{before} of the other key's 60 jobs went before");
}
