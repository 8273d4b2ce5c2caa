//! A part of a file as the body of an answer: read on blocking threads, one piece ahead of the client,
//! in buffers that are used again and again. No thread waits for a client, and one that takes nothing
//! costs two small pieces: they grow as it keeps up.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use rustix::fs::{Advice, fadvise};
use tokio::task::{JoinHandle, spawn_blocking};

use tally_common::limits::FRAME_BYTES;
use tally_proto::frames::Buffer;

use crate::jobs::Keep;

/// Bytes of the first piece; each has twice as many as the one before, up to a frame's.
const FIRST_BYTES: u64 = 64 << 10;

/// See the module.
pub(super) struct FileStream {
    file: Arc<File>,
    /// What has been sent up to, and where it ends.
    left: Range<u64>,
    /// What has been read up to.
    read_to: u64,
    /// Bytes of the next piece that is read.
    size: u64,
    next: Option<JoinHandle<io::Result<Bytes>>>,
    /// The job stays as long as somebody reads.
    _lease: Keep,
}

impl FileStream {
    pub(super) fn new(file: File, part: Range<u64>, lease: Keep) -> Self {
        // Only makes the system read further ahead.
        let _ = fadvise(&file, part.start, None, Advice::Sequential);
        let (file, read_to) = (Arc::new(file), part.start);
        let mut stream =
            Self { file, left: part, read_to, size: FIRST_BYTES, next: None, _lease: lease };
        stream.read_on();
        stream
    }

    /// Begins to read the next piece, if there is one.
    fn read_on(&mut self) {
        let (from, len) = (self.read_to, self.size.min(self.left.end - self.read_to));
        if len == 0 {
            return;
        }
        self.read_to += len;
        self.size = (2 * self.size).min(FRAME_BYTES as u64);
        let file = Arc::clone(&self.file);
        self.next = Some(spawn_blocking(move || read(&file, from, len as usize)));
    }
}

fn read(file: &File, from: u64, len: usize) -> io::Result<Bytes> {
    if len < FRAME_BYTES / 2 {
        let mut piece = vec![0; len];
        file.read_exact_at(&mut piece, from)?;
        return Ok(piece.into());
    }
    let mut buffer = Buffer::take();
    file.read_exact_at(&mut buffer.room()[..len], from)?;
    Ok(buffer.bytes(0, len))
}

impl Body for FileStream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(next) = &mut self.next else { return Poll::Ready(None) };
        let read = ready!(Pin::new(next).poll(context)).map_err(io::Error::other).flatten();
        self.next = None;
        let piece = match read {
            Ok(piece) => piece,
            Err(error) => {
                // What was promised does not come: the connection breaks, so that the client knows.
                tracing::warn!(%error, "a file that is sent can not be read on");
                return Poll::Ready(Some(Err(error)));
            }
        };
        self.left.start += piece.len() as u64;
        self.read_on();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.end - self.left.start)
    }
}
