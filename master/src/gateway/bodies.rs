//! What holds for the body of every request: it keeps to the least rate, and what of it the answer did not
//! need is read, within a bound, before the answer is sent. Most clients look for an answer only when they have
//! sent everything; one that comes before that, with the connection closed behind it, they may never see.

use std::future::Future;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Version, header};
use axum::response::Response;
use futures_util::StreamExt;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::jobs::Jobs;
use crate::pace::{Left, Paced, Scarce, TooSlow};

/// Bytes that are read of a body that is of no use: what a body that is read as a whole may have.
const LEFT_BYTES: usize = 16 << 20;

/// How long that may take in all, and how long the client may pause meanwhile: it holds nothing but its
/// connection, and gets its answer then all the same.
const LEFT_TIMEOUT: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(1));

/// When those who send have to keep to the least rate.
#[derive(Clone)]
pub(super) struct Bodies {
    scarce: Scarce,
    window: Duration,
}

impl Bodies {
    /// While all places for uploads are taken, or all for requests.
    pub(super) fn new(jobs: &Jobs, requests: &Arc<Semaphore>) -> Self {
        let (jobs, requests) = (jobs.clone(), Arc::clone(requests));
        let window = jobs.config().pace_window;
        let scarce = Arc::new(move || jobs.uploads_are_full() || requests.available_permits() == 0);
        Self { scarce, window }
    }

    /// Has a request answered.
    pub(super) async fn answer<F: Future<Output = Response>>(
        self,
        request: Request,
        next: impl FnOnce(Request) -> F,
    ) -> Response {
        use http_body::Body as _;

        if request.body().is_end_stream() {
            return next(request).await;
        }
        let scarce = if is_feed(&request) { Arc::new(|| false) } else { self.scarce };
        let left = Left::default();
        let body_after_answer = request.version() < Version::HTTP_2;
        // A client that asks before it sends needs no more than the answer.
        let waits = request.headers().contains_key(header::EXPECT);
        let request = request.map(|body| {
            let paced = Paced::new(body, self.window, scarce, |slow: TooSlow| Box::new(slow));
            Body::new(paced.leaving(&left))
        });
        let mut response = next(request).await;
        // On HTTP/2 a stream that is not read is reset, which takes nothing from its answer.
        let rest = left.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(rest) = rest.filter(|_| body_after_answer)
            && (waits || !is_drained(rest).await)
        {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }
}

/// Operations as lines: they are applied as they come, and may come whenever something happens. They hold
/// neither an upload's place nor a request's.
fn is_feed(request: &Request) -> bool {
    request.uri().path().ends_with("/operations") && is_lines(request.headers())
}

fn is_lines(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().to_ascii_lowercase();
    ["ndjson", "jsonl"].iter().any(|lines| kind.contains(lines))
}

/// Whether a body came to its end.
async fn is_drained(body: Body) -> bool {
    let mut pieces = body.into_data_stream();
    let (in_all, pause) = LEFT_TIMEOUT;
    let read = async {
        let mut bytes = 0;
        while bytes <= LEFT_BYTES {
            match timeout(pause, pieces.next()).await {
                Ok(Some(Ok(piece))) => bytes += piece.len(),
                Ok(None) => return true,
                Ok(Some(Err(_))) | Err(_) => return false,
            }
        }
        false
    };
    timeout(in_all, read).await.unwrap_or(false)
}
