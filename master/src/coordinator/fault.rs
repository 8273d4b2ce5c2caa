//! Places where a test can have the process die, as a crash would: at the n-th of them that is
//! passed, where the environment says `TALLY_ABORT_AT=n`. Not in release builds.

#[cfg(debug_assertions)]
pub(crate) fn point(what: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static AT: OnceLock<Option<u64>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let at = AT.get_or_init(|| std::env::var("TALLY_ABORT_AT").ok()?.parse().ok());
    let Some(at) = at else { return };
    if PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *at {
        eprintln!("aborted at point {at}: {what}");
        std::process::abort();
    }
}

#[cfg(not(debug_assertions))]
pub(crate) fn point(_: &str) {}
