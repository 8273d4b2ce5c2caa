//! The coordinator: the one task that owns the ledger. It selects a message, applies it to the
//! ledger, executes the commands that come out, and does nothing else; only one thing is happening
//! at a time. It never parses, merges or moves bytes.

mod execute;
mod job;
mod message;
mod session;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};
use tracing::info;

use tally_common::api::JobView;
use tally_common::id::{JobId, MessageId, SessionId, TaskNumber};

use crate::clock::Clock;
use crate::cluster::{ClusterError, Joined, TaskBytes, Verdict};
use crate::config::Config;
use crate::ledger::{Event, Ledger, UploadId};
use crate::runs::ReceivedRun;

pub(crate) use job::Task;
pub use message::NewJob;
pub(crate) use message::{InputInfo, Message, Meter, Opened, Stopped};

use job::Job;
use session::Session;

/// Messages that may wait for the coordinator; whoever sends more waits.
const MESSAGES_AHEAD: usize = 1024;

/// How often time is looked at and views are published.
const TICK: Duration = Duration::from_millis(100);

/// The coordinator's state.
pub(crate) struct Coordinator {
    clock: Clock,
    config: Config,
    ledger: Ledger,
    jobs: HashMap<JobId, Job>,
    sessions: HashMap<SessionId, Session>,
    /// Partials that wait for the ledger's verdict, with whoever waits for it.
    uploads: HashMap<UploadId, (ReceivedRun, oneshot::Sender<Verdict>)>,
    next_upload: u64,
    /// Runs that could not be kept, of which the ledger has not heard yet.
    lost: Vec<(JobId, TaskNumber)>,
    /// To itself, from the threads that finish jobs.
    own: mpsc::WeakSender<Message>,
}

/// Makes a coordinator and the way to reach it. It runs until it is told to stop or nobody can reach
/// it any more.
pub(crate) fn start(config: Config) -> mpsc::Sender<Message> {
    let (sender, mut messages) = mpsc::channel(MESSAGES_AHEAD);
    let mut coordinator = Coordinator {
        clock: Clock::start(),
        ledger: Ledger::new(config.policy.clone()),
        config,
        jobs: HashMap::new(),
        sessions: HashMap::new(),
        uploads: HashMap::new(),
        next_upload: 0,
        lost: Vec::new(),
        own: sender.downgrade(),
    };
    tokio::spawn(async move {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(Message::Stop { reason }) => return coordinator.stop(&reason),
                    Some(message) => coordinator.handle(message),
                    None => return,
                },
                _ = ticks.tick() => coordinator.tick(),
            }
        }
    });
    sender
}

impl Coordinator {
    fn handle(&mut self, message: Message) {
        match message {
            Message::Open { job, reply } => {
                let _ = reply.send(self.open(job));
            }
            Message::Input { job, info } => {
                if let Some(job) = self.live(job) {
                    job.inputs.push(Arc::new(info));
                }
            }
            Message::Cut { job, cuts } => self.cut(job, cuts),
            Message::InputDone { job, taken, reply } => {
                if let Some(live) = self.live(job) {
                    live.taken = taken;
                    self.apply(Event::InputComplete { job });
                }
                let _ = reply.send(());
            }
            Message::InputFailed { job, error, reply } => {
                self.apply(Event::InputFailed { job, error });
                let _ = reply.send(());
            }
            Message::Join { hello, reply } => self.join(hello, reply),
            Message::Beat { session, attempts } => {
                if let Some(known) = self.sessions.get_mut(&session) {
                    known.beat(&attempts);
                    self.apply(Event::Beat { session });
                }
            }
            Message::Draining { session } => self.apply(Event::SlaveDraining { session }),
            Message::Left { session } => self.leave(session),
            Message::TaskFailed { session, message_id, attempt, error } => {
                self.apply(Event::TaskFailed { session, message_id, attempt, error });
            }
            Message::TaskBytes { session, message_id, reply } => {
                let _ = reply.send(self.task_bytes(session, message_id));
            }
            Message::Partial { run, reply } => self.partial(run, reply),
            Message::Finished { job, finished } => self.finished(job, finished),
            question => self.answer(question),
        }
    }

    fn answer(&mut self, question: Message) {
        match question {
            Message::Get { job, reply } => {
                let _ = reply.send(self.view(job));
            }
            Message::List { reply } => {
                let ids: Vec<_> = self.ledger.jobs().map(|(id, _)| *id).collect();
                let views = ids.into_iter().rev().filter_map(|id| self.view(id)).collect();
                let _ = reply.send(views);
            }
            Message::Watch { job, reply } => {
                self.publish(job);
                let _ = reply.send(self.jobs.get(&job).map(|job| job.view.subscribe()));
            }
            Message::Cancel { job, reply } => {
                self.apply(Event::Cancel { job });
                let _ = reply.send(self.view(job));
            }
            Message::Delete { job, reply } => {
                let known = self.jobs.contains_key(&job);
                self.apply(Event::Delete { job });
                let _ = reply.send(known);
            }
            Message::Slaves { reply } => {
                let _ = reply.send(self.slave_views());
            }
            // All others are dealt with before they come here.
            _ => {}
        }
    }

    fn open(&mut self, new: crate::coordinator::NewJob) -> std::io::Result<Opened> {
        let id = self.clock.job_id();
        let folder = self.job_folder(id);
        for part in ["runs", "spool"] {
            std::fs::create_dir_all(folder.join(part))?;
        }
        let (priority, max_rejects) = (new.priority, new.spec.max_rejects());
        let job = Job::new(id, new, folder.clone(), (self.clock.now(), self.clock.unix_ms()));
        info!(job = %id, name = %job.new.name, "job opened");
        let meter = Arc::clone(&job.meter);
        self.jobs.insert(id, job);
        self.apply(Event::JobOpened { job: id, priority, max_rejects });
        let workers = self.sessions.values().map(|session| session.hello.workers).sum();
        Ok(Opened { job: id, folder, meter, workers })
    }

    fn job_folder(&self, id: JobId) -> PathBuf {
        self.config.data_dir.join("jobs").join(id.to_string())
    }

    /// A job that has not ended.
    fn live(&mut self, id: JobId) -> Option<&mut Job> {
        self.jobs.get_mut(&id).filter(|job| job.ended.is_none())
    }

    fn cut(&mut self, id: JobId, cuts: Vec<crate::intake::Cut>) {
        for cut in cuts {
            // Events of a job that has ended meanwhile are of no interest.
            let Some(job) = self.live(id) else { return };
            let number = job.add_task(cut);
            self.apply(Event::TaskCut { job: id, number, bytes: cut.len });
        }
    }

    fn join(&mut self, hello: tally_proto::convert::SlaveHello, reply: oneshot::Sender<Joined>) {
        let session = self.clock.session_id();
        let (slave, workers) = (hello.slave, hello.workers);
        info!(%session, name = %hello.name, workers, version = %hello.version, "slave joined");
        let (known, commands) = Session::new(hello);
        self.sessions.insert(session, known);
        let heartbeat = self.config.policy.heartbeat;
        // Before the ledger hears of it: the first command must find a reader.
        let joined = Joined { session, heartbeat, commands };
        if reply.send(joined).is_err() {
            self.sessions.remove(&session);
            return;
        }
        self.apply(Event::SlaveJoined { session, slave, workers });
    }

    fn leave(&mut self, session: SessionId) {
        if let Some(left) = self.sessions.remove(&session) {
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
            Some(TaskBytes { path, offset: task.cut.offset, len: task.cut.len })
        });
        task.ok_or(ClusterError::NotWanted(message_id))
    }

    fn partial(&mut self, run: ReceivedRun, reply: oneshot::Sender<Verdict>) {
        let head = run.head;
        let job = self.jobs.values().find(|job| job.open.contains_key(&head.message_id));
        if job.is_some_and(|job| job.spec_hash != run.spec_hash) {
            let reason = "the run was counted by another spec".to_owned();
            let (session, message_id, attempt) = (head.session, head.message_id, head.attempt);
            let error = reason.clone();
            self.apply(Event::TaskFailed { session, message_id, attempt, error });
            let _ = reply.send(Verdict::Rejected(reason));
            return;
        }
        let upload = UploadId(self.next_upload);
        self.next_upload += 1;
        let event = Event::PartialArrived {
            session: head.session,
            message_id: head.message_id,
            attempt: head.attempt,
            totals: run.totals,
            groups: head.groups,
            upload,
        };
        self.uploads.insert(upload, (run, reply));
        self.apply(event);
    }

    fn tick(&mut self) {
        self.apply(Event::Tick);
        self.let_go();
        let moving: Vec<JobId> = self
            .jobs
            .values()
            .filter(|job| job.ended.is_none() || job.dirty)
            .map(|job| job.id)
            .collect();
        for id in moving {
            self.publish(id);
        }
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

    /// The job as it is now.
    fn view(&self, id: JobId) -> Option<Arc<JobView>> {
        let job = self.jobs.get(&id)?;
        let summary = self.ledger.job(&id)?;
        let running = self.sessions.values().map(|session| session.counted(id)).sum();
        let view = job.make_view(&summary, self.clock.now(), running, self.sessions.len());
        Some(Arc::new(view))
    }

    /// Shows the job as it is now to those who watch it.
    fn publish(&mut self, id: JobId) {
        if let Some(view) = self.view(id)
            && let Some(job) = self.jobs.get_mut(&id)
        {
            job.dirty = false;
            job.view.send_replace(view);
        }
    }

    fn stop(&mut self, reason: &str) {
        for session in self.sessions.values_mut() {
            session.end(reason);
        }
        // Whoever still takes an input in stops with its job.
        for job in self.jobs.values() {
            job.meter.cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
}
