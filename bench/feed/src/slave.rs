//! One simulated slave: a tokio task with a connection and a session of its own. It speaks as a real
//! one of one worker does and takes all bytes of its tasks, but only pretends to count them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::sync::{Mutex, mpsc};
use tokio::task::{AbortHandle, JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use tally_common::id::{Attempt, MessageId, SessionId, SlaveId};
use tally_proto::convert::{Assignment, SlaveHello};
use tally_proto::frames::{self, Part, Piece, Shape, path};
use tally_proto::v1::cluster_client::ClusterClient;
use tally_proto::v1::master_command::Command;
use tally_proto::v1::partial_frame::Frame;
use tally_proto::v1::slave_event::Event;
use tally_proto::v1::{self, MasterCommand, PartialAck, PartialVerdict, SlaveEvent};

use crate::answers::{Answer, Partial};
use crate::crowd::Shared;

/// Events that may wait for the connection.
const EVENTS_AHEAD: usize = 16;

/// Lives until the master says goodbye or the crowd is dropped.
pub(crate) async fn run(url: String, number: usize, shared: Arc<Shared>) {
    if let Err(error) = live(&url, number, &shared).await {
        shared.seen.wrong(format!("simulated slave {number}: {error:#}"));
    }
}

/// What an attempt needs.
struct Session {
    channel: Channel,
    id: SessionId,
    shared: Arc<Shared>,
    /// The only worker: held while a task is pretended to be counted.
    worker: Mutex<()>,
}

/// How far an attempt is.
#[derive(Default)]
struct Progress {
    bytes: AtomicU64,
    /// It is being handed in, or has been taken back; whichever came first.
    decided: AtomicBool,
}

impl Progress {
    /// Whether this decides what becomes of the attempt. As with a real slave, a partial that is on its way
    /// arrives, whatever the master says meanwhile.
    fn decide(&self) -> bool {
        !self.decided.swap(true, Ordering::Relaxed)
    }
}

type Attempts = HashMap<(MessageId, Attempt), (AbortHandle, Arc<Progress>)>;

/// How often a slave tries to join before that is an error, and the pause between two tries.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(200);

/// Joins, again where the connection breaks: when a thousand come at once, some may have to.
async fn enter(url: &str, number: usize, shared: &Shared) -> anyhow::Result<Joined> {
    let mut tries = 1;
    loop {
        let joined = match tally_proto::channel::connect(url).await {
            Ok(channel) => join(channel, number).await,
            Err(error) => Err(error),
        };
        match joined {
            Ok(joined) => return Ok(joined),
            Err(status) if tries == TRIES => return Err(status.into()),
            Err(_) => {
                tries += 1;
                shared.seen.joined_again.fetch_add(1, Ordering::Relaxed);
                sleep(PAUSE).await;
            }
        }
    }
}

/// A session that the master has been asked for.
struct Joined {
    channel: Channel,
    events: mpsc::Sender<SlaveEvent>,
    commands: Streaming<MasterCommand>,
}

async fn live(url: &str, number: usize, shared: &Arc<Shared>) -> anyhow::Result<()> {
    let Joined { channel, events, mut commands } = enter(url, number, shared).await?;
    let first = commands.message().await?.and_then(|command| command.command);
    let Some(Command::Welcome(welcome)) = first else { bail!("the master does not say welcome") };
    let beat = Duration::from_millis(welcome.heartbeat_interval_ms.max(10).into());
    let (id, worker) = (welcome.session()?, Mutex::new(()));
    let session = Arc::new(Session { channel, id, shared: Arc::clone(shared), worker });
    shared.seen.joined.fetch_add(1, Ordering::Relaxed);
    let (mut attempts, mut running) = (Attempts::new(), JoinSet::new());
    let mut beats = interval(beat);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            command = commands.message() => match command?.context("the session ended")?.command {
                Some(Command::Assign(assign)) => {
                    let assignment = Assignment::try_from(assign)?;
                    let attempt = (assignment.message_id, assignment.attempt);
                    let progress = Arc::<Progress>::default();
                    let task = answer(Arc::clone(&session), assignment, Arc::clone(&progress));
                    let handle = running.spawn(async move { (attempt, task.await) });
                    attempts.insert(attempt, (handle, progress));
                    shared.seen.assigned.fetch_add(1, Ordering::Relaxed);
                }
                Some(Command::Cancel(cancel)) => {
                    let attempt = attempts.remove(&cancel.attempt_of()?);
                    if let Some((handle, progress)) = attempt
                        && progress.decide()
                    {
                        handle.abort();
                        shared.seen.in_vain.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Some(Command::Goodbye(goodbye)) => bail!("the master says goodbye: {}", goodbye.reason),
                Some(Command::Welcome(_)) | None => {}
            },
            Some(ended) = running.join_next() => match ended {
                Ok((attempt, answered)) => {
                    attempts.remove(&attempt);
                    answered?;
                }
                // It was aborted.
                Err(error) if error.is_cancelled() => {}
                Err(error) => return Err(error.into()),
            },
            _ = beats.tick() => {
                let attempts = attempts.iter().map(|((id, attempt), (_, progress))| {
                    v1::AttemptProgress::of(*id, *attempt, progress.bytes.load(Ordering::Relaxed))
                });
                let beat = v1::Heartbeat { attempts: attempts.collect() };
                // One that finds no room is skipped.
                let _ = events.try_send(SlaveEvent::of(Event::Heartbeat(beat)));
            }
        }
    }
}

async fn join(channel: Channel, number: usize) -> Result<Joined, Status> {
    let (events, outgoing) = mpsc::channel(EVENTS_AHEAD);
    let hello = SlaveHello {
        slave: SlaveId::from_uuid(Uuid::new_v4()),
        name: format!("simulated {number}"),
        workers: 1,
        version: tally_proto::BUILD.to_owned(),
        labels: Default::default(),
    };
    // In the channel before the call: the master answers only once it has seen it.
    let _ = events.try_send(SlaveEvent::of(Event::Hello(hello.to_wire())));
    let joined = ClusterClient::new(channel.clone()).join(ReceiverStream::new(outgoing)).await?;
    Ok(Joined { channel, events, commands: joined.into_inner() })
}

/// One attempt, from its assignment to the verdict.
async fn answer(
    session: Arc<Session>,
    assignment: Assignment,
    progress: Arc<Progress>,
) -> anyhow::Result<()> {
    let shared = &session.shared;
    // An error would mean that the crowd is gone, and with it this task.
    let _ = shared.go.subscribe().wait_for(|go| *go).await;
    let begun = Instant::now();
    let Some(answer) = fetch(&session, &assignment, &progress).await? else {
        shared.seen.in_vain.fetch_add(1, Ordering::Relaxed);
        return Ok(());
    };
    let fetched = begun.elapsed();
    let worker = session.worker.lock().await;
    sleep(shared.delay).await;
    drop(worker);
    if !progress.decide() {
        return Ok(());
    }
    let counted = Instant::now();
    let partial = answer.partial(&assignment, session.id);
    match hand_in(&session, partial).await?.verdict() {
        PartialVerdict::Accepted => shared.seen.accepted(fetched + counted.elapsed()),
        PartialVerdict::Duplicate => {
            shared.seen.in_vain.fetch_add(1, Ordering::Relaxed);
        }
        verdict => bail!("a partial was not taken: {verdict:?}"),
    }
    Ok(())
}

/// Takes all bytes of a task; `None` where it is no longer wanted.
async fn fetch(
    session: &Session,
    assignment: &Assignment,
    progress: &Progress,
) -> anyhow::Result<Option<Answer>> {
    let shared = &session.shared;
    let known = shared.answers.find(assignment);
    let _open = Open::new(shared);
    let request = v1::StreamTaskRequest::of(assignment.message_id, session.id, false);
    let channel = session.channel.clone();
    let (mut crc32c, mut bytes, mut kept) = (0, 0, Vec::new());
    match frames::download(channel, path::STREAM_TASK, &request, Shape::TASK).await {
        Err(status) if status.code() == Code::NotFound => return Ok(None),
        Err(status) => return Err(status.into()),
        Ok(mut stream) => {
            while let Some(part) = stream.next().await? {
                let Part::Data(data) = part else { bail!("nobody asked for a place") };
                crc32c = crc32c::crc32c_append(crc32c, &data);
                bytes += data.len() as u64;
                shared.seen.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
                progress.bytes.store(bytes, Ordering::Relaxed);
                if known.is_none() {
                    kept.push(data);
                }
            }
        }
    }
    let right = (bytes, crc32c) == (assignment.bytes, assignment.crc32c);
    ensure!(right, "task {} did not arrive as it was cut", assignment.number);
    if known.is_some() {
        return Ok(known);
    }
    let (shared, assignment) = (Arc::clone(shared), assignment.clone());
    let counted = spawn_blocking(move || shared.answers.learn(&assignment, &kept)).await;
    Ok(Some(counted??))
}

async fn hand_in(session: &Session, partial: Partial) -> Result<PartialAck, Status> {
    let header = v1::PartialFrame { frame: Some(Frame::Header(partial.head.to_wire())) };
    let header = Piece::Message(frames::message(&header));
    let field = Shape::HEADER_AND_DATA.data;
    let data = partial.frames.into_iter().map(move |data| Piece::Data(field, data));
    let pieces = tokio_stream::iter(std::iter::once(header).chain(data).map(Ok));
    frames::upload(session.channel.clone(), path::RETURN_PARTIAL, pieces).await
}

/// A stream that is open, also while its attempt is being aborted.
struct Open<'a>(&'a Shared);

impl<'a> Open<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.seen.stream_opened();
        Self(shared)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.seen.stream_closed();
    }
}
