//! What a copy consists of: each file with its length and checksum. Written last: a copy without it is not
//! whole.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::BackupError;

/// Its name.
pub(super) const NAME: &str = "manifest.json";

/// The format of what this build writes, and the only one that it reads.
const VERSION: u32 = 1;

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// What a copy consists of.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    version: u32,
    /// The build that has made it, for people.
    tally: String,
    /// When, in milliseconds since 1970.
    taken_ms: u64,
    /// All folders, those that are empty, too: a master expects them.
    folders: Vec<String>,
    pub(super) files: Vec<Entry>,
}

/// A file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Below the folder, with `/` between names.
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) crc32c: u32,
}

impl Entry {
    /// Its path, which does not leave the folder.
    pub(super) fn path(&self) -> Result<PathBuf, BackupError> {
        inside(&self.path)
    }
}

/// A path that does not leave the folder.
fn inside(text: &str) -> Result<PathBuf, BackupError> {
    let path = PathBuf::from(text);
    let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    if inside && !text.is_empty() {
        Ok(path)
    } else {
        Err(BackupError::Damaged(format!("{text:?} is no path within it")))
    }
}

impl Manifest {
    /// The folders, below the one that it is of, each after those that it is in.
    pub(super) fn folders(&self) -> Result<Vec<PathBuf>, BackupError> {
        self.folders.iter().map(|folder| inside(folder)).collect()
    }

    /// Of what is in a folder.
    pub(super) fn of(folder: &Path, build: &str, taken_ms: u64) -> Result<Self, BackupError> {
        let (mut folders, mut files) = (Vec::new(), Vec::new());
        walk(folder, Path::new(""), &mut folders, &mut files)?;
        folders.sort();
        files.sort_by(|a: &Entry, b| a.path.cmp(&b.path));
        Ok(Self { version: VERSION, tally: build.to_owned(), taken_ms, folders, files })
    }

    /// Puts it into the folder.
    pub(super) fn write(&self, folder: &Path) -> Result<(), BackupError> {
        let (part, path) = (folder.join("manifest.json.tmp"), folder.join(NAME));
        let write = || {
            let mut file = File::create(&part)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()?;
            fs::rename(&part, &path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(BackupError::at(&path))
    }

    /// Reads the one of a copy.
    pub(super) fn read(folder: &Path) -> Result<Self, BackupError> {
        let path = folder.join(NAME);
        let text = fs::read(&path).map_err(|error| {
            BackupError::Damaged(format!("{}: {error}: it is not whole", path.display()))
        })?;
        let manifest: Self = serde_json::from_slice(&text)
            .map_err(|error| BackupError::Damaged(format!("{}: {error}", path.display())))?;
        if manifest.version != VERSION {
            let problem = format!("its format is {}, this build reads {VERSION}", manifest.version);
            return Err(BackupError::Damaged(problem));
        }
        Ok(manifest)
    }
}

fn walk(
    folder: &Path,
    below: &Path,
    folders: &mut Vec<String>,
    files: &mut Vec<Entry>,
) -> Result<(), BackupError> {
    let at = folder.join(below);
    for entry in fs::read_dir(&at).map_err(BackupError::at(&at))? {
        let entry = entry.map_err(BackupError::at(&at))?;
        let path = below.join(entry.file_name());
        let Some(text) = path.to_str() else {
            let odd = io::Error::other("its name is not Unicode");
            return Err(BackupError::at(&entry.path())(odd));
        };
        if entry.path().is_dir() {
            folders.push(text.to_owned());
            walk(folder, &path, folders, files)?;
            continue;
        }
        let (size, crc32c) = sum(&entry.path()).map_err(BackupError::at(&entry.path()))?;
        files.push(Entry { path: text.to_owned(), size, crc32c });
    }
    Ok(())
}

/// Length and CRC-32C of a file.
pub(super) fn sum(path: &Path) -> io::Result<(u64, u32)> {
    let mut file = File::open(path)?;
    let (mut size, mut crc32c, mut piece) = (0, 0, vec![0; PIECE]);
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok((size, crc32c));
        }
        size += read as u64;
        crc32c = crc32c::crc32c_append(crc32c, &piece[..read]);
    }
}
