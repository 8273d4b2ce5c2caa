//! Uploads, which may break off and be taken up again.
//!
//! A resumable upload is stored as it comes. One that is compressed is decompressed only when all of
//! it is there, since no decoder can be taken up in the middle; any other upload is decompressed and
//! cut while it arrives.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use std::io::Write;
use tokio::sync::mpsc;

use tally_common::dialect::Header;
use tally_common::limits::FRAME_BYTES;

use super::{InputError, Reception, Sink, read_up_to};
use crate::coordinator::Message;
use crate::decompress::{Decompress, Encoding};
use crate::direct::DirectWriter;
use crate::intake::Taken;
use crate::metrics;

/// Bytes of a compressed upload after which what has come is made durable, so that no more than that
/// has to be sent again after a crash.
const SYNC_BYTES: u64 = 64 << 20;

/// Bytes that tell how an upload is compressed.
const SNIFF_BYTES: usize = 4;

/// A piece of an upload.
pub(crate) enum Piece {
    /// Its next bytes.
    Data(Bytes),
    /// There are no more: without this the upload has broken off.
    End,
    /// There will be no more, and why.
    Failed(InputError),
    /// Leave it to somebody else.
    Detach,
}

/// What is there already of an upload that is taken up again.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResumePoint {
    /// Of the upload, as it was sent.
    pub(crate) received: Taken,
    /// The header, where it has been read, and what came up to the end of the last task.
    pub(crate) cut: Option<(Header, Taken)>,
}

/// How far an upload came.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Received {
    /// To its end: what the input came to, and the upload as it was sent.
    Whole { taken: Taken, received: Taken },
    /// It broke off, and may be taken up again behind so much of it.
    Part(Taken),
}

/// Whether what is in a spool folder is a compressed upload that is not complete.
pub(crate) fn is_stored_compressed(spool: &Path) -> bool {
    raw_path(spool).exists()
}

fn plain_path(spool: &Path) -> PathBuf {
    spool.join("0.csv")
}

fn raw_path(spool: &Path) -> PathBuf {
    spool.join("0.raw")
}

impl Reception {
    /// Receives an upload into a spool folder, or what is still missing of it. `announced` is its
    /// whole length, where that is binding.
    pub(crate) fn upload(
        self,
        spool: &Path,
        resumable: bool,
        announced: Option<u64>,
        resume: Option<ResumePoint>,
        pieces: &mut mpsc::Receiver<Piece>,
    ) -> Result<Received, InputError> {
        let resume = resume.unwrap_or_default();
        let mut incoming = Incoming {
            reception: Arc::new(self),
            spool,
            resumable,
            announced,
            synced: resume.received.bytes,
            received: resume.received,
            cut: resume.cut,
            start: Vec::new(),
            way: None,
        };
        incoming.take_up()?;
        loop {
            match pieces.blocking_recv() {
                _ if incoming.reception.meter.is_stopping() => return incoming.pause(),
                Some(Piece::Data(data)) => incoming.take(&data)?,
                Some(Piece::End) => return incoming.end(),
                Some(Piece::Failed(why)) => return Err(why),
                Some(Piece::Detach) | None => return incoming.pause(),
            }
        }
    }
}

/// Where an upload goes, once its first bytes have told what it is.
enum Way {
    Plain(Sink),
    Decompressed(Sink, Box<Decompress>),
    /// As it comes.
    Stored(DirectWriter),
}

struct Incoming<'a> {
    reception: Arc<Reception>,
    spool: &'a Path,
    resumable: bool,
    announced: Option<u64>,
    /// Of the upload, as it was sent; and how much of it is durable where it is stored compressed.
    received: Taken,
    synced: u64,
    cut: Option<(Header, Taken)>,
    /// The first bytes, as long as they tell nothing.
    start: Vec<u8>,
    way: Option<Way>,
}

impl Incoming<'_> {
    /// Goes on where an earlier connection stopped.
    fn take_up(&mut self) -> Result<(), InputError> {
        let at = self.received.bytes;
        if at == 0 {
            return Ok(());
        }
        let raw = raw_path(self.spool);
        if raw.exists() {
            let file = self.reception.writer(DirectWriter::resume(&raw, at)?);
            self.way = Some(Way::Stored(file));
            return Ok(());
        }
        let plain = plain_path(self.spool);
        let file = self.reception.writer(DirectWriter::resume(&plain, at)?);
        let reception = Arc::clone(&self.reception);
        let mut sink = Sink::new(reception, plain, Some(file), self.cut.take())?;
        sink.read_again(at)?;
        self.way = Some(Way::Plain(sink));
        Ok(())
    }

    fn take(&mut self, data: &Bytes) -> Result<(), InputError> {
        self.received.add(data);
        metrics::input_sent(data.len());
        if let Some(announced) = self.announced
            && self.received.bytes > announced
        {
            return Err(InputError::TooLong(announced));
        }
        if let Some(most) = self.reception.max_input
            && self.received.bytes > most
        {
            return Err(InputError::TooLarge(most));
        }
        if let Some(account) = &self.reception.account {
            account.take(data.len() as u64).map_err(InputError::OverLimit)?;
        }
        if self.way.is_none() {
            self.start.extend_from_slice(data);
            if self.start.len() >= SNIFF_BYTES { self.decide() } else { Ok(()) }
        } else {
            self.pass_on(data)
        }
    }

    /// Finds out what the upload is, and begins.
    fn decide(&mut self) -> Result<(), InputError> {
        let start = Bytes::from(std::mem::take(&mut self.start));
        let compressed = Encoding::sniff(&start) != Encoding::Plain;
        let store = compressed && self.resumable;
        let path = if store { raw_path(self.spool) } else { plain_path(self.spool) };
        let file = self.reception.writer(DirectWriter::create(&path)?);
        self.way = Some(if store {
            Way::Stored(file)
        } else {
            let sink = Sink::new(Arc::clone(&self.reception), path, Some(file), None)?;
            if compressed { Way::Decompressed(sink, Box::default()) } else { Way::Plain(sink) }
        });
        self.pass_on(&start)
    }

    fn pass_on(&mut self, data: &Bytes) -> Result<(), InputError> {
        match &mut self.way {
            Some(Way::Plain(sink)) => sink.write_shared(data),
            Some(Way::Decompressed(sink, decoder)) => {
                decoder.feed(data, &mut |plain| sink.write(plain))
            }
            Some(Way::Stored(file)) => {
                self.reception.check_wanted()?;
                file.write_all(data)?;
                if self.received.bytes - self.synced >= SYNC_BYTES {
                    file.sync()?;
                    self.synced = self.received.bytes;
                    let (job, received) = (self.reception.job, self.received);
                    self.reception.send(Message::Spooled { job, received })?;
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn end(mut self) -> Result<Received, InputError> {
        if self.way.is_none() {
            self.decide()?;
        }
        let taken = match self.way.take() {
            Some(Way::Plain(sink)) => sink.end()?,
            Some(Way::Decompressed(mut sink, decoder)) => {
                decoder.finish(&mut |plain| sink.write(plain))?;
                sink.end()?
            }
            Some(Way::Stored(file)) => {
                file.finish_durably()?;
                // The answer may never arrive: the sender then asks how far it came.
                let (job, received) = (self.reception.job, self.received);
                self.reception.send(Message::Spooled { job, received })?;
                self.decompress()?
            }
            None => Taken::default(),
        };
        Ok(Received::Whole { taken, received: self.received })
    }

    /// Decompresses what was stored. Tasks that an earlier life has cut off it stay as they are.
    fn decompress(&mut self) -> Result<Taken, InputError> {
        let plain = plain_path(self.spool);
        // Slaves may be reading those tasks: what they lie in is never written again.
        let file = match &self.cut {
            Some((_, until)) => DirectWriter::resume(&plain, until.bytes)?,
            None => DirectWriter::create(&plain)?,
        };
        let file = self.reception.writer(file);
        let reception = Arc::clone(&self.reception);
        let mut sink = Sink::new(reception, plain, Some(file), self.cut.take())?;
        let raw = raw_path(self.spool);
        let (mut from, mut decoder) = (File::open(&raw)?, Decompress::default());
        let mut buffer = vec![0; FRAME_BYTES];
        loop {
            let n = read_up_to(&mut from, &mut buffer)?;
            if n == 0 {
                break;
            }
            decoder.feed(&buffer[..n], &mut |plain| sink.write(plain))?;
        }
        decoder.finish(&mut |plain| sink.write(plain))?;
        sink.end()
    }

    /// The connection is gone, or somebody else wants to go on.
    fn pause(mut self) -> Result<Received, InputError> {
        self.reception.check_wanted()?;
        if !self.resumable {
            let stopping = self.reception.meter.is_stopping();
            let broke_off = InputError::BrokeOff(self.received.bytes);
            return Err(if stopping { InputError::Stopped } else { broke_off });
        }
        match &mut self.way {
            Some(Way::Plain(sink)) => sink.settle()?,
            Some(Way::Stored(file)) => file.sync()?,
            // Too little to tell what it is; nothing else is resumable.
            Some(Way::Decompressed(..)) | None => self.received = Taken::default(),
        }
        Ok(Received::Part(self.received))
    }
}
