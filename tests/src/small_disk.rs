//! A file system that is soon full, in memory.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A small disk of its own. Needs the right to mount, as a test machine's root has. Gone when
/// dropped.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None`, and a word about it, where nothing can be mounted here.
    ///
    /// # Panics
    /// Where no folder can be made.
    pub fn mount(megabytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let size = format!("size={megabytes}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "none"]).arg(folder.path());
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self(folder)),
            said => {
                eprintln!("SKIPPED: no file system can be mounted here: {said:?}");
                None
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills it to the last byte, and gives the file that does.
    ///
    /// # Panics
    /// Where it takes no file at all.
    pub fn fill(&self) -> PathBuf {
        let path = self.path().join("ballast");
        let mut file = File::create(&path).expect("the disk takes a file");
        for piece in [&[7; 64 << 10][..], &[7]] {
            while file.write_all(piece).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A process may still be about to let go of it.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
