//! The spool: inputs as they arrive, on disk; and the intake that cuts them into tasks on the way.
//! Sync: runs on a thread of its own and tells the coordinator what it finds.

mod behind;
mod sink;
mod upload;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::mpsc;

use tally_common::dialect::Header;
use tally_common::id::JobId;
use tally_common::limits::FRAME_BYTES;
use tally_common::spec::Spec;

use crate::coordinator::{Account, Message, Meter, OverLimit};
use crate::decompress::{Decompress, DecompressError, Encoding};
use crate::direct::DirectWriter;
use crate::disk::Disk;
use crate::intake::{IntakeError, Taken, TaskSize};
use crate::metrics;
use sink::Sink;

pub(crate) use upload::{Piece, Received, ResumePoint, is_stored_compressed};

/// Bytes of a file that are read at once to be cut: they should still be in the L2 cache then.
const READ_BYTES: usize = 256 << 10;

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
    /// It has more bytes than this master takes.
    #[error(
        "the input has more than the {0} bytes that this master takes; compress it, count it in parts, \
         or ask its operator for more (--max-input)"
    )]
    TooLarge(u64),
    /// Whoever sends it has sent more than it may.
    #[error("{0}; nothing of the input is counted")]
    OverLimit(OverLimit),
    /// It could not be fetched from where it was said to be.
    #[error("{0}")]
    Source(String),
    /// It lies where it is counted, and is not what it was.
    #[error("the file was changed while it was read; submit it again when it is left alone")]
    Changed,
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
    /// It is read here, from a file, and can be read again.
    pub(crate) in_place: bool,
    /// What the coordinator is told must outlive the process.
    pub(crate) durable: bool,
    /// Most bytes of an upload, as it is sent.
    pub(crate) max_input: Option<u64>,
    /// Where its bytes are counted as they are sent, if anywhere.
    pub(crate) account: Option<Arc<Account>>,
}

impl Reception {
    /// Takes in a stream that is read here, such as a pipe, into the spool file `path`.
    pub(crate) fn stream(self, path: &Path, from: impl Read) -> Result<Taken, InputError> {
        self.stream_on(path, from, None)
    }

    /// The same; `cut` is what was cut off it in an earlier life.
    fn stream_on(
        self,
        path: &Path,
        mut from: impl Read,
        cut: Option<(Header, Taken)>,
    ) -> Result<Taken, InputError> {
        let reception = Arc::new(self);
        // Slaves may be reading what is there: it is never written again.
        let file = match &cut {
            Some((_, until)) => DirectWriter::resume(path, until.bytes)?,
            None => DirectWriter::create(path)?,
        };
        let file = reception.writer(file);
        let mut sink = Sink::new(reception, path.to_owned(), Some(file), cut)?;
        let mut decoder = Decompress::default();
        let mut buffer = vec![0; FRAME_BYTES];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    metrics::input_sent(n);
                    decoder.feed(&buffer[..n], &mut |plain| sink.write(plain))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        decoder.finish(&mut |plain| sink.write(plain))?;
        sink.end()
    }

    /// Takes in a file where it lies: it is read once to be cut, and not copied. A compressed one is
    /// spooled to `spool`. `cut` is what was cut off it in an earlier life.
    pub(crate) fn file(
        self,
        path: &Path,
        spool: &Path,
        cut: Option<(Header, Taken)>,
    ) -> Result<Taken, InputError> {
        let mut file = File::open(path)?;
        let state = |file: &File| file.metadata().map(|found| (found.len(), found.modified().ok()));
        let before = state(&file)?;
        let mut start = [0; 4];
        let n = read_up_to(&mut file, &mut start)?;
        let rest = start[..n].chain(&file);
        let taken = if Encoding::sniff(&start[..n]) == Encoding::Plain {
            self.file_as_it_is(path, rest, cut)
        } else {
            self.stream_on(spool, rest, cut)
        }?;
        if state(&file)? == before { Ok(taken) } else { Err(InputError::Changed) }
    }

    fn file_as_it_is(
        self,
        path: &Path,
        mut from: impl Read,
        cut: Option<(Header, Taken)>,
    ) -> Result<Taken, InputError> {
        let mut sink = Sink::new(Arc::new(self), path.to_owned(), None, cut)?;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let n = read_up_to(&mut from, &mut buffer)?;
            if n == 0 {
                break;
            }
            metrics::input_sent(n);
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
        match (self.meter.is_cancelled(), self.in_place && self.meter.is_stopping()) {
            (true, _) => Err(InputError::Cancelled),
            // An upload is told by its connection, and stops where it can go on.
            (_, true) => Err(InputError::Stopped),
            _ => Ok(()),
        }
    }

    fn send(&self, message: Message) -> Result<(), InputError> {
        self.coordinator.blocking_send(message).map_err(|_| InputError::Stopped)
    }
}

/// Reads until `buffer` is full or there is no more; gives how many bytes that are.
///
/// # Errors
/// Whatever the source gives, but for interruptions.
pub fn read_up_to(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
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
