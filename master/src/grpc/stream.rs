//! Files as gRPC streams: read ahead on a blocking thread, in frames.

use std::io;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use tally_proto::frames::{
    Buffer, Compression, DirectReader, Packer, Piece, Shape, frame_at, message,
};
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
    let from = DirectReader::open(&path).map_err(storage)?;
    let whole = from.len().map_err(storage)?;
    let rest = whole.saturating_sub(offset);
    let len = if len == 0 { rest } else { len.min(rest) };
    Ok(self::file((from, storage), (offset, len), lease, None))
}

/// Says where a task's bytes lie, to a slave that can read them there; `None` where the path has no words.
pub(super) fn place(task: &TaskBytes) -> Option<Frames> {
    let path = std::path::absolute(&*task.path).ok()?;
    let path = path.to_str()?.to_owned();
    let TaskBytes { offset, len: bytes, in_place, .. } = *task;
    let spool = SpoolRange { path, offset, bytes, in_place };
    let frame = TaskFrame { spool: Some(spool), ..TaskFrame::default() };
    let (frames, stream) = mpsc::channel(1);
    frames.try_send(Ok(Piece::Message(message(&frame)))).ok()?;
    Some(ReceiverStream::new(stream))
}

/// Whether the bytes of a task are still those that were taken in.
pub(super) async fn check(task: TaskBytes) -> Result<(), Status> {
    let TaskBytes { offset, len, crc32c: expected, in_place, .. } = task;
    let found = spawn_blocking(move || -> io::Result<u32> {
        let file = open(&task)?;
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
    if found.map_err(broken(in_place))? == expected {
        return Ok(());
    }
    Err(Status::data_loss(if in_place {
        "the task's bytes are not what they were when the file was read first: it must not be changed \
         as long as it is counted"
    } else {
        "the task's bytes are damaged where the master keeps them"
    }))
}

fn open(task: &TaskBytes) -> io::Result<DirectReader> {
    // A user's file was read to be cut a moment ago; the spool was written past the cache.
    if task.in_place {
        DirectReader::open_cached(&task.path)
    } else {
        DirectReader::open(&task.path)
    }
}

/// Streams the bytes of a task, each frame compressed if that makes it smaller.
pub(super) fn task(task: &TaskBytes, compression: Option<Compression>) -> Result<Frames, Status> {
    let broken = broken(task.in_place);
    let from = open(task).map_err(broken)?;
    Ok(file((from, broken), (task.offset, task.len), (), compression))
}

/// Says that a file can not be read.
type Broken = fn(io::Error) -> Status;

fn broken(in_place: bool) -> Broken {
    if in_place { gone } else { storage }
}

/// Streams `len` bytes of a file from `offset` on; `kept` is dropped when that is done.
fn file(
    (file, broken): (DirectReader, Broken),
    (offset, len): (u64, u64),
    kept: impl Send + 'static,
    compression: Option<Compression>,
) -> Frames {
    let end = offset + len;
    let (frames, stream) = mpsc::channel(FRAMES_AHEAD);
    spawn_blocking(move || {
        let _kept = kept;
        let mut packer = compression.map(Packer::new);
        let mut at = offset;
        while at < end {
            let (n, mut buffer) = (frame_at(at, end), Buffer::take());
            let read = file.read(at, n, &mut buffer);
            let frame = read.map_err(broken).map(|skip| {
                let plain = &buffer.room()[skip..skip + n];
                match packer.as_mut().and_then(|packer| packer.pack(plain)) {
                    Some(packed) => Piece::Packed(packed),
                    None => Piece::Message(buffer.enveloped(Shape::TASK.data, skip, n)),
                }
            });
            let ended = frame.is_err();
            // A closed stream means that nobody reads on.
            if frames.blocking_send(frame).is_err() || ended {
                return;
            }
            at += n as u64;
        }
    });
    ReceiverStream::new(stream)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn storage(error: io::Error) -> Status {
    tracing::error!(%error, "storage failed");
    Status::internal("the master's storage failed; its log says how")
}

/// Of a user's file: sending it again would be of no use.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn gone(error: io::Error) -> Status {
    Status::data_loss(format!(
        "the file can not be read any more where it lay: {error}; it must stay there, and not be \
         changed, as long as it is counted"
    ))
}
