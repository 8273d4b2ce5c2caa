//! A master in this process, with jobs in the states that requests may meet.

use std::sync::OnceLock;

use axum::Router;
use bytes::Bytes;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use uuid::Uuid;

use tally_common::api::JobState;
use tally_common::id::{JobId, MessageId, SessionId, SlaveId};
use tally_common::run::{RunHeader, RunWriter};
use tally_common::spec::{MaxRejects, Spec, SpecDraft};
use tally_master::cluster::{Cluster, Joined, SessionCommand};
use tally_master::config::Config;
use tally_master::jobs::{Jobs, NewJob};
use tally_master::server::Master;
use tally_master::{gateway, grpc};
use tally_proto::convert::{Assignment, PartialHead, SlaveHello};
use tally_slave::kernel::Kernel;

/// The master that all inputs of a target meet, one after another.
pub(crate) struct Served {
    pub(crate) runtime: Runtime,
    pub(crate) http: Router,
    pub(crate) grpc: Router,
    jobs: Jobs,
    cluster: Cluster,
    stage: Mutex<Option<Stage>>,
    _folder: TempDir,
}

/// What requests may name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage {
    /// A job that has succeeded, with a reject.
    pub(crate) done: JobId,
    /// A job whose task is with the slave of `session`.
    pub(crate) running: JobId,
    /// A resumable upload that has not ended.
    pub(crate) upload: JobId,
    /// The task of `running`.
    pub(crate) task: MessageId,
    pub(crate) session: SessionId,
}

const INPUT: &str = "Song,Date,Number of Plays\na,2021-01-01,1\nb,2021-01-32,2\n";

impl Served {
    /// The one of this process.
    pub(crate) fn get() -> &'static Self {
        static SERVED: OnceLock<Served> = OnceLock::new();
        SERVED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("threads can be started");
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut config = Config::new(folder.path().join("data"));
        config.max_jobs = 64;
        config.disk_reserve = 1 << 20;
        let (jobs, cluster, grpc) = runtime.block_on(async {
            let master = Master::start(config.clone()).await.expect("a new folder can be used");
            let routes = grpc::routes(master.jobs(), master.cluster(), &config).await;
            (master.jobs(), master.cluster(), routes.into_axum_router())
        });
        let http = gateway::router(jobs.clone(), 64);
        let stage = Mutex::new(None);
        Self { runtime, http, grpc, jobs, cluster, stage, _folder: folder }
    }

    /// Sees to it that there is what requests may name, and nothing else.
    pub(crate) async fn stage(&self) -> Stage {
        let mut stage = self.stage.lock().await;
        if let Some(stage) = *stage
            && self.holds(&stage).await
        {
            return stage;
        }
        self.clear(|_| false).await;
        if let Some(old) = *stage {
            // Else it would be given the next tasks, and nobody would count them.
            let _ = self.cluster.left(old.session).await;
        }
        let new = self.set_stage().await;
        *stage = Some(new);
        new
    }

    async fn holds(&self, stage: &Stage) -> bool {
        let kept = [stage.done, stage.running, stage.upload];
        self.clear(|job| kept.contains(&job)).await;
        let state = async |job| self.jobs.get(job).await.ok().map(|view| view.state);
        state(stage.done).await == Some(JobState::Succeeded)
            && state(stage.running).await == Some(JobState::Running)
            && self.jobs.upload_offset(stage.upload).await.is_ok()
            && self.cluster.task_bytes(stage.session, stage.task).await.is_ok()
    }

    /// Removes what requests have left.
    async fn clear(&self, keep: impl Fn(JobId) -> bool) {
        for view in self.jobs.list().await.expect("the master lives") {
            if !keep(view.id) {
                // One that the last request still works on is removed the next time.
                let _ = self.jobs.delete(view.id).await;
            }
        }
    }

    async fn set_stage(&self) -> Stage {
        let hello = SlaveHello {
            slave: SlaveId::from_uuid(Uuid::new_v4()),
            name: "stage".to_owned(),
            workers: 1,
            version: String::new(),
            labels: Default::default(),
        };
        let Joined { session, heartbeat, mut commands } =
            self.cluster.join(hello, None).await.expect("a slave can join");
        let (cluster, every) = (self.cluster.clone(), heartbeat / 4);
        tokio::spawn(async move {
            while cluster.beat(session, Vec::new()).await.is_ok() {
                tokio::time::sleep(every).await;
            }
        });
        let done = self.submit(false).await;
        let mut next = async || loop {
            if let Some(SessionCommand::Assign(task)) = commands.recv().await {
                return *task;
            }
        };
        let task = loop {
            let task = next().await;
            // Left over from before.
            if task.job == done {
                break task;
            }
        };
        self.answer(session, &task).await;
        self.jobs.wait(done).await.expect("the master lives");
        let running = self.submit(false).await;
        let task = loop {
            let task = next().await;
            if task.job == running {
                break task.message_id;
            }
        };
        // The stream of commands stays open as long as the session.
        tokio::spawn(async move { while commands.recv().await.is_some() {} });
        let upload = self.submit(true).await;
        Stage { done, running, upload, task, session }
    }

    async fn submit(&self, in_part: bool) -> JobId {
        let draft = SpecDraft { max_rejects: MaxRejects::Count(5), ..SpecDraft::plays() };
        let spec = Spec::try_from(draft).expect("a preset is valid");
        let new = NewJob {
            expected: Some(if in_part { 1000 } else { INPUT.len() as u64 }),
            resumable: in_part,
            keep_input: true,
            ..NewJob::new("stage.csv".to_owned(), spec)
        };
        let mut upload = self.jobs.upload(new, None).await.expect("there is room for an upload");
        let job = upload.job();
        upload.push(Bytes::from_static(INPUT.as_bytes())).await;
        if in_part {
            upload.pause().await.expect("an upload can be paused");
        } else {
            upload.finish().await.expect("the input holds");
        }
        job
    }

    async fn answer(&self, session: SessionId, task: &Assignment) {
        let bytes = self.cluster.task_bytes(session, task.message_id).await.expect("it is ours");
        let at = bytes.offset as usize;
        let input = &INPUT.as_bytes()[at..at + bytes.len as usize];
        let mut kernel = Kernel::new(&task.spec);
        let mut run = RunWriter::new(Vec::new(), RunHeader::of(&task.spec, task.message_id))
            .expect("a Vec takes all");
        kernel.begin(task.number, &task.layout).expect("the layout is the spec's");
        kernel.feed(input, &mut run).expect("a Vec takes all");
        let totals = kernel.finish(&mut run).expect("a Vec takes all");
        let (run, summary) = run.finish(totals).expect("a Vec takes all");
        let head = PartialHead {
            message_id: task.message_id,
            attempt: task.attempt,
            session,
            bytes: run.len() as u64,
            crc32c: crc32c::crc32c(&run),
            groups: summary.groups,
            records: totals.records,
            rejects: totals.rejects,
        };
        let mut receiver = self.cluster.receive(head).expect("there is room for a run");
        receiver.write(&run).expect("there is room for a run");
        let received = receiver.finish().expect("the run is what its head says");
        self.cluster.hand_in(received).await.expect("the run is what was asked for");
    }
}
