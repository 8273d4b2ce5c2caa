//! Requests of any content to a master that lives in this process.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::time::timeout;
use tower::ServiceExt;
use uuid::Uuid;

use crate::choose;
use crate::served::{Served, Stage};

/// UUIDs that stand in an input for what is only known when it is run, as text or as 16 bytes: a job
/// that has succeeded, one that runs, an upload that has not ended, a task, its slave's session.
pub const MARKERS: [Uuid; 5] = [marker(1), marker(2), marker(3), marker(4), marker(5)];

const fn marker(n: u128) -> Uuid {
    Uuid::from_u128(0x5555_5555_5555_7555_8555_5555_5555_5550 | n)
}

/// How long an answer may take. One that is late is a request that waits for nothing.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between the requests of one input.
const NEXT: &[u8] = b"\n%%\n";

/// Puts what there is in the place of the markers.
fn fill(data: &[u8], stage: &Stage) -> Vec<u8> {
    let ids = [
        stage.done.uuid(),
        stage.running.uuid(),
        stage.upload.uuid(),
        stage.task.uuid(),
        stage.session.uuid(),
    ];
    let mut data = data.to_vec();
    for (marker, id) in MARKERS.iter().zip(ids) {
        replace(&mut data, marker.to_string().as_bytes(), id.to_string().as_bytes());
        replace(&mut data, marker.as_bytes(), id.as_bytes());
    }
    data
}

/// Replaces `from` by `to`, which is as long.
fn replace(data: &mut [u8], from: &[u8], to: &[u8]) {
    let mut at = 0;
    while at + from.len() <= data.len() {
        if data[at..].starts_with(from) {
            data[at..at + from.len()].copy_from_slice(to);
            at += from.len();
        } else {
            at += 1;
        }
    }
}

/// The parts of `data` between any `separator`.
fn parts<'a>(data: &'a [u8], separator: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let data = rest?;
        let at = data.windows(separator.len()).position(|window| window == separator);
        let (part, after) = match at {
            Some(at) => (&data[..at], Some(&data[at + separator.len()..])),
            None => (data, None),
        };
        rest = after;
        Some(part)
    })
}

/// Up to four HTTP requests, each as its request line, its headers, an empty line and its body: every
/// one is answered, none with an internal error, and every refusal is a `problem+json`.
pub fn http(data: &[u8]) {
    let served = Served::get();
    served.runtime.block_on(async {
        let data = fill(data, &served.stage().await);
        for part in parts(&data, NEXT).take(4) {
            let Some(request) = http_request(part) else { continue };
            let (method, uri) = (request.method().clone(), request.uri().clone());
            let what = || format!("{method} {uri}");
            let answer = timeout(PATIENCE, served.http.clone().oneshot(request)).await;
            let Ok(Ok(answer)) = answer else { panic!("{} is not answered", what()) };
            let (head, body) = answer.into_parts();
            let body = timeout(PATIENCE, body.collect()).await;
            let Ok(Ok(body)) = body else { panic!("the answer to {} does not end", what()) };
            let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
            let busy = StatusCode::SERVICE_UNAVAILABLE;
            assert!(
                !head.status.is_server_error() || head.status == busy,
                "{}: {} {text}",
                what(),
                head.status
            );
            let kind = head.headers.get("content-type").map(HeaderValue::as_bytes);
            let problem = kind == Some(b"application/problem+json");
            let refused = head.status.is_client_error() && method != Method::HEAD;
            assert!(!refused || problem, "{}: {} {text}", what(), head.status);
        }
    });
}

/// A request as its text says; `None` where HTTP itself would not let it through.
fn http_request(part: &[u8]) -> Option<Request<Body>> {
    let end = part.windows(2).position(|window| window == b"\n\n");
    let (head, body) = match end {
        Some(end) => (&part[..end], &part[end + 2..]),
        None => (part, &[][..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut words = lines.next()?.splitn(2, |byte| *byte == b' ');
    let method = Method::from_bytes(words.next()?).ok()?;
    let uri = Uri::try_from(words.next()?).ok()?;
    let mut request = Request::builder().method(method).uri(uri);
    for line in lines {
        let at = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..at]).ok()?;
        request = request.header(name, HeaderValue::from_bytes(line[at + 1..].trim_ascii()).ok()?);
    }
    // In two pieces, so that what lies across them is met too.
    let (one, two) = body.split_at(body.len() / 2);
    request.body(stream(vec![Bytes::copy_from_slice(one), Bytes::copy_from_slice(two)])).ok()
}

/// A body of such pieces.
fn stream(pieces: Vec<Bytes>) -> Body {
    Body::from_stream(tokio_stream::iter(pieces.into_iter().map(Ok::<_, Infallible>)))
}

/// The methods, each with how many messages are taken from its reply.
const METHODS: [(&str, usize); 15] = [
    ("Jobs/Submit", 1),
    ("Jobs/FindUpload", 1),
    ("Jobs/Get", 1),
    ("Jobs/List", 1),
    // The rest comes when the job changes.
    ("Jobs/Watch", 1),
    ("Jobs/Result", 8),
    ("Jobs/Rejects", 8),
    ("Jobs/GetReceipt", 1),
    ("Jobs/Input", 8),
    ("Jobs/Cancel", 1),
    ("Jobs/Delete", 1),
    ("Jobs/Slaves", 1),
    ("Cluster/Join", 1),
    ("Cluster/StreamTask", 8),
    ("Cluster/ReturnPartial", 1),
];

/// gRPC's codes for errors that are the server's own.
const UNKNOWN: &[u8] = b"2";
const INTERNAL: &[u8] = b"13";
const DATA_LOSS: &[u8] = b"15";

/// A call of any method with any messages, each behind its length in two bytes: it is answered, and
/// not with an internal error.
pub fn grpc(mut data: &[u8]) {
    let (method, most) = METHODS[usize::from(choose(&mut data)) % METHODS.len()];
    let served = Served::get();
    served.runtime.block_on(async {
        let data = fill(data, &served.stage().await);
        let request = Request::post(format!("/tally.v1.{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(stream(frames(&data)))
            .expect("a valid request");
        let answer = timeout(PATIENCE, served.grpc.clone().oneshot(request)).await;
        let Ok(Ok(answer)) = answer else { panic!("{method} is not answered") };
        let (head, mut body) = answer.into_parts();
        let (mut trailers, mut taken) = (head.headers, 0);
        while taken < most {
            let Ok(frame) = timeout(PATIENCE, body.frame()).await else {
                panic!("the answer to {method} does not end");
            };
            let Some(frame) = frame else { break };
            match frame.expect("the answer does not break off").into_trailers() {
                Ok(last) => trailers = last,
                Err(_) => taken += 1,
            }
        }
        let status = trailers.get("grpc-status").map(HeaderValue::as_bytes);
        let message = trailers.get("grpc-message").map(HeaderValue::as_bytes).unwrap_or_default();
        // So tonic says that a message is not one, or not there; and so the streams of bulk bytes do.
        let malformed = message.starts_with(b"failed%20to%20decode")
            || message.starts_with(b"a%20message%20can%20not%20be%20decoded")
            || message == b"the%20stream%20ended%20within%20a%20message"
            || message == b"the%20request%20has%20no%20message"
            || message.starts_with(b"Missing%20request");
        // So a patient slave is told that its partial arrived damaged.
        let damaged = method == "Cluster/ReturnPartial" && status == Some(DATA_LOSS);
        let own = matches!(status, Some(UNKNOWN | DATA_LOSS | INTERNAL));
        let own = own && !malformed && !damaged;
        assert!(!own, "{method}: {status:?} {}", String::from_utf8_lossy(message));
    });
}

/// The messages of `data`, as gRPC frames them.
fn frames(mut data: &[u8]) -> Vec<Bytes> {
    let mut frames = Vec::new();
    while let Some((len, rest)) = data.split_first_chunk::<2>() {
        let len = usize::from(u16::from_le_bytes(*len)).min(rest.len());
        let (message, after) = rest.split_at(len);
        let mut frame = vec![0];
        frame.extend_from_slice(&(len as u32).to_be_bytes());
        frame.extend_from_slice(message);
        frames.push(frame.into());
        data = after;
    }
    frames
}
