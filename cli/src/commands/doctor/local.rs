//! The config file, and the data folder with the disk under it.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use rustix::fs::{FlockOperation, flock, statvfs};

use super::Check;
use crate::output::{bytes, folder};

/// Free space beyond the reserve, in bytes, that is enough not to speak of it: a few inputs of the usual
/// size with their results.
const ROOM: u64 = 4 << 30;

/// Which config file was read.
pub(super) fn config_file(path: Option<&Path>) -> Check {
    match path {
        // It was read before any subcommand began, and would have ended it.
        Some(path) => Check::ok("config file", path.display().to_string()),
        None => Check::ok("config file", "none: defaults and the environment hold"),
    }
}

/// The folder, the file system that it is on, and what is free there.
pub(super) fn data_folder(path: &Path, reserve: u64) -> Vec<Check> {
    let exists = path.exists();
    // The nearest folder that is there is the one that has to take the rest.
    let mut there = path;
    while !there.exists() {
        there = folder(there);
    }
    vec![writable(path, there, exists), file_system(there), space(there, reserve)]
}

fn writable(path: &Path, there: &Path, exists: bool) -> Check {
    const NAME: &str = "data folder";
    let shown = path.display();
    let advice = "name one that this user can write to: --data-dir DIR";
    if !there.is_dir() {
        return Check::fail(NAME, format!("{} is no folder", there.display()), advice);
    }
    if let Err(error) = tempfile::tempfile_in(there) {
        let found = format!("nothing can be written to {}: {error}", there.display());
        return Check::fail(NAME, found, advice);
    }
    if !exists {
        return Check::ok(NAME, format!("{shown}: not there yet; a master will make it"));
    }
    match in_use(path) {
        true => Check::ok(NAME, format!("{shown}: in use by a master")),
        false => Check::ok(NAME, format!("{shown}: can be written, and no master uses it")),
    }
}

/// Whether a master has taken the folder for itself.
fn in_use(path: &Path) -> bool {
    match File::open(path.join("lock")) {
        Ok(lock) => flock(&lock, FlockOperation::NonBlockingLockShared).is_err(),
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}

fn space(there: &Path, reserve: u64) -> Check {
    const NAME: &str = "free space";
    let found = match statvfs(there) {
        Ok(found) => found,
        Err(error) => {
            return Check::warn(NAME, format!("unknown: {error}"), "look at the disk by hand");
        }
    };
    room(found.f_bavail.saturating_mul(found.f_frsize), reserve)
}

fn room(free: u64, reserve: u64) -> Check {
    const NAME: &str = "free space";
    let shown = format!("{} free, {} of them kept free", bytes(free), bytes(reserve));
    if free <= reserve {
        return Check::fail(NAME, shown, "a master would wait: make room, or lower --disk-reserve");
    }
    if free - reserve < ROOM {
        let advice =
            "an input takes its size on disk while it is counted, unless it is counted in place";
        return Check::warn(NAME, shown, advice);
    }
    Check::ok(NAME, shown)
}

#[cfg(target_os = "linux")]
fn file_system(there: &Path) -> Check {
    match rustix::fs::statfs(there) {
        Ok(found) => of_kind(found.f_type as u32),
        Err(error) => {
            Check::warn("file system", format!("unknown: {error}"), "look at the disk by hand")
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn file_system(_: &Path) -> Check {
    Check::ok("file system", "not looked at on this system")
}

/// What is known of a file system by the number that statfs(2) gives for it.
#[cfg(target_os = "linux")]
fn of_kind(magic: u32) -> Check {
    const NAME: &str = "file system";
    let memory = "inputs and results take memory, and are gone when the machine stops: name a folder on a disk";
    let network = "each input crosses the network twice more, and locks may not hold: name a folder on a local disk";
    match magic {
        0xef53 => Check::ok(NAME, "ext"),
        0x5846_5342 => Check::ok(NAME, "xfs"),
        0x9123_683e => Check::ok(NAME, "btrfs"),
        0x2fc1_2fc1 => Check::ok(NAME, "zfs"),
        0xf2f5_2010 => Check::ok(NAME, "f2fs"),
        0x0102_1994 => Check::warn(NAME, "tmpfs: it is in memory", memory),
        0x8584_58f6 => Check::warn(NAME, "ramfs: it is in memory", memory),
        0x6969 => Check::warn(NAME, "nfs: it is on another machine", network),
        0xfe53_4d42 | 0xff53_4d42 => Check::warn(NAME, "smb: it is on another machine", network),
        0x00c3_6400 => Check::warn(NAME, "ceph: it is on other machines", network),
        0x6573_5546 => Check::warn(NAME, "fuse: it may be on another machine", network),
        0x0102_1997 => Check::warn(NAME, "9p: it is on another machine, or the host", network),
        0x794c_7630 => Check::warn(
            NAME,
            "overlay: a container's own layer",
            "what is in it goes with the container: mount a volume there",
        ),
        other => Check::ok(NAME, format!("of kind {other:#x}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_folder_that_is_there_or_will_be() {
        let dir = tempfile::tempdir().unwrap();
        let found = writable(dir.path(), dir.path(), true);
        assert!(found.verdict == Verdict::Ok && found.found.contains("no master"), "{found:?}");
        let checks = data_folder(&dir.path().join("a/b"), 0);
        assert!(checks[0].found.contains("will make it"), "{checks:?}");
        assert!(!dir.path().join("a").exists());
        let lock = File::create(dir.path().join("lock")).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        assert!(data_folder(dir.path(), 0)[0].found.contains("in use by a master"));
    }

    #[test]
    fn a_folder_that_can_not_be() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let nowhere = [file.path().to_owned(), file.path().join("below"), "/proc/tally".into()];
        for path in nowhere {
            let check = &data_folder(&path, 0)[0];
            assert!(check.verdict == Verdict::Fail && check.advice.is_some(), "{check:?}");
        }
    }

    #[test]
    fn room_is_judged_by_the_reserve() {
        assert_eq!(room(1 << 20, 1 << 20).verdict, Verdict::Fail);
        assert_eq!(room(2 << 20, 1 << 20).verdict, Verdict::Warn);
        assert_eq!(room(ROOM + 7, 7).verdict, Verdict::Ok);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_and_networks_are_no_disks() {
        for magic in [0x0102_1994, 0x6969, 0x6573_5546, 0x794c_7630] {
            assert_eq!(of_kind(magic).verdict, Verdict::Warn);
        }
        assert_eq!(of_kind(0xef53).verdict, Verdict::Ok);
        assert_eq!(of_kind(12345).verdict, Verdict::Ok);
    }
}
