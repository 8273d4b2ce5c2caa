//! From a socket to a connection: the handshake, who is at the other end, and what those are told who speak no TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tally_proto::dial::{TLS_BUFFER, TLS_READ};
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::{Connection, Protocol, Socket, Tls, plain};
use crate::access::{Certificate, Peer};

/// How long a handshake may take, in all: one over a bad link takes a second or two.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The first byte of a handshake: the type of its record.
const HANDSHAKE_RECORD: u8 = 0x16;

/// Makes a connection of what was accepted, which keeps its place. `None` where there is to be none; the reason is
/// in the log, at a level that strangers can not fill it with. Must not be waited for by who accepts.
pub(crate) async fn connection(
    tls: Option<Tls>,
    protocol: Protocol,
    (stream, address): (TcpStream, SocketAddr),
    place: OwnedSemaphorePermit,
) -> Option<Connection> {
    // An answer is written whole: nothing is gained by waiting for more.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        let peer = Peer { address: Some(address), certificate: None };
        return Some(Connection::new(Socket::Tcp(stream), peer, place));
    };
    let shaken = timeout(HANDSHAKE, shake(&tls, protocol, stream)).await;
    let shaken = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    match shaken {
        Ok(stream) => {
            let certificate = certificate(&stream).map(Arc::new);
            let peer = Peer { address: Some(address), certificate };
            Some(Connection::new(Socket::Tls(Box::new(stream)), peer, place))
        }
        Err(error) => {
            debug!(%address, %error, "a TLS handshake failed");
            None
        }
    }
}

async fn shake(
    tls: &Tls,
    protocol: Protocol,
    stream: TcpStream,
) -> io::Result<TlsStream<BufReader<TcpStream>>> {
    let mut first = [0; 1];
    match stream.peek(&mut first).await? {
        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
        _ if first[0] != HANDSHAKE_RECORD => {
            plain::refuse(stream).await?;
            return Err(io::Error::other("it is no TLS"));
        }
        _ => {}
    }
    let stream = BufReader::with_capacity(TLS_READ, stream);
    let mut stream = TlsAcceptor::from(tls.config(protocol)).accept(stream).await?;
    stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
    Ok(stream)
}

/// The certificate that the client has shown, and that was verified.
fn certificate(stream: &TlsStream<BufReader<TcpStream>>) -> Option<Certificate> {
    let chain = stream.get_ref().1.peer_certificates()?;
    Some(Certificate::read(chain.first()?))
}
