//! A connection of any kind, with its place among all and who is at its other end.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::access::Peer;
use crate::greeting::{Greeting, HEADER_TIMEOUT};

/// What bytes go through.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Tls(Box<TlsStream<BufReader<TcpStream>>>),
    Unix(UnixStream),
}

/// A connection and the place that it takes. One that has become a WebSocket is no longer waited for, and keeps its
/// place all the same.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Socket,
    peer: Peer,
    greeting: Greeting,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    pub(crate) fn new(socket: Socket, peer: Peer, place: OwnedSemaphorePermit) -> Self {
        let greeting = Greeting::within(HEADER_TIMEOUT);
        Self { socket, peer, greeting, _place: place }
    }

    /// The same, which is closed where its client does not begin within `patience`.
    pub(crate) fn that_begins_within(self, patience: Duration) -> Self {
        Self { greeting: Greeting::within(patience), ..self }
    }

    /// Who is at its other end.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    /// tonic puts it into each request's extensions, whatever route the request takes.
    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

/// Calls a method of whichever socket it is.
macro_rules! of_socket {
    ($connection:ident, $method:ident, $($argument:expr),*) => {
        match &mut $connection.get_mut().socket {
            Socket::Tcp(socket) => Pin::new(socket).$method($($argument),*),
            Socket::Tls(socket) => Pin::new(socket).$method($($argument),*),
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
        let Self { socket, greeting, .. } = self.get_mut();
        match socket {
            Socket::Tcp(socket) => greeting.poll_read(Pin::new(socket), context, buffer),
            Socket::Tls(socket) => greeting.poll_read(Pin::new(socket), context, buffer),
            Socket::Unix(socket) => greeting.poll_read(Pin::new(socket), context, buffer),
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

    /// All can: without this each frame would be copied once more.
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
