//! The process itself, as the kernel shows it; looked at when somebody asks for the metrics, and never
//! otherwise. Where there is no `/proc` the values stay 0.

use std::fs;

use ::metrics::gauge;

use super::names;
use crate::machine;

/// Looks at memory and open files.
pub(super) fn look() {
    gauge!(names::RESIDENT_MEMORY).set(machine::memory().resident as f64);
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is the folder that is being read.
        gauge!(names::OPEN_FILES).set(open.count().saturating_sub(1) as f64);
    }
    if let Some(max) = max_open_files() {
        gauge!(names::MAX_OPEN_FILES).set(max as f64);
    }
}

fn max_open_files() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_understood() {
        assert!(machine::memory().resident > 1 << 20);
        assert!(max_open_files().is_some_and(|files| files >= 16));
    }
}
