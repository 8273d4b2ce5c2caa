//! The spool: inputs as they arrive, on disk; and the intake that cuts them into tasks on the way.
//! Sync: runs on a thread of its own and tells the coordinator what it finds.

mod sink;
mod upload;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::mpsc;

use tally_common::id::JobId;
use tally_common::limits::FRAME_BYTES;
use tally_common::spec::Spec;

use crate::coordinator::{Message, Meter};
use crate::decompress::{Decompress, DecompressError, Encoding};
use crate::direct::DirectWriter;
use crate::disk::Disk;
use crate::intake::{IntakeError, Taken, TaskSize};
use sink::Sink;

pub(crate) use upload::{Piece, Received, ResumePoint, is_stored_compressed};

/// Why an input was not taken in. Names no path: it is shown to whoever sent the input.
#[derive(Debug, Error)]
pub enum InputError {
    /// Its bytes do not make sense.
    #[error("{0}")]
    Intake(#[from] IntakeError),
    /// A record is too long; with the line that it begins on.
    #[error("line {line}: {error}")]
    AtLine {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        error: IntakeError,
    },
    /// Its compressed form does not make sense.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// It could not be read or stored.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The sender went away before the end.
    #[error("the upload broke off after {0} bytes; nothing of it is counted, submit it again")]
    BrokeOff(u64),
    /// It has more bytes than were announced.
    #[error("the upload has more than the {0} bytes that were announced")]
    TooLong(u64),
    /// Its job was cancelled meanwhile.
    #[error("the job was cancelled")]
    Cancelled,
    /// The master is stopping.
    #[error("the master is stopping; nothing of the upload is counted, submit it again")]
    Stopped,
    /// A retry of a request whose job had failed for its input: what it had said.
    #[error("{0}")]
    Before(String),
}

/// One input on its way in.
pub(crate) struct Reception {
    pub(crate) job: JobId,
    pub(crate) name: String,
    pub(crate) spec: Spec,
    pub(crate) size: TaskSize,
    pub(crate) meter: Arc<Meter>,
    pub(crate) coordinator: mpsc::Sender<Message>,
    pub(crate) disk: Arc<Disk>,
    /// What the coordinator is told must outlive the process.
    pub(crate) durable: bool,
}

impl Reception {
    /// Takes in a stream that is read here, such as a pipe, into the spool file `path`.
    pub(crate) fn stream(self, path: &Path, mut from: impl Read) -> Result<Taken, InputError> {
        let reception = Arc::new(self);
        let file = reception.writer(DirectWriter::create(path)?);
        let mut sink = Sink::new(reception, path.to_owned(), Some(file), None);
        let mut decoder = Decompress::default();
        let mut buffer = vec![0; FRAME_BYTES];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => decoder.feed(&buffer[..n], &mut |plain| sink.write(plain))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        decoder.finish(&mut |plain| sink.write(plain))?;
        sink.end()
    }

    /// Takes in a file where it lies: it is read once to be cut, and not copied. A compressed one is
    /// spooled to `spool`.
    pub(crate) fn file(self, path: &Path, spool: &Path) -> Result<Taken, InputError> {
        let mut file = File::open(path)?;
        let mut start = [0; 4];
        let n = read_up_to(&mut file, &mut start)?;
        let rest = start[..n].chain(file);
        if Encoding::sniff(&start[..n]) != Encoding::Plain {
            return self.stream(spool, rest);
        }
        let mut sink = Sink::new(Arc::new(self), path.to_owned(), None, None);
        let (mut rest, mut buffer) = (rest, vec![0; FRAME_BYTES]);
        loop {
            let n = read_up_to(&mut rest, &mut buffer)?;
            if n == 0 {
                break;
            }
            sink.write(&buffer[..n])?;
        }
        sink.end()
    }

    /// Makes a writer wait while the disk is full.
    fn writer(&self, file: DirectWriter) -> DirectWriter {
        file.with_patience(self.disk.patience(&self.meter))
    }

    /// Nobody wants the input any more.
    fn check_wanted(&self) -> Result<(), InputError> {
        if self.meter.is_cancelled() { Err(InputError::Cancelled) } else { Ok(()) }
    }

    fn send(&self, message: Message) -> Result<(), InputError> {
        self.coordinator.blocking_send(message).map_err(|_| InputError::Stopped)
    }
}

/// Reads until `buffer` is full or there is no more.
pub(crate) fn read_up_to(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
