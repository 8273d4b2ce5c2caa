//! Files as gRPC streams: read ahead on a blocking thread, in frames.

use std::io;
use std::path::Path;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use tally_proto::frames::{Buffer, DirectReader, Piece, Shape, frame_at, message};
use tally_proto::v1::{SpoolRange, TaskFrame};

use crate::cluster::TaskBytes;
use crate::jobs::Download;

/// Frames that are read ahead of the connection.
const FRAMES_AHEAD: usize = 3;

/// A stream of frames: `TaskFrame` and `DataFrame` are alike.
pub(super) type Frames = ReceiverStream<Result<Piece, Status>>;

/// Streams `len` bytes of a download from `offset` on, or all that follow where it is 0. The job stays
/// as long as somebody reads.
pub(super) fn download(file: Download, offset: u64, len: u64) -> Result<Frames, Status> {
    let Download { path, lease, .. } = file;
    let whole = DirectReader::open(&path).and_then(|file| file.len()).map_err(storage)?;
    let rest = whole.saturating_sub(offset);
    let len = if len == 0 { rest } else { len.min(rest) };
    self::file(&path, offset, len, lease)
}

/// Says where a task's bytes lie, to a slave that can read them there; `None` where the path has no words.
pub(super) fn place(task: &TaskBytes) -> Option<Frames> {
    let path = std::path::absolute(&*task.path).ok()?;
    let path = path.to_str()?.to_owned();
    let spool = SpoolRange { path, offset: task.offset, bytes: task.len };
    let frame = TaskFrame { spool: Some(spool), ..TaskFrame::default() };
    let (frames, stream) = mpsc::channel(1);
    frames.try_send(Ok(Piece::Message(message(&frame)))).ok()?;
    Some(ReceiverStream::new(stream))
}

/// Whether the bytes of a task are still those that were taken in.
pub(super) async fn check(task: TaskBytes) -> Result<(), Status> {
    let TaskBytes { path, offset, len, crc32c: expected } = task;
    let found = spawn_blocking(move || -> io::Result<u32> {
        let file = DirectReader::open(&path)?;
        let (mut at, end, mut crc) = (offset, offset + len, 0);
        while at < end {
            let (n, mut buffer) = (frame_at(at, end), Buffer::take());
            let skip = file.read(at, n, &mut buffer)?;
            crc = crc32c::crc32c_append(crc, &buffer.room()[skip..skip + n]);
            at += n as u64;
        }
        Ok(crc)
    });
    let found = found.await.map_err(|_| Status::internal("a task could not be read"))?;
    if found.map_err(storage)? == expected {
        return Ok(());
    }
    Err(Status::data_loss("the task's bytes are damaged where the master keeps them"))
}

/// Streams `len` bytes of the file at `path` from `offset` on; `kept` is dropped when that is done.
pub(super) fn file(
    path: &Path,
    offset: u64,
    len: u64,
    kept: impl Send + 'static,
) -> Result<Frames, Status> {
    let file = DirectReader::open(path).map_err(storage)?;
    let end = offset + len;
    let (frames, stream) = mpsc::channel(FRAMES_AHEAD);
    spawn_blocking(move || {
        let _kept = kept;
        let mut at = offset;
        while at < end {
            let (n, mut buffer) = (frame_at(at, end), Buffer::take());
            let read = file.read(at, n, &mut buffer);
            let frame =
                read.map(|skip| Piece::Message(buffer.enveloped(Shape::DATA.data, skip, n)));
            let frame = frame.map_err(storage);
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
