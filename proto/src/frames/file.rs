//! Files as frames: read past the page cache (`O_DIRECT`). What is read once, long after it was written,
//! would only push out of the cache what others like to keep there, and cost a copy.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use tally_common::limits::FRAME_BYTES;

use super::pool::{ALIGN, Buffer};

/// Opens a file to be read or written past the page cache, where its file system can.
///
/// # Errors
/// Whatever the system gives.
pub fn open_direct(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let direct = options.custom_flags(OFlags::DIRECT.bits() as i32).open(path);
    // EINVAL is how a file system says that it has no direct access.
    direct.or_else(|_| options.custom_flags(0).open(path))
}

/// A file that is read at any offset, past the page cache where its file system can.
#[derive(Debug)]
pub struct DirectReader(File);

impl DirectReader {
    /// Opens the file.
    ///
    /// # Errors
    /// Whatever the system gives.
    pub fn open(path: &Path) -> io::Result<Self> {
        open_direct(OpenOptions::new().read(true), path).map(Self)
    }

    /// Opens a file that may well be in the page cache, such as one that has just been read: to be read
    /// from there.
    ///
    /// # Errors
    /// Whatever the system gives.
    pub fn open_cached(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }

    /// Its length in bytes.
    ///
    /// # Errors
    /// Whatever the system gives.
    #[expect(clippy::len_without_is_empty, reason = "it fails")]
    pub fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    /// Reads `len` bytes at `offset` into a frame's buffer, at most a frame: gives where in it they
    /// begin.
    ///
    /// # Errors
    /// Whatever the system gives, and `UnexpectedEof` where the file does not have so many.
    pub fn read(&self, offset: u64, len: usize, into: &mut Buffer) -> io::Result<usize> {
        let skip = (offset % ALIGN as u64) as usize;
        let blocks = (skip + len).next_multiple_of(ALIGN);
        let room = &mut into.room()[..blocks];
        let mut filled = 0;
        while filled < skip + len {
            match self.0.read_at(&mut room[filled..], offset - skip as u64 + filled as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(skip)
    }
}

/// How many bytes to read at `offset` of those that end at `end`: a frame, or less so that the next one
/// begins where a block does.
pub fn frame_at(offset: u64, end: u64) -> usize {
    (end - offset).min(FRAME_BYTES as u64 - offset % ALIGN as u64) as usize
}
