//! Reading a run: what it holds and where, and its blocks once their checksums have been seen to
//! hold. Nothing that a damaged or hostile run says is believed before it has been compared with the
//! run's size.

use super::TaskTotals;
use super::format::{
    CRC_BYTES, HEADER_BYTES, MAGIC, ReadAt, RunError, RunHeader, TRAILER_BYTES, take,
};
use super::varint::{PADDING, get, unzigzag};
use super::writer::{KIND_GROUPS, KIND_REJECTS};
use crate::id::MessageId;
use crate::key::{Tail, TailKind};
use crate::reject::{Reject, RejectReason};

/// A tail, owned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OwnedTail {
    /// See [`Tail::Ordinal`].
    Ordinal(i64),
    /// See [`Tail::Bytes`].
    Bytes(Box<[u8]>),
}

impl OwnedTail {
    /// The tail, borrowed.
    pub fn as_tail(&self) -> Tail<'_> {
        match self {
            Self::Ordinal(ordinal) => Tail::Ordinal(*ordinal),
            Self::Bytes(bytes) => Tail::Bytes(bytes),
        }
    }
}

/// A block of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockInfo {
    /// Offset of its payload in the run.
    pub offset: u64,
    /// Bytes of its payload; the checksum follows.
    pub len: usize,
    /// Groups in it.
    pub entries: u64,
    /// The head of its first group.
    pub head: Box<[u8]>,
    /// The tail of its first group.
    pub tail: OwnedTail,
}

/// What a run holds, and where.
#[derive(Clone, Debug)]
pub struct RunMeta {
    header: RunHeader,
    totals: TaskTotals,
    groups: u64,
    segments: Vec<Vec<BlockInfo>>,
    /// Offset, length and number of rejects.
    rejects: Vec<(u64, usize, u64)>,
}

impl RunMeta {
    /// Reads header and footer.
    ///
    /// # Errors
    /// [`RunError`] where it is damaged or of another version.
    pub fn read(run: &(impl ReadAt + ?Sized)) -> Result<Self, RunError> {
        let size = run.size();
        if size < (HEADER_BYTES + TRAILER_BYTES) as u64 {
            return Err(RunError::corrupt(size, "it is too short"));
        }
        let mut header = [0; HEADER_BYTES];
        run.read_exact_at(&mut header, 0)?;
        let header = RunHeader::decode(&header)?;
        let mut trailer = [0; TRAILER_BYTES];
        let trailer_at = size - TRAILER_BYTES as u64;
        run.read_exact_at(&mut trailer, trailer_at)?;
        let mut rest = &trailer[..];
        let offset = take::<8>(&mut rest);
        let crc = u32::from_le_bytes(take(&mut rest));
        if take::<8>(&mut rest) != MAGIC {
            return Err(RunError::corrupt(trailer_at, "it does not end as a run does"));
        }
        let footer_at = u64::from_le_bytes(offset);
        if footer_at < HEADER_BYTES as u64 || footer_at > trailer_at {
            return Err(RunError::corrupt(trailer_at, "the footer lies outside"));
        }
        let mut footer = vec![0; (trailer_at - footer_at) as usize];
        run.read_exact_at(&mut footer, footer_at)?;
        if crc32c::crc32c_append(crc32c::crc32c(&footer), &offset) != crc {
            return Err(RunError::corrupt(footer_at, "the footer's checksum does not match"));
        }
        let fields = Fields { bytes: &footer, at: 0, base: footer_at };
        fields.meta(header, footer_at)
    }

    /// What it says of itself.
    pub fn header(&self) -> &RunHeader {
        &self.header
    }

    /// What its task's records came to.
    pub fn totals(&self) -> &TaskTotals {
        &self.totals
    }

    /// Groups in it, over all segments.
    pub fn groups(&self) -> u64 {
        self.groups
    }

    /// Its sorted segments, as lists of blocks.
    pub fn segments(&self) -> &[Vec<BlockInfo>] {
        &self.segments
    }

    /// Whether it is the answer to that task by that spec.
    ///
    /// # Errors
    /// [`RunError::WrongSpec`] and [`RunError::WrongMessage`].
    pub fn verify_header(&self, spec_hash: u64, message_id: MessageId) -> Result<(), RunError> {
        if self.header.spec_hash != spec_hash {
            return Err(RunError::WrongSpec { expected: spec_hash, found: self.header.spec_hash });
        }
        if self.header.message_id != message_id {
            let found = self.header.message_id;
            return Err(RunError::WrongMessage { expected: message_id, found });
        }
        Ok(())
    }

    /// Reads a block's payload into `buffer`, replacing what it held, and checks it. Zeros follow
    /// the payload, as [`super::GroupReader`] likes it.
    ///
    /// # Errors
    /// [`RunError`] where it is damaged.
    pub fn read_block(
        run: &(impl ReadAt + ?Sized),
        offset: u64,
        len: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(), RunError> {
        buffer.clear();
        buffer.resize(len + PADDING.max(CRC_BYTES), 0);
        run.read_exact_at(&mut buffer[..len + CRC_BYTES], offset)?;
        let (payload, rest) = buffer.split_at_mut(len);
        let mut crc = [0; CRC_BYTES];
        crc.copy_from_slice(&rest[..CRC_BYTES]);
        if crc32c::crc32c(payload) != u32::from_le_bytes(crc) {
            return Err(RunError::corrupt(offset, "a block's checksum does not match"));
        }
        rest.fill(0);
        Ok(())
    }

    /// Its rejects, in input order, read a block at a time.
    ///
    /// # Errors
    /// None at once; each item may be one.
    pub fn rejects<'a>(
        &'a self,
        run: &'a (impl ReadAt + ?Sized),
    ) -> impl Iterator<Item = Result<Reject, RunError>> + 'a {
        self.rejects.iter().flat_map(move |&(offset, len, entries)| {
            let mut buffer = Vec::new();
            let read = Self::read_block(run, offset, len, &mut buffer);
            let rejects = read.and_then(|()| {
                Fields { bytes: &buffer[..len], at: 0, base: offset }.rejects(entries)
            });
            match rejects {
                Ok(rejects) => rejects.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            }
        })
    }
}

/// The fields of a footer or a block of rejects.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Offset of `bytes` in the run.
    base: u64,
}

impl Fields<'_> {
    fn bad(&self, what: &'static str) -> RunError {
        RunError::corrupt(self.base + self.at as u64, what)
    }

    fn number(&mut self) -> Result<u64, RunError> {
        get(self.bytes, &mut self.at).ok_or_else(|| self.bad("a number does not read"))
    }

    fn bytes(&mut self) -> Result<Box<[u8]>, RunError> {
        let len = self.number()?;
        let rest = &self.bytes[self.at..];
        let found = usize::try_from(len).ok().and_then(|len| rest.get(..len));
        let found = found.ok_or_else(|| self.bad("a key is too long"))?;
        self.at += found.len();
        Ok(found.into())
    }

    fn meta(mut self, header: RunHeader, end: u64) -> Result<RunMeta, RunError> {
        let groups = self.number()?;
        let totals = TaskTotals {
            records: self.number()?,
            rejects: self.number()?,
            blank_lines: self.number()?,
            lines: self.number()?,
            bytes: self.number()?,
        };
        let mut ends = Vec::new();
        for _ in 0..self.number()? {
            ends.push(self.number()?);
        }
        let (mut blocks, mut rejects) = (Vec::new(), Vec::new());
        let mut offset = HEADER_BYTES as u64;
        for _ in 0..self.number()? {
            match self.number()? {
                KIND_GROUPS => {
                    let head = self.bytes()?;
                    let tail = match header.tail {
                        TailKind::None => OwnedTail::Ordinal(0),
                        TailKind::Date => OwnedTail::Ordinal(unzigzag(self.number()?)),
                        TailKind::Bytes => OwnedTail::Bytes(self.bytes()?),
                    };
                    let (len, entries) = self.block(offset, end)?;
                    blocks.push(BlockInfo { offset, len, entries, head, tail });
                    offset += (len + CRC_BYTES) as u64;
                }
                KIND_REJECTS => {
                    let (len, entries) = self.block(offset, end)?;
                    rejects.push((offset, len, entries));
                    offset += (len + CRC_BYTES) as u64;
                }
                _ => return Err(self.bad("there is no such kind of block")),
            }
        }
        let counted: u64 = blocks.iter().map(|block: &BlockInfo| block.entries).sum();
        let rejected: u64 = rejects.iter().map(|(_, _, entries)| entries).sum();
        if self.at != self.bytes.len() || offset != end {
            return Err(self.bad("the index does not cover the run"));
        }
        if (counted, rejected) != (groups, totals.rejects) {
            return Err(self.bad("the blocks do not add up to the totals"));
        }
        let segments = self.segments(&ends, blocks)?;
        Ok(RunMeta { header, totals, groups, segments, rejects })
    }

    /// Length and number of entries of a block that begins at `offset`.
    fn block(&mut self, offset: u64, end: u64) -> Result<(usize, u64), RunError> {
        let (len, entries) = (self.number()?, self.number()?);
        let fits = len > 0 && len <= u64::from(u32::MAX) && offset + len + CRC_BYTES as u64 <= end;
        // No entry is shorter than a byte.
        if !fits || entries == 0 || entries > len {
            return Err(self.bad("a block lies outside"));
        }
        Ok((len as usize, entries))
    }

    fn segments(
        &self,
        ends: &[u64],
        blocks: Vec<BlockInfo>,
    ) -> Result<Vec<Vec<BlockInfo>>, RunError> {
        let ascending = ends.windows(2).all(|ends| ends[0] < ends[1]);
        let last = ends.last().copied().unwrap_or(0);
        if !ascending || ends.first() == Some(&0) || last != blocks.len() as u64 {
            return Err(self.bad("the segments do not cover the blocks"));
        }
        let mut blocks = blocks.into_iter();
        let mut start = 0;
        let segments = ends.iter().map(|end| {
            let count = end - std::mem::replace(&mut start, *end);
            blocks.by_ref().take(count as usize).collect()
        });
        Ok(segments.collect())
    }

    fn rejects(mut self, entries: u64) -> Result<Vec<Reject>, RunError> {
        let (mut line, mut offset) = (0u64, 0u64);
        let mut rejects = Vec::new();
        for _ in 0..entries {
            line = line.wrapping_add(self.number()?);
            offset = offset.wrapping_add(self.number()?);
            let (len, column) = (self.number()?, self.number()?);
            let code = self.bytes.get(self.at).copied();
            self.at += 1;
            let reason = code.and_then(RejectReason::from_code);
            let reason = reason.ok_or_else(|| self.bad("there is no such reason"))?;
            let (Ok(len), Ok(column)) = (u32::try_from(len), u32::try_from(column)) else {
                return Err(self.bad("a reject is too long"));
            };
            rejects.push(Reject { line, offset, len, column, reason });
        }
        Ok(rejects)
    }
}
