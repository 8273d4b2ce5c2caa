//! What gRPC is served on: TCP, and a Unix socket for those on the same machine.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::server::Connected;

use crate::greeting::Greeting;

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

    /// The connections that come in, at most so many at a time. Each has to begin within `patience`.
    pub(super) fn incoming(
        self,
        most: usize,
        patience: Duration,
    ) -> impl Stream<Item = io::Result<Connection>> {
        let places = Arc::new(Semaphore::new(most));
        let tcp = TcpListenerStream::new(self.tcp).map(|stream| {
            let stream = stream?;
            stream.set_nodelay(true)?;
            Ok(Socket::Tcp(stream))
        });
        let unix = self
            .unix
            .map(|unix| UnixListenerStream::new(unix).map(|stream| Ok(Socket::Unix(stream?))));
        let unix = stream::iter(unix).flatten();
        stream::select(tcp, unix).then(move |socket: io::Result<Socket>| {
            let places = Arc::clone(&places);
            async move {
                // The semaphore is never closed; without a place the next connection is not accepted.
                let place = places.acquire_owned().await.map_err(io::Error::other)?;
                let greeting = Greeting::within(patience);
                Ok(Connection { socket: socket?, greeting, _place: place })
            }
        })
    }
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection and the place that it takes.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Socket,
    greeting: Greeting,
    _place: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

/// Calls a method of whichever socket it is.
macro_rules! of_socket {
    ($connection:ident, $method:ident, $($argument:expr),*) => {
        match &mut $connection.get_mut().socket {
            Socket::Tcp(socket) => Pin::new(socket).$method($($argument),*),
            Socket::Unix(socket) => Pin::new(socket).$method($($argument),*),
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match &mut this.socket {
            Socket::Tcp(socket) => this.greeting.poll_read(Pin::new(socket), context, buffer),
            Socket::Unix(socket) => this.greeting.poll_read(Pin::new(socket), context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        of_socket!(self, poll_write, context, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        of_socket!(self, poll_write_vectored, context, slices)
    }

    /// Both can: without this each frame would be copied.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_socket!(self, poll_flush, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_socket!(self, poll_shutdown, context)
    }
}
