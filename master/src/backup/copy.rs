//! Copying files that others write and remove meanwhile.
//!
//! They are copied, not linked: an upload goes on in the same file, and a large file that is removed is made
//! shorter first. A file system that can share the blocks of a copy does so.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{BackupError, STORE};

/// What is of no use to another process, or is copied in its own way.
const LEFT_OUT: [&str; 4] = ["lock", "uploads", "scratch", super::manifest::NAME];

/// How long the store may be busy with somebody else.
const BUSY: Duration = Duration::from_secs(30);

/// What each file was like when it was copied: length, time of its last change, and which file it was.
#[derive(Default)]
pub(super) struct Copied(BTreeMap<PathBuf, (u64, i64, i64, u64)>);

/// Makes a folder that nobody else may look into, or sees to it that there is nothing in it.
pub(super) fn make_empty(folder: &Path) -> Result<(), BackupError> {
    let at = BackupError::at(folder);
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(&at)?;
    if fs::read_dir(folder).map_err(&at)?.next().is_some() {
        return Err(BackupError::NotEmpty(folder.to_owned()));
    }
    Ok(())
}

/// Copies all files that are new or other ones than when they were copied last.
pub(super) fn files(data: &Path, to: &Path, copied: &mut Copied) -> Result<(), BackupError> {
    folder(data, to, Path::new(""), copied)
}

fn folder(data: &Path, to: &Path, below: &Path, copied: &mut Copied) -> Result<(), BackupError> {
    let from = data.join(below);
    let entries = match fs::read_dir(&from) {
        Err(error) if gone(&error) => return Ok(()),
        entries => entries.map_err(BackupError::at(&from))?,
    };
    for entry in entries {
        let entry = entry.map_err(BackupError::at(&from))?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        let unfinished = text.ends_with(".tmp") || text.ends_with(".part");
        let store = below.as_os_str().is_empty() && text.starts_with(STORE);
        if unfinished || store || LEFT_OUT.contains(&&*text) {
            continue;
        }
        let path = below.join(&name);
        let kind = match entry.file_type() {
            Err(error) if gone(&error) => continue,
            kind => kind.map_err(BackupError::at(&from))?,
        };
        if kind.is_dir() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(to.join(&path));
            made.map_err(BackupError::at(&to.join(&path)))?;
            folder(data, to, &path, copied)?;
        } else if kind.is_file() {
            file(data, to, path, copied)?;
        }
    }
    Ok(())
}

/// Copies a file. One that goes meanwhile is left as it was copied before, if it was.
fn file(data: &Path, to: &Path, path: PathBuf, copied: &mut Copied) -> Result<(), BackupError> {
    let from = data.join(&path);
    let before = match fs::metadata(&from) {
        Err(error) if gone(&error) => return Ok(()),
        metadata => metadata.map_err(BackupError::at(&from))?,
    };
    let state = (before.len(), before.mtime(), before.mtime_nsec(), before.ino());
    if copied.0.get(&path) == Some(&state) {
        return Ok(());
    }
    if copied.0.get(&path).is_some_and(|last| last.3 == state.3 && last.0 > state.0) {
        // It is being removed, bit by bit: the copy has more of it.
        return Ok(());
    }
    let to = to.join(&path);
    match copy(&from, &to, before.permissions()) {
        Err(error) if gone(&error) => return Ok(()),
        done => done.map_err(BackupError::at(&to))?,
    }
    copied.0.insert(path, state);
    Ok(())
}

/// Copies a file durably, with the rights that the other has.
pub(super) fn copy(from: &Path, to: &Path, rights: Permissions) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    // The kernel copies, and shares blocks where it can.
    io::copy(&mut source, &mut target)?;
    target.set_permissions(Permissions::from_mode(rights.mode() & 0o777))?;
    target.sync_all()
}

fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// Copies the store as it is at one moment. Who writes to it is not held up.
pub(super) fn store(data: &Path, to: &Path) -> Result<(), BackupError> {
    let (new, path) = (to.join("tally.db.tmp"), to.join(STORE));
    if let Err(error) = fs::remove_file(&new)
        && !gone(&error)
    {
        return Err(BackupError::at(&new)(error));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(data.join(STORE), flags)?;
    connection.busy_timeout(BUSY)?;
    let name = new.to_str().ok_or_else(|| {
        BackupError::at(&new)(io::Error::other("its path is not Unicode, as SQLite wants it"))
    })?;
    connection.execute("vacuum into ?1", [name])?;
    let file = File::open(&new).map_err(BackupError::at(&new))?;
    let rights = file.set_permissions(Permissions::from_mode(0o600));
    rights.and_then(|()| file.sync_all()).map_err(BackupError::at(&new))?;
    fs::rename(&new, &path).map_err(BackupError::at(&path))
}

/// Removes the files of jobs that the store does not know: they came or went while it was copied.
pub(super) fn forget_others(to: &Path, known: &HashSet<String>) -> Result<(), BackupError> {
    let jobs = to.join("jobs");
    let Ok(entries) = fs::read_dir(&jobs) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !known.contains(&*name.to_string_lossy()) {
            let path = entry.path();
            fs::remove_dir_all(&path).map_err(BackupError::at(&path))?;
        }
    }
    Ok(())
}
