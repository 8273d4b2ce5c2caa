//! The gRPC edge: each method turns its request into one of the application's verbs, and the answer
//! into a reply.

mod access;
mod bulk;
mod cluster;
mod errors;
mod jobs;
mod listen;
mod metrics;
mod stream;
mod tables;
mod views;
mod watch;

use std::future::Future;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::server::HealthReporter;

use tally_common::limits::{MAX_MESSAGE_BYTES, MAX_TABLE_MESSAGE_BYTES};
use tally_proto::channel::{
    CONNECTION_WINDOW, HTTP2_FRAME, KEEPALIVE, KEEPALIVE_TIMEOUT, STREAM_WINDOW,
};
use tally_proto::v1::cluster_server::ClusterServer;
use tally_proto::v1::jobs_server::JobsServer;
use tally_proto::v1::tables_server::TablesServer;

pub use listen::Listener;

use crate::cluster::Cluster;
use crate::config::Config;
use crate::jobs::Jobs;

/// Streams that one client may have open at a time.
const MAX_STREAMS: u32 = 4096;

/// Streams of one connection that the client has taken back before they were looked at, and those that were
/// reset because of what it sent: with more of either it is put out ("rapid reset", CVE-2023-44487 and the like).
/// One who follows a thousand jobs and leaves takes back those that are under way, which have been looked at.
const MAX_RESETS: (usize, usize) = (128, 256);

/// Largest headers of a call, in bytes.
const MAX_HEADER_BYTES: u32 = 64 << 10;

/// Serves gRPC on `listener`, until `shutdown` resolves, then lets calls under way end.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(
    listener: Listener,
    jobs: Jobs,
    cluster: Cluster,
    config: &Config,
    shutdown: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let incoming =
        listener.incoming(config.max_connections, config.header_timeout, config.tls.clone());
    let (routes, health) = services(jobs, cluster, config).await;
    let shutdown = async move {
        shutdown.await;
        // Before connections are closed: whoever watches looks for another master, or waits.
        health.set_not_serving::<JobsServer<jobs::JobsService>>().await;
        health.set_not_serving::<TablesServer<tables::TablesService>>().await;
        health.set_not_serving::<ClusterServer<cluster::ClusterService>>().await;
    };
    Server::builder()
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(HTTP2_FRAME)
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_pending_accept_reset_streams(Some(MAX_RESETS.0))
        .http2_max_local_error_reset_streams(Some(MAX_RESETS.1))
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, shutdown)
        .await
}

/// All services. Public so that a test can call them without a socket.
///
/// # Panics
/// Never: the descriptors are compiled in.
pub async fn routes(jobs: Jobs, cluster: Cluster, config: &Config) -> Routes {
    services(jobs, cluster, config).await.0
}

/// The same, and what says whether they serve.
async fn services(jobs: Jobs, cluster: Cluster, config: &Config) -> (Routes, HealthReporter) {
    let (health, health_service) = tonic_health::server::health_reporter();
    let tables = TablesServer::new(tables::TablesService(jobs.tables().clone()))
        .max_decoding_message_size(MAX_TABLE_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_TABLE_MESSAGE_BYTES);
    let (jobs, cluster) = (
        jobs::JobsService(jobs),
        cluster::ClusterService { cluster, share_spool: config.share_spool },
    );
    let (of_jobs, of_cluster) = (jobs.clone(), cluster.clone());
    let jobs = JobsServer::new(jobs)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let cluster = ClusterServer::new(cluster)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    health.set_serving::<JobsServer<jobs::JobsService>>().await;
    health.set_serving::<TablesServer<tables::TablesService>>().await;
    health.set_serving::<ClusterServer<cluster::ClusterService>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tally_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        // The descriptors are compiled in: they are what protox made of our own files.
        .expect("the compiled-in descriptors are valid");
    let routes = Routes::new(health_service).add_service(reflection);
    let routes = routes.add_service(cluster).add_service(jobs).add_service(tables);
    let routes = bulk::add(routes.into_axum_router(), of_jobs, of_cluster);
    let access = config.access.clone();
    let routes = routes
        .layer(from_fn(move |call: Request, next: Next| access::check(access.clone(), call, next)))
        .layer(from_fn(metrics::count));
    (routes.into(), health)
}
