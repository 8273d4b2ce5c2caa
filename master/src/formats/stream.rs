//! Between a thread that makes bytes and a client that takes them: a few pieces at most wait for a
//! client that is slow, and one that has gone, or takes nothing for too long, ends the thread.

use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Bytes of a piece.
const PIECE_BYTES: usize = 256 << 10;

/// Pieces that may wait for the client.
const PIECES_AHEAD: usize = 2;

/// Conversions at a time, each with a thread and up to some 100 MB: more are told to come back.
const MAX_CONVERSIONS: usize = 16;

/// How long a client may take over a piece.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(60);

static PLACES: Semaphore = Semaphore::const_new(MAX_CONVERSIONS);

/// What a thread makes, piece by piece. An error is the last.
pub(crate) type Pieces = mpsc::Receiver<io::Result<Bytes>>;

/// Runs `make` on a thread of its own, with a writer that is read as what comes back. `None` where as
/// many run as the master takes.
pub(crate) fn start(
    make: impl FnOnce(&mut PieceWriter) -> io::Result<()> + Send + 'static,
) -> Option<Pieces> {
    let place = PLACES.try_acquire().ok()?;
    let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
    let runtime = Handle::current();
    spawn_blocking(move || {
        let _place = place;
        let mut writer = PieceWriter { piece: Vec::new(), sender, runtime };
        let made = make(&mut writer).and_then(|()| writer.flush());
        if let Err(error) = made
            && !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::TimedOut)
        {
            tracing::warn!(%error, "a result could not be sent in another form");
            // One that has gone need not know.
            let _ = writer.send(Err(error));
        }
    });
    Some(pieces)
}

/// Writes to a client.
pub(crate) struct PieceWriter {
    piece: Vec<u8>,
    sender: mpsc::Sender<io::Result<Bytes>>,
    runtime: Handle,
}

impl PieceWriter {
    fn send(&self, piece: io::Result<Bytes>) -> io::Result<()> {
        // The thread is one for blocking work, where this is allowed.
        match self.runtime.block_on(timeout(CLIENT_TIMEOUT, self.sender.send(piece))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn send_piece(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.piece);
        self.send(Ok(piece.into()))
    }
}

impl Write for PieceWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.piece.capacity() == 0 {
            self.piece.reserve_exact(PIECE_BYTES);
        }
        let n = data.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&data[..n]);
        if self.piece.len() == PIECE_BYTES {
            self.send_piece()?;
        }
        Ok(n)
    }

    /// Only the end of it all is passed on at once: encoders flush more often than clients need.
    fn flush(&mut self) -> io::Result<()> {
        self.send_piece()
    }
}
