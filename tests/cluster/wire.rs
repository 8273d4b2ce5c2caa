//! Any gRPC client can call what the master serves without generated code.

use bytes::Bytes;
use tokio::runtime::Runtime;
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};

use rustix::process::Signal;
use tally_common::id::{MessageId, SessionId};
use tally_proto::v1::cluster_client::ClusterClient;
use tally_proto::v1::jobs_client::JobsClient;
use tally_proto::v1::{
    DataFrame, InputRequest, JobState, RejectsRequest, ResultRequest, StreamTaskRequest,
    SubmitFrame, SubmitHeader, WatchRequest, submit_frame::Frame,
};
use tally_tests::{Cluster, eventually, input};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use uuid::Uuid;

async fn all(frames: Result<tonic::Response<Streaming<DataFrame>>, Status>) -> Vec<u8> {
    let (mut frames, mut all) = (frames.unwrap().into_inner(), Vec::new());
    while let Some(frame) = frames.message().await.unwrap() {
        assert!(frame.data.len() <= 1 << 20);
        all.extend_from_slice(&frame.data);
    }
    all
}

#[test]
fn a_job_by_a_generated_client() {
    let cluster = Cluster::start(1);
    let plays = input::plays(71, 30_000, 5 << 20);
    let expected = input::totals(plays.as_bytes());
    Runtime::new().unwrap().block_on(async {
        // With HTTP/2 as tonic sets it up.
        let mut jobs = JobsClient::connect(cluster.grpc().to_owned()).await.unwrap();
        let header = SubmitHeader { keep_input: true, ..Default::default() };
        let data = plays.as_bytes().chunks(700_001).map(Bytes::copy_from_slice).map(Frame::Data);
        let frames = std::iter::once(Frame::Header(header)).chain(data);
        let frames = frames.map(|frame| SubmitFrame { frame: Some(frame) }).collect::<Vec<_>>();
        let job_id = jobs.submit(tokio_stream::iter(frames)).await.unwrap().into_inner().job_id;
        let request = WatchRequest { job_id: job_id.clone() };
        let mut views = jobs.watch(request).await.unwrap().into_inner();
        let mut state = JobState::Unspecified;
        while let Some(view) = views.message().await.unwrap() {
            state = view.state();
        }
        assert_eq!(state, JobState::Succeeded);
        let request = ResultRequest { job_id: job_id.clone() };
        assert!(all(jobs.result(request).await).await == expected);
        let request = InputRequest { job_id: job_id.clone(), offset: 5, length: 3_000_000 };
        assert!(all(jobs.input(request).await).await == plays.as_bytes()[5..3_000_005]);
        let refused = jobs.rejects(RejectsRequest { job_id: "none".to_owned() }).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
        let headless = SubmitFrame { frame: Some(Frame::Data(Bytes::from_static(b"a"))) };
        let refused = jobs.submit(tokio_stream::iter([headless])).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    });
}

#[test]
fn a_task_by_a_generated_client() {
    let cluster = Cluster::start(0);
    Runtime::new().unwrap().block_on(async {
        let mut slaves = ClusterClient::connect(cluster.grpc().to_owned()).await.unwrap();
        let (task, session) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (task, session) = (MessageId::from_uuid(task), SessionId::from_uuid(session));
        let request = StreamTaskRequest::of(task, session, false);
        assert_eq!(slaves.stream_task(request).await.unwrap_err().code(), Code::NotFound);
        let request = StreamTaskRequest::default();
        assert_eq!(slaves.stream_task(request).await.unwrap_err().code(), Code::InvalidArgument);
    });
}

#[test]
fn a_master_that_stops_says_that_it_does_not_serve_any_more() {
    let mut cluster = Cluster::start(0);
    let healthy = cluster.run(["health"]);
    assert_eq!(String::from_utf8_lossy(&healthy.stdout), "serving\n");
    let runtime = Runtime::new().unwrap();
    let mut watched = runtime.block_on(async {
        let endpoint = Endpoint::from_shared(cluster.grpc().to_owned()).unwrap();
        let mut health = HealthClient::new(endpoint.connect().await.unwrap());
        let request = HealthCheckRequest { service: "tally.v1.Cluster".to_owned() };
        let mut watched = health.watch(request).await.unwrap().into_inner();
        let first = watched.message().await.unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::Serving);
        watched
    });
    cluster.master().signal(Signal::TERM);
    let last = runtime.block_on(watched.message()).unwrap().unwrap();
    assert_eq!(last.status(), ServingStatus::NotServing);
    drop((watched, runtime));
    eventually("the master to end", || {
        (cluster.run(["health"]).status.code() == Some(5)).then_some(())
    });
}
