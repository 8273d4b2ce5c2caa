//! Places where a test can have the process die, as a crash would: at the n-th of them that is
//! passed, where the environment says `TALLY_ABORT_AT=n`. Or where it can have it wait, so that what goes on
//! meanwhile can be seen: at those of the name `TALLY_PAUSE_AT`, as long as there is a file
//! `TALLY_PAUSE_WHILE`. Not in release builds.

#[cfg(debug_assertions)]
pub(crate) fn point(what: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    pause(what);
    static AT: OnceLock<Option<u64>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let at = AT.get_or_init(|| std::env::var("TALLY_ABORT_AT").ok()?.parse().ok());
    let Some(at) = at else { return };
    if PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *at {
        eprintln!("aborted at point {at}: {what}");
        std::process::abort();
    }
}

/// Waits where it is to. Only for points that threads of their own pass.
#[cfg(debug_assertions)]
fn pause(what: &str) {
    use std::path::Path;
    use std::time::Duration;

    let named = std::env::var("TALLY_PAUSE_AT").is_ok_and(|name| name == what);
    let Some(file) = named.then(|| std::env::var_os("TALLY_PAUSE_WHILE")).flatten() else { return };
    let there = || Path::new(&file).exists();
    if there() {
        eprintln!("paused at: {what}");
    }
    while there() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(not(debug_assertions))]
pub(crate) fn point(_: &str) {}
