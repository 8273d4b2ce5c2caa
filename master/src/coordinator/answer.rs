//! What the coordinator answers to those who ask, and how it shows its jobs.

use std::sync::Arc;

use tally_common::api::{JobView, SlaveView};
use tally_common::id::JobId;
use tokio::sync::oneshot;

use super::{Coordinator, Message};
use crate::ledger::Event;

impl Coordinator {
    pub(super) fn answer(&mut self, question: Message) {
        match question {
            Message::Get { job, reply } => {
                let _ = reply.send(self.shown(job));
            }
            Message::List { reply } => {
                let ids: Vec<_> = self.ledger.jobs().map(|(id, _)| *id).collect();
                let views = ids.into_iter().rev().filter_map(|id| self.shown(id)).collect();
                let _ = reply.send(views);
            }
            Message::Watch { job, reply } => {
                if !self.stuck {
                    self.publish(job);
                }
                let _ = reply.send(self.jobs.get(&job).map(|job| job.view.subscribe()));
            }
            Message::Slaves { reply } => {
                let _ = reply.send(self.slave_views());
            }
            Message::SetAside { reply } => {
                let _ = reply.send(self.aside_views(usize::MAX));
            }
            Message::Cluster { reply } => {
                let _ = reply.send(self.cluster_view());
            }
            Message::Tasks { job, reply } => {
                let _ = reply.send(self.task_views(job));
            }
            Message::History { job, reply } => {
                let _ = reply.send(self.history(job));
            }
            Message::SoFar { job, reply } => {
                let _ = reply.send(self.so_far(job));
            }
            Message::News { job, reply } => {
                if !self.stuck {
                    self.publish(job);
                }
                let news = self.jobs.get(&job).and_then(|job| job.news.as_ref());
                let _ = reply.send(news.map(|(_, news)| news.subscribe()));
            }
            Message::Find { key, reply } => {
                let _ = reply.send(self.keys.get(&key).copied());
            }
            // All others are dealt with before they come here.
            _ => {}
        }
    }

    pub(super) fn cancel(&mut self, id: JobId, reply: oneshot::Sender<Option<Arc<JobView>>>) {
        self.apply(Event::Cancel { job: id });
        let view = self.view(id);
        self.reply(reply, view);
    }

    /// The job as it is now, but nothing that is not durable.
    fn shown(&self, id: JobId) -> Option<Arc<JobView>> {
        if self.stuck {
            return self.jobs.get(&id).map(|job| Arc::clone(&job.view.borrow()));
        }
        self.view(id)
    }

    /// The job as it is now.
    pub(super) fn view(&self, id: JobId) -> Option<Arc<JobView>> {
        let job = self.jobs.get(&id)?;
        let summary = self.ledger.job(&id)?;
        let running = self.sessions.values().map(|session| session.counted(id)).sum();
        let waiting_for = if self.disk.is_low() {
            Some("space on the master's disk")
        } else if self.sessions.is_empty() {
            Some("a slave to join")
        } else if !self.ledger.sessions().any(|(_, session)| !session.quarantined) {
            Some("a slave that is not quarantined")
        } else {
            None
        };
        let applied = self.tables.ingest_counts(id).filter(|_| job.merging);
        let view = job.make_view(&summary, self.clock.now(), running, waiting_for, applied);
        Some(Arc::new(view))
    }

    /// Shows the job as it is now to those who watch it.
    pub(super) fn publish(&mut self, id: JobId) {
        if let Some(view) = self.view(id)
            && let Some(job) = self.jobs.get_mut(&id)
        {
            job.dirty = false;
            job.view.send_replace(Arc::clone(&view));
            self.tell(id, &view);
        }
    }

    pub(super) fn slave_views(&self) -> Vec<SlaveView> {
        let now = self.clock.now();
        let sessions = self.ledger.sessions().filter_map(|(id, summary)| {
            let session = self.sessions.get(id)?;
            Some(SlaveView {
                id: session.hello.slave,
                session: *id,
                name: session.hello.name.clone(),
                version: session.hello.version.clone(),
                workers: session.hello.workers,
                running: summary.running,
                prefetched: summary.prefetched,
                completed: summary.completed,
                failed: summary.failed,
                draining: summary.draining,
                quarantined: summary.quarantined,
                last_heard_ms: now.saturating_sub(summary.last_beat).as_millis() as u64,
                bytes: session.bytes,
                records: session.records,
                bytes_per_second: session.rates.now(),
                history: session.rates.history(),
            })
        });
        sessions.collect()
    }
}

#[cfg(test)]
mod tests {
    use tally_common::api::JobState;
    use tally_common::spec::{Spec, SpecDraft};

    use super::*;
    use crate::coordinator::tests::start;
    use crate::coordinator::{NewJob, Opening};

    #[tokio::test]
    async fn nobody_is_told_what_is_not_durable_yet() {
        let folder = tempfile::tempdir().unwrap();
        let (coordinator, store) = start(folder.path()).await;
        let job = NewJob::new("a".to_owned(), Spec::try_from(SpecDraft::plays()).unwrap());
        let (reply, opened) = oneshot::channel();
        coordinator.send(Message::Open { job, key: None, reply }).await.unwrap();
        let Ok(Opening::Opened(opened)) = opened.await.unwrap() else { panic!("no job") };
        let job = opened.job;
        // Nothing can be written until this is over.
        let writes = store.db().write().await.unwrap();
        let (reply, cancelled) = oneshot::channel();
        coordinator.send(Message::Cancel { job, reply }).await.unwrap();
        let (reply, mut got) = oneshot::channel();
        coordinator.send(Message::Get { job, reply }).await.unwrap();
        store.db().wanted().await;
        assert!(got.try_recv().is_err(), "the end of the job is shown before it is durable");
        drop(writes);
        assert_eq!(cancelled.await.unwrap().unwrap().state, JobState::Cancelled);
        // It has ended, and is the store's.
        assert!(got.await.unwrap().is_none());
        assert_eq!(store.view(job).await.unwrap().unwrap().state, JobState::Cancelled);
    }
}
