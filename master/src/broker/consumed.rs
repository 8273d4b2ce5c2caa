//! How many of the broker's queues are being consumed, for those who ask whether all is well.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts queues. Clones count the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Consumed {
    queues: usize,
    now: Arc<AtomicUsize>,
}

/// A queue is consumed until this is dropped.
pub(super) struct Consuming(Arc<AtomicUsize>);

impl Consumed {
    /// Of so many queues, of which none is consumed yet.
    pub(crate) fn of(queues: usize) -> Self {
        Self { queues, now: Arc::default() }
    }

    /// As many as are consumed at the moment, and as many as should be. No queues at all: no broker.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.now.load(Ordering::Relaxed), self.queues)
    }

    /// One more is.
    pub(super) fn begin(&self) -> Consuming {
        self.now.fetch_add(1, Ordering::Relaxed);
        Consuming(Arc::clone(&self.now))
    }
}

impl Drop for Consuming {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
