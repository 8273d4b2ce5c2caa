//! The cluster as a whole: what it is doing, looked at once a second, and the tasks of a job.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use tally_common::api::{
    ClusterCounts, ClusterView, Coverage, History, JobState, JobView, Priority, Progress,
    QueueView, Sample, SlaveView, TaskState, TaskView, timestamp,
};
use tally_common::id::JobId;

use super::{Coordinator, Job};
use crate::feed::{FeedKind, Rates};
use crate::jobs::SoFar;
use crate::ledger;
use crate::machine;

/// How often the cluster as a whole is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Events of a job that only say how far it is come no more often than that.
const PROGRESS: Duration = Duration::from_millis(500);

/// What the looks before have left.
#[derive(Debug, Default)]
pub(super) struct Survey {
    last: Option<Duration>,
    rates: Rates,
    /// Bytes that sessions had counted that are over.
    left: u64,
    /// What listeners were told last.
    shown: Option<Arc<Vec<SlaveView>>>,
}

impl Survey {
    /// A session is over.
    pub(super) fn left(&mut self, counted: u64) {
        self.left += counted;
    }
}

impl Coordinator {
    /// Looks at rates once a second, and tells listeners.
    pub(super) fn survey(&mut self) {
        let now = self.clock.now();
        if self.survey.last.is_some_and(|last| now.saturating_sub(last) < LOOK) {
            return;
        }
        self.survey.last = Some(now);
        let mut counted = self.survey.left;
        for session in self.sessions.values_mut() {
            let own = session.all_counted();
            session.rates.look(own, now);
            counted += own;
        }
        self.survey.rates.look(counted, now);
        let slaves = self.slave_views();
        let same = self.survey.shown.as_ref().is_some_and(|shown| is_same(shown, &slaves));
        if !same {
            let slaves = Arc::new(slaves);
            self.feed.slaves(Arc::clone(&slaves));
            self.survey.shown = Some(slaves);
        }
        let cluster = self.cluster_view();
        self.feed.cluster(Arc::new(cluster));
    }

    /// What there is of what, and what waits: high, default, low.
    pub(super) fn counts(&self) -> (ClusterCounts, [QueueView; 3]) {
        let mut counts = ClusterCounts { slaves: self.sessions.len() as u32, ..Default::default() };
        counts.workers = self.sessions.values().map(|session| session.hello.workers).sum();
        let priorities = [Priority::High, Priority::Default, Priority::Low];
        let mut queue = priorities.map(|priority| QueueView { priority, jobs: 0, tasks: 0 });
        for (_, job) in self.ledger.jobs() {
            match job.state {
                JobState::Receiving => counts.receiving += 1,
                JobState::Running => counts.running += 1,
                JobState::Merging => counts.merging += 1,
                JobState::Succeeded | JobState::Failed | JobState::Cancelled => continue,
            }
            counts.tasks_running += job.running;
            counts.tasks_queued += job.queued;
            for place in &mut queue {
                if place.priority == job.priority {
                    place.jobs += 1;
                    place.tasks += job.queued;
                }
            }
        }
        (counts, queue)
    }

    pub(super) fn cluster_view(&self) -> ClusterView {
        let (counts, queue) = self.counts();
        ClusterView {
            version: tally_proto::BUILD.to_owned(),
            started_at: timestamp(self.clock.started_ms()),
            now: timestamp(self.clock.unix_ms()),
            counts,
            bytes_per_second: self.survey.rates.now(),
            history: self.survey.rates.history(),
            queue: queue.to_vec(),
            disk: self.disk.view(),
            memory: machine::memory(),
            set_aside: self.aside_views(ClusterView::MAX_SET_ASIDE),
        }
    }

    /// The tasks of a job that has not ended, without what only the store knows of them.
    pub(super) fn task_views(&self, id: JobId) -> Option<Vec<TaskView>> {
        let job = self.jobs.get(&id).filter(|job| job.ended.is_none())?;
        let views = self.ledger.tasks(&id).zip(&job.tasks).map(|(summary, task)| {
            let holders = summary.sessions.iter().filter_map(|id| self.sessions.get(id));
            let counted = |session: &super::Session| session.counted_of(id, summary.number);
            TaskView {
                number: summary.number,
                byte_offset: task.cut.offset,
                bytes: task.cut.len,
                state: match summary.state {
                    ledger::TaskState::Queued => TaskState::Queued,
                    ledger::TaskState::Waiting => TaskState::Waiting,
                    ledger::TaskState::Running => TaskState::Running,
                    ledger::TaskState::Kept => TaskState::Done,
                },
                bytes_counted: holders.clone().map(counted).max().unwrap_or(0),
                slaves: holders.map(|session| session.hello.name.clone()).collect(),
                attempts: summary.attempts,
                failures: summary.failures,
                records: 0,
                rejected: 0,
            }
        });
        Some(views.collect())
    }

    /// What has been counted of a job that has not ended, and of how much.
    pub(super) fn so_far(&self, id: JobId) -> Option<SoFar> {
        let job = self.jobs.get(&id).filter(|job| job.ended.is_none())?;
        let summary = self.ledger.job(&id)?;
        let is_kept = |task: &ledger::TaskSummary| task.state == ledger::TaskState::Kept;
        let kept: Vec<_> = self.ledger.tasks(&id).filter(is_kept).map(|task| task.number).collect();
        let received = job.meter.received.load(Ordering::Relaxed);
        // What was announced may be of a compressed input: never less than what has come.
        let of_bytes = match job.complete {
            true => job.taken.bytes,
            false => job.new.expected.unwrap_or(0).max(received),
        };
        let header: u64 = job.inputs.iter().map(|input| input.header.bytes).sum();
        let bytes = (summary.totals.bytes + header).min(of_bytes);
        let share = if of_bytes == 0 { 0.0 } else { bytes as f64 / of_bytes as f64 };
        let coverage = Coverage { bytes, of_bytes, share, tasks: kept.len() as u32 };
        Some(SoFar { spec: job.spec().clone(), folder: job.folder.clone(), kept, coverage })
    }

    pub(super) fn history(&self, id: JobId) -> Option<History> {
        self.jobs.get(&id).map(|job| job.sampler.history().clone())
    }

    /// Tells listeners of a job, unless there is nothing to tell.
    pub(super) fn tell(&mut self, id: JobId, view: &Arc<JobView>) {
        let now = self.clock.now();
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Progress { bytes_received, bytes_counted, elapsed_ms, .. } = view.progress;
        let records = view.receipt.records;
        let sample = Sample { at_ms: elapsed_ms, bytes_received, bytes_counted, records };
        job.sampler.take(sample, view.state.ended());
        if !job.is_news(view, now) {
            return;
        }
        let event = self.feed.job(Arc::clone(view));
        match &mut job.news {
            Some((when, news)) => {
                *when = now;
                news.send_replace(event);
            }
            None => job.news = Some((now, watch::Sender::new(event))),
        }
    }
}

impl Job {
    /// Whether listeners are to be told that the job is like that now.
    fn is_news(&self, view: &JobView, now: Duration) -> bool {
        let Some((when, news)) = &self.news else { return true };
        let event = news.borrow();
        let FeedKind::Job(told) = &event.kind else { return true };
        if told.state != view.state || told.error != view.error {
            return true;
        }
        let moved = told.progress.bytes_received != view.progress.bytes_received
            || told.progress.bytes_counted != view.progress.bytes_counted
            || told.tasks != view.tasks
            || told.waiting_for != view.waiting_for;
        moved && now.saturating_sub(*when) >= PROGRESS
    }
}

/// Whether slaves are as they were, but for when they were last heard of.
fn is_same(shown: &[SlaveView], now: &[SlaveView]) -> bool {
    let still = |history: &[u64]| history.iter().all(|rate| *rate == 0);
    shown.len() == now.len()
        && shown.iter().zip(now).all(|(shown, now)| {
            let (last_heard_ms, history) = (shown.last_heard_ms, shown.history.clone());
            still(&history)
                && still(&now.history)
                && *shown == SlaveView { last_heard_ms, history, ..now.clone() }
        })
}
