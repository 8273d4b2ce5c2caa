//! Removing large files without holding up whoever uses the disk meanwhile.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use tracing::warn;

/// Bytes that are given back at once.
const STEP: u64 = 32 << 20;

/// How long the disk is left to others in between: about twice as long as a step takes.
const PAUSE: Duration = Duration::from_millis(16);

/// For how long the removal of one folder may pause, all in all.
const PAUSES: Duration = Duration::from_secs(2);

/// Removes a file or folder, if it is there.
pub(crate) fn remove(path: &Path) {
    let removed =
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    if let Err(error) = removed
        && error.kind() != io::ErrorKind::NotFound
    {
        warn!(path = %path.display(), %error, "could not be removed");
    }
}

/// Removes a folder of files, the large ones bit by bit: a file system that tells its disk of every
/// block that it no longer needs (ext4 with `discard`) keeps the disk busy with that for a quarter of
/// a second per gigabyte, and just then somebody fetches the result.
pub(crate) fn remove_gently(folder: &Path) {
    let mut left = PAUSES;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let large = entry.metadata().is_ok_and(|data| data.is_file() && data.len() > STEP);
        if large && let Ok(file) = OpenOptions::new().write(true).open(entry.path()) {
            // What can not be made shorter is removed as it is.
            let _ = shorten(&file, &mut left);
        }
    }
    remove(folder);
}

/// Cuts a file down step by step.
fn shorten(file: &File, left: &mut Duration) -> io::Result<()> {
    let mut len = file.metadata()?.len();
    while len > STEP && !left.is_zero() {
        len -= STEP;
        file.set_len(len)?;
        let pause = PAUSE.min(*left);
        sleep(pause);
        *left -= pause;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_large_goes_too() {
        let folder = tempfile::tempdir().unwrap();
        let spool = folder.path().join("spool");
        std::fs::create_dir(&spool).unwrap();
        File::create(spool.join("0.csv")).unwrap().set_len(5 * STEP + 1).unwrap();
        File::create(spool.join("1.csv")).unwrap();
        remove_gently(&spool);
        assert!(!spool.exists());
        remove_gently(&spool);
    }

    #[test]
    fn a_file_gets_shorter_and_pauses_come_to_an_end() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(3 * STEP).unwrap();
        let mut left = Duration::ZERO;
        shorten(&file, &mut left).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 3 * STEP);
        left = Duration::from_secs(1);
        shorten(&file, &mut left).unwrap();
        assert_eq!(file.metadata().unwrap().len(), STEP);
    }
}
