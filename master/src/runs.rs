//! Partials on their way in: received into a temporary file, checked against what was said of them,
//! then kept by the coordinator or dropped.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};
use thiserror::Error;

use tally_common::run::{ReadAt, RunError, RunMeta, TaskTotals};
use tally_proto::convert::PartialHead;
use tally_proto::frames::PackedError;

use crate::read_at::FileAt;

/// Largest partial that is taken in, in bytes. A run is at most a little larger than its task.
const MAX_RUN_BYTES: u64 = 2 << 30;

/// Bytes of a partial that are held in memory before it gets a file. A smaller one is written and looked
/// through at once, when all of it is there: where tasks are small and many, what each visit to the disk
/// and to another thread costs is most of what a partial costs.
const HELD_BYTES: usize = 128 << 10;

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
    folder: PathBuf,
    /// What has come, until that is too much and goes to the file.
    held: Vec<u8>,
    file: Option<NamedTempFile>,
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
        let folder = folder.to_owned();
        Ok(Self { head, folder, held: Vec::new(), file: None, bytes: 0, crc32c: 0 })
    }

    /// Whether so many bytes more are only held in memory: then taking them in holds nobody up.
    pub(crate) fn holds(&self, more: usize) -> bool {
        self.file.is_none() && self.held.len() + more <= HELD_BYTES
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
        if self.holds(data.len()) {
            self.held.extend_from_slice(data);
            return Ok(());
        }
        match &mut self.file {
            Some(file) => file.write_all(data)?,
            None => {
                let mut file = self.store_held()?;
                file.write_all(data)?;
                self.file = Some(file);
                self.held = Vec::new();
            }
        }
        Ok(())
    }

    /// Makes the file, with what has been held so far.
    fn store_held(&self) -> io::Result<NamedTempFile> {
        let mut file = tempfile::Builder::new().suffix(".part").tempfile_in(&self.folder)?;
        file.write_all(&self.held)?;
        Ok(file)
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
        match self.file {
            Some(file) => {
                let path = file.into_temp_path();
                let run = FileAt::open(&path)?;
                check(&run, self.head, path)
            }
            None => {
                let path = self.store_held()?.into_temp_path();
                check(&self.held, self.head, path)
            }
        }
    }
}

/// Whether a run is what its header said; it lies at `path`.
fn check(
    run: &(impl ReadAt + ?Sized),
    head: PartialHead,
    path: TempPath,
) -> Result<ReceivedRun, RunsError> {
    let meta = RunMeta::read(run)?;
    for reject in meta.rejects(run) {
        let reject = reject?;
        let end = reject.offset.checked_add(reject.len.into());
        let within = end.is_some_and(|end| end <= meta.totals().bytes);
        if !within || reject.line > meta.totals().lines {
            return Err(RunsError::Reject { offset: reject.offset });
        }
    }
    let (header, totals) = (meta.header(), *meta.totals());
    let same = header.message_id == head.message_id
        && meta.groups() == head.groups
        && totals.records == head.records
        && totals.rejects == head.rejects;
    if !same {
        return Err(RunsError::Mismatch);
    }
    Ok(ReceivedRun { spec_hash: header.spec_hash, totals, head, path: Some(path) })
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
    /// Where it lies; nowhere any more once it has its place.
    pub(crate) fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use tally_common::id::{MessageId, SessionId};
    use tally_common::run::{GroupSink, RunHeader, RunWriter};
    use tally_common::spec::{Spec, SpecDraft};

    use super::*;

    /// A run of so many groups of long names, and what is said of it.
    fn run(groups: u64) -> (Vec<u8>, PartialHead) {
        let spec = Spec::try_from(SpecDraft::plays()).unwrap();
        let message_id = MessageId::from_uuid(Uuid::from_u128(7));
        let mut run = RunWriter::new(Vec::new(), RunHeader::of(&spec, message_id)).unwrap();
        for group in 0..groups {
            let name = format!("{group:0100}");
            run.start_head(name.as_bytes(), 0).unwrap();
            run.push_ordinal(18_000, &[1]).unwrap();
        }
        run.end_segment().unwrap();
        let bytes = 200 * groups;
        let totals = TaskTotals { records: groups, lines: groups, bytes, ..TaskTotals::default() };
        let (run, _) = run.finish(totals).unwrap();
        let head = PartialHead {
            message_id,
            attempt: 1,
            session: SessionId::from_uuid(Uuid::from_u128(8)),
            bytes: run.len() as u64,
            crc32c: crc32c::crc32c(&run),
            groups,
            records: groups,
            rejects: 0,
        };
        (run, head)
    }

    fn receive(folder: &Path, run: &[u8], head: PartialHead) -> Result<ReceivedRun, RunsError> {
        let mut receiver = RunReceiver::create(folder, head)?;
        for piece in run.chunks(10_000) {
            let held = receiver.holds(piece.len());
            receiver.write(piece)?;
            assert_eq!(held, std::fs::read_dir(folder).unwrap().next().is_none());
        }
        receiver.finish()
    }

    #[test]
    fn small_and_large_runs_are_stored_as_they_came() {
        for groups in [1, 100, 1500, 60_000] {
            let (run, head) = run(groups);
            assert_eq!(run.len() > HELD_BYTES, groups == 60_000, "{} bytes", run.len());
            let (folder, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let place = place.path().join("run");
            let mut received = receive(folder.path(), &run, head).unwrap();
            assert_eq!(received.totals.records, groups);
            received.place(&place).unwrap();
            assert!(std::fs::read(&place).unwrap() == run);
        }
    }

    #[test]
    fn what_is_damaged_leaves_nothing() {
        for groups in [100, 60_000] {
            let (mut run, head) = run(groups);
            let folder = tempfile::tempdir().unwrap();
            let empty = || std::fs::read_dir(folder.path()).unwrap().next().is_none();
            let mismatch = receive(folder.path(), &run, PartialHead { records: 1, ..head });
            assert!(matches!(mismatch, Err(RunsError::Mismatch)));
            assert!(empty());
            let short = receive(folder.path(), &run[..run.len() - 1], head);
            assert!(matches!(short, Err(RunsError::Damaged { .. })));
            assert!(empty());
            let last = run.len() - 1;
            run[last] ^= 1;
            let crc32c = crc32c::crc32c(&run);
            let corrupt = receive(folder.path(), &run, PartialHead { crc32c, ..head });
            assert!(matches!(corrupt, Err(RunsError::Run(_))));
            assert!(empty());
        }
    }
}
