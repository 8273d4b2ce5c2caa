//! Tasks read where the master keeps them, by a slave that is allowed to.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;

use tally_common::limits::FRAME_BYTES;
use tally_proto::frames::{Buffer, DirectReader, frame_at};
use tally_proto::v1::SpoolRange;

/// Bytes of the page cache that are read at once: they should still be in the L2 cache when the kernel
/// takes them.
const CACHED_PIECE_BYTES: usize = 256 << 10;

/// A part of a file within the folder that may be read.
#[derive(Debug)]
pub(crate) struct Spooled {
    file: DirectReader,
    at: u64,
    end: u64,
    /// Bytes that are read at once, at most.
    piece: usize,
}

impl Spooled {
    /// Opens what the master has named, if it lies in one of `folders`.
    ///
    /// # Errors
    /// Where it does not, or is not there: it may be another machine's.
    pub(crate) fn open(folders: &[PathBuf], range: &SpoolRange) -> io::Result<Self> {
        let path: PathBuf = std::fs::canonicalize(&range.path)?;
        let mut folders = folders.iter().filter_map(|folder| folder.canonicalize().ok());
        if !folders.any(|folder| path.starts_with(folder)) {
            let problem = format!("{} is in no folder that may be read", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
        }
        let end = range.offset.checked_add(range.bytes).ok_or(io::ErrorKind::InvalidInput)?;
        let (file, piece) = if range.in_place {
            (DirectReader::open_cached(&path)?, CACHED_PIECE_BYTES)
        } else {
            (DirectReader::open(&path)?, FRAME_BYTES)
        };
        Ok(Self { file, at: range.offset, end, piece })
    }
}

impl Iterator for Spooled {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.at >= self.end {
            return None;
        }
        let n = frame_at(self.at, self.end).min(self.piece);
        let mut buffer = Buffer::take();
        let read = self.file.read(self.at, n, &mut buffer);
        self.at += n as u64;
        Some(read.map(|skip| buffer.bytes(skip, n)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_part_of_a_file_in_the_folder_and_nothing_else() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let bytes: Vec<u8> = (0..3_000_000u32).map(|byte| (byte % 251) as u8).collect();
        let path = folder.path().join("0.csv");
        std::fs::write(&path, &bytes).unwrap();
        let range = |path: &Path, offset, bytes| SpoolRange {
            path: path.to_str().unwrap().to_owned(),
            offset,
            bytes,
            in_place: offset % 2 == 1,
        };
        let both = [other.path().to_owned(), folder.path().to_owned()];
        let other_only = &both[..1];
        for (offset, len) in [(0, 3_000_000), (26, 2_500_000), (4096, 1), (7, 0)] {
            let part = Spooled::open(&both, &range(&path, offset, len)).unwrap();
            let found: Vec<u8> = part.flat_map(|piece| piece.unwrap()).collect();
            let start = offset as usize;
            assert!(found == bytes[start..start + len as usize]);
        }
        assert!(Spooled::open(other_only, &range(&path, 0, 1)).is_err());
        assert!(Spooled::open(&[], &range(&path, 0, 1)).is_err());
        assert!(Spooled::open(&both, &range(&folder.path().join("1"), 0, 1)).is_err());
        assert!(Spooled::open(&both, &range(&path, u64::MAX, 1)).is_err());
        let outside = folder.path().join("..").join(other.path().file_name().unwrap());
        std::fs::write(other.path().join("0.csv"), &bytes).unwrap();
        let only = &both[1..];
        assert!(Spooled::open(only, &range(&outside.join("0.csv"), 0, 1)).is_err());
        // Shorter than was said.
        let mut short = Spooled::open(&both, &range(&path, 2_999_999, 2)).unwrap();
        assert!(short.next().unwrap().is_err());
    }
}
