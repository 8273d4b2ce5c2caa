//! Work on all cores whose results are taken in order, with a bound on those that wait.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use super::{MergeError, MergeOptions};

/// Results that may wait to be taken, beyond one for each thread.
const AHEAD: usize = 1;

/// What the threads share.
struct Board<T> {
    /// Results that wait.
    done: BTreeMap<usize, Result<T, MergeError>>,
    /// The result that is taken next.
    next: usize,
    /// Nothing more is wanted.
    stop: bool,
}

/// Calls `make` for 0 to `count` on `options.threads` threads, and `take` on the caller's with the
/// results in order. The first error, in that order, ends it.
pub(super) fn in_order<T: Send>(
    count: usize,
    options: &MergeOptions<'_>,
    make: impl Fn(usize) -> Result<T, MergeError> + Sync,
    mut take: impl FnMut(T) -> Result<(), MergeError>,
) -> Result<(), MergeError> {
    let threads = options.threads.clamp(1, count.max(1));
    let board = Mutex::new(Board { done: BTreeMap::new(), next: 0, stop: false });
    let changed = Condvar::new();
    let lock = || board.lock().unwrap_or_else(PoisonError::into_inner);
    let wait = |held| changed.wait(held).unwrap_or_else(PoisonError::into_inner);
    let started = AtomicUsize::new(0);
    let work = || loop {
        let i = started.fetch_add(1, Ordering::Relaxed);
        let mut held = lock();
        while !held.stop && i < count && i >= held.next + threads + AHEAD {
            held = wait(held);
        }
        if held.stop || i >= count {
            return;
        }
        drop(held);
        // A result that never comes would be waited for.
        let made = catch_unwind(AssertUnwindSafe(|| make(i)));
        let result = made.unwrap_or_else(|_| Err(MergeError::Panicked));
        lock().done.insert(i, result);
        changed.notify_all();
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
        let mut outcome = Ok(());
        for i in 0..count {
            let mut held = lock();
            let result = loop {
                if let Some(result) = held.done.remove(&i) {
                    break result;
                }
                held = wait(held);
            };
            held.next = i + 1;
            drop(held);
            changed.notify_all();
            outcome = result.and_then(&mut take);
            if outcome.is_err() {
                break;
            }
        }
        lock().stop = true;
        changed.notify_all();
        outcome
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn a_thread_that_panics_ends_the_work() {
        let (cancelled, scratch_dir) = (AtomicBool::new(false), Path::new("."));
        let options = MergeOptions { threads: 2, cancelled: &cancelled, scratch_dir };
        let mut taken = Vec::new();
        let make = |i| if i == 3 { panic!("planted") } else { Ok(i) };
        let ended = in_order(100, &options, make, |i| {
            taken.push(i);
            Ok(())
        });
        assert!(matches!(ended, Err(MergeError::Panicked)), "{ended:?}");
        assert_eq!(taken, [0, 1, 2]);
    }
}
