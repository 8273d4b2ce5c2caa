//! Connections: how many there may be, and how long they may take over what they have to say. A client
//! that sends its headers a byte at a time, or none at all, holds a connection and nothing else, and
//! not for long.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::{Service, ServiceExt};
use tracing::{debug, warn};

use crate::access::Peer;
use crate::access::tls::{Protocol, connection};
use crate::config::Config;

/// Bytes that are read of an HTTP/1 connection ahead of what is done with them: its headers have to fit, and
/// bodies come in pieces of that.
const MAX_BUFFER_BYTES: usize = 128 << 10;

/// Largest headers of a request of HTTP/2, in bytes.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// How often a quiet HTTP/2 connection is asked whether it lives, and how long it may take to answer.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(20));

/// Streams that one HTTP/2 connection may have open at a time.
const MAX_STREAMS: u32 = 256;

/// Streams of one connection that the client has taken back before they were looked at, and those that were
/// reset because of what it sent: with more of either it is put out ("rapid reset", CVE-2023-44487 and the like).
/// Pages that are left take back some dozens.
const MAX_RESETS: (usize, usize) = (64, 128);

/// Wait after a connection could not be accepted, mostly because there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `app` on at most `config.max_connections` connections at a time until `shutdown` resolves, then lets
/// requests under way end. Further connections wait to be accepted.
pub(super) async fn serve(
    listener: TcpListener,
    app: Router,
    config: &Config,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let mut builder = Builder::new(TokioExecutor::new());
    // Idle time between two requests counts as well.
    let patience = config.header_timeout;
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(MAX_BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEADER_BYTES as u32)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESETS.0)
        .max_local_error_reset_streams(MAX_RESETS.1)
        .keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1);
    let places = Arc::new(Semaphore::new(config.max_connections));
    let graceful = GracefulShutdown::new();
    let mut handshakes = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let next = async {
            // The semaphore is never closed; without a place the next connection is not accepted.
            let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
            io::Result::Ok((listener.accept().await?, place))
        };
        tokio::select! {
            accepted = next => match accepted {
                Ok((accepted, place)) => {
                    handshakes.spawn(connection(config.tls.clone(), Protocol::Http, accepted, place));
                }
                Err(error) => {
                    warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(made) = handshakes.join_next() => {
                let Ok(Some(connection)) = made else { continue };
                let connection = connection.that_begins_within(patience);
                let service = TowerToHyperService::new(known(app.clone(), connection.peer().clone()));
                let connection = TokioIo::new(connection);
                let served = builder.serve_connection_with_upgrades(connection, service);
                let served = graceful.watch(served.into_owned());
                tokio::spawn(async move {
                    if let Err(error) = served.await {
                        debug!(%error, "a connection ended");
                    }
                });
            }
            () = shutdown.as_mut() => break,
        }
    }
    // Nobody waits for hands that are still being shaken.
    drop((listener, handshakes));
    graceful.shutdown().await;
    Ok(())
}

/// Says to the app with each request who has sent it.
fn known(
    app: Router,
    peer: Peer,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone
{
    app.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        request
    })
}
