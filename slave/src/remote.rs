//! The gRPC side of a slave: the connection, the bytes of a task, the return of a partial.

use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tonic::Code;
use tonic::transport::Channel;

use tally_common::backoff::Backoff;
use tally_common::id::{MessageId, SessionId};
use tally_proto::frames::{self, Part, Piece, Shape, path};
use tally_proto::v1::{self, PartialAck, PartialVerdict, partial_frame::Frame};

use crate::config::Config;
use crate::worker::{Partial, SourceError, TaskSource};

/// Pieces of a task that may wait on this side, each at most a frame: what keeps a worker fed while the
/// next ones are on their way, and the bound on what a prefetched task holds in memory (8 MiB).
const FRAMES_AHEAD: usize = 8;

/// How often bytes are sent that break off or arrive damaged, before the attempt has failed. A bad link
/// is no fault of the task, which has only so many attempts.
const TRANSFERS: u32 = 8;

/// Waits between these.
const PAUSE: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(3));

/// Connects to the master.
pub(crate) async fn connect(config: &Config) -> Result<Channel, tonic::Status> {
    tally_proto::channel::connect(&config.master).await
}

/// The bytes of a task as they come over gRPC.
pub(crate) struct RemoteSource {
    frames: mpsc::Receiver<Result<Bytes, SourceError>>,
    channel: Channel,
    task: MessageId,
    session: SessionId,
    runtime: Handle,
    /// Times that the bytes have not arrived as they should.
    tries: u32,
}

impl TaskSource for RemoteSource {
    fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        self.frames.blocking_recv().transpose()
    }

    fn again(&mut self, damaged: bool) -> bool {
        self.tries += 1;
        if self.tries >= TRANSFERS {
            return false;
        }
        let _runtime = self.runtime.enter();
        let request = v1::StreamTaskRequest::of(self.task, self.session, damaged);
        self.frames = start(self.channel.clone(), request, pause(self.task, self.tries));
        true
    }
}

/// Starts to fetch a task; the fetch stops when the source is dropped. Must be called within a tokio
/// runtime.
pub(crate) fn fetch(channel: Channel, task: MessageId, session: SessionId) -> RemoteSource {
    let request = v1::StreamTaskRequest::of(task, session, false);
    let frames = start(channel.clone(), request, Duration::ZERO);
    RemoteSource { frames, channel, task, session, runtime: Handle::current(), tries: 0 }
}

fn start(
    channel: Channel,
    request: v1::StreamTaskRequest,
    wait: Duration,
) -> mpsc::Receiver<Result<Bytes, SourceError>> {
    let (pieces, source) = mpsc::channel(FRAMES_AHEAD);
    tokio::spawn(async move {
        // Even none would take until the timer's next tick.
        if !wait.is_zero() {
            sleep(wait).await;
        }
        let mut stream = match frames::download(channel, path::STREAM_TASK, &request).await {
            Ok(stream) => stream,
            Err(status) => {
                let _ = pieces.send(Err(source_error(&status))).await;
                return;
            }
        };
        loop {
            let piece = match stream.next().await {
                Ok(Some(Part::Data(data))) => Ok(data),
                // A task has no header.
                Ok(Some(Part::Header(_))) => continue,
                Ok(None) => return,
                Err(status) => Err(source_error(&status)),
            };
            let broken = piece.is_err();
            // A receiver that is gone has lost interest: dropping the stream cancels it.
            if pieces.send(piece).await.is_err() || broken {
                return;
            }
        }
    });
    source
}

/// The wait after bytes have not arrived as they should so many times.
fn pause(task: MessageId, tries: u32) -> Duration {
    PAUSE.wait(tries.saturating_sub(1), task.uuid().as_u64_pair().1)
}

fn source_error(status: &tonic::Status) -> SourceError {
    match status.code() {
        Code::NotFound => SourceError::Gone,
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

/// Hands a partial in, again where it arrives damaged.
pub(crate) async fn hand_in(
    channel: Channel,
    session: SessionId,
    partial: Partial,
) -> Result<Verdict, tonic::Status> {
    let mut damaged = 0;
    loop {
        let patient = damaged + 1 < TRANSFERS;
        let answer = send(channel.clone(), session, partial.clone(), patient).await;
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
    channel: Channel,
    session: SessionId,
    partial: Partial,
    patient: bool,
) -> Result<Verdict, tonic::Status> {
    let head = v1::PartialHeader { patient, ..partial.head(session).to_wire() };
    let header = v1::PartialFrame { frame: Some(Frame::Header(head)) };
    let header = Piece::Message(frames::message(&header));
    let field = Shape::HEADER_AND_DATA.data;
    let data = partial.frames.into_iter().map(move |data| Piece::Data(field, data));
    let pieces = tokio_stream::iter(std::iter::once(header).chain(data).map(Ok));
    let ack: PartialAck = frames::upload(channel, path::RETURN_PARTIAL, pieces).await?;
    Ok(match ack.verdict() {
        PartialVerdict::Accepted => Verdict::Accepted,
        PartialVerdict::Duplicate => Verdict::Duplicate,
        PartialVerdict::Rejected | PartialVerdict::Unspecified => Verdict::Rejected(ack.reason),
    })
}
