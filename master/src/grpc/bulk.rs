//! The methods that carry bulk bytes, by [`frames`](tally_proto::frames) instead of generated code.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::IntoResponse;
use axum::routing::post;
use prost::Message;
use tonic::Status;
use tonic::body::Body;

use tally_proto::frames::{Incoming, Shape, path, request, respond, respond_once};

use super::cluster::ClusterService;
use super::jobs::JobsService;
use super::stream::Frames;
use crate::access::{About, Who};
use crate::pace::{Paced, TooSlow};

/// Adds them to what is served; a path of its own goes before a service's.
pub(super) fn add(router: Router, jobs: JobsService, cluster: ClusterService) -> Router {
    let of_slaves = Router::new()
        .route(path::STREAM_TASK, post(stream_task))
        .route(path::RETURN_PARTIAL, post(return_partial))
        .with_state(cluster);
    let of_clients = Router::new()
        .route(path::SUBMIT, post(submit))
        .route(path::RESULT, post(result))
        .route(path::REJECTS, post(rejects))
        .route(path::INPUT, post(input))
        .with_state(jobs);
    router.merge(of_slaves).merge(of_clients)
}

/// What the generated service says of them: no request gets there.
pub(super) fn elsewhere() -> Status {
    Status::internal("this method has a path of its own")
}

async fn stream_task(State(slaves): State<ClusterService>, asked: Request) -> impl IntoResponse {
    respond(download(asked, async |request| slaves.task(request).await).await)
}

async fn return_partial(State(slaves): State<ClusterService>, sent: Request) -> impl IntoResponse {
    respond_once(slaves.partial(frames(sent, Shape::PARTIAL)).await)
}

async fn submit(State(clients): State<JobsService>, sent: Request) -> impl IntoResponse {
    let jobs = clients.0.clone();
    let window = jobs.config().pace_window;
    let scarce = Arc::new(move || jobs.uploads_are_full());
    let who: Option<Who> = sent.extensions().get().cloned();
    let sent = sent.map(|body| {
        axum::body::Body::new(Paced::new(body, window, scarce, |slow: TooSlow| {
            Status::deadline_exceeded(slow.to_string()).into()
        }))
    });
    let taken = clients.take_in(frames(sent, Shape::HEADER_AND_DATA), who.as_ref()).await;
    let about = taken.as_ref().ok().map(|reply| About::Job(reply.job_id.clone()));
    let mut answer = respond_once(taken);
    if let Some(about) = about {
        answer.extensions_mut().insert(about);
    }
    answer
}

async fn result(State(clients): State<JobsService>, asked: Request) -> impl IntoResponse {
    respond(download(asked, async |request| clients.result_file(request).await).await)
}

async fn rejects(State(clients): State<JobsService>, asked: Request) -> impl IntoResponse {
    respond(download(asked, async |request| clients.rejects_file(request).await).await)
}

async fn input(State(clients): State<JobsService>, asked: Request) -> impl IntoResponse {
    respond(download(asked, async |request| clients.input_file(request).await).await)
}

fn frames(sent: Request, shape: Shape) -> Incoming {
    Incoming::request(Body::new(sent.into_body()), shape)
}

async fn download<R: Message + Default + 'static>(
    asked: Request,
    open: impl AsyncFnOnce(R) -> Result<Frames, Status>,
) -> Result<Frames, Status> {
    open(request(Body::new(asked.into_body())).await?).await
}
