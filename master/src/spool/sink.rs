//! Where decompressed bytes go: to the spool file, if there is one, and through the intake.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use tally_common::dialect::Header;
use tally_common::limits::FRAME_BYTES;

use super::behind::Behind;
use super::{InputError, Reception, read_up_to};
use crate::coordinator::{InputInfo, Message};
use crate::direct::DirectWriter;
use crate::intake::{Cut, Intake, IntakeError, Taken};
use crate::metrics;

pub(super) struct Sink {
    reception: Arc<Reception>,
    path: Arc<PathBuf>,
    file: Option<Behind>,
    intake: Intake,
    announced: bool,
    /// Bytes that spool and intake have had already, in an earlier life.
    skip: u64,
    cuts: Vec<Cut>,
}

impl Sink {
    /// `cut` is the header of an input that was taken in before, and what came up to the end of the
    /// last task that was cut off it: all of it will come again.
    pub(super) fn new(
        reception: Arc<Reception>,
        path: PathBuf,
        file: Option<DirectWriter>,
        cut: Option<(Header, Taken)>,
    ) -> io::Result<Self> {
        let file = file.map(|file| Behind::start(file, Arc::clone(&reception))).transpose()?;
        let (spec, size) = (&reception.spec, reception.size);
        let announced = cut.is_some();
        let skip = cut.as_ref().map_or(0, |(_, until)| until.bytes);
        let intake = match cut {
            Some((header, until)) => Intake::resume(spec, size, header, until),
            None => Intake::new(spec, size),
        };
        let path = Arc::new(path);
        Ok(Self { reception, path, file, intake, announced, skip, cuts: Vec::new() })
    }

    /// Takes what the spool file holds already, up to `until`.
    pub(super) fn read_again(&mut self, until: u64) -> Result<(), InputError> {
        let mut file = File::open(&*self.path)?;
        file.seek(SeekFrom::Start(self.skip))?;
        let mut rest = file.take(until - self.skip);
        self.skip = 0;
        let mut buffer = vec![0; FRAME_BYTES];
        loop {
            let n = read_up_to(&mut rest, &mut buffer)?;
            if n == 0 {
                self.reception.meter.received.store(until, Ordering::Relaxed);
                return Ok(());
            }
            self.push(&buffer[..n])?;
        }
    }

    /// Takes decompressed bytes.
    pub(super) fn write(&mut self, data: &[u8]) -> Result<(), InputError> {
        let data = &data[self.new_from(data.len())?..];
        if let Some(file) = &mut self.file {
            file.write(Bytes::copy_from_slice(data))?;
        }
        self.push(data)
    }

    /// The same, without a copy.
    pub(super) fn write_shared(&mut self, data: &Bytes) -> Result<(), InputError> {
        let data = data.slice(self.new_from(data.len())?..);
        if let Some(file) = &mut self.file {
            file.write(data.clone())?;
        }
        self.push(&data)
    }

    /// How many of the bytes that have come are known already.
    fn new_from(&mut self, len: usize) -> Result<usize, InputError> {
        self.reception.check_wanted()?;
        self.reception.meter.received.fetch_add(len as u64, Ordering::Relaxed);
        metrics::input(len);
        let known = self.skip.min(len as u64);
        self.skip -= known;
        Ok(known as usize)
    }

    fn push(&mut self, data: &[u8]) -> Result<(), InputError> {
        let pushed = self.intake.push(data, &mut self.cuts);
        // What is whole is counted even if what follows is wrong: the totals of the receipt then
        // say how far the input was read.
        self.tell()?;
        pushed.map_err(|error| self.locate(error))
    }

    /// Tells the coordinator of the header and of tasks, once their bytes can be read.
    fn tell(&mut self) -> Result<(), InputError> {
        if !self.announced
            && let Some((header, taken)) = self.intake.header()
        {
            self.announced = true;
            let info = InputInfo {
                name: self.reception.name.clone(),
                path: Arc::clone(&self.path),
                layout: header.layout.clone(),
                columns: header.names.clone(),
                header_lines: header.lines,
                header: taken,
            };
            self.reception.send(Message::Input { job: self.reception.job, info })?;
        }
        if self.cuts.is_empty() {
            return Ok(());
        }
        let (job, cuts) = (self.reception.job, std::mem::take(&mut self.cuts));
        match &mut self.file {
            Some(file) => file.tell(cuts),
            None => self.reception.send(Message::Cut { job, cuts }),
        }
    }

    /// Waits until what has come can be read, and is durable where that is wanted.
    pub(super) fn settle(&mut self) -> Result<(), InputError> {
        self.file.as_mut().map_or(Ok(()), Behind::settle)
    }

    /// There are no more bytes.
    pub(super) fn end(mut self) -> Result<Taken, InputError> {
        let taken = self.intake.finish(&mut self.cuts);
        self.tell()?;
        if let Some(file) = self.file.take() {
            file.end()?;
        }
        taken.map_err(|error| self.locate(error))
    }

    /// Finds the line of a record by reading the input again: lines are not counted on the way. Tasks
    /// before it have been told of when this is back.
    fn locate(&mut self, error: IntakeError) -> InputError {
        if let Err(worse) = self.settle() {
            return worse;
        }
        let IntakeError::RecordTooLong { offset } = error else {
            return error.into();
        };
        match count_lines(&self.path, offset) {
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
