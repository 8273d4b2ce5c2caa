//! What a socket is told: all that happens, or what happens to the job that it watches. Never waits for a
//! client with anything but that client's own events.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use serde_json::value::RawValue;
use socketioxide::extract::{AckSender, SocketRef};
use socketioxide::{SendError, SocketError};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use tally_common::id::JobId;

use crate::coordinator::Stopped;
use crate::feed::{FeedEvent, FeedKind, Listener};
use crate::gateway::problem::Problem;
use crate::jobs::{Jobs, JobsError, News};

/// Wait before a packet is offered again to a client whose buffer is full.
const OFFER_AGAIN: Duration = Duration::from_millis(50);

/// What a client asks for.
pub(super) enum Wish {
    /// Only events of that job from now on.
    Watch(JobId, AckSender),
    /// All events again.
    Unwatch(AckSender),
}

/// Where the events of a socket come from.
enum Hears {
    /// All that happens.
    All(Box<Listener>),
    /// What happens to one job, and whether it has been told how that is now.
    Job(watch::Receiver<Arc<FeedEvent>>, JobId),
    /// The job that it watched has ended.
    Nothing,
}

/// What is to be done next.
enum Turn {
    Wish(Option<Wish>),
    Event(Arc<FeedEvent>),
    /// Events were missed: it was too slow.
    Missed,
    /// The job that is watched changes no more.
    JobGone(JobId),
    /// The master stops.
    Stops,
}

/// Carries events to one socket.
pub(super) struct Pump {
    pub(super) socket: SocketRef,
    jobs: Jobs,
    asked: mpsc::Receiver<Wish>,
    hears: Hears,
}

impl Pump {
    /// Carries nothing yet. `asked` brings what the client wishes.
    pub(super) fn new(socket: SocketRef, jobs: Jobs, asked: mpsc::Receiver<Wish>) -> Self {
        Self { socket, jobs, asked, hears: Hears::Nothing }
    }

    /// Runs until the client is gone or the master stops.
    pub(super) async fn run(&mut self) -> Result<(), JobsError> {
        self.snapshot().await?;
        loop {
            let next = tokio::select! {
                wish = self.asked.recv() => Turn::Wish(wish),
                next = self.hears.next() => next,
            };
            match next {
                Turn::Wish(Some(Wish::Watch(job, ack))) => self.watch(job, ack).await?,
                Turn::Wish(Some(Wish::Unwatch(ack))) => {
                    let _ = ack.send(&json!({}));
                    self.snapshot().await?;
                }
                Turn::Event(event) => self.tell(&event).await?,
                Turn::Missed => self.snapshot().await?,
                Turn::JobGone(job) => self.job_gone(job).await?,
                Turn::Wish(None) | Turn::Stops => return Ok(()),
            }
        }
    }

    /// Begins anew, with all as it is now.
    async fn snapshot(&mut self) -> Result<(), JobsError> {
        let (listener, json) = self.jobs.snapshot().await?;
        self.hears = Hears::All(Box::new(listener));
        self.emit("snapshot", &json).await
    }

    async fn watch(&mut self, job: JobId, ack: AckSender) -> Result<(), JobsError> {
        match self.jobs.news(job).await {
            Ok(News::Live(events)) => {
                let now = Arc::clone(&events.borrow());
                self.hears = Hears::Job(events, job);
                let _ = ack.send(raw(now.json())?);
            }
            Ok(News::Ended(view)) => {
                self.hears = Hears::Nothing;
                let _ = ack.send(&*view);
                self.emit("end", &to_json(&*view)).await?;
            }
            Err(JobsError::Stopped(stopped)) => return Err(stopped.into()),
            Err(error) => refuse(ack, &error.into()),
        }
        Ok(())
    }

    async fn tell(&mut self, event: &FeedEvent) -> Result<(), JobsError> {
        let ended = matches!(&event.kind, FeedKind::Job(job) if job.state.ended());
        let name = match &self.hears {
            Hears::Job(..) if ended => "end",
            _ => event.kind.name(),
        };
        if name == "end" {
            self.hears = Hears::Nothing;
        }
        self.emit(name, event.json()).await
    }

    /// The watched job changes no more without having been seen to end.
    async fn job_gone(&mut self, job: JobId) -> Result<(), JobsError> {
        self.hears = Hears::Nothing;
        match self.jobs.get(job).await {
            Ok(view) if view.state.ended() => self.emit("end", &to_json(&*view)).await,
            Err(JobsError::Gone(_) | JobsError::NotFound(_)) => {
                self.emit("deleted", &to_json(&json!({ "id": job }))).await
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Gives the client an event, as soon as it has room for one.
    async fn emit(&mut self, name: &str, json: &Bytes) -> Result<(), JobsError> {
        let json = raw(json)?;
        loop {
            match self.socket.emit(name, json) {
                Err(SendError::Socket(SocketError::InternalChannelFull)) => {
                    sleep(OFFER_AGAIN).await;
                }
                // One that is closed is known to be gone in a moment.
                Ok(()) | Err(_) => return Ok(()),
            }
        }
    }
}

impl Hears {
    async fn next(&mut self) -> Turn {
        match self {
            Self::All(listener) => match listener.events.recv().await {
                Ok(event) => Turn::Event(event),
                Err(RecvError::Lagged(_)) => Turn::Missed,
                Err(RecvError::Closed) => Turn::Stops,
            },
            Self::Job(events, job) => match events.changed().await {
                Ok(()) => Turn::Event(Arc::clone(&events.borrow_and_update())),
                Err(_) => Turn::JobGone(*job),
            },
            Self::Nothing => std::future::pending().await,
        }
    }
}

/// JSON that is there already.
fn raw(json: &Bytes) -> Result<&RawValue, JobsError> {
    // What the feed made is JSON. Should it ever not be, the socket is closed rather than lied to.
    serde_json::from_slice(json).map_err(|_| Stopped.into())
}

fn to_json(value: &impl serde::Serialize) -> Bytes {
    // What is shown has no maps with keys that are not text: it can always be written.
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// Answers that a wish can not be granted.
pub(super) fn refuse(ack: AckSender, problem: &Problem) {
    // A client that has no room for an answer has not waited for one.
    let _ = ack.send(&json!({ "problem": problem }));
}
