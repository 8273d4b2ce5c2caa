//! What this machine gives a process: open files, memory, and the instructions that the scanner uses.

use rustix::process::{Resource, getrlimit};

use super::Check;
use crate::output::bytes;

/// Open files that are enough for a master with all the connections that it takes (4096), and the runs
/// and spools of what it merges.
const OPEN_FILES: u64 = 8192;

/// Open files without which not even a small cluster works.
const FEW_FILES: u64 = 256;

/// Memory that a worker may take, in bytes: a task's groups, and what is under way.
const WORKER_MEMORY: u64 = 256 << 20;

/// All of it.
pub(super) fn checks() -> Vec<Check> {
    vec![open_files(getrlimit(Resource::Nofile).current), memory(), cpu()]
}

fn open_files(limit: Option<u64>) -> Check {
    const NAME: &str = "open files";
    let Some(limit) = limit else { return Check::ok(NAME, "as many as are wanted") };
    let found = format!("at most {limit}");
    let advice =
        "raise it for those who run a master: ulimit -n 65536, or LimitNOFILE= in its unit";
    match limit {
        ..FEW_FILES => Check::fail(NAME, found, advice),
        FEW_FILES..OPEN_FILES => Check::warn(NAME, found, advice),
        _ => Check::ok(NAME, found),
    }
}

fn memory() -> Check {
    let of_machine = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let of_group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").unwrap_or_default();
    let taken = std::fs::read_to_string("/sys/fs/cgroup/memory.current").unwrap_or_default();
    enough(available(&of_machine, &of_group, &taken), super::super::cores())
}

/// Bytes that a new process may still take: what the machine has, and what the control group leaves.
fn available(of_machine: &str, of_group: &str, taken: &str) -> Option<u64> {
    let line = of_machine.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let machine: u64 = line.trim().trim_end_matches("kB").trim_end().parse().ok()?;
    let machine = machine.saturating_mul(1024);
    let taken: u64 = taken.trim().parse().unwrap_or(0);
    // It says `max` where there is no limit.
    let group = of_group.trim().parse::<u64>().ok().map(|limit| limit.saturating_sub(taken));
    Some(group.map_or(machine, |group| group.min(machine)))
}

fn enough(available: Option<u64>, cores: u32) -> Check {
    const NAME: &str = "memory";
    let Some(available) = available else {
        return Check::ok(NAME, "not looked at on this system");
    };
    let found = format!("{} available, {cores} cores", bytes(available));
    if available < WORKER_MEMORY * u64::from(cores) {
        let wanted = bytes(WORKER_MEMORY);
        let advice = format!("a worker may take about {wanted}: start slaves with fewer --workers");
        return Check::warn(NAME, found, advice);
    }
    Check::ok(NAME, found)
}

/// Which of its ways the scanner takes here: the conditions are those of `tally_common::scan`.
fn cpu() -> Check {
    const NAME: &str = "CPU";
    #[cfg(target_arch = "x86_64")]
    {
        /// Whether all of these are there.
        macro_rules! has {
            ($($feature:tt),*) => { $(std::arch::is_x86_feature_detected!($feature))&&* };
        }
        let avx2 = has!("avx2", "pclmulqdq", "bmi2", "popcnt", "lzcnt", "bmi1");
        if avx2 && has!("avx512f", "avx512bw", "avx512vbmi2") {
            return Check::ok(NAME, "records are scanned with AVX-512");
        }
        if avx2 {
            return Check::ok(NAME, "records are scanned with AVX2");
        }
    }
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    return Check::ok(NAME, "records are scanned with NEON");
    #[cfg(not(all(target_arch = "aarch64", target_endian = "little")))]
    Check::warn(
        NAME,
        "records are scanned with plain instructions",
        "a processor, or a virtual machine, with AVX2 counts faster",
    )
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn few_open_files_are_spoken_of() {
        assert_eq!(open_files(None).verdict, Verdict::Ok);
        assert_eq!(open_files(Some(64)).verdict, Verdict::Fail);
        assert_eq!(open_files(Some(1024)).verdict, Verdict::Warn);
        assert_eq!(open_files(Some(1 << 20)).verdict, Verdict::Ok);
    }

    #[test]
    fn memory_is_the_machines_or_the_groups() {
        let machine = "MemTotal:  16 kB\nMemAvailable:   2048 kB\n";
        assert_eq!(available(machine, "max\n", "5\n"), Some(2 << 20));
        assert_eq!(available(machine, "", ""), Some(2 << 20));
        assert_eq!(available(machine, "1048576\n", "1000000\n"), Some(48_576));
        assert_eq!(available("", "max", ""), None);
        assert_eq!(enough(Some(1 << 30), 64).verdict, Verdict::Warn);
        assert_eq!(enough(Some(1 << 30), 4).verdict, Verdict::Ok);
        assert_eq!(enough(None, 4).verdict, Verdict::Ok);
    }
}
