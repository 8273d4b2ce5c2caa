//! What those are told who come to a TLS port without it: in their own language, so that their program shows it.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What is said.
const WORDS: &str = "this port speaks TLS: say https://";

/// What an HTTP/2 client that knows its way begins with, such as gRPC's.
const HTTP2: &[u8] = b"PRI ";

/// HTTP/2's `PROTOCOL_ERROR`. There is a code for "use TLS", but gRPC makes "permission denied" of that, and it is not
/// about who is asking.
const PROTOCOL_ERROR: u8 = 1;

/// How long it is waited for the client to have read it, and how many bytes are read meanwhile: a socket that is
/// closed with bytes unread takes back what was sent.
const LINGER: (Duration, u64) = (Duration::from_secs(1), 64 << 10);

/// Tells the client.
pub(super) async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    let mut first = [0; HTTP2.len()];
    let seen = stream.peek(&mut first).await?;
    let answer = if first[..seen] == *HTTP2 { goaway() } else { bad_request() };
    stream.write_all(&answer).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(LINGER.1);
    // It has had its chance.
    let _ = timeout(LINGER.0, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    Ok(())
}

fn bad_request() -> Vec<u8> {
    let length = WORDS.len() + 1;
    format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{WORDS}\n"
    )
    .into_bytes()
}

/// Empty settings, and the end of the connection with its reason.
fn goaway() -> Vec<u8> {
    let mut frames = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
    let length = 8 + WORDS.len() as u8;
    frames.extend_from_slice(&[0, 0, length, 7, 0, 0, 0, 0, 0]);
    frames.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, PROTOCOL_ERROR]);
    frames.extend_from_slice(WORDS.as_bytes());
    frames
}
