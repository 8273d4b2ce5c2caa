//! Large files written past the page cache (`O_DIRECT`), to be read as
//! [`DirectReader`](tally_proto::frames::DirectReader) does.
//!
//! A spool or a result is written once and read once, much later or elsewhere. Through the page cache
//! each of its pages has to be found, filled and thrown out again, which on many machines costs more
//! than everything else that is done to the bytes, and pushes out what others would like to keep
//! there. Where the file system has no direct access, the same code goes through the cache.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Builder;

use tally_proto::frames::{ALIGN, open_direct};

/// Bytes written at a time.
const WRITE_BYTES: usize = 1 << 20;

/// Buffers that may wait for the disk, where somebody else writes them.
const BUFFERS_BEHIND: usize = 2;

/// A buffer with room for [`WRITE_BYTES`] from an aligned address on, and the offset of that address.
type Aligned = (Vec<u8>, usize);

fn aligned() -> Aligned {
    let buffer = vec![0; WRITE_BYTES + ALIGN];
    let offset = buffer.as_ptr().align_offset(ALIGN);
    (buffer, offset)
}

/// Asked before each write whether to go on, and with `true` after one that found the disk full,
/// whether to try again: it may wait.
pub(crate) type Patience = Box<dyn FnMut(bool) -> io::Result<()> + Send>;

/// A new file that is written from its start to its end.
pub struct DirectWriter {
    file: Arc<File>,
    behind: Option<Behind>,
    patience: Option<Patience>,
    buffer: Vec<u8>,
    /// Where the aligned part of the buffer begins.
    start: usize,
    /// Bytes in it.
    filled: usize,
    /// Offset in the file of the buffer's first byte; aligned.
    at: u64,
}

impl DirectWriter {
    /// Makes the file, or empties one that is there.
    ///
    /// # Errors
    /// Whatever the system gives.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = open_direct(OpenOptions::new().write(true).create(true).truncate(true), path)?;
        let (buffer, start) = aligned();
        Ok(Self {
            file: Arc::new(file),
            behind: None,
            patience: None,
            buffer,
            start,
            filled: 0,
            at: 0,
        })
    }

    /// Takes a file up again behind its first `len` bytes; what follows them is forgotten.
    pub(crate) fn resume(path: &Path, len: u64) -> io::Result<Self> {
        let file = open_direct(OpenOptions::new().write(true).create(true).truncate(false), path)?;
        if file.metadata()?.len() < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.set_len(len)?;
        let (mut buffer, start) = aligned();
        let filled = (len % ALIGN as u64) as usize;
        let at = len - filled as u64;
        // Plainly: the last block need not be whole.
        File::open(path)?.read_exact_at(&mut buffer[start..start + filled], at)?;
        Ok(Self { file: Arc::new(file), behind: None, patience: None, buffer, start, filled, at })
    }

    /// Writes full buffers on a thread of its own, while the next ones are filled. A disk that is full is
    /// an error then, whatever patience there is.
    ///
    /// # Errors
    /// Where there can be no thread.
    pub(crate) fn behind(mut self) -> io::Result<Self> {
        self.behind = Some(Behind::start(Arc::clone(&self.file))?);
        Ok(self)
    }

    /// What to do when the disk is full: without this, to give up.
    pub(crate) fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Does something to the file, again and again where it finds the disk full and that is wanted.
    fn patiently(&mut self, act: impl Fn(&Self) -> io::Result<()>) -> io::Result<()> {
        let Some(mut patience) = self.patience.take() else { return act(self) };
        let mut full = false;
        let done = loop {
            if let Err(error) = patience(full) {
                break Err(error);
            }
            match act(self) {
                Err(error) if error.kind() == io::ErrorKind::StorageFull => full = true,
                done => break done,
            }
        };
        self.patience = Some(patience);
        done
    }

    /// Puts all bytes where a reader finds them, also after a power cut, and gives the file their
    /// length. It may be written on.
    ///
    /// # Errors
    /// Whatever the system gives.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        let len = self.at + self.filled as u64;
        self.patiently(|this| {
            this.file.set_len(len)?;
            this.file.sync_all()
        })
    }

    /// Writes whole blocks; what is left of the last one stays in the buffer, to be written again
    /// with what follows it.
    fn write_blocks(&mut self) -> io::Result<()> {
        if let Some(behind) = &mut self.behind {
            if self.filled == WRITE_BYTES {
                let (buffer, start) = behind.room()?;
                let full = (std::mem::replace(&mut self.buffer, buffer), self.start);
                behind.write(full, self.at)?;
                (self.start, self.filled) = (start, 0);
                self.at += WRITE_BYTES as u64;
                return Ok(());
            }
            behind.wait()?;
        }
        let blocks = self.filled.next_multiple_of(ALIGN);
        let padding = self.start + self.filled..self.start + blocks;
        self.buffer[padding].fill(0);
        self.patiently(|this| {
            this.file.write_all_at(&this.buffer[this.start..this.start + blocks], this.at)
        })?;
        let whole = self.filled / ALIGN * ALIGN;
        let rest = self.start + whole..self.start + self.filled;
        self.buffer.copy_within(rest, self.start);
        self.filled -= whole;
        self.at += whole as u64;
        Ok(())
    }

    /// There is no more: gives the file the length of what was written.
    ///
    /// # Errors
    /// Whatever the system gives.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.file.set_len(self.at + self.filled as u64)
    }

    /// The same, and sees to it that the file outlives a power cut.
    ///
    /// # Errors
    /// Whatever the system gives.
    pub(crate) fn finish_durably(mut self) -> io::Result<()> {
        self.sync()
    }
}

/// Full buffers on their way to the file.
struct Behind {
    full: SyncSender<(Aligned, u64)>,
    written: Receiver<(Aligned, io::Result<()>)>,
    /// Buffers that are on their way.
    under_way: usize,
    spare: Vec<Aligned>,
}

impl Behind {
    fn start(file: Arc<File>) -> io::Result<Self> {
        let (full, queue) = sync_channel::<(Aligned, u64)>(BUFFERS_BEHIND);
        let (done, written) = sync_channel(BUFFERS_BEHIND);
        // Ends with the writer, or when that has lost interest.
        Builder::new().name("write behind".to_owned()).spawn(move || {
            while let Ok(((buffer, start), at)) = queue.recv() {
                let result = file.write_all_at(&buffer[start..start + WRITE_BYTES], at);
                if done.send(((buffer, start), result)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { full, written, under_way: 0, spare: Vec::new() })
    }

    /// A buffer to fill, when there is one.
    fn room(&mut self) -> io::Result<Aligned> {
        if self.under_way == BUFFERS_BEHIND {
            self.take_back()?;
        }
        Ok(self.spare.pop().unwrap_or_else(aligned))
    }

    fn write(&mut self, full: Aligned, at: u64) -> io::Result<()> {
        self.full.send((full, at)).map_err(|_| gone())?;
        self.under_way += 1;
        Ok(())
    }

    /// Waits until nothing is under way.
    fn wait(&mut self) -> io::Result<()> {
        while self.under_way > 0 {
            self.take_back()?;
        }
        Ok(())
    }

    fn take_back(&mut self) -> io::Result<()> {
        let (buffer, result) = self.written.recv().map_err(|_| gone())?;
        self.under_way -= 1;
        self.spare.push(buffer);
        result
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread that writes a file has ended")
}

impl Write for DirectWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let n = data.len().min(WRITE_BYTES - self.filled);
        let to = self.start + self.filled;
        self.buffer[to..to + n].copy_from_slice(&data[..n]);
        self.filled += n;
        if self.filled == WRITE_BYTES {
            self.write_blocks()?;
        }
        Ok(n)
    }

    /// Puts all bytes where a reader finds them. Zeros may follow them until [`Self::finish`].
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.behind {
            _ if self.filled > 0 => self.write_blocks(),
            Some(behind) => behind.wait(),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use tally_proto::frames::{Buffer, DirectReader};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn what_is_written_can_be_read_at_once_and_at_the_end(
            pieces in prop::collection::vec((0usize..3_000_000, any::<bool>()), 1..8),
            reads in prop::collection::vec((any::<u64>(), 0usize..300_000), 1..8),
            behind: bool,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            let mut writer = DirectWriter::create(&path).unwrap();
            if behind {
                writer = writer.behind().unwrap();
            }
            let mut expected = Vec::new();
            let check = |expected: &[u8]| {
                let reader = DirectReader::open(&path).unwrap();
                for (offset, len) in &reads {
                    let offset = offset % (expected.len() as u64 + 1);
                    let len = (*len).min(expected.len() - offset as usize);
                    let mut buffer = Buffer::take();
                    let skip = reader.read(offset, len, &mut buffer).unwrap();
                    let found = buffer.bytes(skip, len);
                    assert!(found == expected[offset as usize..offset as usize + len]);
                }
            };
            for (i, (len, flush)) in pieces.into_iter().enumerate() {
                let piece: Vec<u8> = (0..len).map(|byte| (byte * 7 + i) as u8).collect();
                writer.write_all(&piece).unwrap();
                expected.extend_from_slice(&piece);
                if flush {
                    writer.flush().unwrap();
                    check(&expected);
                }
            }
            writer.finish().unwrap();
            check(&expected);
            let reader = DirectReader::open(&path).unwrap();
            prop_assert_eq!(reader.len().unwrap(), expected.len() as u64);
            prop_assert!(reader.read(expected.len() as u64, 1, &mut Buffer::take()).is_err());
        }

        #[test]
        fn a_file_is_taken_up_where_it_was_left(
            first in 0usize..1_500_000,
            keep in 0.0f64..1.0,
            second in 0usize..1_500_000,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            let bytes: Vec<u8> = (0..first + second).map(|byte| (byte * 13) as u8).collect();
            let mut writer = DirectWriter::create(&path).unwrap();
            writer.write_all(&bytes[..first]).unwrap();
            writer.sync().unwrap();
            // What comes after that is lost with the process.
            writer.write_all(&bytes[..first / 2]).unwrap();
            writer.flush().unwrap();
            drop(writer);
            let keep = (first as f64 * keep) as usize;
            let mut writer = DirectWriter::resume(&path, keep as u64).unwrap();
            writer.write_all(&bytes[keep..]).unwrap();
            writer.finish_durably().unwrap();
            prop_assert!(std::fs::read(&path).unwrap() == bytes);
            let beyond = bytes.len() as u64 + 1;
            prop_assert!(DirectWriter::resume(&path, beyond).is_err());
        }
    }
}
