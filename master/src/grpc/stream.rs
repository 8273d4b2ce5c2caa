//! Files as gRPC streams: read ahead on a blocking thread, in frames.

use std::io;
use std::path::Path;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use tally_common::limits::FRAME_BYTES;

use crate::direct::DirectReader;

/// Frames that are read ahead of the connection.
const FRAMES_AHEAD: usize = 3;

/// A stream of replies.
pub(super) type Replies<T> = ReceiverStream<Result<T, Status>>;

/// Streams `len` bytes of the file at `path` from `offset`, or all that follow, each frame wrapped by
/// `wrap`.
pub(super) async fn file<T: Send + 'static>(
    path: &Path,
    offset: u64,
    len: Option<u64>,
    wrap: fn(Bytes) -> T,
) -> Result<Replies<T>, Status> {
    let file = DirectReader::open(path).map_err(storage)?;
    let end = match len {
        Some(len) => offset + len,
        None => file.len().map_err(storage)?,
    };
    let (frames, stream) = mpsc::channel(FRAMES_AHEAD);
    spawn_blocking(move || {
        let mut at = offset;
        while at < end {
            let n = (end - at).min(FRAME_BYTES as u64) as usize;
            let frame = file.read(at, n).map(wrap).map_err(storage);
            let broken = frame.is_err();
            // A closed stream means that nobody reads on.
            if frames.blocking_send(frame).is_err() || broken {
                return;
            }
            at += n as u64;
        }
    });
    Ok(ReceiverStream::new(stream))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn storage(error: io::Error) -> Status {
    tracing::error!(%error, "storage failed");
    Status::internal("the master's storage failed; its log says how")
}
