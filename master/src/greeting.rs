//! What a connection says first. Nothing that a server does about slow clients begins before it knows which
//! protocol they speak; so who connects and says nothing, or no more than a part of HTTP/2's preface, would
//! hold one of the connections that there are for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long a client may take over what it says first, and over the headers of a request, by default.
pub(crate) const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// What a client of HTTP/2 sends first. Source: RFC 9113, section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Waits for a connection's first bytes, and not longer than it should.
#[derive(Debug)]
pub(crate) struct Greeting {
    /// Bytes of the preface that have come.
    seen: usize,
    /// `None` once it is known what the client speaks.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Greeting {
    /// Of a connection that has just been accepted.
    pub(crate) fn within(patience: Duration) -> Self {
        Self { seen: 0, deadline: Some(Box::pin(sleep(patience))) }
    }

    /// Reads from `connection`; fails with [`io::ErrorKind::TimedOut`] where the client does not begin in time.
    pub(crate) fn poll_read(
        &mut self,
        connection: Pin<&mut impl AsyncRead>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = connection.poll_read(context, buffer);
        let Some(deadline) = &mut self.deadline else { return polled };
        if polled.is_ready() {
            let came = buffer.filled().get(before..).unwrap_or_default();
            let expected = PREFACE.get(self.seen..).unwrap_or_default();
            self.seen += came.len();
            if self.seen >= PREFACE.len() || !expected.starts_with(came) {
                self.deadline = None;
            }
            return polled;
        }
        match deadline.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;

    struct Greeted(DuplexStream, Greeting);

    impl AsyncRead for Greeted {
        fn poll_read(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let this = self.get_mut();
            this.1.poll_read(Pin::new(&mut this.0), context, buffer)
        }
    }

    /// A server that has this much patience with a client that says this, and then nothing more.
    async fn reads(says: &[u8], patience: Duration) -> io::Result<usize> {
        let (mut client, server) = duplex(64);
        let mut server = Greeted(server, Greeting::within(patience));
        let mut all = Vec::new();
        client.write_all(says).await.unwrap();
        let read = server.read_to_end(&mut all);
        // One that is let be is left after a while, since it would stay for ever.
        timeout(Duration::from_millis(300), read).await.unwrap_or(Ok(0))
    }

    #[tokio::test]
    async fn who_does_not_begin_is_put_out() {
        let little = Duration::from_millis(20);
        for says in ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
            let error = reads(says.as_bytes(), little).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{says:?}");
        }
        // From here on the protocols have bounds of their own.
        for says in [PREFACE, b"GET", b"PRINT"] {
            assert!(reads(says, little).await.is_ok(), "{says:?}");
        }
        assert!(reads(b"P", Duration::from_secs(3600)).await.is_ok());
    }
}
