//! Whether a copy has the files that its store speaks of.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use serde::Deserialize;

use super::{BackupError, STORE};

/// A file that is not there, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    path: PathBuf,
    /// Bytes that it should have at least.
    bytes: u64,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.path.display(), self.bytes)
    }
}

/// What of an ended job's view says which files it has.
#[derive(Deserialize)]
struct Ended {
    result: Option<ResultBytes>,
    result_path: Option<String>,
    #[serde(default)]
    repaired_by: Option<String>,
}

#[derive(Deserialize)]
struct ResultBytes {
    bytes: u64,
}

fn open(to: &Path) -> Result<Connection, BackupError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_with_flags(to.join(STORE), flags)?)
}

/// The ids of the jobs that the copy's store knows.
pub(super) fn jobs(to: &Path) -> Result<HashSet<String>, BackupError> {
    let store = open(to)?;
    let mut statement = store.prepare("select id from jobs")?;
    let ids = statement.query_map([], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// What is missing: inputs that are not counted yet, up to their last task, and results.
pub(super) fn missing(to: &Path) -> Result<Vec<Missing>, BackupError> {
    let store = open(to)?;
    let mut missing = Vec::new();
    let mut lack = |path: PathBuf, bytes: u64| {
        let found = std::fs::metadata(to.join(&path)).map(|file| file.len());
        if found.map_or(true, |found| found < bytes) {
            missing.push(Missing { path, bytes });
        }
    };
    let mut inputs = store.prepare(
        "select jobs.id, inputs.path, max(tasks.byte_offset + tasks.bytes) from jobs \
         join inputs on inputs.job = jobs.id \
         join tasks on tasks.job = jobs.id and tasks.input = inputs.number \
         where jobs.view is null and jobs.in_place is null group by jobs.id, inputs.number",
    )?;
    let mut rows = inputs.query([])?;
    while let Some(row) = rows.next()? {
        let (job, path, bytes): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let name = Path::new(&path).file_name().unwrap_or_default();
        lack(Path::new("jobs").join(job).join("spool").join(name), bytes.unsigned_abs());
    }
    let mut ended = store.prepare("select id, view from jobs where view is not null")?;
    let mut rows = ended.query([])?;
    while let Some(row) = rows.next()? {
        let (job, view): (String, String) = (row.get(0)?, row.get(1)?);
        let Ok(view) = serde_json::from_str::<Ended>(&view) else { continue };
        if view.result_path.is_some() {
            continue;
        }
        let Some(result) = view.result else { continue };
        // A repaired job shows the result of its repair.
        let folder = view.repaired_by.unwrap_or(job);
        lack(Path::new("jobs").join(folder).join("result.csv"), result.bytes);
    }
    Ok(missing)
}
