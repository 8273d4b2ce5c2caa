//! Floods of HTTP/2 frames against both ports: whoever sends them is put out, or served no more than others;
//! the master answers others meanwhile, and its memory stays what it is.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tally_tests::{Cluster, PATIENCE};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frames in a flood, as far as the master takes them.
const FRAMES: usize = 60_000;

/// Frames that are written at once.
const AT_ONCE: usize = 200;

/// The master's own memory, at most, in bytes: without floods it has 40 to 60 MiB.
const MEMORY: u64 = 110 << 20;

// Kinds of frames and their flags. Source: RFC 9113, section 6.
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// `POST /healthz` (or `GET`) of `localhost`, compressed as RFC 7541 has it.
fn head(post: bool) -> Vec<u8> {
    let mut head = vec![if post { 0x83 } else { 0x82 }, 0x86, 0x04, 8];
    head.extend_from_slice(b"/healthz");
    head.extend_from_slice(&[0x41, 9]);
    head.extend_from_slice(b"localhost");
    head
}

/// The id of the `n`th stream of a client.
fn stream(n: usize) -> u32 {
    2 * n as u32 + 1
}

/// Sends a flood, made of what `frames` gives for each number, as long as it is taken; reads what comes back
/// unless `deaf`. Gives how many of these were taken.
fn flood(address: &str, deaf: bool, frames: impl Fn(usize) -> Vec<u8>) -> usize {
    let mut connection = TcpStream::connect(address).unwrap();
    // One who reads nothing gets stuck in the end, which is as good as being put out.
    let patience = if deaf { Duration::from_secs(2) } else { PATIENCE };
    connection.set_write_timeout(Some(patience)).unwrap();
    let mut reading = connection.try_clone().unwrap();
    let reader = (!deaf).then(|| {
        std::thread::spawn(move || {
            let mut buffer = [0; 64 << 10];
            while matches!(reading.read(&mut buffer), Ok(n) if n > 0) {}
        })
    });
    let greeting = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    connection.write_all(&greeting).unwrap();
    let mut taken = 0;
    while taken < FRAMES {
        let some: Vec<u8> = (taken..taken + AT_ONCE).flat_map(&frames).collect();
        if connection.write_all(&some).is_err() {
            break;
        }
        taken += AT_ONCE;
    }
    let _ = connection.shutdown(std::net::Shutdown::Both);
    if let Some(reader) = reader {
        reader.join().unwrap();
    }
    taken
}

/// Has both ports flooded by several at a time, and others served meanwhile. Gives how many of the frames were
/// taken at most.
fn endured(deaf: bool, frames: impl Fn(usize) -> Vec<u8> + Sync) -> usize {
    let mut cluster = Cluster::start(0);
    let http = cluster.http().address().to_owned();
    let grpc = cluster.grpc().trim_start_matches("http://").to_owned();
    let most = std::thread::scope(|scope| {
        let crowd: Vec<_> = [&http, &grpc, &http, &grpc]
            .into_iter()
            .map(|address| scope.spawn(|| flood(address, deaf, &frames)))
            .collect();
        while !crowd.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            assert_eq!(cluster.http().get("/healthz").status, 200);
            assert!(cluster.run(["slaves"]).status.success());
        }
        crowd.into_iter().map(|one| one.join().unwrap()).max().unwrap_or_default()
    });
    assert!(cluster.run(["slaves"]).status.success());
    let peak = cluster.master().peak_own_memory();
    assert!(peak < MEMORY, "{} MiB", peak >> 20);
    most
}

#[test]
fn streams_that_are_taken_back_at_once() {
    let head = head(false);
    endured(false, |n| {
        let cancel = 8u32.to_be_bytes();
        let open = frame(HEADERS, END_HEADERS | END_STREAM, stream(n), &head);
        [open, frame(RST_STREAM, 0, stream(n), &cancel)].concat()
    });
}

#[test]
fn streams_that_the_master_has_to_reset() {
    // A window's update of nothing is an error of that stream ("made you reset", CVE-2025-8671).
    let head = head(true);
    let taken = endured(false, |n| {
        let open = frame(HEADERS, END_HEADERS, stream(n), &head);
        [open, frame(WINDOW_UPDATE, 0, stream(n), &[0; 4])].concat()
    });
    assert!(taken < FRAMES, "nobody was put out");
}

#[test]
fn more_streams_than_there_may_be() {
    // Their bodies never end, so that they stay open.
    let head = head(true);
    endured(false, |n| frame(HEADERS, END_HEADERS, stream(n), &head));
}

#[test]
fn headers_that_go_on_for_ever() {
    let head = head(false);
    let taken = endured(false, |n| match n {
        0 => frame(HEADERS, 0, 1, &head),
        // A header whose name and value are literal: `x: xxx…`
        _ => frame(CONTINUATION, 0, 1, &[&[0x00, 1, b'x', 100][..], &[b'x'; 100]].concat()),
    });
    assert!(taken < FRAMES, "nobody was put out");
}

#[test]
fn pings_and_settings_without_end() {
    let settings = [0, 3, 0, 0, 0, 100];
    for deaf in [false, true] {
        endured(deaf, |n| match n % 2 {
            0 => frame(PING, 0, 0, &(n as u64).to_be_bytes()),
            _ => frame(SETTINGS, 0, 0, &settings),
        });
    }
}

#[test]
fn answers_that_are_asked_for_and_never_read() {
    let head = head(false);
    endured(true, |n| frame(HEADERS, END_HEADERS | END_STREAM, stream(n), &head));
}

#[test]
fn a_message_that_says_it_is_endless() {
    let cluster = Cluster::start(0);
    let grpc = cluster.grpc().trim_start_matches("http://").to_owned();
    let answer = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let connection = tokio::net::TcpStream::connect(&grpc).await.unwrap();
        let (client, driver) = h2::client::handshake(connection).await.unwrap();
        let driver = tokio::spawn(driver);
        let mut statuses = Vec::new();
        for method in ["tally.v1.Jobs/Get", "tally.v1.Jobs/Submit", "tally.v1.Tables/Apply"] {
            let mut client = client.clone().ready().await.unwrap();
            let request = hyper::Request::post(format!("http://{grpc}/{method}"))
                .header("content-type", "application/grpc")
                .header("te", "trailers");
            let (answer, mut body) = client.send_request(request.body(()).unwrap(), false).unwrap();
            // Not compressed, 4 GiB long; and it goes on.
            body.send_data(bytes::Bytes::from_static(b"\0\xff\xff\xff\xffxxxx"), false).unwrap();
            let answer = answer.await.unwrap();
            let (parts, mut body) = answer.into_parts();
            let mut headers = parts.headers;
            while let Some(Ok(data)) = body.data().await {
                let _ = body.flow_control().release_capacity(data.len());
            }
            headers.extend(body.trailers().await.ok().flatten().unwrap_or_default());
            statuses.push(headers["grpc-status"].to_str().unwrap().to_owned());
        }
        driver.abort();
        statuses
    });
    // OUT_OF_RANGE
    assert_eq!(answer, ["11"; 3]);
    assert!(cluster.run(["slaves"]).status.success());
}
