//! Partials on their way in: received into a temporary file, checked against what was said of them,
//! then kept by the coordinator or dropped.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};
use thiserror::Error;

use tally_common::run::{RunError, RunMeta, TaskTotals};
use tally_proto::convert::PartialHead;
use tally_proto::frames::PackedError;

use crate::read_at::FileAt;

/// Largest partial that is taken in, in bytes. A run is at most a little larger than its task.
const MAX_RUN_BYTES: u64 = 2 << 30;

/// Why a partial could not be taken in.
#[derive(Debug, Error)]
pub enum RunsError {
    /// The disk said no.
    #[error("a partial can not be stored: {0}")]
    Io(#[from] io::Error),
    /// More or fewer bytes than announced, or other ones.
    #[error(
        "the partial is damaged: {found} bytes with CRC-32C {found_crc:08x} arrived, {expected} with {expected_crc:08x} were announced"
    )]
    Damaged {
        /// Bytes that arrived.
        found: u64,
        /// Their checksum.
        found_crc: u32,
        /// Bytes that were announced.
        expected: u64,
        /// Their checksum.
        expected_crc: u32,
    },
    /// It came compressed, and can not be decompressed.
    #[error(transparent)]
    Packed(#[from] PackedError),
    /// The run does not read.
    #[error("the partial is no valid run: {0}")]
    Run(#[from] RunError),
    /// The run has a reject that is not one of its task's records.
    #[error("the partial has a reject at byte {offset}, which is not in its task")]
    Reject {
        /// Where it is said to begin.
        offset: u64,
    },
    /// The run is not the answer to the task that its header names, or its counts differ.
    #[error("the partial's run and its header do not agree")]
    Mismatch,
}

/// A partial that is being received. Sync: its caller sees to it that no tokio worker is held up.
pub struct RunReceiver {
    head: PartialHead,
    file: NamedTempFile,
    bytes: u64,
    crc32c: u32,
}

impl RunsError {
    /// Whether it is the master that can not take the partial, and not the partial that is wrong.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() != io::ErrorKind::FileTooLarge)
    }
}

impl RunReceiver {
    pub(crate) fn create(folder: &Path, head: PartialHead) -> Result<Self, RunsError> {
        if head.bytes > MAX_RUN_BYTES {
            let error = format!("{} bytes are more than a run can have", head.bytes);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, error).into());
        }
        let file = tempfile::Builder::new().suffix(".part").tempfile_in(folder)?;
        Ok(Self { head, file, bytes: 0, crc32c: 0 })
    }

    /// Takes the next bytes in.
    ///
    /// # Errors
    /// [`RunsError`]; the partial is of no use after that.
    pub fn write(&mut self, data: &[u8]) -> Result<(), RunsError> {
        self.bytes += data.len() as u64;
        if self.bytes > self.head.bytes {
            return Err(self.damaged());
        }
        self.crc32c = crc32c::crc32c_append(self.crc32c, data);
        Ok(self.file.write_all(data)?)
    }

    fn damaged(&self) -> RunsError {
        RunsError::Damaged {
            found: self.bytes,
            found_crc: self.crc32c,
            expected: self.head.bytes,
            expected_crc: self.head.crc32c,
        }
    }

    /// There are no more bytes: checks that the run is what its header said.
    ///
    /// # Errors
    /// [`RunsError`].
    pub fn finish(self) -> Result<ReceivedRun, RunsError> {
        if (self.bytes, self.crc32c) != (self.head.bytes, self.head.crc32c) {
            return Err(self.damaged());
        }
        let path = self.file.into_temp_path();
        let run = FileAt::open(&path)?;
        let meta = RunMeta::read(&run)?;
        for reject in meta.rejects(&run) {
            let reject = reject?;
            let end = reject.offset.checked_add(reject.len.into());
            let within = end.is_some_and(|end| end <= meta.totals().bytes);
            if !within || reject.line > meta.totals().lines {
                return Err(RunsError::Reject { offset: reject.offset });
            }
        }
        let (header, totals, head) = (meta.header(), *meta.totals(), self.head);
        let same = header.message_id == head.message_id
            && meta.groups() == head.groups
            && totals.records == head.records
            && totals.rejects == head.rejects;
        if !same {
            return Err(RunsError::Mismatch);
        }
        Ok(ReceivedRun { spec_hash: header.spec_hash, totals, head, path: Some(path) })
    }
}

/// A partial that has been received whole and reads as a run. Dropped, it is gone.
#[derive(Debug)]
pub struct ReceivedRun {
    /// What was said of it.
    pub head: PartialHead,
    /// What its task's records came to.
    pub totals: TaskTotals,
    /// Fingerprint of the spec that it was counted by.
    pub spec_hash: u64,
    /// Where it lies until it has its place.
    path: Option<TempPath>,
}

impl ReceivedRun {
    /// Puts the run where it is kept. It is not synced: one that a power cut takes is counted again.
    pub(crate) fn place(&mut self, path: &Path) -> io::Result<()> {
        match self.path.take() {
            Some(from) => from.persist(path).map_err(|error| error.error),
            None => Ok(()),
        }
    }
}

/// Where the runs of a job lie.
pub(crate) fn run_path(job_dir: &Path, number: u32) -> PathBuf {
    job_dir.join("runs").join(format!("{number:08}.run"))
}
