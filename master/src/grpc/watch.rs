//! Streams of what changes: of one job, and of the whole cluster. Nothing is put by for a client that is
//! slow: it gets the latest, or begins anew with a snapshot.

use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use tally_common::api::{ClusterView, JobView, SlaveView};
use tally_common::id::JobId;
use tally_proto::convert::{ClusterEvent, Snapshot, event_to_wire, job_to_wire};
use tally_proto::v1;

use crate::coordinator::Stopped;
use crate::feed::{EventId, FeedEvent, FeedKind, Listener};
use crate::jobs::{Jobs, JobsError};

/// Most watches of the whole cluster at a time: each holds a place in the queue of whoever publishes.
const MAX_WATCHES: usize = 2048;

static WATCHES: Semaphore = Semaphore::const_new(MAX_WATCHES);

/// A stream to a client, one message ahead of the connection.
pub(super) type Stream<T> = ReceiverStream<Result<T, Status>>;

/// One job, again at each change, until it has ended.
pub(super) async fn job(jobs: Jobs, id: JobId) -> Result<Stream<v1::Job>, Status> {
    let mut views = jobs.watch(id).await?;
    let (changes, stream) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let view = views.borrow_and_update().clone();
            let ended = view.state.ended();
            if changes.send(Ok(job_to_wire(&view))).await.is_err() || ended {
                return;
            }
            tokio::select! {
                changed = views.changed() => if changed.is_err() {
                    // Either the job was deleted, or the master stops: then a client that
                    // watches is to come back.
                    let found = jobs.get(id).await;
                    if !matches!(found, Err(JobsError::NotFound(_) | JobsError::Gone(_))) {
                        let _ = changes.send(Err(JobsError::from(Stopped).into())).await;
                    }
                    return;
                },
                // A client that is gone: no need to wait for the job to change.
                () = changes.closed() => return,
            }
        }
    });
    Ok(ReceiverStream::new(stream))
}

/// All that happens from now on, or since `last`.
pub(super) async fn cluster(
    jobs: Jobs,
    last: Option<EventId>,
) -> Result<Stream<v1::ClusterEvent>, Status> {
    let place = WATCHES.try_acquire().map_err(|_| {
        Status::resource_exhausted(format!("{MAX_WATCHES} watch, as many as this master takes"))
    })?;
    let mut listener = jobs.feed().listen(last).ok_or(JobsError::Stopped(Stopped))?;
    let first = match listener.missed.take() {
        Some(missed) => missed.iter().flat_map(|event| to_wire(event)).collect(),
        None => snapshot(&jobs, &mut listener).await?,
    };
    let (changes, stream) = mpsc::channel(1);
    tokio::spawn(async move {
        let _place = place;
        if let Err(status) = follow(&jobs, listener, first, &changes).await {
            // The client may be gone.
            let _ = changes.send(Err(status)).await;
        }
    });
    Ok(ReceiverStream::new(stream))
}

async fn follow(
    jobs: &Jobs,
    mut listener: Listener,
    first: Vec<v1::ClusterEvent>,
    changes: &mpsc::Sender<Result<v1::ClusterEvent, Status>>,
) -> Result<(), Status> {
    let mut ready = first;
    loop {
        for event in ready {
            if changes.send(Ok(event)).await.is_err() {
                return Ok(());
            }
        }
        let event = tokio::select! {
            event = listener.events.recv() => event,
            () = changes.closed() => return Ok(()),
        };
        ready = match event {
            Ok(event) => to_wire(&event),
            Err(RecvError::Lagged(_)) => snapshot(jobs, &mut listener).await?,
            Err(RecvError::Closed) => return Err(JobsError::Stopped(Stopped).into()),
        };
    }
}

/// All as it is now; `listener` goes on from there.
async fn snapshot(jobs: &Jobs, listener: &mut Listener) -> Result<Vec<v1::ClusterEvent>, Status> {
    /// As the verb gives it.
    #[derive(Deserialize)]
    struct Json {
        cluster: ClusterView,
        slaves: Vec<SlaveView>,
        jobs: Vec<JobView>,
    }
    let (from_now_on, json) = jobs.snapshot().await?;
    let Json { cluster, slaves, jobs } = serde_json::from_slice(&json).map_err(|error| {
        tracing::error!(%error, "a snapshot can not be read");
        Status::internal("the snapshot makes no sense")
    })?;
    *listener = from_now_on;
    let snapshot = ClusterEvent::Snapshot(Box::new(Snapshot { cluster, slaves, jobs }));
    Ok(event_to_wire(&listener.after.to_string(), &snapshot))
}

fn to_wire(event: &FeedEvent) -> Vec<v1::ClusterEvent> {
    let kind = match &event.kind {
        FeedKind::Job(job) => ClusterEvent::Job(Box::new(JobView::clone(job))),
        FeedKind::Deleted(job) => ClusterEvent::Deleted(*job),
        FeedKind::Slaves(slaves) => ClusterEvent::Slaves(slaves.to_vec()),
        FeedKind::Cluster(view) => ClusterEvent::Cluster(Box::new(ClusterView::clone(view))),
    };
    event_to_wire(&event.id.to_string(), &kind)
}
