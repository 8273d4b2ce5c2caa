//! All that happens, as it happens: one stream of events for everybody who watches, over SSE, gRPC and
//! Socket.IO. The coordinator publishes, and never waits for a listener. An event is put into JSON once,
//! however many listen.

mod event;
mod sampler;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use tally_common::api::{ClusterView, JobView, SlaveView};
use tally_common::id::JobId;

pub(crate) use event::frame;
pub use event::{EventId, FeedEvent, FeedKind};
pub(crate) use sampler::{Rates, Sampler};

/// Events that a listener may be behind. One that is further behind gets a snapshot instead.
const AHEAD: usize = 1024;

/// Events that are kept for those who come back. What a cluster of busy jobs says in some minutes.
const KEPT: usize = 2048;

/// The stream of events. Cheap to clone.
#[derive(Clone)]
pub struct Feed(Arc<Mutex<State>>);

struct State {
    /// Differs from one process to the next, so that ids of an earlier one are known as such.
    epoch: u64,
    /// Of the last event.
    seq: u64,
    /// `None` once the master stops.
    sender: Option<broadcast::Sender<Arc<FeedEvent>>>,
    kept: VecDeque<Arc<FeedEvent>>,
}

/// Somebody who listens.
pub struct Listener {
    /// The events that were missed, oldest first; `None` where a snapshot is needed.
    pub missed: Option<Vec<Arc<FeedEvent>>>,
    /// The last event before those that will come.
    pub after: EventId,
    /// What comes from now on. It is closed when the master stops.
    pub events: broadcast::Receiver<Arc<FeedEvent>>,
}

impl Feed {
    /// A stream of which nobody has heard yet. `epoch` tells it from those of earlier processes.
    pub(crate) fn new(epoch: u64) -> Self {
        let sender = Some(broadcast::Sender::new(AHEAD));
        Self(Arc::new(Mutex::new(State { epoch, seq: 0, sender, kept: VecDeque::new() })))
    }

    /// Listens from now on, or from behind `last`. `None` where the master stops.
    pub fn listen(&self, last: Option<EventId>) -> Option<Listener> {
        let state = self.state();
        let events = state.sender.as_ref()?.subscribe();
        let after = EventId { epoch: state.epoch, seq: state.seq };
        let missed = last.filter(|last| state.has_all_since(*last)).map(|last| {
            let missed = state.kept.iter().filter(|event| event.id.seq > last.seq);
            missed.cloned().collect()
        });
        Some(Listener { missed, after, events })
    }

    pub(crate) fn job(&self, job: Arc<JobView>) -> Arc<FeedEvent> {
        self.publish(FeedKind::Job(job), true)
    }

    pub(crate) fn deleted(&self, job: JobId) {
        self.publish(FeedKind::Deleted(job), true);
    }

    /// Of these only the last one is of interest: none is kept.
    pub(crate) fn slaves(&self, slaves: Arc<Vec<SlaveView>>) {
        self.publish(FeedKind::Slaves(slaves), false);
    }

    /// Of these, too.
    pub(crate) fn cluster(&self, cluster: Arc<ClusterView>) {
        self.publish(FeedKind::Cluster(cluster), false);
    }

    /// Lets all listeners go: the master stops.
    pub(crate) fn close(&self) {
        self.state().sender = None;
    }

    fn publish(&self, kind: FeedKind, keep: bool) -> Arc<FeedEvent> {
        let mut state = self.state();
        state.seq += 1;
        let event = Arc::new(FeedEvent::new(EventId { epoch: state.epoch, seq: state.seq }, kind));
        if keep {
            if state.kept.len() == KEPT {
                state.kept.pop_front();
            }
            state.kept.push_back(Arc::clone(&event));
        }
        if let Some(sender) = &state.sender {
            // Mostly nobody listens.
            let _ = sender.send(Arc::clone(&event));
        }
        event
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether everything of interest that came after an event is still known.
    fn has_all_since(&self, last: EventId) -> bool {
        let forgotten = self.kept.len() == KEPT
            && self.kept.front().is_some_and(|oldest| oldest.id.seq > last.seq + 1);
        last.epoch == self.epoch && last.seq <= self.seq && !forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deleted(feed: &Feed) {
        feed.deleted(JobId::from_uuid(uuid::Uuid::nil()));
    }

    fn missed(feed: &Feed, epoch: u64, seq: u64) -> Option<Vec<u64>> {
        let listener = feed.listen(Some(EventId { epoch, seq })).unwrap();
        listener.missed.map(|missed| missed.iter().map(|event| event.id.seq).collect())
    }

    #[test]
    fn who_comes_back_gets_what_was_missed() {
        let feed = Feed::new(7);
        (0..5).for_each(|_| deleted(&feed));
        assert_eq!(missed(&feed, 7, 3), Some(vec![4, 5]));
        assert_eq!(missed(&feed, 7, 5), Some(vec![]));
        assert_eq!(missed(&feed, 6, 3), None, "of an earlier process");
        assert_eq!(missed(&feed, 7, 6), None, "of the future");
    }

    #[test]
    fn who_was_away_for_too_long_needs_a_snapshot() {
        let feed = Feed::new(7);
        (0..=KEPT).for_each(|_| deleted(&feed));
        assert_eq!(missed(&feed, 7, 0), None);
        assert_eq!(missed(&feed, 7, 1).map(|missed| missed.len()), Some(KEPT));
    }

    #[tokio::test]
    async fn listeners_hear_all_that_comes_and_the_end() {
        let feed = Feed::new(7);
        let mut listener = feed.listen(None).unwrap();
        assert!(listener.missed.is_none());
        deleted(&feed);
        feed.close();
        assert_eq!(listener.events.recv().await.unwrap().id.seq, listener.after.seq + 1);
        assert!(listener.events.recv().await.is_err());
        assert!(feed.listen(None).is_none());
    }
}
