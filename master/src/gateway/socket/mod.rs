//! Socket.IO (protocol 5, Engine.IO 4): the same events as the streams of server-sent ones, for those whose
//! tools speak it. A socket hears of the whole cluster, or of the one job that it watches. What is sent has
//! been put into JSON once.
//!
//! A client that reads slower than things happen is not waited for: what it has not taken fills a buffer of
//! a few packets, and what happens meanwhile is told by a snapshot when there is room again. One that has no
//! room for a ping when that is due is hung up on, and begins with a snapshot when it comes back.

mod pump;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use serde::Deserialize;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, SocketRef, TryData};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tracing::debug;

use tally_common::id::JobId;

use super::events::Place;
use super::problem::Problem;
use crate::access::{Access, Scope, Scopes, Who};
use crate::coordinator::Stopped;
use crate::jobs::{Jobs, JobsError};
use pump::{Pump, Wish, refuse};

/// Where Socket.IO is spoken. Clients ask for this path unless told otherwise.
pub(super) const PATH: &str = "/socket.io";

/// How often a client is asked whether it lives, and how long it may take to answer.
const PING: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(15));

/// How long a client may take from its first request to joining the namespace.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Packets that may wait for a client to take them.
const PACKETS_AHEAD: usize = 64;

/// Most bytes that a client may send at a time. What it has to say is the id of a job.
const MAX_PAYLOAD: u64 = 64 << 10;

/// Sessions that may be opened within [`OPENING`]: one that never joins is forgotten after that.
const MAX_OPENINGS: usize = 2048;

/// As long as a session lives without a sign of life: longer than any of the times above.
const OPENING: Duration = Duration::from_secs(32);

/// Wishes of a client that may wait. Each is answered before the next is looked at.
const WISHES_AHEAD: usize = 8;

/// How long closing all sockets may take.
const CLOSE: Duration = Duration::from_secs(1);

/// The sockets that are open.
pub(super) struct Sockets {
    io: SocketIo,
    stopping: watch::Sender<bool>,
}

impl Sockets {
    /// Answers the requests that wait for events: clients take that for a broken connection, and come back
    /// by themselves. Those that are told in their own protocol that the server closes do not.
    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Ends what is left: WebSockets are no requests that anybody waits for.
    pub(super) async fn close(&self) {
        // One whose client takes nothing may not come to an end at all.
        let _ = timeout(CLOSE, self.io.close()).await;
    }
}

/// Adds Socket.IO to the routes.
pub(super) fn add(routes: Router, jobs: Jobs, access: Access) -> (Router, Sockets) {
    let (layer, io) = SocketIo::builder()
        .req_path(PATH)
        .ping_interval(PING.0)
        .ping_timeout(PING.1)
        .connect_timeout(CONNECT_TIMEOUT)
        .max_buffer_size(PACKETS_AHEAD)
        .max_payload(MAX_PAYLOAD)
        .build_layer();
    io.ns("/", move |socket: SocketRef| {
        let (jobs, access) = (jobs.clone(), access.clone());
        async move { connected(socket, jobs, &access) }
    });
    let openings = Arc::new(Semaphore::new(MAX_OPENINGS));
    let (stopping, stopped) = watch::channel(false);
    let gate = from_fn(move |request: Request, next: Next| {
        let checked = check(&request, &openings);
        let mut stopped = stopped.clone();
        async move {
            match checked {
                Err(problem) => problem.into_response(),
                Ok(false) => next.run(request).await,
                Ok(true) => tokio::select! {
                    answer = next.run(request) => answer,
                    Ok(_) = stopped.wait_for(|stop| *stop) => Problem::from(JobsError::from(Stopped)).into_response(),
                },
            }
        }
    });
    (routes.layer(layer).layer(gate), Sockets { io, stopping })
}

/// Whether a request is for the layer. Refuses what it is not to see; pages of other sites do not come so far
/// (see `site`).
fn check(request: &Request, openings: &Arc<Semaphore>) -> Result<bool, Problem> {
    let path = request.uri().path();
    if path != PATH && !path.starts_with("/socket.io/") {
        // The layer takes whatever begins like its path.
        return match path.starts_with(PATH) {
            true => Err(Problem::not_found(format!("there is no route {path}"))),
            false => Ok(false),
        };
    }
    let query = request.uri().query().unwrap_or_default();
    if !form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key == "sid") {
        let place = Arc::clone(openings).try_acquire_owned();
        let place = place.map_err(|_| Problem::busy("too many sessions are being opened"))?;
        tokio::spawn(async move {
            sleep(OPENING).await;
            drop(place);
        });
    }
    Ok(true)
}

/// What `watch` comes with.
#[derive(Deserialize)]
struct WatchRequest {
    job: JobId,
}

fn connected(socket: SocketRef, jobs: Jobs, access: &Access) {
    let place = match Place::take("socket_io") {
        Ok(place) => place,
        Err(problem) => {
            let _ = socket.emit("problem", &problem);
            // Where even that has no room, its pings will not have any either.
            let _ = socket.disconnect();
            return;
        }
    };
    // Whoever came without being let in would not be here.
    let who = socket.req_parts().extensions.get::<Who>().cloned();
    let who = who.unwrap_or(Who::Anonymous(Scopes::NONE));
    let ended = access.ended(&who, Scope::Read);
    let (wishes, asked) = mpsc::channel(WISHES_AHEAD);
    let gone = Arc::new(Notify::new());
    let watches = wishes.clone();
    socket.on("watch", async move |ack: AckSender, TryData(request): TryData<WatchRequest>| {
        match request {
            Ok(WatchRequest { job }) => wish(&watches, Wish::Watch(job, ack)),
            Err(_) => refuse(ack, &Problem::bad_request("watch takes {\"job\": the id of a job}")),
        }
    });
    socket.on("unwatch", async move |ack: AckSender| wish(&wishes, Wish::Unwatch(ack)));
    let leave = Arc::clone(&gone);
    socket.on_disconnect(async move || leave.notify_one());
    tokio::spawn(async move {
        let mut pump = Pump::new(socket, jobs, asked);
        tokio::select! {
            ended = pump.run() => if let Err(error) = ended {
                debug!(%error, "a socket is told nothing more");
                let _ = pump.socket.disconnect();
            },
            ended = ended => {
                debug!(%ended, "a socket is closed");
                let _ = pump.socket.disconnect();
            }
            () = gone.notified() => {}
        }
        drop(place);
    });
}

fn wish(wishes: &mpsc::Sender<Wish>, wish: Wish) {
    if let Err(mpsc::error::TrySendError::Full(Wish::Watch(_, ack) | Wish::Unwatch(ack))) =
        wishes.try_send(wish)
    {
        refuse(ack, &Problem::busy("wait for an answer before asking for more"));
    }
}
