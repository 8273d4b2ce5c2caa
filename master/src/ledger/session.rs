//! A session: the attempts that one slave holds, oldest first. No event says when a worker begins
//! one, so the first `workers` of them are taken as being counted; the others wait on the slave,
//! fetched ahead.

use std::time::Duration;

use tally_common::id::{Attempt, JobId, MessageId, SlaveId, TaskNumber};
use tally_common::limits::MAX_WORKERS;

/// An attempt that a slave holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) job: JobId,
    pub(super) number: TaskNumber,
    pub(super) message_id: MessageId,
    pub(super) attempt: Attempt,
    /// When a worker began it; `None` while it waits for one.
    pub(super) started: Option<Duration>,
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) slave: SlaveId,
    /// At least 1: one without workers would be waited for, and never take a task.
    pub(super) workers: u32,
    /// Its place in the order of joining.
    pub(super) joined: u64,
    pub(super) draining: bool,
    pub(super) quarantined: bool,
    pub(super) last_beat: Duration,
    pub(super) completed: u64,
    pub(super) failed: u64,
    held: Vec<Held>,
}

impl Session {
    pub(super) fn new(slave: SlaveId, workers: u32, joined: u64, now: Duration) -> Self {
        Self {
            slave,
            workers: workers.clamp(1, MAX_WORKERS),
            joined,
            draining: false,
            quarantined: false,
            last_beat: now,
            completed: 0,
            failed: 0,
            held: Vec::new(),
        }
    }

    pub(super) fn held(&self) -> &[Held] {
        &self.held
    }

    /// Attempts that wait for a worker.
    pub(super) fn waiting(&self) -> &[Held] {
        self.held.get(self.workers as usize..).unwrap_or_default()
    }

    /// Whether it is to get no more tasks.
    pub(super) fn takes_none(&self) -> bool {
        self.draining || self.quarantined
    }

    /// Forgives it a time in which nobody could be heard.
    pub(super) fn shift(&mut self, by: Duration, now: Duration) {
        let times = self.held.iter_mut().filter_map(|held| held.started.as_mut());
        for time in times.chain([&mut self.last_beat]) {
            *time = (*time + by).min(now);
        }
    }

    /// Workers without a task.
    pub(super) fn free_workers(&self) -> u32 {
        if self.takes_none() { 0 } else { self.workers.saturating_sub(self.held.len() as u32) }
    }

    /// Room for attempts, those fetched ahead included: one running and one waiting for each worker.
    pub(super) fn room(&self) -> u32 {
        if self.takes_none() {
            0
        } else {
            (2 * self.workers).saturating_sub(self.held.len() as u32)
        }
    }

    /// How much it holds for its size, in 1024ths of its workers: so that large slaves and small ones
    /// fill up evenly.
    pub(super) fn load(&self) -> u64 {
        self.held.len() as u64 * 1024 / u64::from(self.workers)
    }

    pub(super) fn holds(&self, message_id: MessageId) -> bool {
        self.held.iter().any(|held| held.message_id == message_id)
    }

    pub(super) fn hold(&mut self, held: Held, now: Duration) {
        self.held.push(held);
        self.start(now);
    }

    /// Forgets an attempt and gives it back, if there was one; a waiting one begins in its stead.
    pub(super) fn release(
        &mut self,
        message_id: MessageId,
        attempt: Attempt,
        now: Duration,
    ) -> Option<Held> {
        let is = |held: &Held| (held.message_id, held.attempt) == (message_id, attempt);
        let released = self.held.remove(self.held.iter().position(is)?);
        self.start(now);
        Some(released)
    }

    pub(super) fn into_held(self) -> Vec<Held> {
        self.held
    }

    /// Sees to it that a worker without work begins the next attempt.
    fn start(&mut self, now: Duration) {
        for held in self.held.iter_mut().take(self.workers as usize) {
            held.started.get_or_insert(now);
        }
    }
}
