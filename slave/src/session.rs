//! A slave's life: reach the master, join, follow its commands, reconnect when it goes away, drain
//! when told to stop.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tracing::{Instrument, debug, debug_span, info, warn};

use tally_common::id::{Attempt, MessageId, SessionId};
use tally_proto::convert::{Assignment, SlaveHello};
use tally_proto::frames::Compression;
use tally_proto::trace;
use tally_proto::v1::cluster_client::ClusterClient;
use tally_proto::v1::{self, MasterCommand, SlaveEvent, master_command, slave_event};

use crate::config::Config;
use crate::outbox::Outbox;
use crate::remote::{self, Verdict};
use crate::worker::{Execution, Outcome, Progress, Workers};

/// How long the master may take to answer a Join.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Events that may wait for the connection. A heartbeat that finds it full is skipped.
const EVENTS_AHEAD: usize = 64;

/// Wait before a partial that did not get through is sent again in the same session.
const HAND_IN_PAUSE: Duration = Duration::from_millis(200);

/// Why a slave stopped for good.
#[derive(Debug, Error)]
pub enum SlaveError {
    /// The worker threads could not be started.
    #[error("the worker threads could not be started: {0}")]
    Workers(#[from] io::Error),
    /// The master refuses this slave, and would again.
    #[error("the master refuses this slave: {0}")]
    Refused(String),
}

/// Runs a slave until `shutdown` resolves, then drains: it finishes what it is counting, takes no
/// more, and leaves, within the configured grace period.
///
/// # Errors
/// [`SlaveError`] where going on makes no sense; a master that can not be reached is not one.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), SlaveError> {
    let (outcomes_in, outcomes) = mpsc::channel(2 * config.workers as usize);
    let workers = Workers::start(config.workers, &outcomes_in)?;
    let mut slave = Slave {
        outbox: Outbox::default(),
        attempts: HashMap::new(),
        workers,
        outcomes,
        draining: None,
        config,
    };
    let mut shutdown = std::pin::pin!(shutdown);
    let mut failures = 0;
    loop {
        let ended = slave.session(shutdown.as_mut()).await;
        slave.abandon();
        match ended {
            Ok(Ended::Drained) => return Ok(()),
            Ok(Ended::Lost(reason)) => {
                info!(%reason, "the session ended");
                failures = 0;
            }
            Err(status) if refused(&status) => {
                return Err(SlaveError::Refused(status.message().to_owned()));
            }
            Err(status) => debug!(%status, "the master can not be reached"),
        }
        if slave.draining.is_some() && slave.outbox.len() == 0 {
            return Ok(());
        }
        let wait = slave.config.reconnect.wait(failures, jitter(&slave.config, failures));
        if failures == 0 {
            info!(master = %slave.config.master, ?wait, "reconnecting");
        }
        failures = failures.saturating_add(1);
        tokio::select! {
            () = sleep(wait) => {}
            () = shutdown.as_mut(), if slave.draining.is_none() => slave.start_draining(),
        }
        if slave.grace_is_over() {
            warn!(
                partials = slave.outbox.len(),
                "left with partials that the master has not taken"
            );
            return Ok(());
        }
    }
}

/// Spreads the reconnects of many slaves; each has an id of its own.
fn jitter(config: &Config, failures: u32) -> u64 {
    let (high, low) = config.id.uuid().as_u64_pair();
    (high ^ low).rotate_left(failures.wrapping_mul(7))
}

fn refused(status: &Status) -> bool {
    let code = status.code();
    matches!(
        code,
        Code::FailedPrecondition
            | Code::InvalidArgument
            | Code::Unauthenticated
            | Code::PermissionDenied
    )
}

/// How a session ended.
enum Ended {
    /// All is done and handed in.
    Drained,
    /// The master went away.
    Lost(String),
}

/// What outlives a session.
struct Slave {
    config: Config,
    workers: Workers,
    outcomes: mpsc::Receiver<Outcome>,
    outbox: Outbox,
    /// Attempts that are queued or being counted.
    attempts: HashMap<(MessageId, Attempt), Progress>,
    /// Since when it drains.
    draining: Option<Instant>,
}

type HandedIn = (MessageId, Result<Verdict, Status>);

impl Slave {
    async fn session(
        &mut self,
        mut shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Ended, Status> {
        let channel = remote::connect(&self.config).await?;
        let (events, mut commands) = self.join(channel.clone()).await?;
        let (welcome, session, beat) = welcome(&mut commands).await?;
        info!(%session, master = %self.config.master, "joined");
        let compression = self.config.compression.filter(|wanted| welcome.takes(*wanted));
        if compression != self.config.compression {
            warn!(master = %welcome.version, "the master does not know this compression; going without");
        }
        let mut link = Link { channel, session, compression, events, returns: JoinSet::new() };
        let mut beats = interval(beat);
        if self.draining.is_some() {
            link.tell(slave_event::Event::Draining(v1::Draining {})).await;
        }
        loop {
            while let Some(partial) = self.outbox.send_next() {
                link.hand_in(partial);
            }
            if self.grace_is_over() {
                return Ok(Ended::Lost("the grace period is over".to_owned()));
            }
            // Workers wait when the master is slow to take partials: that bounds the memory.
            let room = self.outbox.len() < 2 * self.config.workers as usize;
            tokio::select! {
                command = commands.message() => {
                    let reason = match command {
                        Ok(Some(command)) => {
                            self.obey(command, &link).await;
                            continue;
                        }
                        Ok(None) => "the master closed it".to_owned(),
                        Err(status) => status.message().to_owned(),
                    };
                    return Ok(self.ended(link, reason).await);
                }
                Some(outcome) = self.outcomes.recv(), if room => self.note(outcome, &link).await,
                Some(handed_in) = link.returns.join_next() => {
                    if let Ok(handed_in) = handed_in {
                        self.settle(handed_in);
                    }
                }
                _ = beats.tick() => link.beat(&self.attempts),
                () = shutdown.as_mut(), if self.draining.is_none() => {
                    self.start_draining();
                    link.tell(slave_event::Event::Draining(v1::Draining {})).await;
                }
            }
        }
    }

    /// The master has closed the session: because it has nothing more for a slave that drains, or for
    /// a reason of its own.
    async fn ended(&mut self, mut link: Link, reason: String) -> Ended {
        if self.draining.is_some() {
            // Its verdicts on the last partials are on their way.
            while let Some(handed_in) = link.returns.join_next().await {
                if let Ok(handed_in) = handed_in {
                    self.settle(handed_in);
                }
            }
            if self.attempts.is_empty() && self.outbox.len() == 0 {
                return Ended::Drained;
            }
        }
        Ended::Lost(reason)
    }

    async fn join(
        &self,
        channel: Channel,
    ) -> Result<(mpsc::Sender<SlaveEvent>, Streaming<MasterCommand>), Status> {
        let (events, outgoing) = mpsc::channel(EVENTS_AHEAD);
        let hello = SlaveHello {
            slave: self.config.id,
            name: self.config.name.clone(),
            workers: self.config.workers,
            version: tally_proto::BUILD.to_owned(),
            labels: self.config.labels.clone(),
        };
        // In the channel before the call: the master answers only once it has seen it.
        let _ = events.try_send(SlaveEvent::of(slave_event::Event::Hello(hello.to_wire())));
        let mut client = ClusterClient::new(channel);
        let joined = timeout(JOIN_TIMEOUT, client.join(ReceiverStream::new(outgoing))).await;
        let joined = joined.map_err(|_| Status::deadline_exceeded("no answer to Join"))??;
        Ok((events, joined.into_inner()))
    }

    async fn obey(&mut self, command: MasterCommand, link: &Link) {
        use master_command::Command;
        match command.command {
            Some(Command::Assign(assign)) => match Assignment::try_from(assign) {
                Ok(assignment) => self.start(assignment, link).await,
                Err(error) => warn!(%error, "an assignment makes no sense; ignored"),
            },
            Some(Command::Cancel(cancel)) => {
                if let Ok(attempt) = cancel.attempt_of()
                    && let Some(progress) = self.attempts.get(&attempt)
                {
                    progress.cancel();
                }
            }
            Some(Command::Goodbye(goodbye)) => {
                info!(reason = %goodbye.reason, "the master ends the session");
            }
            // A newer master's command: what this slave must understand would raise the major.
            Some(Command::Welcome(_)) | None => {}
        }
    }

    async fn start(&mut self, assignment: Assignment, link: &Link) {
        let attempt = (assignment.message_id, assignment.attempt);
        let span = debug_span!(
            parent: None,
            "task",
            message_id = %attempt.0,
            attempt = attempt.1,
            job = %assignment.job,
            number = assignment.number,
        );
        trace::adopt(&span, assignment.trace);
        span.in_scope(|| debug!("assigned"));
        let progress = Progress::within(span.clone());
        let origin = remote::Origin {
            channel: link.channel.clone(),
            task: attempt.0,
            session: link.session,
            read_spool: self.config.read_spool.clone(),
            compression: link.compression,
            span,
        };
        let source = Box::new(remote::fetch(origin));
        let execution = Execution { assignment, source, progress: progress.clone() };
        match self.workers.submit(execution) {
            Ok(()) => {
                self.attempts.insert(attempt, progress);
            }
            Err(_) => link.failed(attempt, "the slave's queue is full".to_owned()).await,
        }
    }

    async fn note(&mut self, outcome: Outcome, link: &Link) {
        match outcome {
            Outcome::Counted(partial) => {
                self.attempts.remove(&(partial.message_id, partial.attempt));
                self.outbox.push(partial);
            }
            Outcome::Failed(id, attempt, error) => {
                let known = self.attempts.remove(&(id, attempt));
                let cancelled = known.is_none_or(|progress| progress.is_cancelled());
                if !cancelled && !error.is_gone() {
                    warn!(message_id = %id, attempt, %error, "an attempt failed");
                    link.failed((id, attempt), error.to_string()).await;
                }
            }
        }
    }

    fn settle(&mut self, (id, verdict): HandedIn) {
        match verdict {
            Ok(Verdict::Rejected(reason)) => {
                warn!(message_id = %id, %reason, "the master rejected a partial");
                self.outbox.acknowledge(id);
            }
            Ok(verdict) => {
                debug!(message_id = %id, ?verdict, "handed in");
                self.outbox.acknowledge(id);
            }
            Err(status) => {
                warn!(message_id = %id, %status, "a partial did not get through; sending it again");
                self.outbox.put_back(id);
            }
        }
    }

    /// From now on the master gives no more: what no worker has begun it takes back, and when the rest
    /// has been handed in it closes the session. An assignment that was on its way is still counted.
    fn start_draining(&mut self) {
        info!(attempts = self.attempts.len(), "draining");
        self.draining = Some(Instant::now());
    }

    fn grace_is_over(&self) -> bool {
        self.draining.is_some_and(|since| since.elapsed() >= self.config.grace)
    }

    /// The session is over: the master will give its attempts to others, or to this slave anew.
    fn abandon(&mut self) {
        for progress in self.attempts.values() {
            progress.cancel();
        }
        self.attempts.clear();
        self.outbox.put_all_back();
    }
}

async fn welcome(
    commands: &mut Streaming<MasterCommand>,
) -> Result<(v1::Welcome, SessionId, Duration), Status> {
    let first = timeout(JOIN_TIMEOUT, commands.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("no welcome"))??;
    match first.and_then(|command| command.command) {
        Some(master_command::Command::Welcome(welcome)) => {
            let beat = Duration::from_millis(welcome.heartbeat_interval_ms.max(10).into());
            let session = welcome.session()?;
            Ok((welcome, session, beat))
        }
        _ => Err(Status::unavailable("the master did not begin with a welcome")),
    }
}

/// One session's connection.
struct Link {
    channel: Channel,
    session: SessionId,
    /// As the slave wants it and the master knows it.
    compression: Option<Compression>,
    events: mpsc::Sender<SlaveEvent>,
    returns: JoinSet<HandedIn>,
}

impl Link {
    async fn tell(&self, event: slave_event::Event) {
        // A closed channel means a closed session, which the command stream reports.
        let _ = self.events.send(SlaveEvent::of(event)).await;
    }

    async fn failed(&self, (id, attempt): (MessageId, Attempt), error: String) {
        let failed = v1::TaskFailed::of(id, attempt, error);
        self.tell(slave_event::Event::TaskFailed(failed)).await;
    }

    fn beat(&self, attempts: &HashMap<(MessageId, Attempt), Progress>) {
        let attempts = attempts
            .iter()
            .map(|((id, attempt), progress)| {
                v1::AttemptProgress::of(*id, *attempt, progress.bytes())
            })
            .collect();
        let beat = slave_event::Event::Heartbeat(v1::Heartbeat { attempts });
        let _ = self.events.try_send(SlaveEvent::of(beat));
    }

    fn hand_in(&mut self, partial: crate::worker::Partial) {
        let (channel, session, id) = (self.channel.clone(), self.session, partial.message_id);
        let compression = self.compression;
        let span = debug_span!(parent: &partial.span, "return", bytes = partial.bytes());
        let hand_in = async move {
            let verdict = remote::hand_in(channel, session, partial, compression).await;
            if verdict.is_err() {
                sleep(HAND_IN_PAUSE).await;
            }
            (id, verdict)
        };
        self.returns.spawn(hand_in.instrument(span));
    }
}
