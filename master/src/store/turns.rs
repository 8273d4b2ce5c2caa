//! A turn that is given in the order in which it was asked for. Whoever has it can see that others wait, and
//! end what he does sooner.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, watch};

/// Something that one has at a time. Cheap to clone.
#[derive(Debug)]
pub(crate) struct Turns<T> {
    inner: Arc<Mutex<T>>,
    /// How many wait.
    waiting: watch::Sender<usize>,
}

impl<T> Clone for Turns<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), waiting: self.waiting.clone() }
    }
}

/// One that waits, until it is dropped.
struct Waiting<'w>(&'w watch::Sender<usize>);

impl<'w> Waiting<'w> {
    fn new(waiting: &'w watch::Sender<usize>) -> Self {
        waiting.send_modify(|waiting| *waiting += 1);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

impl<T> Turns<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { inner: Arc::new(Mutex::new(value)), waiting: watch::Sender::new(0) }
    }

    /// Waits for the turn.
    pub(crate) async fn take(&self) -> OwnedMutexGuard<T> {
        if let Ok(turn) = Arc::clone(&self.inner).try_lock_owned() {
            return turn;
        }
        let _waiting = Waiting::new(&self.waiting);
        Arc::clone(&self.inner).lock_owned().await
    }

    /// Whether somebody waits.
    pub(crate) fn is_wanted(&self) -> bool {
        *self.waiting.borrow() > 0
    }

    /// Waits until somebody waits.
    pub(crate) async fn wanted(&self) {
        // The sender lives as long as this.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting > 0).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_has_the_turn_sees_that_others_wait_and_that_they_gave_up() {
        let turns = Turns::new(());
        let turn = turns.take().await;
        assert!(!turns.is_wanted());
        let others = turns.clone();
        let other = tokio::spawn(async move { others.take().await });
        turns.wanted().await;
        assert!(turns.is_wanted());
        other.abort();
        assert!(other.await.is_err());
        assert!(!turns.is_wanted());
        let others = turns.clone();
        let other = tokio::spawn(async move { drop(others.take().await) });
        turns.wanted().await;
        drop(turn);
        other.await.unwrap();
        assert!(!turns.is_wanted());
    }
}
