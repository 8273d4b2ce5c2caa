//! The coordinator: the one task that owns the ledger. It selects messages, applies them to the
//! ledger, makes the facts that come out durable in one transaction, and only then executes the
//! commands and answers; only one thing is happening at a time. It never parses, merges or moves
//! bytes.

mod account;
mod answer;
mod execute;
pub(crate) mod fault;
mod job;
mod measure;
mod message;
mod open;
mod record;
mod repair;
mod restore;
mod session;
mod survey;
mod sweep;
#[cfg(test)]
mod tests;
mod verify;

use std::collections::{HashMap, VecDeque};
use std::mem::take;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use tally_common::id::{JobId, MessageId, SessionId, TaskNumber};

use crate::clock::Clock;
use crate::cluster::{ClusterError, Joined, TaskBytes, Verdict};
use crate::config::Config;
use crate::disk::Disk;
use crate::feed::Feed;
use crate::intake::Cut;
use crate::ledger::{Command, Digest, Event, Ledger, UploadId};
use crate::metrics;
use crate::readers::Readers;
use crate::runs::ReceivedRun;
use crate::store::{Row, Store, StoreError};
use crate::tables::Tables;

pub(crate) use account::Account;
pub use account::OverLimit;
pub(crate) use job::Task;
pub use message::NewJob;
pub(crate) use message::{InputInfo, Known, Message, Meter, OpenError, Opened, Opening, Stopped};
pub(crate) use repair::{BaseRuns, spec_of_repair};

use account::Accounts;
use job::Job;
use session::Session;
use survey::Survey;
use verify::Trust;

/// Messages that may wait for the coordinator; whoever sends more waits.
const MESSAGES_AHEAD: usize = 1024;

/// Messages whose facts are written in one transaction.
const BATCH: usize = 64;

/// Messages that may wait until the store can be written again.
const DEFERRED: usize = 4096;

/// How often time is looked at and views are published.
const TICK: Duration = Duration::from_millis(100);

/// Ticks after which it is written what uploads under way have brought, where nothing else was: what a master
/// that is killed forgets of that.
const TICKS_BETWEEN_SPENT: u32 = 10;

/// What is done once the facts before it are durable.
enum Step {
    Execute(Command),
    /// Mostly an answer to somebody who waits.
    Then(Box<dyn FnOnce(&mut Coordinator) + Send>),
}

/// A partial that waits for the ledger's verdict.
struct Upload {
    run: ReceivedRun,
    /// Whoever waits for it, too.
    reply: Option<oneshot::Sender<Verdict>>,
    /// The name of the slave that has counted it.
    by: String,
}

/// The coordinator's state.
pub(crate) struct Coordinator {
    clock: Clock,
    config: Config,
    disk: Arc<Disk>,
    readers: Readers,
    /// `None` where nothing need outlive the process.
    store: Option<Store>,
    /// Where the rows of ingests go.
    tables: Tables,
    ledger: Ledger,
    jobs: HashMap<JobId, Job>,
    sessions: HashMap<SessionId, Session>,
    /// Partials that wait for the ledger's verdict, with whoever waits for it.
    uploads: HashMap<UploadId, Upload>,
    next_upload: u64,
    trust: Trust,
    /// The keys of the jobs that have not ended.
    keys: HashMap<String, JobId>,
    /// What the owners of jobs have sent.
    accounts: Accounts,
    /// Runs that could not be kept, of which the ledger has not heard yet.
    lost: Vec<(JobId, TaskNumber)>,
    /// Facts that are not durable yet, and what waits for them.
    rows: Vec<Row>,
    steps: Vec<Step>,
    /// The store could not be written; what came since waits.
    stuck: bool,
    ticks: u32,
    /// Why the master is stopping, if it is. From then on slaves that go or fail are what the stop
    /// makes of them, and no job is to end by it.
    leaving: Option<String>,
    deferred: VecDeque<Message>,
    /// To those who watch.
    feed: Feed,
    survey: Survey,
    /// To itself, from the threads that finish jobs.
    own: mpsc::WeakSender<Message>,
}

/// Makes a coordinator that goes on where the last one stopped, and the way to reach it. It runs
/// until it is told to stop or nobody can reach it any more.
///
/// # Errors
/// [`StoreError`] where what is stored can not be read.
pub(crate) async fn start(
    config: Config,
    disk: Arc<Disk>,
    readers: Readers,
    store: Option<Store>,
    feed: Feed,
    tables: Tables,
) -> Result<mpsc::Sender<Message>, StoreError> {
    let (sender, mut messages) = mpsc::channel(MESSAGES_AHEAD);
    let mut coordinator = Coordinator {
        clock: Clock::start(),
        ledger: Ledger::new(config.policy.clone()),
        config,
        disk,
        readers,
        store,
        tables,
        jobs: HashMap::new(),
        sessions: HashMap::new(),
        uploads: HashMap::new(),
        next_upload: 0,
        trust: Trust::default(),
        keys: HashMap::new(),
        accounts: Accounts::default(),
        lost: Vec::new(),
        rows: Vec::new(),
        steps: Vec::new(),
        stuck: false,
        ticks: 0,
        leaving: None,
        deferred: VecDeque::new(),
        feed,
        survey: Survey::default(),
        own: sender.downgrade(),
    };
    coordinator.restore().await?;
    coordinator.settle().await;
    tokio::spawn(async move {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let room = coordinator.deferred.len() < DEFERRED;
            tokio::select! {
                n = messages.recv_many(&mut batch, BATCH), if room => if n == 0 { return },
                _ = ticks.tick() => coordinator.tick(),
            }
            for message in batch.drain(..) {
                if let Message::Stop { reply } = message {
                    return coordinator.stop(reply).await;
                }
                coordinator.take(message).await;
            }
            coordinator.settle().await;
        }
    });
    Ok(sender)
}

impl Coordinator {
    async fn take(&mut self, message: Message) {
        if message.tells_facts() && !self.rows.is_empty() {
            // Of what has come before it in the same moment nobody is told before it is durable.
            self.settle().await;
        }
        if self.stuck && !message.is_question() {
            self.deferred.push_back(message);
        } else {
            self.handle(message).await;
        }
    }

    /// Makes what has been decided durable, and carries it out. Where the store can not be written,
    /// nothing is carried out: it is tried again at the next tick.
    async fn settle(&mut self) {
        loop {
            if !self.write().await {
                return;
            }
            while let Some(message) = self.deferred.pop_front() {
                self.handle(message).await;
                if self.rows.len() >= BATCH {
                    break;
                }
            }
            if self.rows.is_empty() && self.steps.is_empty() {
                return;
            }
        }
    }

    /// Writes what is to be written, and does what waits for it. `false` where that failed.
    async fn write(&mut self) -> bool {
        // What is done may lead to more.
        while !self.rows.is_empty() || !self.steps.is_empty() {
            if let Some(store) = self.store.clone().filter(|_| !self.rows.is_empty()) {
                self.record_spent();
                fault::point("before a commit");
                if let Err(error) = store.commit(&self.rows).await {
                    if !self.stuck {
                        error!(%error, full = error.is_full(), "nothing goes on until the store can be written");
                    }
                    self.stuck = true;
                    return false;
                }
                fault::point("after a commit");
                if take(&mut self.stuck) {
                    info!("the store can be written again");
                }
            }
            self.rows.clear();
            for step in take(&mut self.steps) {
                match step {
                    Step::Execute(command) => self.execute(command),
                    Step::Then(act) => act(self),
                }
            }
        }
        true
    }

    /// Does something once the facts so far are durable.
    fn then(&mut self, act: impl FnOnce(&mut Self) + Send + 'static) {
        self.steps.push(Step::Then(Box::new(act)));
    }

    /// Answers once the facts so far are durable.
    fn reply<T: Send + 'static>(&mut self, reply: oneshot::Sender<T>, answer: T) {
        self.then(move |_| {
            // Whoever asked may be gone.
            let _ = reply.send(answer);
        });
    }

    /// Applies an event. What follows from it is done by [`Self::settle`].
    fn apply(&mut self, event: Event) {
        let of_slaves = matches!(
            event,
            Event::SlaveJoined { .. }
                | Event::SlaveLeft { .. }
                | Event::TaskFailed { .. }
                | Event::PartialRefused { .. }
                | Event::Tick
        );
        if of_slaves && self.leaving.is_some() {
            return;
        }
        metrics::event(&event);
        for command in self.ledger.apply(event, self.clock.now()) {
            match command {
                Command::Persist(fact) => self.record(fact),
                Command::KeepRun { job, number, upload, check, .. } => {
                    if self.place_run(job, number, (upload, check)) {
                        self.steps.push(Step::Execute(command));
                    }
                }
                command => self.steps.push(Step::Execute(command)),
            }
        }
        // Only now: the commands of one event belong together, and none of them may find that
        // another event has come between.
        while let Some((job, number)) = self.lost.pop() {
            self.apply(Event::RunLost { job, number });
        }
    }

    async fn handle(&mut self, message: Message) {
        match message {
            Message::Open { job, key, reply } => self.open(job, key, reply).await,
            Message::Attach { job, offset, reply } => self.attach(job, offset, reply),
            Message::Reread { job, reply } => self.reread(job, reply),
            Message::UploadOffset { job, reply } => self.upload_offset(job, reply),
            Message::Input { .. }
            | Message::Cut { .. }
            | Message::Spooled { .. }
            | Message::Detached { .. }
            | Message::InputDone { .. }
            | Message::InputFailed { .. } => self.input(message),
            Message::Join { hello, credential, reply } => self.join(hello, credential, reply),
            Message::Beat { session, attempts } => {
                if let Some(known) = self.sessions.get_mut(&session) {
                    known.beat(&attempts);
                    self.apply(Event::Beat { session });
                }
            }
            Message::Draining { session } => self.apply(Event::SlaveDraining { session }),
            Message::Left { session } => self.leave(session),
            Message::TaskFailed { session, message_id, attempt, error } => {
                self.attempt_failed(session, message_id, attempt);
                self.apply(Event::TaskFailed { session, message_id, attempt, error });
            }
            Message::PartialRefused { session, message_id, attempt, reason } => {
                self.attempt_failed(session, message_id, attempt);
                self.apply(Event::PartialRefused { session, message_id, attempt, reason });
            }
            Message::TaskBytes { session, message_id, reply } => {
                let _ = reply.send(self.task_bytes(session, message_id));
            }
            Message::Partial { run, reply } => self.partial(run, reply),
            Message::Digested { run, digest, reply } => self.digested(run, digest, reply),
            Message::Recounted { job, number, counted } => self.recounted(job, number, counted),
            Message::Trust { name, reply } => self.trust(name, reply),
            Message::Finished { job, finished } => self.finished(job, finished).await,
            Message::Cancel { job, reply } => self.cancel(job, reply),
            Message::Delete { job, reply } => self.delete(job, reply).await,
            Message::Sweep => self.sweep().await,
            Message::Drain { reason } => self.drain(&reason),
            question => self.answer(question),
        }
    }

    fn job_folder(&self, id: JobId) -> PathBuf {
        self.config.job_folder(id)
    }

    /// A job that has not ended.
    fn live(&mut self, id: JobId) -> Option<&mut Job> {
        self.jobs.get_mut(&id).filter(|job| job.ended.is_none())
    }

    fn join(
        &mut self,
        hello: tally_proto::convert::SlaveHello,
        credential: Option<String>,
        reply: oneshot::Sender<Result<Joined, ClusterError>>,
    ) {
        if let Err(refused) = self.admit(&hello, credential) {
            // Whoever asked may be gone.
            let _ = reply.send(Err(refused));
            return;
        }
        let session = self.clock.session_id();
        let (slave, workers) = (hello.slave, hello.workers);
        info!(%session, name = %hello.name, workers, version = %hello.version, "slave joined");
        let (known, commands) = Session::new(hello);
        self.sessions.insert(session, known);
        let heartbeat = self.config.policy.heartbeat;
        // Before the ledger hears of it: the first command must find a reader.
        let joined = Joined { session, heartbeat, commands };
        if reply.send(Ok(joined)).is_err() {
            self.sessions.remove(&session);
            return;
        }
        self.apply(Event::SlaveJoined { session, slave, workers });
        if let Some(reason) = &self.leaving
            && let Some(known) = self.sessions.get_mut(&session)
        {
            known.end(reason);
        }
    }

    fn leave(&mut self, session: SessionId) {
        if let Some(left) = self.sessions.remove(&session) {
            self.survey.left(left.all_counted());
            info!(%session, name = %left.hello.name, "slave left");
            self.apply(Event::SlaveLeft { session });
        }
    }

    fn task_bytes(
        &mut self,
        session: SessionId,
        message_id: MessageId,
    ) -> Result<TaskBytes, ClusterError> {
        let known = self.sessions.get(&session).ok_or(ClusterError::NoSession(session))?;
        let task = known.task(message_id).and_then(|(job, number)| {
            let job = self.jobs.get(&job)?;
            let task = job.tasks.get(number as usize)?;
            let path = Arc::clone(&job.inputs.get(task.input as usize)?.path);
            let Cut { offset, len, crc32c } = task.cut;
            let in_place = job.new.in_place.as_ref() == Some(&*path);
            Some(TaskBytes { path, offset, len, crc32c, in_place })
        });
        task.ok_or(ClusterError::NotWanted(message_id))
    }

    fn partial(&mut self, run: ReceivedRun, reply: oneshot::Sender<Verdict>) {
        let head = run.head;
        let held = self.sessions.get(&head.session).and_then(|held| held.task(head.message_id));
        let job = match held {
            Some((job, _)) => self.jobs.get(&job),
            // It comes late: from a session that is over, or after the attempt was given up.
            None => self.jobs.values().find(|job| job.open.contains_key(&head.message_id)),
        };
        let (job, other) = (job.map(|job| job.id), job.map(|job| job.spec_hash));
        if other.is_some_and(|hash| hash != run.spec_hash) {
            let reason = "the run was counted by another spec".to_owned();
            return self.refuse_partial(&run, reason, reply);
        }
        if let Some((run, reply)) = self.digest_first(job, run, reply) {
            self.hand_in(run, None, reply);
        }
    }

    /// A partial is of no use.
    fn refuse_partial(
        &mut self,
        run: &ReceivedRun,
        reason: String,
        reply: oneshot::Sender<Verdict>,
    ) {
        let head = run.head;
        let (session, message_id, attempt) = (head.session, head.message_id, head.attempt);
        self.attempt_failed(session, message_id, attempt);
        let refused =
            Event::PartialRefused { session, message_id, attempt, reason: reason.clone() };
        self.apply(refused);
        self.reply(reply, Verdict::Rejected(reason));
    }

    /// Asks the ledger what becomes of a partial.
    fn hand_in(
        &mut self,
        run: ReceivedRun,
        digest: Option<Digest>,
        reply: oneshot::Sender<Verdict>,
    ) {
        let (head, totals) = (run.head, run.totals);
        let by = self.sessions.get(&head.session).map(|session| session.hello.name.clone());
        let upload = self.keep_upload(run, Some(reply), by.unwrap_or_else(|| Job::LEFT.to_owned()));
        let event = Event::PartialArrived {
            session: head.session,
            message_id: head.message_id,
            attempt: head.attempt,
            totals,
            groups: head.groups,
            upload,
            digest,
        };
        self.apply(event);
    }

    /// Gives a partial a number under which the ledger speaks of it.
    fn keep_upload(
        &mut self,
        run: ReceivedRun,
        reply: Option<oneshot::Sender<Verdict>>,
        by: String,
    ) -> UploadId {
        let upload = UploadId(self.next_upload);
        self.next_upload += 1;
        self.uploads.insert(upload, Upload { run, reply, by });
        upload
    }

    fn tick(&mut self) {
        let low = self.disk.look();
        self.measure();
        if self.stuck {
            return;
        }
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks.is_multiple_of(TICKS_BETWEEN_SPENT) {
            self.record_spent();
        }
        // While nothing can be written, slaves can not hand in what they have counted: that is not
        // held against them. The ledger takes the gap for a pause of the master.
        if !low {
            self.apply(Event::Tick);
            self.let_go();
        }
        // What the tick has led to is told when it is durable.
        self.then(|this| {
            let moving = this.jobs.values().filter(|job| job.ended.is_none() || job.dirty);
            let moving: Vec<JobId> = moving.map(|job| job.id).collect();
            for id in moving {
                this.publish(id);
            }
            this.survey();
        });
    }

    /// Says goodbye to draining slaves that hold nothing any more. A slave waits for that: only the
    /// master knows that no assignment is on its way.
    fn let_go(&mut self) {
        for (id, summary) in self.ledger.sessions() {
            if summary.draining
                && summary.running + summary.prefetched == 0
                && let Some(session) = self.sessions.get_mut(id)
            {
                session.end("drained");
            }
        }
    }

    /// Tells the slaves, and lets uploads stop where they are.
    fn drain(&mut self, reason: &str) {
        self.leaving = Some(reason.to_owned());
        self.apply(Event::Leaving);
        self.feed.close();
        let sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
        for session in sessions {
            // They are given nothing more.
            self.apply(Event::SlaveDraining { session });
            if let Some(session) = self.sessions.get_mut(&session) {
                session.end(reason);
            }
        }
        for job in self.jobs.values_mut() {
            job.meter.stopping.store(true, Ordering::Relaxed);
            job.detach();
            // Whoever watches it is not to keep the master from stopping.
            let last = Arc::clone(&job.view.borrow());
            job.view = watch::Sender::new(last);
            job.news = None;
        }
    }

    async fn stop(&mut self, reply: oneshot::Sender<()>) {
        self.record_spent();
        if !self.write().await {
            warn!("stopped although the store could not be written");
        }
        for job in self.jobs.values() {
            job.meter.cancelled.store(true, Ordering::Relaxed);
        }
        if let Some(store) = &self.store {
            store.close().await;
        }
        let _ = reply.send(());
    }
}
