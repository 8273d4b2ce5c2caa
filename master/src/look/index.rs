//! A result's index as a file: where rows begin. Little-endian: magic, length of the result in bytes, number
//! of marks, for each of them its offset and the number of rows before it; then CRC-32C of all that.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::merge::Mark;

const MAGIC: [u8; 8] = *b"TALLYIX1";

/// Bytes before the marks, and of a mark.
const HEAD: usize = 24;
const MARK: usize = 16;

/// Writes the index of a result of so many bytes.
pub(crate) fn write_marks(path: &Path, result_bytes: u64, marks: &[Mark]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(HEAD + marks.len() * MARK + 4);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&result_bytes.to_le_bytes());
    bytes.extend_from_slice(&(marks.len() as u64).to_le_bytes());
    for mark in marks {
        bytes.extend_from_slice(&mark.offset.to_le_bytes());
        bytes.extend_from_slice(&mark.row.to_le_bytes());
    }
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(&bytes)?;
    out.flush()
}

/// Reads the index of a result of so many bytes. One that is not there, or does not hold, is empty: what it
/// would tell can be found without it.
pub(crate) fn read_marks(path: &Path, result_bytes: u64) -> Vec<Mark> {
    let bytes = std::fs::read(path).unwrap_or_default();
    parse(&bytes, result_bytes).unwrap_or_default()
}

fn parse(bytes: &[u8], result_bytes: u64) -> Option<Vec<Mark>> {
    let (bytes, crc) = bytes.split_last_chunk::<4>()?;
    let (head, marks) = bytes.split_at_checked(HEAD)?;
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
    let holds = crc32c::crc32c(bytes) == u32::from_le_bytes(*crc)
        && head[..8] == MAGIC
        && number(&head[8..16])? == result_bytes
        && number(&head[16..])? == (marks.len() / MARK) as u64
        && marks.len() % MARK == 0;
    if !holds {
        return None;
    }
    let marks = marks.chunks_exact(MARK);
    marks.map(|mark| Some(Mark { offset: number(&mark[..8])?, row: number(&mark[8..])? })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        let marks = [Mark { offset: 26, row: 0 }, Mark { offset: 70_000, row: 1234 }];
        write_marks(&path, 99, &marks).unwrap();
        assert_eq!(read_marks(&path, 99), marks);
        assert_eq!(read_marks(&path, 98), [], "of another result");
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(parse(&bad, 99), None, "byte {at}");
            assert_eq!(parse(&good[..at], 99), None, "{at} bytes");
        }
        assert_eq!(read_marks(&folder.path().join("none"), 99), []);
    }
}
