//! What is open ends with what it was opened by, and nothing else does.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use futures_util::{StreamExt as _, stream};
use tally_proto::v1::jobs_client::JobsClient;
use tally_proto::v1::tables_client::TablesClient;
use tally_proto::v1::{
    SubmitFrame, SubmitHeader, WatchClusterRequest, WatchRequest, WatchTableRequest,
    submit_frame::Frame,
};
use tally_tests::{Http, PATIENCE, eventually};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tonic::{Code, Request, Status, Streaming};

use crate::keys::{Keys, PLAYS, ask, slaves, text};

/// Bytes after which a stream is taken to go on: what happens in a cluster at rest within minutes.
const MOST: usize = 128 << 10;

/// A connection on which something goes on.
struct Open(TcpStream);

impl Open {
    fn send(http: &Http, request: &[u8]) -> Self {
        let mut stream = TcpStream::connect(http.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request).unwrap();
        Self(stream)
    }

    fn get(http: &Http, path: &str, key: &str) -> Self {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\
             accept: text/event-stream\r\nconnection: close\r\n\r\n"
        );
        Self::send(http, request.as_bytes())
    }

    /// Reads until something has come.
    fn until(&mut self, what: &[u8]) {
        let (mut come, mut piece) = (Vec::new(), [0; 4096]);
        while !come.windows(what.len()).any(|window| window == what) {
            let n = self.0.read(&mut piece).unwrap();
            assert_ne!(n, 0, "{:?} does not come: {}", text(what), text(&come));
            come.extend_from_slice(&piece[..n]);
            assert!(come.len() < MOST, "{:?} does not come", text(what));
        }
    }

    /// Reads to the end, of which there has to be one.
    fn rest(mut self) -> String {
        let (mut rest, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            let n = self.0.read(&mut piece).unwrap();
            if n == 0 {
                return text(&rest);
            }
            rest.extend_from_slice(&piece[..n]);
            // What a stream says every 15 seconds on which nothing happens.
            let quiet = text(&rest).matches(": still here").count();
            assert!(quiet < 4 && rest.len() < MOST, "it goes on: {}", text(&rest));
        }
    }
}

/// Asks for an event stream over gRPC with a key.
fn with<T>(request: T, key: &str) -> Request<T> {
    let mut request = Request::new(request);
    let bearer = format!("Bearer {key}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    request
}

async fn end<T>(mut stream: Streaming<T>) -> Option<Status> {
    let last = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    };
    timeout(PATIENCE, last).await.expect("an end")
}

/// Makes the table `products`, and a job that does not end, since nobody counts it; gives its id.
fn table_and_job(http: &Http, admin: &str) -> String {
    let made = ask(http, "POST", "/api/v1/tables", admin, br#"{"preset":"products"}"#);
    assert_eq!(made.status, 201, "{}", made.text());
    let job = ask(http, "POST", "/api/v1/jobs", admin, PLAYS).json();
    job["id"].as_str().unwrap().to_owned()
}

#[test]
fn streams_of_events_end_with_their_key_and_no_others() {
    let keys = Keys::new();
    let admin = keys.create("admin", "admin", &[]);
    let (look, stay) = (keys.create("look", "read", &[]), keys.create("stay", "read", &[]));
    let cluster = keys.cluster(&[], &admin);
    let http = cluster.http();
    let job = format!("/api/v1/jobs/{}/events", table_and_job(&http, &admin));
    let all = "/api/v1/events";
    let mut open: Vec<_> = [(all, "snapshot"), (&job, "job")]
        .map(|(path, first)| {
            let mut stream = Open::get(&http, path, &look);
            stream.until(format!("event: {first}\n").as_bytes());
            stream
        })
        .into();
    let mut of_table = Open::get(&http, "/api/v1/tables/products/changes", &look);
    of_table.until(b"\r\n\r\n");
    open.push(of_table);
    let mut other = Open::get(&http, all, &stay);
    other.until(b"event: snapshot\n");
    let mut socket = web_socket(&http, &look);
    assert!(keys.run(&["revoke", "look"]).status.success());
    for stream in open {
        stream.rest();
    }
    // The frame in which the server disconnects: text of two bytes.
    socket.until(b"\x81\x0241");
    // Whoever has another key goes on.
    let another = ask(&http, "POST", "/api/v1/jobs", &admin, PLAYS).json();
    other.until(another["id"].as_str().unwrap().as_bytes());
}

/// A WebSocket that has joined Socket.IO's namespace, and has been told how all is.
fn web_socket(http: &Http, key: &str) -> Open {
    let request = format!(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: localhost\r\n\
         authorization: Bearer {key}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    let mut socket = Open::send(http, request.as_bytes());
    socket.until(b"\"sid\"");
    // Masked by zeros, which changes nothing.
    socket.0.write_all(b"\x81\x82\x00\x00\x00\x0040").unwrap();
    socket.until(b"42[\"snapshot\"");
    socket
}

#[test]
fn calls_that_watch_end_with_their_key_and_say_why() {
    let keys = Keys::new();
    let admin = keys.create("admin", "admin", &[]);
    let look = keys.create("look", "read", &[]);
    let cluster = keys.cluster(&[], &admin);
    let http = cluster.http();
    let job_id = table_and_job(&http, &admin);
    Runtime::new().unwrap().block_on(async {
        let mut jobs = JobsClient::connect(cluster.grpc().to_owned()).await.unwrap();
        let mut tables = TablesClient::connect(cluster.grpc().to_owned()).await.unwrap();
        let watch = |key: &str| with(WatchRequest { job_id: job_id.clone() }, key);
        let job = jobs.watch(watch(&look)).await.unwrap().into_inner();
        let mut other = jobs.watch(watch(&admin)).await.unwrap().into_inner();
        let all = with(WatchClusterRequest::default(), &look);
        let all = jobs.watch_cluster(all).await.unwrap().into_inner();
        let table = WatchTableRequest { table: "products".to_owned(), ..Default::default() };
        let table = tables.watch(with(table, &look)).await.unwrap().into_inner();
        tokio::task::block_in_place(|| assert!(keys.run(&["revoke", "look"]).status.success()));
        for ended in [end(job).await, end(all).await, end(table).await] {
            let ended = ended.expect("an end that says why");
            assert_eq!(ended.code(), Code::Unauthenticated, "{ended}");
            assert!(ended.message().contains("revoked"), "{ended}");
        }
        let cancel = format!("/api/v1/jobs/{job_id}/cancel");
        tokio::task::block_in_place(|| ask(&http, "POST", &cancel, &admin, b""));
        let mut last = None;
        while let Some(view) = other.message().await.unwrap() {
            last = Some(view.state());
        }
        assert_eq!(last, Some(tally_proto::v1::JobState::Cancelled));
    });
}

#[test]
fn an_upload_under_way_ends_with_its_key() {
    let keys = Keys::new();
    let admin = keys.create("admin", "admin", &[]);
    let submit = keys.create("ci", "submit", &[]);
    let cluster = keys.cluster(&[], &admin);
    let http = cluster.http();
    let head = format!(
        "POST /api/v1/jobs?name=long HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {submit}\r\n\
         content-type: text/csv\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n",
        PLAYS.len()
    );
    let upload = Open::send(&http, &[head.as_bytes(), PLAYS, b"\r\n"].concat());
    let state = || {
        let jobs = ask(&http, "GET", "/api/v1/jobs", &admin, b"").json();
        jobs["jobs"][0]["state"].as_str().unwrap_or_default().to_owned()
    };
    eventually("the upload to begin", || (state() == "receiving").then_some(()));
    assert!(keys.run(&["revoke", "ci"]).status.success());
    let answer = upload.rest();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.contains("revoked"), "{answer}");
    eventually("the job to fail", || (state() == "failed").then_some(()));
}

#[test]
fn a_call_that_uploads_ends_with_its_key() {
    let keys = Keys::new();
    let admin = keys.create("admin", "admin", &[]);
    let submit = keys.create("ci", "submit", &[]);
    let cluster = keys.cluster(&[], &admin);
    let http = cluster.http();
    let runtime = Runtime::new().unwrap();
    let upload = {
        let (grpc, submit) = (cluster.grpc().to_owned(), submit.clone());
        runtime.spawn(async move {
            let mut client = JobsClient::connect(grpc).await.unwrap();
            let frames = [Frame::Header(SubmitHeader::default()), Frame::Data(PLAYS.into())];
            let frames = frames.map(|frame| SubmitFrame { frame: Some(frame) });
            // There is more to come, and it never does.
            let frames = stream::iter(frames).chain(stream::pending());
            client.submit(with(frames, &submit)).await.unwrap_err()
        })
    };
    eventually("the upload to begin", || {
        let jobs = ask(&http, "GET", "/api/v1/jobs", &admin, b"").json();
        (jobs["jobs"][0]["state"] == "receiving").then_some(())
    });
    assert!(keys.run(&["revoke", "ci"]).status.success());
    let ended = runtime.block_on(async { timeout(PATIENCE, upload).await });
    let ended = ended.expect("an end").unwrap();
    assert_eq!(ended.code(), Code::Unauthenticated, "{ended}");
    assert!(ended.message().contains("revoked"), "{ended}");
}

#[test]
fn the_first_key_ends_what_was_open_to_all() {
    let keys = Keys::new();
    let cluster = keys.cluster(&[], "tally_000000000000_x");
    let anybody = b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut open = Open::send(&cluster.http(), anybody);
    open.until(b"event: snapshot\n");
    keys.create("admin", "admin", &[]);
    open.rest();
}

#[test]
fn a_session_that_is_ended_ends_what_its_pages_hear() {
    let keys = Keys::new();
    let admin = keys.create("admin", "admin", &[]);
    let cluster = keys.cluster(&[], &admin);
    let http = cluster.http();
    let body = format!(r#"{{"key":"{admin}"}}"#);
    let json = [("content-type", "application/json")];
    let begun = http.request("POST", "/session", &json, body.as_bytes());
    assert_eq!(begun.status, 200, "{}", begun.text());
    let cookie = begun.header("set-cookie").split(';').next().unwrap().to_owned();
    let csrf = begun.json()["csrf"].as_str().unwrap().to_owned();
    let request = format!(
        "GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncookie: {cookie}\r\nconnection: close\r\n\r\n"
    );
    let mut open = Open::send(&http, request.as_bytes());
    open.until(b"event: snapshot\n");
    let headers = [("cookie", cookie.as_str()), ("x-csrf-token", csrf.as_str())];
    assert_eq!(http.request("DELETE", "/session", &headers, b"").status, 204);
    open.rest();
}

#[test]
fn a_token_that_is_ended_puts_its_slaves_out() {
    let keys = Keys::new();
    let admin = keys.create("admin", "admin", &[]);
    let mut cluster = keys.cluster(&[], &admin);
    let http = cluster.http();
    let old = keys.file("old", &keys.printed(&["join-token"]));
    cluster.set_options(keys.slaves_by(&old, &admin));
    cluster.add_slave(1);
    let joined = |count: usize| {
        eventually("slaves to be as many", || (slaves(&http, &admin).len() == count).then_some(()));
    };
    joined(1);
    // The first time it still holds; nobody gives it work that would tell.
    for _ in 0..2 {
        assert!(keys.run(&["join-token", "--rotate"]).status.success());
    }
    joined(0);
    let now = keys.file("new", text(&keys.run(&["join-token"]).stdout).trim());
    cluster.set_options(keys.slaves_by(&now, &admin));
    cluster.add_slave(1);
    joined(1);
}
