//! The `Cluster` service: for slaves.

use std::time::Duration;

use prost::Message;
use tokio::sync::mpsc;
use tokio::task::block_in_place;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{Instrument, debug, warn};

use tally_common::id::SessionId;
use tally_proto::PROTOCOL;
use tally_proto::convert::{PartialHead, SlaveHello, WireError};
use tally_proto::frames::{Compression, Incoming, Part, Unpacker};
use tally_proto::v1::cluster_server::Cluster as Service;
use tally_proto::v1::{
    self, CancelAttempt, Goodbye, MasterCommand, PartialAck, PartialFrame, PartialHeader,
    PartialVerdict, SlaveEvent, StreamTaskRequest, TaskFrame, Welcome, master_command, slave_event,
};

use super::bulk::elsewhere;
use super::stream::{self, Frames};
use crate::access::Who;
use crate::cluster::{Cluster, ClusterError, Joined, SessionCommand, Verdict};
use crate::runs::RunsError;
use crate::trace;

/// How long a slave may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a slave may pause while it hands a partial in.
const FRAME_TIMEOUT: Duration = Duration::from_secs(60);

/// The service.
#[derive(Clone)]
pub(super) struct ClusterService {
    pub(super) cluster: Cluster,
    /// Slaves that can may read tasks where they lie.
    pub(super) share_spool: bool,
}

#[tonic::async_trait]
impl Service for ClusterService {
    type JoinStream = ReceiverStream<Result<MasterCommand, Status>>;
    type StreamTaskStream = tokio_stream::Empty<Result<TaskFrame, Status>>;

    async fn join(
        &self,
        request: Request<Streaming<SlaveEvent>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        let credential = credential(request.extensions());
        let mut events = request.into_inner();
        let hello = hello(&mut events).await?;
        let joined = self.cluster.join(hello, credential).await?;
        let session = joined.session;
        let (commands, replies) = mpsc::channel(16);
        let cluster = self.cluster.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = down(joined, &commands) => {}
                () = up(&cluster, session, events) => {}
            }
            // A coordinator that has stopped has no sessions.
            let _ = cluster.left(session).await;
        });
        Ok(Response::new(ReceiverStream::new(replies)))
    }

    async fn stream_task(
        &self,
        _: Request<StreamTaskRequest>,
    ) -> Result<Response<Self::StreamTaskStream>, Status> {
        Err(elsewhere())
    }

    async fn return_partial(
        &self,
        _: Request<Streaming<PartialFrame>>,
    ) -> Result<Response<PartialAck>, Status> {
        Err(elsewhere())
    }
}

impl ClusterService {
    /// `StreamTask`.
    pub(super) async fn task(&self, request: StreamTaskRequest) -> Result<Frames, Status> {
        let (message_id, session) = request.parts()?;
        let task = self.cluster.task_bytes(session, message_id).await?;
        if request.again {
            warn!(%message_id, %session, "a task's bytes arrived damaged");
            stream::check(task.clone()).await?;
        }
        let place = if request.reads_spool && self.share_spool && tally_proto::speaks(2) {
            stream::place(&task)
        } else {
            None
        };
        match place {
            Some(place) => Ok(place),
            None => {
                let wanted = Compression::from_wire(request.compression);
                stream::task(&task, wanted.filter(|_| tally_proto::speaks(3)))
            }
        }
    }

    /// `ReturnPartial`.
    pub(super) async fn partial(&self, mut frames: Incoming) -> Result<PartialAck, Status> {
        let (head, patient) = match next(&mut frames).await? {
            Some(Part::Header(header)) => {
                let header = PartialHeader::decode(header)
                    .map_err(|error| Status::internal(error.to_string()))?;
                let patient = header.patient && tally_proto::speaks(1);
                (PartialHead::try_from(header)?, patient)
            }
            _ => return Err(WireError::Missing("header").into()),
        };
        let span = trace::partial(head.message_id, head.attempt);
        match self.receive(head, &mut frames).instrument(span.clone()).await {
            Ok(verdict) => {
                span.record("verdict", tracing::field::debug(&verdict));
                Ok(ack(verdict))
            }
            // The slave is to send it again when there is room.
            Err(ReceiveError::Partial(ClusterError::Runs(error))) if error.is_ours() => {
                warn!(message_id = %head.message_id, %error, "a partial can not be stored yet");
                Err(Status::unavailable(error.to_string()))
            }
            // Not what the slave has sent: it is not told that it was wrong.
            Err(ReceiveError::Partial(ClusterError::Runs(
                error @ (RunsError::Damaged { .. } | RunsError::Packed(_)),
            ))) if patient => {
                warn!(message_id = %head.message_id, %error, "a partial arrived damaged");
                Err(Status::data_loss(error.to_string()))
            }
            Err(ReceiveError::Partial(error)) => {
                warn!(message_id = %head.message_id, %error, "a partial was rejected");
                let reason = error.to_string();
                let failed = reason.clone();
                self.cluster
                    .partial_refused(head.session, head.message_id, head.attempt, failed)
                    .await?;
                Ok(ack(Verdict::Rejected(reason)))
            }
            Err(ReceiveError::Call(status)) => Err(status),
        }
    }
}

/// Why a partial was not taken in: because of what it is, or because of how it came.
enum ReceiveError {
    Partial(ClusterError),
    Call(Status),
}

impl From<RunsError> for ReceiveError {
    fn from(error: RunsError) -> Self {
        Self::Partial(error.into())
    }
}

impl ClusterService {
    async fn receive(
        &self,
        head: PartialHead,
        frames: &mut Incoming,
    ) -> Result<Verdict, ReceiveError> {
        let mut run = self.cluster.receive(head).map_err(ReceiveError::Partial)?;
        let mut unpacker = Unpacker::default();
        while let Some(frame) = next(frames).await.map_err(ReceiveError::Call)? {
            match frame {
                // Handing a thread over costs more than a small run does: only what may wait for the disk.
                Part::Data(data) if run.holds(data.len()) => run.write(&data)?,
                Part::Data(data) => block_in_place(|| run.write(&data))?,
                Part::Packed(packed) => block_in_place(|| {
                    let data = unpacker.unpack(packed).map_err(RunsError::from)?;
                    run.write(&data)
                })?,
                Part::Header(_) => {
                    return Err(ReceiveError::Call(WireError::Missing("data").into()));
                }
            }
        }
        let run = block_in_place(|| run.finish())?;
        self.cluster.hand_in(run).await.map_err(|error| ReceiveError::Call(error.into()))
    }
}

async fn next(frames: &mut Incoming) -> Result<Option<Part>, Status> {
    frames.next_within(FRAME_TIMEOUT, "partial").await
}

fn ack(verdict: Verdict) -> PartialAck {
    let (verdict, reason) = match verdict {
        Verdict::Accepted => (PartialVerdict::Accepted, String::new()),
        Verdict::Duplicate => (PartialVerdict::Duplicate, String::new()),
        Verdict::Rejected(reason) => (PartialVerdict::Rejected, reason),
    };
    PartialAck { verdict: verdict as i32, reason }
}

/// Who a slave is, where what it has shown tells one from another.
fn credential(extensions: &tonic::Extensions) -> Option<String> {
    match extensions.get::<Who>()? {
        // Which of those it is that have the token, it does not say.
        Who::Anonymous(_) | Who::Slave(_) => None,
        who => Some(who.to_string()),
    }
}

async fn hello(events: &mut Streaming<SlaveEvent>) -> Result<SlaveHello, Status> {
    let first = timeout(HELLO_TIMEOUT, events.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("no hello"))??;
    let Some(slave_event::Event::Hello(hello)) = first.and_then(|event| event.event) else {
        return Err(WireError::Missing("hello").into());
    };
    let protocol = hello.protocol.unwrap_or_default();
    if protocol.major != PROTOCOL.major {
        return Err(Status::failed_precondition(format!(
            "this master ({}) speaks protocol {}.{}, the slave ({}) speaks {}.{}: run the same \
             version of tally on both",
            tally_proto::BUILD,
            PROTOCOL.major,
            PROTOCOL.minor,
            hello.version,
            protocol.major,
            protocol.minor
        )));
    }
    Ok(SlaveHello::try_from(hello)?)
}

/// Passes the master's commands on until the session or the connection ends.
async fn down(mut joined: Joined, commands: &mpsc::Sender<Result<MasterCommand, Status>>) {
    let heartbeat = joined.heartbeat.as_millis().min(u128::from(u32::MAX)) as u32;
    let welcome = Welcome::of(joined.session, heartbeat);
    let mut next = Some(master_command::Command::Welcome(welcome));
    while let Some(command) = next {
        let last = matches!(command, master_command::Command::Goodbye(_));
        if commands.send(Ok(MasterCommand::of(command))).await.is_err() || last {
            return;
        }
        next = joined.commands.recv().await.map(|command| match command {
            SessionCommand::Assign(assignment) => {
                master_command::Command::Assign(assignment.to_wire())
            }
            SessionCommand::Cancel(message_id, attempt) => {
                master_command::Command::Cancel(CancelAttempt::of(message_id, attempt))
            }
            SessionCommand::End(reason) => master_command::Command::Goodbye(Goodbye { reason }),
        });
    }
}

/// Passes the slave's events on until the connection ends.
async fn up(cluster: &Cluster, session: SessionId, mut events: Streaming<SlaveEvent>) {
    loop {
        let event = match events.message().await {
            Ok(Some(event)) => event.event,
            Ok(None) => return,
            Err(status) => return debug!(%session, %status, "connection lost"),
        };
        let passed = match event {
            Some(slave_event::Event::Heartbeat(beat)) => beat_on(cluster, session, &beat).await,
            Some(slave_event::Event::TaskFailed(failed)) => match failed.attempt_of() {
                Ok((id, attempt)) => cluster.task_failed(session, id, attempt, failed.error).await,
                Err(error) => return warn!(%session, %error, "an event makes no sense"),
            },
            Some(slave_event::Event::Draining(_)) => cluster.draining(session).await,
            // A second hello, or a newer slave's event that this master may ignore.
            Some(slave_event::Event::Hello(_)) | None => Ok(()),
        };
        if passed.is_err() {
            return;
        }
    }
}

async fn beat_on(
    cluster: &Cluster,
    session: SessionId,
    beat: &v1::Heartbeat,
) -> Result<(), ClusterError> {
    let attempts = beat.attempts.iter().filter_map(|progress| {
        let (message_id, attempt) = progress.attempt_of().ok()?;
        Some((message_id, attempt, progress.bytes))
    });
    cluster.beat(session, attempts.collect()).await
}

impl From<ClusterError> for Status {
    fn from(error: ClusterError) -> Self {
        let message = error.to_string();
        match error {
            ClusterError::Stopped(_) => Self::unavailable(message),
            ClusterError::NoSession(_) | ClusterError::NotWanted(_) => Self::not_found(message),
            ClusterError::SetAside { .. } => Self::permission_denied(message),
            ClusterError::Runs(_) => Self::data_loss(message),
        }
    }
}
