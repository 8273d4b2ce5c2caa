//! Tasks read where the master keeps them, by a slave that is allowed to.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use tally_proto::frames::{Buffer, DirectReader, frame_at};
use tally_proto::v1::SpoolRange;

/// A part of a file within the folder that may be read.
#[derive(Debug)]
pub(crate) struct Spooled {
    file: DirectReader,
    at: u64,
    end: u64,
}

impl Spooled {
    /// Opens what the master has named, if it lies in `folder`.
    ///
    /// # Errors
    /// Where it does not, or is not there: it may be another machine's.
    pub(crate) fn open(folder: &Path, range: &SpoolRange) -> io::Result<Self> {
        let path: PathBuf = std::fs::canonicalize(&range.path)?;
        if !path.starts_with(std::fs::canonicalize(folder)?) {
            let problem = format!("{} is not in {}", path.display(), folder.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
        }
        let end = range.offset.checked_add(range.bytes).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self { file: DirectReader::open(&path)?, at: range.offset, end })
    }
}

impl Iterator for Spooled {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.at >= self.end {
            return None;
        }
        let (n, mut buffer) = (frame_at(self.at, self.end), Buffer::take());
        let read = self.file.read(self.at, n, &mut buffer);
        self.at += n as u64;
        Some(read.map(|skip| buffer.bytes(skip, n)))
    }
}

#[cfg(test)]
mod tests {
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
        };
        for (offset, len) in [(0, 3_000_000), (26, 2_500_000), (4096, 1), (7, 0)] {
            let part = Spooled::open(folder.path(), &range(&path, offset, len)).unwrap();
            let found: Vec<u8> = part.flat_map(|piece| piece.unwrap()).collect();
            let start = offset as usize;
            assert!(found == bytes[start..start + len as usize]);
        }
        assert!(Spooled::open(other.path(), &range(&path, 0, 1)).is_err());
        assert!(Spooled::open(folder.path(), &range(&folder.path().join("1"), 0, 1)).is_err());
        assert!(Spooled::open(folder.path(), &range(&path, u64::MAX, 1)).is_err());
        let outside = folder.path().join("..").join(other.path().file_name().unwrap());
        std::fs::write(other.path().join("0.csv"), &bytes).unwrap();
        assert!(Spooled::open(folder.path(), &range(&outside.join("0.csv"), 0, 1)).is_err());
        // Shorter than was said.
        let mut short = Spooled::open(folder.path(), &range(&path, 2_999_999, 2)).unwrap();
        assert!(short.next().unwrap().is_err());
    }
}
