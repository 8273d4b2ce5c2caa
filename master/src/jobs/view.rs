//! What can be seen of jobs and slaves, now and as it changes.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use tokio::sync::watch;

use tally_common::api::{
    ClusterView, History, JobView, SetAsideView, SlaveView, TaskState, TaskView,
};
use tally_common::id::JobId;

use super::{Jobs, JobsError};
use crate::coordinator::{Message, Stopped};
use crate::feed::{Feed, FeedEvent, Listener};
use crate::finish::history_path;

/// Most ended jobs that a whole list has.
const MAX_LISTED: u32 = 1000;

/// Ended jobs in a snapshot.
const SNAPSHOT_ENDED: u32 = 100;

/// What there is to hear of a job.
#[derive(Debug)]
pub enum News {
    /// It has not ended: the events that tell of it.
    Live(watch::Receiver<Arc<FeedEvent>>),
    /// It has ended.
    Ended(Arc<JobView>),
}

impl Jobs {
    /// One job.
    ///
    /// # Errors
    /// [`JobsError::NotFound`].
    pub async fn get(&self, job: JobId) -> Result<Arc<JobView>, JobsError> {
        if let Some(view) = self.ask(|reply| Message::Get { job, reply }).await? {
            return Ok(view);
        }
        self.stored(job).await
    }

    /// A job that has ended.
    pub(super) async fn stored(&self, job: JobId) -> Result<Arc<JobView>, JobsError> {
        let Some(store) = &self.store else { return Err(JobsError::NotFound(job)) };
        match store.view(job).await? {
            Some(view) => Ok(Arc::new(view)),
            None if store.is_gone(job).await? => Err(JobsError::Gone(job)),
            None => Err(JobsError::NotFound(job)),
        }
    }

    /// All jobs that have not ended, and the newest of those that have; newest first.
    ///
    /// # Errors
    /// [`JobsError::Stopped`].
    pub async fn list(&self) -> Result<Vec<Arc<JobView>>, JobsError> {
        let mut jobs = self.ask(|reply| Message::List { reply }).await?;
        if let Some(store) = &self.store {
            let ended = store.views(MAX_LISTED).await?;
            // One that has ended in between is there twice.
            jobs.retain(|job| ended.iter().all(|ended| ended.id != job.id));
            jobs.extend(ended.into_iter().map(Arc::new));
            jobs.sort_unstable_by_key(|job| std::cmp::Reverse(job.id));
        }
        Ok(jobs)
    }

    /// One job, and each change to it, at most ten a second. Ends with the job.
    ///
    /// # Errors
    /// [`JobsError::NotFound`].
    pub async fn watch(&self, job: JobId) -> Result<watch::Receiver<Arc<JobView>>, JobsError> {
        if let Some(view) = self.ask(|reply| Message::Watch { job, reply }).await? {
            return Ok(view);
        }
        let (_, view) = watch::channel(self.stored(job).await?);
        Ok(view)
    }

    /// Waits until a job has ended.
    ///
    /// # Errors
    /// [`JobsError::NotFound`], also where the job is deleted meanwhile.
    pub async fn wait(&self, job: JobId) -> Result<Arc<JobView>, JobsError> {
        let mut views = self.watch(job).await?;
        let ended = views.wait_for(|view| view.state.ended()).await;
        ended.map(|view| Arc::clone(&view)).map_err(|_| JobsError::NotFound(job))
    }

    /// The slaves that are joined, in the order in which they joined.
    ///
    /// # Errors
    /// [`JobsError::Stopped`].
    pub async fn slaves(&self) -> Result<Vec<SlaveView>, JobsError> {
        self.ask(|reply| Message::Slaves { reply }).await
    }

    /// The slaves that have lied and are not let in, those first that were set aside last.
    ///
    /// # Errors
    /// [`JobsError::Stopped`].
    pub async fn set_aside(&self) -> Result<Vec<SetAsideView>, JobsError> {
        self.ask(|reply| Message::SetAside { reply }).await
    }

    /// Lets a slave in again that was set aside, once it is started anew; `false` where none of that name
    /// was.
    ///
    /// # Errors
    /// [`JobsError::Stopped`].
    pub async fn trust_slave(&self, name: String) -> Result<bool, JobsError> {
        self.ask(|reply| Message::Trust { name, reply }).await
    }

    /// What the cluster is doing.
    ///
    /// # Errors
    /// [`JobsError::Stopped`].
    pub async fn cluster(&self) -> Result<ClusterView, JobsError> {
        self.ask(|reply| Message::Cluster { reply }).await
    }

    /// The tasks of a job one by one, in input order.
    ///
    /// # Errors
    /// [`JobsError::NotFound`].
    pub async fn tasks(&self, id: JobId) -> Result<Vec<TaskView>, JobsError> {
        let live = self.ask(|reply| Message::Tasks { job: id, reply }).await?;
        if live.is_none() {
            self.stored(id).await?;
        }
        let Some(store) = &self.store else { return Ok(live.unwrap_or_default()) };
        let mut live: HashMap<u32, TaskView> =
            live.into_iter().flatten().map(|task| (task.number, task)).collect();
        // The answers are in the store alone.
        let stored = (0..).zip(store.tasks(id).await?).map(|(number, task)| {
            let blank = TaskView {
                number,
                byte_offset: task.cut.offset,
                bytes: task.cut.len,
                state: TaskState::Queued,
                slaves: Vec::new(),
                attempts: 0,
                failures: 0,
                bytes_counted: 0,
                records: 0,
                rejected: 0,
            };
            let view = live.remove(&number).unwrap_or(blank);
            match task.kept {
                Some(kept) => TaskView {
                    state: TaskState::Done,
                    slaves: vec![kept.slave],
                    attempts: view.attempts.max(kept.attempt),
                    failures: view.failures.max(kept.attempt.saturating_sub(1)),
                    bytes_counted: task.cut.len,
                    records: kept.totals.records,
                    rejected: kept.totals.rejects,
                    ..view
                },
                None => view,
            }
        });
        let mut tasks: Vec<_> = stored.collect();
        // Cut in this moment.
        tasks.extend(live.into_values());
        tasks.sort_unstable_by_key(|task| task.number);
        Ok(tasks)
    }

    /// How a job went on over time. Empty for one of a version that kept none.
    ///
    /// # Errors
    /// [`JobsError::NotFound`].
    pub async fn history(&self, id: JobId) -> Result<History, JobsError> {
        if let Some(history) = self.ask(|reply| Message::History { job: id, reply }).await? {
            return Ok(history);
        }
        let _kept = self.readers.read(id);
        self.stored(id).await?;
        let json = tokio::fs::read(history_path(&self.folder(id))).await.unwrap_or_default();
        Ok(serde_json::from_slice(&json).unwrap_or_default())
    }

    /// What listeners are told of a job: every change of state, and how far it is now and then.
    ///
    /// # Errors
    /// [`JobsError::NotFound`] and [`JobsError::Gone`].
    pub async fn news(&self, id: JobId) -> Result<News, JobsError> {
        match self.ask(|reply| Message::News { job: id, reply }).await? {
            Some(events) => Ok(News::Live(events)),
            None => self.get(id).await.map(News::Ended),
        }
    }

    /// All as it is now, as JSON, and what comes after: the cluster, the slaves, the jobs that have not
    /// ended and the newest of those that have.
    ///
    /// # Errors
    /// [`JobsError::Stopped`].
    pub async fn snapshot(&self) -> Result<(Listener, Bytes), JobsError> {
        let mut last = self.snapshots.lock().await;
        let listener = self.feed.listen(None).ok_or(Stopped)?;
        if let Some((id, json)) = &*last
            && *id == listener.after
        {
            // Nothing has happened since somebody else asked.
            return Ok((listener, json.clone()));
        }
        let (cluster, slaves) = (self.cluster().await?, self.slaves().await?);
        let mut jobs = self.ask(|reply| Message::List { reply }).await?;
        jobs.retain(|job| !job.state.ended());
        jobs.truncate(MAX_LISTED as usize);
        if let Some(store) = &self.store {
            let ended = store.views(SNAPSHOT_ENDED).await?;
            jobs.retain(|job| ended.iter().all(|ended| ended.id != job.id));
            jobs.extend(ended.into_iter().map(Arc::new));
            jobs.sort_unstable_by_key(|job| std::cmp::Reverse(job.id));
        }
        let jobs: Vec<&JobView> = jobs.iter().map(|job| &**job).collect();
        let all = json!({ "cluster": cluster, "slaves": slaves, "jobs": jobs });
        let json = Bytes::from(all.to_string());
        *last = Some((listener.after, json.clone()));
        Ok((listener, json))
    }

    /// All that happens, as it happens.
    pub fn feed(&self) -> Feed {
        self.feed.clone()
    }
}
