//! Many simulated slaves, and what they see of the master.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::bail;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::answers::Answers;
use crate::slave;

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// What all slaves of a crowd share.
pub(crate) struct Shared {
    pub(crate) answers: Arc<Answers>,
    /// How long a task is pretended to be counted.
    pub(crate) delay: Duration,
    /// Whether they may begin.
    pub(crate) go: watch::Sender<bool>,
    pub(crate) seen: Seen,
}

/// What the slaves have seen so far.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) joined: AtomicUsize,
    /// Attempts to join that were of no use.
    pub(crate) joined_again: AtomicU64,
    pub(crate) assigned: AtomicU64,
    pub(crate) accepted: AtomicU64,
    /// Answers that came too late, and attempts that were taken back.
    pub(crate) in_vain: AtomicU64,
    pub(crate) bytes: AtomicU64,
    streams: AtomicUsize,
    peak_streams: AtomicUsize,
    /// For each accepted task what its slave waited for the master.
    waits: Mutex<Vec<Duration>>,
    last: Mutex<Option<Instant>>,
    wrong: Mutex<Option<String>>,
}

impl Seen {
    pub(crate) fn stream_opened(&self) {
        let open = self.streams.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak_streams.fetch_max(open, Ordering::Relaxed);
    }

    pub(crate) fn stream_closed(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn accepted(&self, wait: Duration) {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.push(wait);
        drop(waits);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(Instant::now());
        drop(last);
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// Something happened that should not; the first one is told.
    pub(crate) fn wrong(&self, what: String) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.get_or_insert(what);
    }

    fn check(&self) -> anyhow::Result<()> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.as_ref().map_or(Ok(()), |wrong| bail!("{wrong}"))
    }
}

/// What a crowd did from when it was let go.
#[derive(Clone, Debug, Default)]
pub struct Fed {
    /// From then until the last partial was acknowledged.
    pub time: Duration,
    /// Partials that were acknowledged.
    pub tasks: u64,
    /// Attempts that were of no use: second ones, and those that were moved to another slave.
    pub in_vain: u64,
    /// Bytes of tasks that arrived.
    pub bytes: u64,
    /// Tasks that were being sent at the same time, at most.
    pub peak_streams: usize,
    /// Half of the tasks made their slave wait no longer than this: from the assignment until the
    /// partial was acknowledged, without the counting.
    pub median_wait: Duration,
    /// And 99 of 100 no longer than this.
    pub p99_wait: Duration,
}

/// Simulated slaves. They leave when this is dropped.
pub(crate) struct Crowd {
    shared: Arc<Shared>,
    slaves: JoinSet<()>,
}

impl Crowd {
    /// Has so many slaves join the master at `url`. They take tasks, and begin none before
    /// [`Crowd::feed`].
    pub(crate) async fn join(
        url: &str,
        slaves: usize,
        delay: Duration,
        answers: &Arc<Answers>,
    ) -> anyhow::Result<Self> {
        let answers = Arc::clone(answers);
        let (go, seen) = (watch::Sender::new(false), Seen::default());
        let shared = Arc::new(Shared { answers, delay, go, seen });
        let mut crowd = Self { shared, slaves: JoinSet::new() };
        for number in 0..slaves {
            crowd.slaves.spawn(slave::run(url.to_owned(), number, Arc::clone(&crowd.shared)));
        }
        let all = |seen: &Seen| seen.joined.load(Ordering::Relaxed) == slaves;
        if !crowd.until(PATIENCE, all).await? {
            bail!("{slaves} slaves do not join within {PATIENCE:?}");
        }
        let again = crowd.shared.seen.joined_again.load(Ordering::Relaxed);
        if again > 0 {
            eprintln!("{again} times a slave had to try once more to join");
        }
        Ok(crowd)
    }

    /// Waits until so many tasks have been assigned.
    pub(crate) async fn assigned(&self, tasks: u64) -> anyhow::Result<()> {
        if self.until(PATIENCE, |seen| seen.assigned.load(Ordering::Relaxed) >= tasks).await? {
            return Ok(());
        }
        bail!("the master does not assign {tasks} tasks");
    }

    /// Lets the slaves begin, until `tasks` have been answered or the time is over.
    pub(crate) async fn feed(&self, tasks: u64, at_most: Duration) -> anyhow::Result<Fed> {
        let begun = Instant::now();
        self.shared.go.send_replace(true);
        self.until(at_most, |seen| seen.accepted.load(Ordering::Relaxed) >= tasks).await?;
        let seen = &self.shared.seen;
        let mut waits = seen.waits.lock().unwrap_or_else(PoisonError::into_inner).clone();
        waits.sort_unstable();
        let last = *seen.last.lock().unwrap_or_else(PoisonError::into_inner);
        let of_all = |part: f64| {
            let at = (waits.len() as f64 * part) as usize;
            waits.get(at.min(waits.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        Ok(Fed {
            time: last.map(|last| last - begun).unwrap_or_default(),
            tasks: waits.len() as u64,
            in_vain: seen.in_vain.load(Ordering::Relaxed),
            bytes: seen.bytes.load(Ordering::Relaxed),
            peak_streams: seen.peak_streams.load(Ordering::Relaxed),
            median_wait: of_all(0.5),
            p99_wait: of_all(0.99),
        })
    }

    /// Waits for a condition; `false` where it takes too long.
    async fn until(
        &self,
        at_most: Duration,
        mut condition: impl FnMut(&Seen) -> bool,
    ) -> anyhow::Result<bool> {
        let begun = Instant::now();
        loop {
            self.shared.seen.check()?;
            if condition(&self.shared.seen) {
                return Ok(true);
            }
            if begun.elapsed() > at_most {
                return Ok(false);
            }
            sleep(LOOK).await;
        }
    }
}
