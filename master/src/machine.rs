//! What the machine says of this process's memory.

use tally_common::api::MemoryView;

/// This process's memory, and the machine's; zeros where the system does not tell.
pub(crate) fn memory() -> MemoryView {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let machine = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    MemoryView {
        resident: kib(&status, "VmRSS:"),
        peak: kib(&status, "VmHWM:"),
        total: kib(&machine, "MemTotal:"),
    }
}

/// The bytes that a line says, which is in KiB.
fn kib(lines: &str, name: &str) -> u64 {
    let line = lines.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory() {
        let memory = memory();
        assert!(memory.resident > 0 && memory.peak >= memory.resident);
        assert!(memory.total > memory.peak);
    }
}
