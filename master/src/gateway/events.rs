//! Server-sent events: of one job, and of the whole cluster. What is sent has been put into JSON once,
//! however many listen.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use serde_json::json;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;
use tokio::time::timeout;

use tally_common::api::JobView;
use tally_common::id::JobId;

use super::jobs::{Id, job_id};
use super::openapi::{Any, JobPath, OfJob};
use super::problem::Problem;
use super::{Answer, App};
use crate::feed::{EventId, FeedEvent, FeedKind, Listener, frame};
use crate::jobs::{Jobs, JobsError, News};
use crate::metrics;

/// Most streams at a time: each holds a connection, and a place in the queue of whoever publishes.
const MAX_LISTENERS: usize = 2048;

/// How often a stream on which nothing happens says that it is there, so that nobody on the way takes it
/// for dead.
pub(super) const QUIET: Duration = Duration::from_secs(15);

/// Bytes of events that are sent at once, and may be exceeded by one of them.
const AT_ONCE_BYTES: usize = 64 << 10;

/// The id of a job's last event: who comes back with it need not come again.
const END: &str = "end";

static LISTENERS: AtomicUsize = AtomicUsize::new(0);

/// A place among the listeners of one kind.
pub(super) struct Place(&'static str);

impl Place {
    pub(super) fn take(kind: &'static str) -> Result<Self, Problem> {
        if LISTENERS.fetch_add(1, Ordering::Relaxed) >= MAX_LISTENERS {
            LISTENERS.fetch_sub(1, Ordering::Relaxed);
            return Err(Problem::busy("as many listeners as the master takes are there"));
        }
        metrics::listeners(kind, 1);
        Ok(Self(kind))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::listeners(self.0, -1);
        LISTENERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// `GET /api/v1/events`
#[utoipa::path(
    operation_id = "watch_cluster",
    get, path = "/api/v1/events", tag = "cluster",
    params(
        ("Last-Event-ID" = Option<String>, Header, description = "Go on behind that event"),
        ("last_event_id" = Option<String>, Query, description = "The same, for those who can set no header"),
    ),
    responses(
        (status = 200, description = "Server-sent events: `snapshot`, then `job`, `deleted`, `slaves`, \
            `cluster` as they happen", body = String, content_type = "text/event-stream"),
        Any,
    ),
)]
pub(super) async fn cluster(State(jobs): App, request: Request) -> Answer {
    let place = Place::take("events")?;
    let last = last_event_id(&request).and_then(|id| id.parse::<EventId>().ok());
    let stream = Cluster::start(jobs, last, place).await?;
    Ok(answer(Body::from_stream(unfold(stream, |mut stream| async {
        let frame = stream.next().await?;
        Some((Ok::<_, Infallible>(frame), stream))
    }))))
}

/// `GET /api/v1/jobs/{id}/events`
#[utoipa::path(
    operation_id = "watch_job",
    get, path = "/api/v1/jobs/{id}/events", tag = "jobs",
    params(
        JobPath,
        ("Last-Event-ID" = Option<String>, Header, description = "The last event that was heard"),
    ),
    responses(
        (status = 200, description = "Server-sent events: `job` as it changes, and `end`",
            body = String, content_type = "text/event-stream"),
        (status = 204, description = "The job has ended, and whoever asks has heard so"),
        OfJob,
    ),
)]
pub(super) async fn job(State(jobs): App, id: Id, request: Request) -> Answer {
    let id = job_id(id)?;
    let place = Place::take("job_events")?;
    let news = jobs.news(id).await?;
    let ended = matches!(&news, News::Ended(_));
    if ended && last_event_id(&request).as_deref() == Some(END) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let stream = OneJob { jobs, id, news: Some(news), begun: false, _place: place };
    Ok(answer(Body::from_stream(unfold(stream, |mut stream| async {
        let frame = stream.next().await?;
        Some((Ok::<_, Infallible>(frame), stream))
    }))))
}

pub(super) fn answer(body: Body) -> Response {
    let headers = HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Proxies are not to wait for more.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ]);
    (headers, body).into_response()
}

/// Where a listener wants to go on: what browsers say by themselves when they reconnect, or a parameter
/// for those who can set no header.
pub(super) fn last_event_id(request: &Request) -> Option<String> {
    if let Some(id) = request.headers().get("last-event-id") {
        return id.to_str().ok().map(str::to_owned);
    }
    let query = request.uri().query().unwrap_or_default();
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == "last_event_id").map(|(_, id)| id.into_owned())
}

pub(super) fn quiet() -> Bytes {
    Bytes::from_static(b": still here\n\n")
}

/// The stream of the whole cluster.
struct Cluster {
    jobs: Jobs,
    listener: Listener,
    ready: VecDeque<Bytes>,
    /// Events were missed.
    behind: bool,
    _place: Place,
}

impl Cluster {
    async fn start(jobs: Jobs, last: Option<EventId>, place: Place) -> Result<Self, Problem> {
        let listener =
            jobs.feed().listen(last).ok_or(JobsError::Stopped(crate::coordinator::Stopped))?;
        let mut stream =
            Self { jobs, listener, ready: VecDeque::new(), behind: false, _place: place };
        match stream.listener.missed.take() {
            Some(missed) => {
                stream.ready = missed.iter().map(|event| event.frame().clone()).collect()
            }
            None => stream.snapshot().await?,
        }
        Ok(stream)
    }

    /// Begins anew, with all as it is now.
    async fn snapshot(&mut self) -> Result<(), JobsError> {
        let (listener, json) = self.jobs.snapshot().await?;
        let id = listener.after.to_string();
        self.listener = listener;
        self.ready.push_back(frame("snapshot", &id, &json));
        Ok(())
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            if std::mem::take(&mut self.behind) {
                self.snapshot().await.ok()?;
                continue;
            }
            match timeout(QUIET, self.listener.events.recv()).await {
                Ok(Ok(event)) => return Some(self.with_more(&event)),
                Ok(Err(RecvError::Lagged(_))) => self.snapshot().await.ok()?,
                Ok(Err(RecvError::Closed)) => return None,
                Err(_) => return Some(quiet()),
            }
        }
    }

    /// The frame of an event, with those of events that are there already: mostly several happen at once,
    /// and a write for each of a thousand listeners costs more than what is written.
    fn with_more(&mut self, event: &FeedEvent) -> Bytes {
        let first = event.frame();
        let mut frames = Vec::new();
        while frames.len() < AT_ONCE_BYTES {
            let event = match self.listener.events.try_recv() {
                Ok(event) => event,
                Err(error) => {
                    // It is said once only.
                    self.behind = matches!(error, TryRecvError::Lagged(_));
                    break;
                }
            };
            if frames.is_empty() {
                frames.extend_from_slice(first);
            }
            frames.extend_from_slice(event.frame());
        }
        if frames.is_empty() { first.clone() } else { frames.into() }
    }
}

/// The stream of one job.
struct OneJob {
    jobs: Jobs,
    id: JobId,
    /// `None` once the last event is out.
    news: Option<News>,
    begun: bool,
    _place: Place,
}

impl OneJob {
    async fn next(&mut self) -> Option<Bytes> {
        match self.news.take()? {
            News::Ended(job) => Some(end(&job)),
            News::Live(mut events) => {
                let begun = std::mem::replace(&mut self.begun, true);
                match timeout(QUIET, next(&mut events, begun)).await {
                    Ok(Some(event)) => Some(self.show(&event, events)),
                    Ok(None) => self.gone().await,
                    Err(_) => {
                        self.news = Some(News::Live(events));
                        Some(quiet())
                    }
                }
            }
        }
    }

    fn show(&mut self, event: &FeedEvent, events: watch::Receiver<Arc<FeedEvent>>) -> Bytes {
        match &event.kind {
            FeedKind::Job(job) if job.state.ended() => end(job),
            _ => {
                self.news = Some(News::Live(events));
                event.frame().clone()
            }
        }
    }

    /// The job is not there any more, and had not ended: it was deleted, or the master stops.
    async fn gone(&self) -> Option<Bytes> {
        match self.jobs.get(self.id).await {
            Ok(job) if job.state.ended() => Some(end(&job)),
            Err(JobsError::Gone(_) | JobsError::NotFound(_)) => {
                let json = json!({ "id": self.id }).to_string();
                Some(frame("deleted", END, json.as_bytes()))
            }
            _ => None,
        }
    }
}

/// The job as it is now, or when it has changed next; `None` where it changes no more.
async fn next(events: &mut watch::Receiver<Arc<FeedEvent>>, begun: bool) -> Option<Arc<FeedEvent>> {
    if begun {
        events.changed().await.ok()?;
    }
    Some(Arc::clone(&events.borrow_and_update()))
}

fn end(job: &JobView) -> Bytes {
    let json = serde_json::to_vec(job).unwrap_or_default();
    frame("end", END, &json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::server::Master;

    fn names(frames: &[u8]) -> Vec<String> {
        let text = String::from_utf8(frames.to_vec()).unwrap();
        text.lines()
            .filter_map(|line| line.strip_prefix("event: "))
            .filter(|name| ["snapshot", "deleted"].contains(name))
            .map(str::to_owned)
            .collect()
    }

    /// The events of interest in what comes next.
    async fn next_of_interest(stream: &mut Cluster) -> Vec<String> {
        loop {
            let names = names(&stream.next().await.unwrap());
            if !names.is_empty() {
                return names;
            }
        }
    }

    #[tokio::test]
    async fn what_happens_at_once_is_sent_at_once_and_who_is_too_slow_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let master = Master::start(Config::new(folder.path().to_owned())).await.unwrap();
        let place = Place::take("events").unwrap();
        let mut stream = Cluster::start(master.jobs(), None, place).await.unwrap();
        assert_eq!(next_of_interest(&mut stream).await, ["snapshot"]);
        let feed = master.jobs().feed();
        let nobody = JobId::from_uuid(uuid::Uuid::nil());
        (0..3).for_each(|_| feed.deleted(nobody));
        assert_eq!(next_of_interest(&mut stream).await, ["deleted"; 3]);
        // Many more than may wait for a listener.
        (0..5000).for_each(|_| feed.deleted(nobody));
        assert_eq!(next_of_interest(&mut stream).await, ["snapshot"]);
        feed.deleted(nobody);
        assert_eq!(next_of_interest(&mut stream).await, ["deleted"]);
    }
}
