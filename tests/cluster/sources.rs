//! Inputs that are named and not sent; and bodies that are refused for what they say of themselves.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tally_tests::{Answer, Cluster, Http, Options, input};

/// A server that gives for each path what it has been told to, byte by byte.
#[derive(Clone)]
struct Server {
    base: String,
    answers: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    /// The paths that were asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { base, answers: Arc::default(), asked: Arc::default() };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = serving.clone();
                std::thread::spawn(move || server.serve(stream));
            }
        });
        server
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let Some(Ok(first)) = lines.next() else { return };
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        self.asked.lock().unwrap().push(path.clone());
        let answer = self.answers.lock().unwrap().get(&path).cloned();
        match answer {
            Some(answer) => drop(stream.write_all(&answer)),
            // Says nothing, and waits until the other side has had enough.
            None if path.ends_with("/hang") => drop(stream.read(&mut [0; 16])),
            None => drop(stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")),
        }
    }

    fn give(&self, path: &str, head: &str, body: &[u8]) {
        let length = body.len();
        let mut answer =
            format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n").into_bytes();
        answer.extend_from_slice(body);
        self.give_raw(path, answer);
    }

    fn give_raw(&self, path: &str, answer: Vec<u8>) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    fn redirect(&self, path: &str, to: &str) {
        self.give(path, &format!("302 Found\r\nlocation: {to}"), b"");
    }
}

fn start(slaves: usize, flags: &[&str]) -> Cluster {
    let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    Cluster::start_with(slaves, Options { flags, ..Options::default() })
}

fn submit(http: &Http, submission: &Value) -> Answer {
    submit_with(http, submission, &[])
}

fn submit_with(http: &Http, submission: &Value, headers: &[(&str, &str)]) -> Answer {
    let headers = [&[("content-type", "application/json")], headers].concat();
    http.request("POST", "/api/v1/jobs", &headers, submission.to_string().as_bytes())
}

#[track_caller]
fn refused(answer: &Answer, status: u16, kind: &str, word: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.json()["type"], format!("/docs/http.md#{kind}"));
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(word), "{word:?} is not in {detail:?}");
}

#[test]
fn an_input_is_fetched_from_where_that_is_allowed() {
    let server = Server::start();
    let (plays, base) = (input::plays(91, 200, 600_000), server.base.clone());
    let expected = input::totals(plays.as_bytes());
    server.give("/data/plays.csv?key=secret", "200 OK", plays.as_bytes());
    let packed = zstd::encode_all(plays.as_bytes(), 1).unwrap();
    server.give("/data/packed", "200 OK\r\ncontent-encoding: zstd", &packed);
    server.redirect("/data/moved", "packed");
    let cluster = start(1, &["--allow-source", &format!("{base}/data")]);
    let http = cluster.http();
    for (path, name) in
        [("plays.csv?key=secret", "plays.csv"), ("packed", "packed"), ("moved", "moved")]
    {
        let source = json!({ "url": format!("{base}/data/{path}") });
        let answer = submit(&http, &json!({ "source": source, "priority": "high" }));
        assert_eq!(answer.status, 202, "{path}: {}", answer.text());
        let job = http.ended(answer.json()["id"].as_str().unwrap());
        assert_eq!((&job["name"], &job["priority"]), (&name.into(), &"high".into()));
        let result = http.get(&format!("/api/v1/jobs/{}/result", job["id"].as_str().unwrap()));
        assert!(result.body == expected, "{path}");
    }
    // A spec of its own, or a preset.
    server.give("/data/shop", "200 OK", b"name;price\nhat;7\nhat;1\n");
    let source = json!({ "url": format!("{base}/data/shop") });
    let answer = submit(&http, &json!({ "source": source, "preset": "products", "name": "x" }));
    let job = http.ended(answer.json()["id"].as_str().unwrap());
    assert_eq!((&job["name"], &job["result"]["rows"]), (&"x".into(), &1.into()));
}

#[test]
fn nothing_is_fetched_from_anywhere_else() {
    let server = Server::start();
    let base = server.base.clone();
    server.give("/database", "200 OK", b"Song,Date,Number of Plays\n");
    let cluster = start(0, &["--allow-source", &format!("{base}/data")]);
    let http = cluster.http();
    let host = base.trim_start_matches("http://");
    for url in [
        format!("{base}/database"),
        format!("{base}/data/../database"),
        format!("{base}/data/%2e%2e/database"),
        format!("http://user@{host}/data/x"),
        format!("https://{host}/data/x"),
        "http://127.0.0.1:1/data/x".to_owned(),
        "file:///etc/passwd".to_owned(),
        "nonsense".to_owned(),
    ] {
        let answer = submit(&http, &json!({ "source": { "url": url } }));
        refused(&answer, 422, "source-not-allowed", "");
    }
    assert_eq!(*server.asked.lock().unwrap(), Vec::<String>::new());
    assert_eq!(http.get("/api/v1/jobs").json()["jobs"], json!([]));
    for nonsense in [
        json!({}),
        json!({ "source": { "url": "x", "path": "y" } }),
        json!({ "source": { "path": "x" }, "prioritty": "high" }),
        json!({ "source": { "ftp": "x" } }),
    ] {
        refused(&submit(&http, &nonsense), 400, "bad-request", "JSON");
    }
    let bad = submit(&http, &json!({ "source": { "url": "x" }, "preset": "songs" }));
    assert_eq!(bad.status, 422);
    let wrong = tally_tests::tally().args(["master", "--allow-source", "example.org"]).output();
    assert_eq!(wrong.unwrap().status.code(), Some(2));
}

#[test]
fn a_source_that_gives_no_input_fails_the_job_and_says_how() {
    let server = Server::start();
    let base = server.base.clone();
    let header = b"Song,Date,Number of Plays\n";
    server.give("/broken", "500 Internal Server Error", header);
    server.give(
        "/page",
        "200 OK\r\ncontent-type: text/html; charset=utf-8",
        b"<html>log in</html>",
    );
    server.give("/brotli", "200 OK\r\ncontent-encoding: br", header);
    server.redirect("/away", "http://127.0.0.1:1/x");
    server.redirect("/round", "/round");
    let short = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nSong,Date,Number of Plays\na,";
    server.give_raw("/short", short.to_vec());
    server.give("/empty", "200 OK", b"");
    let flags = ["--allow-source", &base, "--source-timeout", "0.5"];
    let cluster = start(1, &flags);
    let http = cluster.http();
    for (path, word) in [
        ("/missing", "404"),
        ("/broken", "500"),
        ("/page", "web page"),
        ("/brotli", "br"),
        ("/away", "127.0.0.1:1"),
        ("/round", "more than 5"),
        ("/short", "broke off"),
        ("/hang", "silent"),
    ] {
        // A query may be a secret, and is never shown.
        let asked = if path == "/hang" { path.to_owned() } else { format!("{path}?token=hidden") };
        let known = server.answers.lock().unwrap().get(path).cloned();
        if let Some(answer) = known {
            server.give_raw(&asked, answer);
        }
        let url = format!("{base}{asked}");
        let answer = submit(&http, &json!({ "source": { "url": url } }));
        refused(&answer, 422, "source", word);
        let detail = answer.json()["detail"].clone();
        assert!(!detail.as_str().unwrap().contains("hidden"), "{detail}");
        let job = http.ended(answer.json()["job"].as_str().unwrap());
        assert_eq!((&job["state"], &job["error"]), (&"failed".into(), &detail));
        assert_eq!(job["input_lost"], true, "{path}");
    }
    // What comes, and is no input, is as bad as an upload of it.
    let empty = submit(&http, &json!({ "source": { "url": format!("{base}/empty") } }));
    refused(&empty, 422, "bad-input", "empty");
}

#[test]
fn a_submission_that_is_repeated_is_fetched_once() {
    let server = Server::start();
    let base = server.base.clone();
    let cluster = start(1, &["--allow-source", &base]);
    let http = cluster.http();
    let submit = |path: &str| {
        let submission = json!({ "source": { "url": format!("{base}{path}") } });
        submit_with(&http, &submission, &[("idempotency-key", "once")])
    };
    // A failure for want of the input does not count.
    refused(&submit("/plays.csv"), 422, "source", "404");
    let plays = input::plays(92, 20, 50_000);
    server.give("/plays.csv", "200 OK", plays.as_bytes());
    let first = submit("/plays.csv");
    assert_eq!(first.status, 202, "{}", first.text());
    let fetched = server.asked.lock().unwrap().len();
    server.give("/plays.csv", "200 OK", b"something else");
    let again = submit("/plays.csv");
    assert_eq!((again.status, &again.json()["id"]), (202, &first.json()["id"]));
    assert_eq!(server.asked.lock().unwrap().len(), fetched);
    refused(&submit("/others.csv"), 422, "key-reused", "");
}

#[test]
fn a_path_is_counted_where_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().canonicalize().unwrap().join(name);
    let dir = folder.path().to_str().unwrap();
    let cluster = start(1, &["--input-dir", dir, "--output-dir", dir]);
    let http = cluster.http();
    let plays = input::plays(93, 50, 100_000);
    std::fs::write(path("plays.csv"), &plays).unwrap();
    let submission = json!({
        "source": { "path": path("plays.csv") },
        "result_path": path("totals.csv"),
    });
    let answer = submit(&http, &submission);
    assert_eq!(answer.status, 202, "{}", answer.text());
    let job = http.ended(answer.json()["id"].as_str().unwrap());
    assert_eq!((&job["state"], &job["name"]), (&"succeeded".into(), &"plays.csv".into()));
    assert!(std::fs::read(path("totals.csv")).unwrap() == input::totals(plays.as_bytes()));
    let outside = submit(&http, &json!({ "source": { "path": "/etc/passwd" } }));
    refused(&outside, 422, "in-place", "--input-dir");
    let source = json!({ "path": path("plays.csv") });
    let outside = submit(&http, &json!({ "source": source, "result_path": "/tmp/x.csv" }));
    refused(&outside, 422, "in-place", "--output-dir");
}

#[test]
fn what_can_not_be_an_input_is_refused_at_once() {
    let cluster = start(0, &[]);
    let http = cluster.http();
    let plays = b"Song,Date,Number of Plays\na,2020-01-01,1\n";
    let post = |headers: &[(&str, &str)]| http.request("POST", "/api/v1/jobs", headers, plays);
    for kind in [
        "image/png",
        "Audio/mpeg",
        "video/mp4",
        "application/pdf",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/xml",
    ] {
        refused(&post(&[("content-type", kind)]), 415, "unsupported-media-type", "CSV");
    }
    let boundary = "multipart/form-data; boundary=b";
    let form = b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\
        Content-Type: image/gif\r\n\r\nGIF89a\r\n--b--\r\n";
    let answer = http.request("POST", "/api/v1/jobs", &[("content-type", boundary)], form);
    refused(&answer, 415, "unsupported-media-type", "CSV");
    for coding in ["br", "deflate", "gzip, gzip"] {
        let answer = post(&[("content-encoding", coding)]);
        refused(&answer, 415, "unsupported-encoding", coding);
        assert_eq!(answer.header("accept-encoding"), "gzip, zstd");
    }
    let mut stream = TcpStream::connect(http.address()).unwrap();
    let request = "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 411 "), "{answer}");
    assert!(answer.contains("#length-required"), "{answer}");
    assert_eq!(http.get("/api/v1/jobs").json()["jobs"], json!([]));
    // All else is looked at.
    for headers in [
        &[("content-encoding", "gzip")][..],
        &[("content-encoding", "identity")],
        &[("content-type", "application/vnd.ms-excel")],
        &[("content-type", "application/octet-stream")],
    ] {
        assert_eq!(post(headers).status, 202, "{headers:?}");
    }
}

#[test]
fn an_input_larger_than_the_master_takes_is_refused() {
    let server = Server::start();
    let base = server.base.clone();
    let cluster = start(1, &["--max-input", "100kB", "--allow-source", &base]);
    let http = cluster.http();
    let (small, large) = (input::plays(94, 20, 90_000), input::plays(95, 20, 400_000));
    assert_eq!(http.post("/api/v1/jobs", small.as_bytes()).status, 202);
    refused(&http.post("/api/v1/jobs", large.as_bytes()), 413, "too-large", "100000");
    // Nobody says how long it is.
    let chunks = large.as_bytes().chunks(50_000).map(|chunk| {
        let head = format!("{:x}\r\n", chunk.len()).into_bytes();
        [&head[..], chunk, b"\r\n"].concat()
    });
    let body = chunks.collect::<Vec<_>>().concat();
    let mut stream = TcpStream::connect(http.address()).unwrap();
    let head = "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
        Transfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    stream.write_all(b"0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("#too-large"), "{answer}");
    let form = http.form("/api/v1/jobs", &[("file", Some("x.csv"), large.as_bytes())]);
    refused(&form, 413, "too-large", "100000");
    let job = http.ended(form.json()["job"].as_str().unwrap());
    assert_eq!((&job["state"], &job["error"]), (&"failed".into(), &form.json()["detail"]));
    let length = large.len().to_string();
    let headers = [("tus-resumable", "1.0.0"), ("upload-length", &*length)];
    let tus = http.request("POST", "/api/v1/uploads", &headers, b"");
    refused(&tus, 413, "too-large", "100000");
    server.give("/large.csv", "200 OK", large.as_bytes());
    server.give_raw("/endless", [b"HTTP/1.1 200 OK\r\n\r\n", large.as_bytes()].concat());
    for path in ["/large.csv", "/endless"] {
        let answer = submit(&http, &json!({ "source": { "url": format!("{base}{path}") } }));
        refused(&answer, 413, "too-large", "100000");
        let job = http.ended(answer.json()["job"].as_str().unwrap());
        assert_eq!(job["state"], "failed", "{path}");
    }
}
