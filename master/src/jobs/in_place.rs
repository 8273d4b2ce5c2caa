//! Inputs that are counted where they lie, in folders that the operator has named: nothing is uploaded,
//! and nothing spooled unless it is compressed; and results that are written to such folders. That an
//! input does not change meanwhile is checked: by its
//! length and time while it is cut, by each task's checksum after that.

use std::io;
use std::path::{Path, PathBuf};

use tokio::task::{JoinHandle, spawn_blocking};
use tracing::warn;

use tally_common::api::JobState;
use tally_common::id::JobId;

use super::{Jobs, JobsError, NewJob, Peek, Upload};
use crate::config::Config;
use crate::coordinator::{Message, Opened, Opening, Stopped};
use crate::intake::Taken;
use crate::spool::InputError;

impl Jobs {
    /// Opens a job on a file of this machine. The upload that comes back takes no bytes; it ends when
    /// the file has been read once.
    ///
    /// # Errors
    /// [`JobsError::InPlace`] where the file may not be read, or can not; else as [`Self::upload`].
    pub async fn in_place(
        &self,
        new: NewJob,
        path: PathBuf,
        key: Option<String>,
    ) -> Result<Upload, JobsError> {
        let permit = self.permit()?;
        let config = self.config.clone();
        let found = spawn_blocking(move || find(&config, &path));
        let (path, bytes) = found.await.map_err(|error| io::Error::other(error.to_string()))??;
        let new = NewJob { in_place: Some(path), expected: Some(bytes), ..new };
        match self.ask(|reply| Message::Open { job: new, key, reply }).await?? {
            Opening::Opened(opened) => {
                let job = opened.job;
                Ok(Upload::reading(job, self.read_in_place(*opened), permit))
            }
            // The first request has its answer when the file has been read; this one need not wait.
            Opening::Known(known) => Ok(Upload::known(known.job, permit)),
        }
    }

    /// The beginning of a file of this machine, if it may be read.
    ///
    /// # Errors
    /// [`JobsError::InPlace`].
    pub(super) async fn peek_in_place(&self, path: PathBuf) -> Result<Peek, JobsError> {
        let config = self.config.clone();
        let read = spawn_blocking(move || {
            let (path, _) = find(&config, &path)?;
            Ok(Peek::read(std::fs::File::open(&path)?)?)
        });
        read.await.map_err(|error| io::Error::other(error.to_string()))?
    }

    /// Reads the inputs on that were being read when the last process stopped.
    pub(crate) async fn read_on(&self) {
        // Those that have ended are in the store alone, and need not be looked through.
        let Ok(jobs) = self.ask(|reply| Message::List { reply }).await else { return };
        for job in jobs {
            if job.state != JobState::Receiving || job.in_place.is_none() {
                continue;
            }
            let id = job.id;
            if let Ok(Some(opened)) = self.ask(|reply| Message::Reread { job: id, reply }).await {
                // Nobody waits for it: the job says how it went.
                drop(self.read_in_place(opened));
            }
        }
    }

    /// A file that a result is to be written to, by its real name, if that may be.
    ///
    /// # Errors
    /// [`JobsError::InPlace`].
    pub async fn result_place(&self, path: PathBuf) -> Result<PathBuf, JobsError> {
        let config = self.config.clone();
        let found = spawn_blocking(move || find_room(&config, &path));
        found.await.map_err(|error| io::Error::other(error.to_string()))?
    }

    /// Whether a job's input may still be read where it lies: by itself, and by the operator.
    pub(super) async fn may_be_read(&self, path: &str) -> bool {
        let (config, path) = (self.config.clone(), PathBuf::from(path));
        let found = spawn_blocking(move || find(&config, &path).is_ok());
        found.await.unwrap_or(false)
    }

    fn read_in_place(&self, mut opened: Opened) -> JoinHandle<Result<JobId, JobsError>> {
        let jobs = self.clone();
        spawn_blocking(move || {
            let job = opened.job;
            let path = opened.new.in_place.clone().unwrap_or_default();
            let spool = opened.folder.join("spool").join("0.csv");
            let cut = opened.resume.take().and_then(|resume| resume.cut);
            let (name, spec) = (opened.new.name.clone(), opened.new.spec.clone());
            match jobs.reception(&opened, name, spec).file(&path, &spool, cut) {
                // What was sent is nothing.
                Ok(taken) => jobs.input_done(job, taken, Taken::default()),
                // It is read on after the next start.
                Err(InputError::Stopped) => Err(Stopped.into()),
                Err(error) => {
                    warn!(%job, path = %path.display(), %error, "an input can not be read on");
                    jobs.input_failed(job, error)
                }
            }
        })
    }
}

/// The file by its real name, and its length in bytes, if it may be read.
fn find(config: &Config, path: &Path) -> Result<(PathBuf, u64), JobsError> {
    let refuse = |problem: String| JobsError::InPlace { path: path.display().to_string(), problem };
    let outside = || {
        refuse(
            "it is not in a folder whose files this master counts where they lie (--input-dir); \
             submit it without --in-place"
                .to_owned(),
        )
    };
    let found = match path.canonicalize() {
        Ok(found) => found,
        // Of files elsewhere not even whether they exist is anybody's business.
        Err(error) if config.input_dirs.iter().any(|folder| path.starts_with(folder)) => {
            return Err(refuse(format!("the master can not read it: {error}")));
        }
        Err(_) => return Err(outside()),
    };
    if !is_within(config, &config.input_dirs, &found) {
        return Err(outside());
    }
    let unreadable = |error: io::Error| refuse(format!("the master can not read it: {error}"));
    let file = std::fs::File::open(&found).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(refuse("it is no regular file".to_owned()));
    }
    if found.to_str().is_none() {
        return Err(refuse("its name is not UTF-8".to_owned()));
    }
    Ok((found, metadata.len()))
}

/// Whether a path without links lies in one of the folders, and not among what is the master's own.
fn is_within(config: &Config, folders: &[PathBuf], path: &Path) -> bool {
    let own = config.data_dir.canonicalize().map_or(true, |own| path.starts_with(own));
    let mut folders = folders.iter().filter_map(|folder| folder.canonicalize().ok());
    !own && folders.any(|folder| path.starts_with(folder))
}

/// A file to be written, by its real name.
fn find_room(config: &Config, path: &Path) -> Result<PathBuf, JobsError> {
    let refuse = |problem: &str| JobsError::InPlace {
        path: path.display().to_string(),
        problem: problem.to_owned(),
    };
    let outside = "it is not in a folder that this master writes results to (--output-dir); have \
        the result sent";
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    let (Some(folder), Some(name)) = (folder, path.file_name()) else {
        return Err(refuse(outside));
    };
    if !is_within(config, &config.output_dirs, &folder) {
        return Err(refuse(outside));
    }
    let found = folder.join(name);
    match found.symlink_metadata() {
        Ok(there) if !there.is_file() => Err(refuse("it is there, and no regular file")),
        _ if found.to_str().is_none() => Err(refuse("its name is not UTF-8")),
        _ => Ok(found),
    }
}
