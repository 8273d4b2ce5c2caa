//! The spool: inputs as they arrive, decompressed, on disk; and the intake that cuts them into tasks
//! on the way. Sync: runs on a thread of its own and tells the coordinator what it finds.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::mpsc;

use tally_common::id::JobId;
use tally_common::limits::FRAME_BYTES;
use tally_common::spec::Spec;

use crate::coordinator::{InputInfo, Message, Meter};
use crate::decompress::{Decompress, DecompressError, Encoding};
use crate::direct::DirectWriter;
use crate::intake::{Cut, Intake, IntakeError, Taken, TaskSize};

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
    /// Its job was cancelled meanwhile.
    #[error("the job was cancelled")]
    Cancelled,
    /// The master is stopping.
    #[error("the master is stopping")]
    Stopped,
}

/// One input on its way in.
pub(crate) struct Reception {
    pub(crate) job: JobId,
    pub(crate) name: String,
    pub(crate) spec: Spec,
    pub(crate) size: TaskSize,
    pub(crate) meter: Arc<Meter>,
    pub(crate) coordinator: mpsc::Sender<Message>,
}

/// A piece of an upload.
pub(crate) enum Piece {
    /// Its next bytes.
    Data(Bytes),
    /// There are no more: without this the upload has broken off.
    End,
}

impl Reception {
    /// Receives an upload into the spool file `path`.
    pub(crate) fn upload(
        self,
        path: &Path,
        pieces: &mut mpsc::Receiver<Piece>,
    ) -> Result<Taken, InputError> {
        let mut sink = self.spooled(path)?;
        let (mut decoder, mut received) = (None, 0);
        loop {
            let data = match pieces.blocking_recv() {
                Some(Piece::Data(data)) => data,
                Some(Piece::End) => break,
                None => return Err(InputError::BrokeOff(received)),
            };
            received += data.len() as u64;
            sink.feed(&mut decoder, &data)?;
        }
        sink.end(decoder)
    }

    /// Takes in a stream that is read here, such as a pipe, into the spool file `path`.
    pub(crate) fn stream(self, path: &Path, mut from: impl Read) -> Result<Taken, InputError> {
        let mut sink = self.spooled(path)?;
        let mut decoder = None;
        let mut buffer = vec![0; FRAME_BYTES];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => sink.feed(&mut decoder, &buffer[..n])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        sink.end(decoder)
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
        let mut sink = Sink::new(self, path.to_owned(), None);
        let (mut rest, mut buffer) = (rest, vec![0; FRAME_BYTES]);
        loop {
            let n = read_up_to(&mut rest, &mut buffer)?;
            if n == 0 {
                break;
            }
            sink.write(&buffer[..n])?;
        }
        sink.end(None)
    }

    fn spooled(self, path: &Path) -> Result<Sink, InputError> {
        let file = DirectWriter::create(path)?;
        Ok(Sink::new(self, path.to_owned(), Some(file)))
    }
}

/// Reads until `buffer` is full or there is no more.
fn read_up_to(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
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

/// Where decompressed bytes go: to the spool file, if there is one, and through the intake.
struct Sink {
    reception: Reception,
    path: Arc<PathBuf>,
    file: Option<DirectWriter>,
    intake: Intake,
    announced: bool,
    cuts: Vec<Cut>,
}

impl Sink {
    fn new(reception: Reception, path: PathBuf, file: Option<DirectWriter>) -> Self {
        let intake = Intake::new(&reception.spec, reception.size);
        let path = Arc::new(path);
        Self { reception, path, file, intake, announced: false, cuts: Vec::new() }
    }

    /// Takes bytes as they were sent; the first ones tell how they are compressed.
    fn feed(&mut self, decoder: &mut Option<Decompress>, data: &[u8]) -> Result<(), InputError> {
        let decoder = decoder.get_or_insert_default();
        decoder.feed(data, &mut |plain| self.write(plain))
    }

    /// Takes decompressed bytes.
    fn write(&mut self, data: &[u8]) -> Result<(), InputError> {
        if self.reception.meter.cancelled.load(Ordering::Relaxed) {
            return Err(InputError::Cancelled);
        }
        if let Some(file) = &mut self.file {
            file.write_all(data)?;
        }
        self.reception.meter.received.fetch_add(data.len() as u64, Ordering::Relaxed);
        let pushed = self.intake.push(data, &mut self.cuts);
        // What is whole is counted even if what follows is wrong: the totals of the receipt then
        // say how far the input was read.
        self.tell()?;
        pushed.map_err(|error| self.locate(error))
    }

    /// Tells the coordinator of the header and of tasks, once their bytes can be read.
    fn tell(&mut self) -> Result<(), InputError> {
        if !self.announced
            && let Some(header) = self.intake.header()
        {
            self.announced = true;
            let info = InputInfo {
                name: self.reception.name.clone(),
                path: Arc::clone(&self.path),
                layout: header.layout.clone(),
                columns: header.names.clone(),
                header_lines: header.lines,
            };
            self.send(Message::Input { job: self.reception.job, info })?;
        }
        if self.cuts.is_empty() {
            return Ok(());
        }
        self.flush()?;
        let (job, cuts) = (self.reception.job, std::mem::take(&mut self.cuts));
        self.send(Message::Cut { job, cuts })
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.flush()?;
        }
        Ok(())
    }

    fn send(&self, message: Message) -> Result<(), InputError> {
        self.reception.coordinator.blocking_send(message).map_err(|_| InputError::Stopped)
    }

    fn end(mut self, decoder: Option<Decompress>) -> Result<Taken, InputError> {
        if let Some(decoder) = decoder {
            decoder.finish(&mut |plain| self.write(plain))?;
        }
        let taken = self.intake.finish(&mut self.cuts);
        self.tell()?;
        if let Some(file) = self.file.take() {
            file.finish()?;
        }
        taken.map_err(|error| self.locate(error))
    }

    /// Finds the line of a record by reading the input again: lines are not counted on the way.
    fn locate(&mut self, error: IntakeError) -> InputError {
        let IntakeError::RecordTooLong { offset } = error else {
            return error.into();
        };
        match self.flush().and_then(|()| count_lines(&self.path, offset)) {
            Ok(lines) => InputError::AtLine { line: lines + 1, error },
            Err(_) => error.into(),
        }
    }
}

fn count_lines(path: &Path, until: u64) -> io::Result<u64> {
    let mut head = File::open(path)?.take(until);
    let mut buffer = vec![0; FRAME_BYTES];
    let mut lines = 0;
    loop {
        let n = read_up_to(&mut head, &mut buffer)?;
        if n == 0 {
            return Ok(lines);
        }
        lines += buffer[..n].iter().filter(|&&byte| byte == b'\n').count() as u64;
    }
}
