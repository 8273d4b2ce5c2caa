//! What gRPC is served on: TCP, with TLS or without, and a Unix socket for those on the same machine.

use std::future::ready;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt, stream};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_stream::wrappers::UnixListenerStream;

use crate::access::tls::{Connection, Protocol, Socket, connection};
use crate::access::{Peer, Tls};

/// Where gRPC is listened for.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    unix: Option<UnixListener>,
}

impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self { tcp, unix: None }
    }
}

impl Listener {
    /// Also on this one.
    #[must_use]
    pub fn with_unix(self, unix: Option<UnixListener>) -> Self {
        Self { unix, ..self }
    }

    /// The connections that come in, at most so many at a time, those included that are still shaking hands. Each has to
    /// begin within `patience`.
    pub(super) fn incoming(
        self,
        most: usize,
        patience: Duration,
        tls: Option<Tls>,
    ) -> impl Stream<Item = io::Result<Connection>> {
        let places = Arc::new(Semaphore::new(most));
        let tcp = stream::unfold(self.tcp, |tcp| async move {
            let accepted = tcp.accept().await;
            Some((accepted.map(Accepted::Tcp), tcp))
        });
        let unix = self
            .unix
            .map(|unix| UnixListenerStream::new(unix).map(|stream| Ok(Accepted::Unix(stream?))));
        let unix = stream::iter(unix).flatten();
        let placed = stream::select(tcp.boxed(), unix).then(move |accepted| {
            let places = Arc::clone(&places);
            async move {
                // The semaphore is never closed; without a place the next connection is not accepted.
                let place = places.acquire_owned().await.map_err(io::Error::other)?;
                io::Result::Ok((accepted?, place))
            }
        });
        let made = placed.map(move |placed| match placed {
            Err(error) => ready(Some(Err(error))).left_future(),
            Ok((Accepted::Unix(stream), place)) => {
                let made = Connection::new(Socket::Unix(stream), Peer::default(), place);
                ready(Some(Ok(made))).left_future()
            }
            Ok((Accepted::Tcp(accepted), place)) => {
                let made = connection(tls.clone(), Protocol::Grpc, accepted, place);
                // On a task of its own: who accepts does not wait for it, and cores share the arithmetic.
                let made = tokio::spawn(made).map(|made| made.ok().flatten().map(Ok));
                made.right_future()
            }
        });
        let made = made.buffer_unordered(most).filter_map(ready);
        made.map(move |made| made.map(|made| made.that_begins_within(patience)))
    }
}

/// What has come in.
enum Accepted {
    Tcp((tokio::net::TcpStream, std::net::SocketAddr)),
    Unix(tokio::net::UnixStream),
}
