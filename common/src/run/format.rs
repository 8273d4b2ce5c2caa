//! The fixed parts of a run: its header and trailer, how it is read, and what can be wrong with it.
//!
//! ```text
//! header   magic, version, spec hash, message id, shape, CRC-32C
//! blocks   payload, CRC-32C; of groups, or of rejects
//! footer   segments, index of the blocks, totals
//! trailer  offset of the footer, CRC-32C of footer and offset, magic
//! ```
//! Fixed numbers are little-endian.

use std::io;

use thiserror::Error;
use uuid::Uuid;

use crate::id::MessageId;
use crate::key::TailKind;
use crate::limits::MAX_AGGREGATES;
use crate::spec::{Order, Spec};

/// How a run begins and ends.
pub(super) const MAGIC: [u8; 8] = *b"TALLYRUN";

/// The version of the format that is written, and the only one that is read.
pub(super) const VERSION: u32 = 2;

/// Bytes of a header.
pub(super) const HEADER_BYTES: usize = 8 + 4 + 8 + 16 + 4 + CRC_BYTES;

/// Bytes of a trailer.
pub(super) const TRAILER_BYTES: usize = 8 + CRC_BYTES + 8;

/// Bytes of a CRC-32C.
pub(super) const CRC_BYTES: usize = 4;

/// What a run says of itself before its first group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunHeader {
    /// [`Spec::hash`] of the job's spec.
    pub spec_hash: u64,
    /// The task that this run answers.
    pub message_id: MessageId,
    /// The form of its tails.
    pub tail: TailKind,
    /// Values in each group.
    pub aggregates: u8,
    /// Whether each head is kept with the position of its first record.
    pub keeps_first: bool,
}

impl RunHeader {
    /// That of the partial of a spec's task.
    pub fn of(spec: &Spec, message_id: MessageId) -> Self {
        Self {
            spec_hash: spec.hash(),
            message_id,
            tail: TailKind::of(spec),
            // A checked spec has at most MAX_AGGREGATES.
            aggregates: spec.aggregates().len() as u8,
            keeps_first: spec.order() == Order::FirstSeen,
        }
    }

    /// The bytes that a run with this header begins with. Nothing after them depends on its message id.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.spec_hash.to_le_bytes());
        out.extend_from_slice(self.message_id.uuid().as_bytes());
        let tail = match self.tail {
            TailKind::None => 0,
            TailKind::Date => 1,
            TailKind::Bytes => 2,
        };
        out.extend_from_slice(&[tail, self.aggregates, u8::from(self.keeps_first), 0]);
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, RunError> {
        let mut rest = &bytes[..];
        if take::<8>(&mut rest) != MAGIC {
            return Err(RunError::corrupt(0, "it does not begin as a run does"));
        }
        let version = u32::from_le_bytes(take(&mut rest));
        if version != VERSION {
            return Err(RunError::Version(version));
        }
        let spec_hash = u64::from_le_bytes(take(&mut rest));
        let message_id = MessageId::from_uuid(Uuid::from_bytes(take(&mut rest)));
        let [tail, aggregates, keeps_first, reserved] = take::<4>(&mut rest);
        let crc = crc32c::crc32c(&bytes[..HEADER_BYTES - CRC_BYTES]);
        if crc != u32::from_le_bytes(take(&mut rest)) {
            return Err(RunError::corrupt(0, "the header's checksum does not match"));
        }
        let tail = match tail {
            0 => TailKind::None,
            1 => TailKind::Date,
            2 => TailKind::Bytes,
            _ => return Err(RunError::corrupt(0, "there is no such kind of tail")),
        };
        let fits = (1..=MAX_AGGREGATES).contains(&usize::from(aggregates));
        if keeps_first > 1 || reserved != 0 || !fits {
            return Err(RunError::corrupt(0, "the header has impossible values"));
        }
        Ok(Self { spec_hash, message_id, tail, aggregates, keeps_first: keeps_first == 1 })
    }
}

/// Takes `N` bytes off the front of a slice of known length.
pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (bytes, after) = rest.split_first_chunk::<N>().expect("fixed parts have fixed lengths");
    *rest = after;
    *bytes
}

/// Something that holds a run's bytes and gives any of them: memory, a file.
pub trait ReadAt {
    /// Its length in bytes, which does not change.
    fn size(&self) -> u64;

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where there are not as many, and whatever reading gives.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let found = usize::try_from(offset)
            .ok()
            .and_then(|from| self.get(from..from.checked_add(buf.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(found);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.as_slice().size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buf, offset)
    }
}

/// What is wrong with a run.
#[derive(Debug, Error)]
pub enum RunError {
    /// It can not be read.
    #[error("a run can not be read")]
    Io(#[from] io::Error),
    /// Its bytes are not those of a run, or no longer.
    #[error("a run is damaged near byte {offset}: {what}")]
    Corrupt {
        /// Where, from the run's first byte.
        offset: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// It was written by another version of Tally.
    #[error("a run has format version {0}, this build reads version {VERSION}")]
    Version(u32),
    /// It belongs to a job of another spec.
    #[error("a run was computed by another spec ({found:016x} instead of {expected:016x})")]
    WrongSpec {
        /// The hash that was expected.
        expected: u64,
        /// The hash that it has.
        found: u64,
    },
    /// It answers another task.
    #[error("a run answers the task {found}, not {expected}")]
    WrongMessage {
        /// The message id that was expected.
        expected: MessageId,
        /// The message id that it has.
        found: MessageId,
    },
}

impl RunError {
    #[cold]
    pub(super) fn corrupt(offset: u64, what: &'static str) -> Self {
        Self::Corrupt { offset, what }
    }
}
