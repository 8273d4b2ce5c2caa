//! Files as sources of bytes by offset.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use tally_common::run::ReadAt;

/// A file opened for reading at any offset, its length taken when it was opened: runs and results do
/// not change once they are written.
pub struct FileAt {
    file: File,
    len: u64,
}

impl FileAt {
    /// Opens `path`.
    ///
    /// # Errors
    /// Whatever the system gives.
    pub fn open(path: &std::path::Path) -> io::Result<Self> {
        Self::new(File::open(path)?)
    }

    /// Takes an open file.
    ///
    /// # Errors
    /// Whatever the system gives.
    pub fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }
}

impl ReadAt for FileAt {
    fn size(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
}
