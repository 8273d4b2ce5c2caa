//! Copies of a data folder while its master runs, and a data folder out of such a copy. Sync; asks nothing of
//! the master, takes no lock, and writes nothing into the folder that it copies.
//!
//! A copy is the store as it was at one moment, and all files that it speaks of. Files are copied first, then
//! the store, then what has come meanwhile; what the store then speaks of and is not there belongs to a job
//! that has ended or was removed meanwhile, and a newer copy of the store no longer asks for it: so that is
//! tried again until it fits.

mod check;
mod copy;
mod manifest;
mod restore;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::clock::Clock;
use check::Missing;
use manifest::Manifest;
pub use restore::restore;

/// The store in a data folder.
const STORE: &str = "tally.db";

/// Says that a folder's store is elsewhere.
const STORE_ID: &str = "store-id";

/// Copies of the store that are made until one fits the files: each takes less time than the one before.
const ROUNDS: usize = 20;

/// Pause between two of them, in which a job that has just ended is written down.
const PAUSE: Duration = Duration::from_millis(200);

/// Why a folder was not copied, or a copy not made a folder of.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The disk said no.
    #[error("{}: {error}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// The store can not be copied or read.
    #[error("the store can not be copied: {0}")]
    Store(#[from] rusqlite::Error),
    /// There is no master's data.
    #[error("{} has no store: it is not the data folder of a master", .0.display())]
    NoData(PathBuf),
    /// Something is there already.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// The copy is not whole, or is none.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// Jobs came and went faster than they could be copied.
    #[error("the files change faster than they can be copied; last, this was missing: {0}")]
    Unsettled(String),
}

impl BackupError {
    fn at(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |error| Self::Io { path: path.to_owned(), error }
    }
}

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Files, the store included.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The store is elsewhere, and is not among them.
    pub store_elsewhere: bool,
    /// What the store speaks of and was gone before: of jobs whose files somebody has removed.
    pub gone: Vec<String>,
}

/// Copies a data folder to a new one, or an empty one.
///
/// # Errors
/// [`BackupError`]; what was copied by then is of no use, and says so by having no manifest.
pub fn take(data: &Path, to: &Path, build: &str) -> Result<Copied, BackupError> {
    let store_elsewhere = !data.join(STORE).exists();
    if store_elsewhere && !data.join(STORE_ID).exists() {
        return Err(BackupError::NoData(data.to_owned()));
    }
    copy::make_empty(to)?;
    let mut copied = copy::Copied::default();
    copy::files(data, to, &mut copied)?;
    let gone = if store_elsewhere { Vec::new() } else { settle(data, to, &mut copied)? };
    let manifest = Manifest::of(to, build, Clock::start().started_ms())?;
    manifest.write(to)?;
    let bytes = manifest.files.iter().map(|file| file.size).sum();
    Ok(Copied { files: manifest.files.len(), bytes, store_elsewhere, gone })
}

/// Copies the store, and what it speaks of, until both fit; what can not be had.
fn settle(data: &Path, to: &Path, copied: &mut copy::Copied) -> Result<Vec<String>, BackupError> {
    let mut before: Vec<Missing> = Vec::new();
    for round in 0..ROUNDS {
        if round > 0 {
            std::thread::sleep(PAUSE);
        }
        copy::store(data, to)?;
        copy::files(data, to, copied)?;
        let missing = check::missing(to)?;
        if missing.is_empty() || missing == before {
            // The same as a moment ago: nobody is at work there, the files were removed by hand.
            copy::forget_others(to, &check::jobs(to)?)?;
            return Ok(missing.iter().map(ToString::to_string).collect());
        }
        before = missing;
    }
    let first = before.first().map(ToString::to_string);
    Err(BackupError::Unsettled(first.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_data_folder_is_not_copied_and_nothing_is_overwritten() {
        let (data, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let none = take(data.path(), to.path(), "0");
        assert!(matches!(none, Err(BackupError::NoData(_))), "{none:?}");
        rusqlite::Connection::open(data.path().join(STORE)).unwrap();
        std::fs::write(to.path().join("mine"), "x").unwrap();
        let full = take(data.path(), to.path(), "0");
        assert!(matches!(full, Err(BackupError::NotEmpty(_))), "{full:?}");
        assert_eq!(std::fs::read(to.path().join("mine")).unwrap(), b"x");
    }
}
