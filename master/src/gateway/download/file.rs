//! A part of a file as the body of an answer. What is in the page cache is read right here, into buffers
//! that are used again and again and are still in the processor's cache when they are sent; for what is
//! not, a blocking thread is asked. No thread waits for a client, and one that takes nothing costs one
//! small piece: they grow as it keeps up.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use rustix::fs::{Advice, fadvise};
use rustix::io::{ReadWriteFlags, preadv2};
use tokio::task::{JoinHandle, spawn_blocking};

use tally_common::limits::FRAME_BYTES;
use tally_proto::frames::Buffer;

use crate::jobs::Keep;

/// Bytes of the first piece; each has twice as many as the one before, up to a frame's.
const FIRST_BYTES: usize = 64 << 10;

/// See the module.
pub(super) struct FileStream {
    file: Arc<File>,
    /// What is still to be sent.
    left: Range<u64>,
    /// Bytes of the next piece.
    size: usize,
    /// The next piece, where it is not in the page cache.
    next: Option<JoinHandle<io::Result<Bytes>>>,
    /// The job stays as long as somebody reads.
    _lease: Keep,
}

impl FileStream {
    pub(super) fn new(file: File, part: Range<u64>, lease: Keep) -> Self {
        // Only makes the system read further ahead.
        let _ = fadvise(&file, part.start, None, Advice::Sequential);
        let file = Arc::new(file);
        Self { file, left: part, size: FIRST_BYTES, next: None, _lease: lease }
    }

    /// The next piece, or the beginning of it, as far as that is in memory. Never waits for a disk: what
    /// it takes is copying, a tenth of a millisecond at most.
    fn read_cached(&self, len: usize) -> Option<Bytes> {
        let read = fill(len, |room| {
            let mut room = [IoSliceMut::new(room)];
            Ok(preadv2(&*self.file, &mut room, self.left.start, ReadWriteFlags::NOWAIT)?)
        });
        // Whatever is wrong, the other way says it better.
        read.ok().filter(|piece| !piece.is_empty())
    }

    fn read_elsewhere(&self, len: usize) -> JoinHandle<io::Result<Bytes>> {
        let (file, from) = (Arc::clone(&self.file), self.left.start);
        spawn_blocking(move || fill(len, |room| file.read_exact_at(room, from).map(|()| len)))
    }
}

/// Makes a piece of what `read` reads into room for `len` bytes.
fn fill(len: usize, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<Bytes> {
    // Large buffers are for large pieces alone.
    if len < FRAME_BYTES / 2 {
        let mut piece = vec![0; len];
        let n = read(&mut piece)?;
        piece.truncate(n);
        return Ok(piece.into());
    }
    let mut buffer = Buffer::take();
    let n = read(&mut buffer.room()[..len])?;
    Ok(buffer.bytes(0, n))
}

impl Body for FileStream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let len = (self.left.end - self.left.start).min(self.size as u64) as usize;
        let waiting = match self.next.take() {
            None => self.read_cached(len).ok_or_else(|| self.read_elsewhere(len)),
            Some(next) => Err(next),
        };
        let piece = match waiting {
            Ok(piece) => piece,
            Err(next) => {
                let next = self.next.insert(next);
                let read = ready!(Pin::new(next).poll(context));
                self.next = None;
                match read.map_err(io::Error::other).flatten() {
                    Ok(piece) => piece,
                    Err(error) => {
                        // What was promised does not come: the connection breaks, so that the client
                        // knows.
                        tracing::warn!(%error, "a file that is sent can not be read on");
                        return Poll::Ready(Some(Err(error)));
                    }
                }
            }
        };
        self.left.start += piece.len() as u64;
        self.size = (2 * self.size).min(FRAME_BYTES);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.end - self.left.start)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_part_comes_whole_and_a_file_that_shrinks_is_an_error() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..5_000_000u32).flat_map(u32::to_le_bytes).collect();
        std::fs::write(&path, &bytes).unwrap();
        let open = || File::open(&path).unwrap();
        for part in [0..bytes.len(), 0..0, 7..8, 12_345..9_999_999] {
            let body = FileStream::new(open(), part.start as u64..part.end as u64, Keep::default());
            let read = body.collect().await.unwrap().to_bytes();
            assert!(read == bytes[part.clone()], "{part:?}");
        }
        let body = FileStream::new(open(), 0..bytes.len() as u64, Keep::default());
        path.as_file().set_len(3_000_000).unwrap();
        assert!(body.collect().await.is_err());
    }
}
