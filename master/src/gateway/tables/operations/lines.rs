//! Operations as JSON lines, of which there may be any number: applied as they come, some at a time, and
//! answered line by line. Holds one batch, whatever comes: while it is applied, nothing more is read.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::stream::unfold;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use tally_common::api::OperationResult;

use super::super::super::problem::Problem;
use super::BODY_TIMEOUT;
use super::json::take;
use crate::edge::Batch;
use crate::tables::Tables;

/// Operations that are applied at once: enough that a commit costs little for each, and few enough that the
/// first answers come soon.
const BATCH: usize = 1_000;

/// Longest line, in bytes.
const MAX_LINE_BYTES: usize = 16 << 20;

/// Bytes of lines that are applied at once, and may be exceeded by one of them.
const BATCH_BYTES: usize = 4 << 20;

/// How long a client may take no answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Applies what comes, and answers as it is applied. What keeps the rest from being applied is said by a
/// last line that is a problem.
pub(super) fn apply(tables: Tables, table: String, body: Body) -> Response {
    let (answers, stream) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut lines = Lines {
            body: body.into_data_stream(),
            rest: BytesMut::new(),
            searched: 0,
            ended: false,
        };
        loop {
            let answer = match lines.batch().await {
                Ok(Some(batch)) => batch.apply(&tables, &table).await.map_err(Problem::from),
                Ok(None) => return,
                Err(problem) => Err(problem),
            };
            let failed = answer.is_err();
            // A client that is gone, or takes nothing, gets no more: what it has no answer to it sends again.
            let given = timeout(ANSWER_TIMEOUT, answers.send(written(answer))).await;
            if failed || !matches!(given, Ok(Ok(()))) {
                return;
            }
        }
    });
    let body = unfold(stream, async |mut stream: mpsc::Receiver<Bytes>| {
        let answer = stream.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(answer), stream))
    });
    let mut response = Body::from_stream(body).into_response();
    let lines = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, lines);
    response
}

fn written(answer: Result<Vec<OperationResult>, Problem>) -> Bytes {
    let mut out = Vec::new();
    let mut line = |value: &dyn Fn(&mut Vec<u8>) -> serde_json::Result<()>| {
        // What is shown can always be written, and to a vector always.
        let _ = value(&mut out);
        out.push(b'\n');
    };
    match answer {
        Ok(results) => {
            for result in &results {
                line(&|out| serde_json::to_writer(out, result));
            }
        }
        Err(problem) => line(&|out| serde_json::to_writer(out, &problem)),
    }
    out.into()
}

/// The lines of a body.
struct Lines {
    body: BodyDataStream,
    /// What has come, and has not been taken yet.
    rest: BytesMut,
    /// Bytes of it in which no line ends, so that a long one is not looked through again and again.
    searched: usize,
    ended: bool,
}

impl Lines {
    /// What has come by now, at least one operation and at most a batch; `None` at the end.
    async fn batch(&mut self) -> Result<Option<Batch>, Problem> {
        let (mut batch, mut bytes) = (Batch::default(), 0);
        loop {
            while batch.len() < BATCH && bytes < BATCH_BYTES {
                let Some(line) = self.line() else { break };
                bytes += line.len();
                read(&mut batch, &line);
            }
            if batch.len() >= BATCH || bytes >= BATCH_BYTES {
                return Ok(Some(batch));
            }
            if self.ended {
                return Ok((!batch.is_empty()).then_some(batch));
            }
            // Nothing is waited for while there is something to apply.
            let piece = match self.body.next().now_or_never() {
                Some(piece) => piece,
                None if !batch.is_empty() => return Ok(Some(batch)),
                None => timeout(BODY_TIMEOUT, self.body.next()).await.map_err(|_| {
                    let seconds = BODY_TIMEOUT.as_secs();
                    Problem::upload_broke_off(format!("no byte came for {seconds} s"))
                })?,
            };
            match piece {
                Some(Ok(piece)) => self.rest.extend_from_slice(&piece),
                // What came before is applied: it was sent.
                Some(Err(_)) if !batch.is_empty() => return Ok(Some(batch)),
                Some(Err(error)) => return Err(Problem::upload_broke_off(error.to_string())),
                None => self.ended = true,
            }
            if self.searched > MAX_LINE_BYTES {
                let detail = format!("a line has at most {MAX_LINE_BYTES} bytes");
                return Err(Problem::too_large(detail));
            }
        }
    }

    /// The next whole line; the last one may have no end.
    fn line(&mut self) -> Option<Bytes> {
        let ends = self.rest[self.searched..].iter().position(|byte| *byte == b'\n');
        match ends.map(|at| at + self.searched) {
            Some(at) => {
                self.searched = 0;
                let line = self.rest.split_to(at + 1).freeze();
                Some(line.slice(..at))
            }
            None if self.ended && !self.rest.is_empty() => {
                self.searched = 0;
                Some(self.rest.split().freeze())
            }
            None => {
                self.searched = self.rest.len();
                None
            }
        }
    }
}

/// Takes a line; one that is blank is none.
fn read(batch: &mut Batch, line: &[u8]) {
    if line.iter().all(u8::is_ascii_whitespace) {
        return;
    }
    match serde_json::from_slice(line) {
        Ok(draft) => batch.push(draft),
        Err(_) => match serde_json::from_slice(line) {
            Ok(json) => take(batch, json),
            Err(error) => batch.refuse("", format!("the line is no JSON: {error}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::stream;

    use super::*;

    fn lines(pieces: &[&str]) -> Lines {
        let pieces: Vec<_> = pieces
            .iter()
            .map(|piece| Ok::<_, io::Error>(Bytes::from((*piece).to_owned())))
            .collect();
        let body = Body::from_stream(stream::iter(pieces)).into_data_stream();
        Lines { body, rest: BytesMut::new(), searched: 0, ended: false }
    }

    async fn counts(mut lines: Lines) -> Vec<usize> {
        let mut counts = Vec::new();
        while let Some(batch) = lines.batch().await.ok().unwrap() {
            counts.push(batch.len());
        }
        counts
    }

    #[tokio::test]
    async fn lines_become_batches() {
        let one = "{\"message_id\":\"a\",\"op\":\"delete\",\"key\":\"x\"}\n";
        assert_eq!(counts(lines(&[])).await, []);
        assert_eq!(counts(lines(&["\n \r\n", "\n"])).await, []);
        assert_eq!(counts(lines(&[one, &one[..9], &one[9..one.len() - 1]])).await, [2]);
        assert_eq!(counts(lines(&["{\n", "7\n", "x\n", one])).await, [4]);
        assert_eq!(counts(lines(&[&one.repeat(2 * BATCH + 1)])).await, [BATCH, BATCH, 1]);
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_not_put_by() {
        let long = "x".repeat(MAX_LINE_BYTES);
        let batch = lines(&[&long, "xx", "x"]).batch().await;
        assert!(batch.is_err());
    }
}
