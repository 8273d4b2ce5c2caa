//! The gRPC side of a slave: the connection, the bytes of a task, the return of a partial.

use bytes::Bytes;
use tokio::sync::mpsc;
use tonic::Code;
use tonic::transport::Channel;

use tally_common::id::{MessageId, SessionId};
use tally_common::limits::MAX_MESSAGE_BYTES;
use tally_proto::v1::cluster_client::ClusterClient;
use tally_proto::v1::{self, PartialVerdict, partial_frame::Frame};

use crate::config::Config;
use crate::worker::{Partial, SourceError, TaskSource};

/// Frames of a task that may wait on this side: what keeps a worker fed while the next ones are on
/// their way, and the bound on what a prefetched task holds in memory (8 MiB).
const FRAMES_AHEAD: usize = 8;

/// Connects to the master.
pub(crate) async fn connect(config: &Config) -> Result<ClusterClient<Channel>, tonic::Status> {
    let channel = tally_proto::channel::connect(&config.master).await?;
    Ok(ClusterClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES))
}

/// The bytes of a task as they come over gRPC.
pub(crate) struct RemoteSource(mpsc::Receiver<Result<Bytes, SourceError>>);

impl TaskSource for RemoteSource {
    fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        self.0.blocking_recv().transpose()
    }
}

/// Starts to fetch a task; the fetch stops when the source is dropped.
pub(crate) fn fetch(
    mut client: ClusterClient<Channel>,
    task: MessageId,
    session: SessionId,
) -> RemoteSource {
    let (frames, source) = mpsc::channel(FRAMES_AHEAD);
    tokio::spawn(async move {
        let request = v1::StreamTaskRequest::of(task, session);
        let mut stream = match client.stream_task(request).await {
            Ok(reply) => reply.into_inner(),
            Err(status) => {
                let _ = frames.send(Err(source_error(&status))).await;
                return;
            }
        };
        loop {
            let piece = match stream.message().await {
                Ok(Some(frame)) => Ok(frame.data),
                Ok(None) => return,
                Err(status) => Err(source_error(&status)),
            };
            let broken = piece.is_err();
            // A receiver that is gone has lost interest: dropping the stream cancels it.
            if frames.send(piece).await.is_err() || broken {
                return;
            }
        }
    });
    RemoteSource(source)
}

fn source_error(status: &tonic::Status) -> SourceError {
    match status.code() {
        Code::NotFound => SourceError::Gone,
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

/// Hands a partial in.
pub(crate) async fn hand_in(
    mut client: ClusterClient<Channel>,
    session: SessionId,
    partial: Partial,
) -> Result<Verdict, tonic::Status> {
    let header = Frame::Header(partial.head(session).to_wire());
    let data = partial.frames.into_iter().map(Frame::Data);
    let frames = std::iter::once(header).chain(data);
    let frames = frames.map(|frame| v1::PartialFrame { frame: Some(frame) });
    let ack = client.return_partial(tokio_stream::iter(frames)).await?.into_inner();
    Ok(match ack.verdict() {
        PartialVerdict::Accepted => Verdict::Accepted,
        PartialVerdict::Duplicate => Verdict::Duplicate,
        PartialVerdict::Rejected | PartialVerdict::Unspecified => Verdict::Rejected(ack.reason),
    })
}
