//! How a master is dialled: the same by slaves and by clients.

use std::error::Error;
use std::time::Duration;

use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// HTTP/2 window of one stream, in bytes: a few frames, so that the sender never waits for an
/// update on a fast link.
pub const STREAM_WINDOW: u32 = 4 << 20;

/// HTTP/2 window of a connection, in bytes: larger than all its streams' together, so that one that
/// nobody reads yet (a task fetched ahead, a slow download) can not hold up the others.
pub const CONNECTION_WINDOW: u32 = 1 << 30;

/// Largest HTTP/2 frame that either side takes, in bytes: a data message with its envelope. The
/// protocol's default of 16 KiB would break each into 64 of them, at a cost for each.
pub const HTTP2_FRAME: u32 = (1 << 20) + 64;

/// How often both sides make sure that the other is still there.
pub const KEEPALIVE: Duration = Duration::from_secs(10);

/// How long the other side may take to answer that.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects to the master at `url`, such as `http://127.0.0.1:7070`, or `unix:/run/tally.sock` where it
/// listens on a socket of this machine. Without TLS and without a credential: [`Dial`](crate::dial::Dial)
/// has these.
///
/// # Errors
/// `INVALID_ARGUMENT` where the URL is none, `UNAVAILABLE` where nobody answers there; both name it.
pub async fn connect(url: &str) -> Result<Channel, Status> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| Status::invalid_argument(format!("{url:?} is no URL: {error}")))?;
    let connected = tuned(endpoint).connect().await;
    connected.map_err(|error| {
        Status::unavailable(format!("no master answers at {url}: {}", cause(&error)))
    })
}

/// The same windows, frames and timeouts for all.
pub(crate) fn tuned(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(HTTP2_FRAME)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
}

/// What a status says, with what lies behind it where it comes from a connection that broke: of that tonic's own words
/// are "h2 protocol error".
pub fn reason(status: &Status) -> String {
    let said = status.message();
    match status.source().map(cause) {
        Some(deeper) if !said.contains(&deeper) => format!("{said}: {deeper}"),
        _ => said.to_owned(),
    }
}

/// What has happened: tonic's own words are "transport error", the rest is further down.
pub(crate) fn cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
