//! Small files with secrets or their hashes: read whole, written whole under another name and renamed, by one
//! writer at a time. Who reads one sees all of the old or all of the new.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use tempfile::NamedTempFile;
use thiserror::Error;

/// Most bytes of such a file: thousands of keys are less.
const MAX_BYTES: u64 = 8 << 20;

/// A file that can not be read or written.
#[derive(Debug, Error)]
#[error("{}: {error}", path.display())]
pub struct FileError {
    path: PathBuf,
    error: io::Error,
}

impl FileError {
    fn of(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self { path, error }
    }

    /// Whether there is no such file.
    pub(super) fn is_absent(&self) -> bool {
        self.error.kind() == io::ErrorKind::NotFound
    }
}

/// What tells one state of a file from the next without reading it. Links are followed, since Kubernetes changes these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    file: (u64, u64),
    bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn new(file: &Metadata) -> Self {
        Self {
            file: (file.dev(), file.ino()),
            bytes: file.len(),
            changed: (file.mtime(), file.mtime_nsec()),
        }
    }

    /// That of the file that is there now, if one is.
    pub(super) fn now(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().as_ref().map(Self::new)
    }
}

/// All of a file.
pub(super) fn read(path: &Path) -> Result<String, FileError> {
    let text = File::open(path).and_then(|file| {
        let mut text = String::new();
        // A folder or a pipe would be another mistake; both end here, the latter by its length.
        let read = file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
        match read as u64 > MAX_BYTES {
            true => Err(io::Error::other(format!("it has more than {MAX_BYTES} bytes"))),
            false => Ok(text),
        }
    });
    text.map_err(FileError::of(path))
}

/// Held by the one that changes a file.
#[derive(Debug)]
pub(super) struct Turn(#[expect(dead_code, reason = "it is held")] File);

/// Waits for the turn to change a file.
pub(super) fn turn(path: &Path) -> Result<Turn, FileError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let beside = PathBuf::from(beside);
    let lock = || {
        // Not truncated, and never removed: it is nothing but its name.
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(&beside)?;
        give_to_owner(&file, &beside);
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(Turn(file))
    };
    lock().map_err(FileError::of(&beside))
}

/// Replaces a file, for its owner alone. Whoever has the [`Turn`] may.
pub(super) fn replace(path: &Path, text: &str, _turn: &Turn) -> Result<(), FileError> {
    let folder = folder(path);
    let write = || {
        // Made with no rights for anybody else.
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        give_to_owner(file.as_file(), file.path());
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(FileError::of(path))
}

/// What root makes in a folder of the master's user is to be that user's: else its master could not read it.
fn give_to_owner(file: &File, path: &Path) {
    let Ok(folder) = std::fs::metadata(folder(path)) else { return };
    if file.metadata().is_ok_and(|file| file.uid() != folder.uid()) {
        // Nobody but root may; then the file is who made it's, as files are.
        let _ = fchown(file, Some(folder.uid()), Some(folder.gid()));
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_for_its_owner_alone_and_its_stamp_tells() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        assert!(read(&path).unwrap_err().is_absent());
        assert_eq!(Stamp::now(&path), None);
        replace(&path, "one", &turn(&path).unwrap()).unwrap();
        let first = Stamp::now(&path);
        replace(&path, "two", &turn(&path).unwrap()).unwrap();
        assert_ne!(Stamp::now(&path), first);
        assert_eq!(read(&path).unwrap(), "two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_far_too_long_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        std::fs::write(&path, vec![b' '; MAX_BYTES as usize + 1]).unwrap();
        assert!(read(&path).is_err());
    }
}
