//! The gRPC edge: each method turns its request into one of the application's verbs, and the answer
//! into a reply.

mod cluster;
mod jobs;
mod stream;

use std::future::Future;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpConnectInfo};

use tally_common::limits::MAX_MESSAGE_BYTES;
use tally_proto::channel::{
    CONNECTION_WINDOW, HTTP2_FRAME, KEEPALIVE, KEEPALIVE_TIMEOUT, STREAM_WINDOW,
};
use tally_proto::v1::cluster_server::ClusterServer;
use tally_proto::v1::jobs_server::JobsServer;

use crate::cluster::Cluster;
use crate::jobs::Jobs;

/// Streams that one client may have open at a time.
const MAX_STREAMS: u32 = 4096;

/// Serves gRPC on `listener`, on at most `connections` connections at a time, until `shutdown` resolves, then lets calls under way end.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(
    listener: TcpListener,
    jobs: Jobs,
    cluster: Cluster,
    connections: usize,
    shutdown: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let places = Arc::new(Semaphore::new(connections));
    let incoming = TcpListenerStream::new(listener).then(move |stream| {
        let places = Arc::clone(&places);
        async move {
            // The semaphore is never closed; without a place the next connection is not accepted.
            let place = places.acquire_owned().await.map_err(std::io::Error::other)?;
            let stream = stream?;
            stream.set_nodelay(true)?;
            Ok::<_, std::io::Error>(Placed { stream, _place: place })
        }
    });
    Server::builder()
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(HTTP2_FRAME)
        .max_concurrent_streams(MAX_STREAMS)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_routes(routes(jobs, cluster).await)
        .serve_with_incoming_shutdown(incoming, shutdown)
        .await
}

/// A connection and the place that it takes.
struct Placed {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl Connected for Placed {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Placed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Placed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// All services. Public so that a test can call them without a socket.
///
/// # Panics
/// Never: the descriptors are compiled in.
pub async fn routes(jobs: Jobs, cluster: Cluster) -> Routes {
    let (health, health_service) = tonic_health::server::health_reporter();
    let jobs = JobsServer::new(jobs::JobsService(jobs))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let cluster = ClusterServer::new(cluster::ClusterService(cluster))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    health.set_serving::<JobsServer<jobs::JobsService>>().await;
    health.set_serving::<ClusterServer<cluster::ClusterService>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tally_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        // The descriptors are compiled in: they are what protox made of our own files.
        .expect("the compiled-in descriptors are valid");
    Routes::new(health_service).add_service(reflection).add_service(cluster).add_service(jobs)
}
