//! The gRPC side of a slave: the connection, the bytes of a task, the return of a partial.
//!
//! What comes compressed is decompressed by the worker that counts it, what goes compressed is
//! compressed on a thread of its own.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tracing::{Instrument, Span, debug, debug_span};

use tally_common::backoff::Backoff;
use tally_common::id::{MessageId, SessionId};
use tally_proto::Line;
use tally_proto::dial::DialError;
use tally_proto::frames::{self, Compression, Packer, Part, Piece, Shape, Unpacker, path};
use tally_proto::v1::{self, PartialAck, PartialVerdict, SpoolRange, partial_frame::Frame};

use crate::config::Config;
use crate::spool::Spooled;
use crate::worker::{Partial, SourceError, TaskSource};

/// Pieces of a task that may wait on this side, each at most a frame: what keeps a worker fed while the
/// next ones are on their way, and the bound on what a prefetched task holds in memory (8 MiB).
const FRAMES_AHEAD: usize = 8;

/// Frames of a partial that are compressed ahead of the connection.
const PACKED_AHEAD: usize = 3;

/// How often bytes are sent that break off or arrive damaged, before the attempt has failed. A bad link
/// is no fault of the task, which has only so many attempts.
const TRANSFERS: u32 = 8;

/// Waits between these.
const PAUSE: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(3));

/// Connects to the master.
pub(crate) async fn connect(config: &Config) -> Result<Line, DialError> {
    config.master.connect().await
}

/// Where the bytes of a task come from.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) channel: Line,
    pub(crate) task: MessageId,
    pub(crate) session: SessionId,
    /// Where they may be read instead of being sent.
    pub(crate) read_spool: Vec<PathBuf>,
    /// How they may be compressed on their way.
    pub(crate) compression: Option<Compression>,
    /// What it takes to fetch them is part of this.
    pub(crate) span: Span,
}

/// Something of a task on its way to the worker.
enum Fetched {
    /// The next bytes.
    Bytes(Bytes),
    /// A frame that is to be decompressed.
    Packed(Bytes),
    /// All of it, to be read by the worker itself: it is most likely in the page cache, and would leave
    /// the processor's on the way from one thread to another.
    Here(Spooled),
}

/// Pieces of a task on their way to the worker.
type Pieces = mpsc::Sender<Result<Fetched, SourceError>>;

/// The bytes of a task as they come over gRPC.
pub(crate) struct RemoteSource {
    pieces: mpsc::Receiver<Result<Fetched, SourceError>>,
    /// What the worker reads itself.
    here: Option<Spooled>,
    unpacker: Unpacker,
    origin: Origin,
    runtime: Handle,
    /// Times that the bytes have not arrived as they should.
    tries: u32,
}

impl TaskSource for RemoteSource {
    fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        if self.here.is_none() {
            match self.pieces.blocking_recv().transpose()? {
                Some(Fetched::Here(here)) => self.here = Some(here),
                Some(Fetched::Bytes(bytes)) => return Ok(Some(bytes)),
                Some(Fetched::Packed(packed)) => return Ok(Some(self.unpacker.unpack(packed)?)),
                None => return Ok(None),
            }
        }
        let piece = self.here.as_mut().and_then(Iterator::next).transpose();
        piece.map_err(|error| SourceError::Broken(error.to_string()))
    }

    fn again(&mut self, damaged: bool) -> bool {
        self.tries += 1;
        if self.tries >= TRANSFERS {
            return false;
        }
        // What could not be read here is sent.
        self.origin.read_spool.clear();
        self.here = None;
        let _runtime = self.runtime.enter();
        let wait = pause(self.origin.task, self.tries);
        self.pieces = start(self.origin.clone(), damaged, wait);
        true
    }
}

/// Starts to fetch a task; the fetch stops when the source is dropped. Must be called within a tokio
/// runtime.
pub(crate) fn fetch(origin: Origin) -> RemoteSource {
    let pieces = start(origin.clone(), false, Duration::ZERO);
    let (unpacker, runtime) = (Unpacker::default(), Handle::current());
    RemoteSource { pieces, here: None, unpacker, origin, runtime, tries: 0 }
}

fn start(
    mut origin: Origin,
    again: bool,
    wait: Duration,
) -> mpsc::Receiver<Result<Fetched, SourceError>> {
    let (pieces, source) = mpsc::channel(FRAMES_AHEAD);
    let span = debug_span!(parent: &origin.span, "fetch", again);
    let fetch = async move {
        // Even none would take until the timer's next tick.
        if !wait.is_zero() {
            sleep(wait).await;
        }
        let mut passed = pass_on(&origin, again, &pieces).await;
        if let Ok(Some(range)) = &passed {
            let folders = std::mem::take(&mut origin.read_spool);
            match open(folders, range.clone()).await {
                Ok(spooled) => {
                    debug!(task = %origin.task, "reading a task where it lies");
                    if range.in_place {
                        // A receiver that is gone has lost interest.
                        let _ = pieces.send(Ok(Fetched::Here(spooled))).await;
                        return;
                    }
                    return read(spooled, pieces);
                }
                Err(error) => {
                    debug!(task = %origin.task, %error, "the spool can not be read here");
                    passed = pass_on(&origin, again, &pieces).await;
                }
            }
        }
        if let Err(status) = passed {
            // A receiver that is gone has lost interest.
            let _ = pieces.send(Err(source_error(&status))).await;
        }
    };
    tokio::spawn(fetch.instrument(span));
    source
}

/// Passes the bytes on as they are sent; or gives where they lie.
async fn pass_on(
    origin: &Origin,
    again: bool,
    pieces: &Pieces,
) -> Result<Option<SpoolRange>, Status> {
    let mut request = v1::StreamTaskRequest::of(origin.task, origin.session, again);
    request.reads_spool = !origin.read_spool.is_empty();
    request.compression = origin.compression.map_or(0, Compression::to_wire);
    let channel = origin.channel.clone();
    let mut stream = frames::download(channel, path::STREAM_TASK, &request, Shape::TASK).await?;
    while let Some(part) = stream.next().await? {
        let piece = match part {
            Part::Data(data) => Fetched::Bytes(data),
            Part::Packed(packed) => Fetched::Packed(packed),
            Part::Header(range) if request.reads_spool => {
                let range = SpoolRange::decode(range);
                return range.map(Some).map_err(|error| Status::internal(error.to_string()));
            }
            Part::Header(_) => return Err(Status::internal("nobody asked for a place")),
        };
        // A receiver that is gone has lost interest: dropping the stream cancels it.
        if pieces.send(Ok(piece)).await.is_err() {
            return Ok(None);
        }
    }
    Ok(None)
}

async fn open(folders: Vec<PathBuf>, range: SpoolRange) -> io::Result<Spooled> {
    let opened = spawn_blocking(move || Spooled::open(&folders, &range)).await;
    opened.map_err(io::Error::other)?
}

/// Reads ahead of the worker, on a thread of its own.
fn read(spooled: Spooled, pieces: Pieces) {
    spawn_blocking(move || {
        for piece in spooled {
            let piece = piece.map(Fetched::Bytes);
            let piece = piece.map_err(|error| SourceError::Broken(error.to_string()));
            let broken = piece.is_err();
            if pieces.blocking_send(piece).is_err() || broken {
                return;
            }
        }
    });
}

/// The wait after bytes have not arrived as they should so many times.
fn pause(task: MessageId, tries: u32) -> Duration {
    PAUSE.wait(tries.saturating_sub(1), task.uuid().as_u64_pair().1)
}

fn source_error(status: &Status) -> SourceError {
    match status.code() {
        Code::NotFound => SourceError::Gone,
        Code::Unauthenticated | Code::PermissionDenied => {
            SourceError::NotAllowed(status.message().to_owned())
        }
        Code::DataLoss => SourceError::Lost(status.message().to_owned()),
        _ => SourceError::Broken(status.message().to_owned()),
    }
}

/// What the master said of a partial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It counts.
    Accepted,
    /// The task had its answer already.
    Duplicate,
    /// It was no valid answer.
    Rejected(String),
}

/// Hands a partial in, again where it arrives damaged; compressed if so the master takes it.
pub(crate) async fn hand_in(
    channel: Line,
    session: SessionId,
    partial: Partial,
    compression: Option<Compression>,
) -> Result<Verdict, Status> {
    let mut damaged = 0;
    loop {
        let patient = damaged + 1 < TRANSFERS;
        let answer = send(channel.clone(), session, partial.clone(), patient, compression).await;
        match answer {
            Err(status) if patient && status.code() == Code::DataLoss => {
                damaged += 1;
                sleep(pause(partial.message_id, damaged)).await;
            }
            answer => return answer,
        }
    }
}

async fn send(
    channel: Line,
    session: SessionId,
    partial: Partial,
    patient: bool,
    compression: Option<Compression>,
) -> Result<Verdict, Status> {
    let patient = patient && tally_proto::speaks(1);
    let head = v1::PartialHeader { patient, ..partial.head(session).to_wire() };
    let header = v1::PartialFrame { frame: Some(Frame::Header(head)) };
    let header = Piece::Message(frames::message(&header));
    let header = tokio_stream::once(Ok(header));
    let data = partial.frames.into_iter().map(|data| Piece::Data(Shape::PARTIAL.data, data));
    let ack: PartialAck = match compression {
        None => {
            let pieces = header.chain(tokio_stream::iter(data.map(Ok)));
            frames::upload(channel, path::RETURN_PARTIAL, pieces).await?
        }
        Some(compression) => {
            let pieces = header.chain(ReceiverStream::new(packed(data, compression)));
            frames::upload(channel, path::RETURN_PARTIAL, pieces).await?
        }
    };
    Ok(match ack.verdict() {
        PartialVerdict::Accepted => Verdict::Accepted,
        PartialVerdict::Duplicate => Verdict::Duplicate,
        PartialVerdict::Rejected | PartialVerdict::Unspecified => Verdict::Rejected(ack.reason),
    })
}

/// Compresses what becomes smaller by it, ahead of the connection, on a thread of its own.
fn packed(
    pieces: impl Iterator<Item = Piece> + Send + 'static,
    compression: Compression,
) -> mpsc::Receiver<Result<Piece, Status>> {
    let (ahead, pieces_out) = mpsc::channel(PACKED_AHEAD);
    spawn_blocking(move || {
        let mut packer = Packer::new(compression);
        for piece in pieces {
            let packed = match &piece {
                Piece::Data(_, plain) => packer.pack(plain).map(Piece::Packed),
                _ => None,
            };
            // A stream that is closed is one that has broken off.
            if ahead.blocking_send(Ok(packed.unwrap_or(piece))).is_err() {
                return;
            }
        }
    });
    pieces_out
}
