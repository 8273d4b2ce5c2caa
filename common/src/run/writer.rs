//! Writing a run: groups into blocks as they come, the index and the totals at the end.

use std::io::{self, Write};

use super::format::{MAGIC, RunHeader};
use super::varint::{Encoder, zigzag};
use super::{GroupSink, TaskTotals};
use crate::key::TailKind;
use crate::limits::RUN_BLOCK_BYTES;
use crate::reject::Reject;

/// Tails that one head entry holds at most: their number is a byte, filled in afterwards.
const MAX_TAILS: u8 = u8::MAX;

/// Writes a run. See [`GroupSink`] for the order of calls.
#[derive(Debug)]
pub struct RunWriter<W> {
    out: W,
    header: RunHeader,
    block_bytes: usize,
    /// Bytes written so far.
    at: u64,
    block: Encoder,
    /// Groups in the block.
    entries: u64,
    /// The head that groups are being pushed for, and the position of its first record.
    head: Vec<u8>,
    first: u64,
    /// The head that was written last in this block.
    written: Vec<u8>,
    /// Where in the block the number of tails of the head entry stands, and that number.
    count_at: usize,
    count: u8,
    /// The next group needs a head entry before it.
    needs_head: bool,
    ordinal: i64,
    tail: Vec<u8>,
    rejects: Encoder,
    reject_entries: u64,
    last_reject: (u64, u64),
    index: Encoder,
    blocks: u64,
    group_blocks: u64,
    segments: Vec<u64>,
    groups: u64,
    reject_count: u64,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunSummary {
    /// Groups, over all segments.
    pub groups: u64,
    /// Rejects.
    pub rejects: u64,
    /// Bytes of the run.
    pub bytes: u64,
}

/// A block of groups in the index.
pub(super) const KIND_GROUPS: u64 = 0;
/// A block of rejects in the index.
pub(super) const KIND_REJECTS: u64 = 1;

impl<W: Write> RunWriter<W> {
    /// Begins a run.
    ///
    /// # Errors
    /// Whatever `out` gives.
    pub fn new(out: W, header: RunHeader) -> io::Result<Self> {
        Self::with_block_bytes(out, header, RUN_BLOCK_BYTES)
    }

    /// Begins a run whose blocks are of about `block_bytes`: small ones are for tests.
    ///
    /// # Errors
    /// Whatever `out` gives.
    pub fn with_block_bytes(mut out: W, header: RunHeader, block_bytes: usize) -> io::Result<Self> {
        let start = header.encode();
        out.write_all(&start)?;
        Ok(Self {
            out,
            header,
            block_bytes,
            at: start.len() as u64,
            block: Encoder::default(),
            entries: 0,
            head: Vec::new(),
            first: 0,
            written: Vec::new(),
            count_at: 0,
            count: 0,
            needs_head: true,
            ordinal: 0,
            tail: Vec::new(),
            rejects: Encoder::default(),
            reject_entries: 0,
            last_reject: (0, 0),
            index: Encoder::default(),
            blocks: 0,
            group_blocks: 0,
            segments: Vec::new(),
            groups: 0,
            reject_count: 0,
        })
    }

    /// Begins a head entry in the block, where the next group needs one.
    #[inline]
    fn prepare(&mut self) {
        if self.needs_head || self.count == MAX_TAILS {
            self.write_head();
        }
    }

    fn write_head(&mut self) {
        self.close_head();
        let shared = common_prefix(&self.written, &self.head);
        self.block.put(shared as u64);
        self.block.put((self.head.len() - shared) as u64);
        self.block.put_bytes(&self.head[shared..]);
        self.written.truncate(shared);
        self.written.extend_from_slice(&self.head[shared..]);
        if self.header.keeps_first {
            self.block.put(self.first);
        }
        self.count_at = self.block.len();
        self.block.put_u8(0);
        self.count = 0;
        self.needs_head = false;
    }

    fn close_head(&mut self) {
        if self.count > 0 {
            self.block.patch_u8(self.count_at, self.count);
            self.count = 0;
        }
    }

    #[inline]
    fn values(&mut self, values: &[i128]) -> io::Result<()> {
        debug_assert_eq!(values.len(), usize::from(self.header.aggregates));
        for value in values {
            self.block.put_value(*value);
        }
        self.count += 1;
        self.entries += 1;
        if self.block.len() >= self.block_bytes { self.close_block() } else { Ok(()) }
    }

    /// Notes the first key of the block in the index. The block's length and number of groups
    /// follow when it is closed.
    #[cold]
    fn note_first(&mut self) {
        self.index.put(KIND_GROUPS);
        self.index.put(self.head.len() as u64);
        self.index.put_bytes(&self.head);
        match self.header.tail {
            TailKind::None => {}
            TailKind::Date => self.index.put(zigzag(self.ordinal)),
            TailKind::Bytes => {
                self.index.put(self.tail.len() as u64);
                self.index.put_bytes(&self.tail);
            }
        }
    }

    #[cold]
    fn close_block(&mut self) -> io::Result<()> {
        self.close_head();
        self.needs_head = true;
        self.written.clear();
        if self.entries == 0 {
            return Ok(());
        }
        self.index.put(self.block.len() as u64);
        self.index.put(self.entries);
        self.blocks += 1;
        self.group_blocks += 1;
        self.groups += self.entries;
        self.entries = 0;
        self.at += write_block(&mut self.out, &self.block)?;
        self.block.clear();
        Ok(())
    }

    fn close_rejects(&mut self) -> io::Result<()> {
        if self.reject_entries == 0 {
            return Ok(());
        }
        // A block of groups that is under way has noted its first key already.
        self.close_block()?;
        self.index.put(KIND_REJECTS);
        self.index.put(self.rejects.len() as u64);
        self.index.put(self.reject_entries);
        self.blocks += 1;
        self.reject_count += self.reject_entries;
        self.reject_entries = 0;
        self.last_reject = (0, 0);
        self.at += write_block(&mut self.out, &self.rejects)?;
        self.rejects.clear();
        Ok(())
    }

    /// Ends the run: writes the index and what the task came to.
    ///
    /// # Errors
    /// Whatever the writer gives.
    pub fn finish(mut self, totals: TaskTotals) -> io::Result<(W, RunSummary)> {
        self.close_block()?;
        self.close_rejects()?;
        if self.segments.last().copied().unwrap_or(0) < self.group_blocks {
            self.segments.push(self.group_blocks);
        }
        let mut footer = Encoder::default();
        let TaskTotals { records, rejects, blank_lines, lines, bytes } = totals;
        for number in [self.groups, records, rejects, blank_lines, lines, bytes] {
            footer.put(number);
        }
        footer.put(self.segments.len() as u64);
        for end in &self.segments {
            footer.put(*end);
        }
        footer.put(self.blocks);
        footer.put_bytes(self.index.as_slice());
        let offset = self.at.to_le_bytes();
        let crc = crc32c::crc32c_append(crc32c::crc32c(footer.as_slice()), &offset);
        self.out.write_all(footer.as_slice())?;
        self.out.write_all(&offset)?;
        self.out.write_all(&crc.to_le_bytes())?;
        self.out.write_all(&MAGIC)?;
        self.out.flush()?;
        let bytes = self.at + (footer.len() + super::format::TRAILER_BYTES) as u64;
        let summary = RunSummary { groups: self.groups, rejects: self.reject_count, bytes };
        Ok((self.out, summary))
    }
}

/// Writes a block and its checksum; gives how many bytes that were.
fn write_block(out: &mut impl Write, block: &Encoder) -> io::Result<u64> {
    let payload = block.as_slice();
    out.write_all(payload)?;
    out.write_all(&crc32c::crc32c(payload).to_le_bytes())?;
    Ok((payload.len() + super::format::CRC_BYTES) as u64)
}

/// Length of the common prefix.
#[inline]
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let (words_a, words_b) = (a.chunks_exact(8), b.chunks_exact(8));
    let equal = words_a.zip(words_b).take_while(|(a, b)| a == b).count() * 8;
    let rest = a[equal..].iter().zip(&b[equal..]);
    equal + rest.take_while(|(a, b)| a == b).count()
}

impl<W: Write> GroupSink for RunWriter<W> {
    #[inline]
    fn start_head(&mut self, head: &[u8], first: u64) -> io::Result<()> {
        self.head.clear();
        self.head.extend_from_slice(head);
        self.first = first;
        self.needs_head = true;
        Ok(())
    }

    #[inline]
    fn push_ordinal(&mut self, tail: i64, values: &[i128]) -> io::Result<()> {
        self.prepare();
        let before = std::mem::replace(&mut self.ordinal, tail);
        if self.entries == 0 {
            self.note_first();
        }
        if self.header.tail == TailKind::Date {
            if self.count == 0 {
                self.block.put(zigzag(tail));
            } else {
                debug_assert!(before < tail, "tails ascend");
                self.block.put(tail.wrapping_sub(before) as u64);
            }
        }
        self.values(values)
    }

    fn push_bytes(&mut self, tail: &[u8], values: &[i128]) -> io::Result<()> {
        self.prepare();
        let shared = if self.count == 0 { 0 } else { common_prefix(&self.tail, tail) };
        self.tail.truncate(shared);
        self.tail.extend_from_slice(&tail[shared..]);
        if self.entries == 0 {
            self.note_first();
        }
        self.block.put(shared as u64);
        self.block.put((tail.len() - shared) as u64);
        self.block.put_bytes(&tail[shared..]);
        self.values(values)
    }

    fn end_segment(&mut self) -> io::Result<()> {
        self.close_block()?;
        if self.segments.last().copied().unwrap_or(0) < self.group_blocks {
            self.segments.push(self.group_blocks);
        }
        Ok(())
    }

    fn reject(&mut self, reject: Reject) -> io::Result<()> {
        let (line, offset) = self.last_reject;
        self.rejects.put(reject.line.wrapping_sub(line));
        self.rejects.put(reject.offset.wrapping_sub(offset));
        self.rejects.put(reject.len.into());
        self.rejects.put(reject.column.into());
        self.rejects.put_u8(reject.reason.code());
        self.last_reject = (reject.line, reject.offset);
        self.reject_entries += 1;
        if self.rejects.len() >= self.block_bytes { self.close_rejects() } else { Ok(()) }
    }
}
