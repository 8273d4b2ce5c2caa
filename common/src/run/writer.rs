//! Writing a run: groups into blocks as they come, the index and the totals at the end.

use std::io::{self, Write};

use super::entry::Entry;
use super::format::{MAGIC, RunHeader};
use super::varint::{Encoder, common_prefix, zigzag};
use super::{GroupSink, TaskTotals};
use crate::key::TailKind;
use crate::limits::RUN_BLOCK_BYTES;
use crate::reject::Reject;

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
    /// Bytes that it shares with the head that was written last in this block.
    shared: usize,
    /// The groups of the head that are not in the block yet.
    entry: Entry,
    /// The block's first ordinal.
    base: i64,
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
            shared: 0,
            entry: Entry::new(usize::from(header.aggregates), block_bytes),
            base: 0,
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

    /// Makes room for one more group of the head.
    #[inline]
    fn prepare(&mut self, values: &[i128]) -> io::Result<()> {
        if self.entry.is_full_for(values) { self.close_entry() } else { Ok(()) }
    }

    /// Writes the groups that were pushed into the block.
    fn close_entry(&mut self) -> io::Result<()> {
        if self.entry.len() == 0 {
            return Ok(());
        }
        let mut base = self.base;
        if self.entries == 0 {
            self.note_first();
            (base, self.base) = (0, self.entry.first_ordinal());
        }
        let suffix = &self.head[self.shared..];
        self.block.put(self.shared as u64);
        self.block.put(suffix.len() as u64);
        self.block.put_bytes(suffix);
        if self.header.keeps_first {
            self.block.put(self.first);
        }
        self.shared = self.head.len();
        self.entries += self.entry.len() as u64;
        self.entry.write(self.header.tail, base, &mut self.block);
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
            TailKind::Date => self.index.put(zigzag(self.entry.first_ordinal())),
            TailKind::Bytes => {
                let tail = self.entry.first_tail();
                self.index.put(tail.len() as u64);
                self.index.put_bytes(tail);
            }
        }
    }

    #[cold]
    fn close_block(&mut self) -> io::Result<()> {
        self.shared = 0;
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
        self.close_entry()?;
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
        self.close_entry()?;
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

impl<W: Write> GroupSink for RunWriter<W> {
    #[inline]
    fn start_head(&mut self, head: &[u8], first: u64) -> io::Result<()> {
        self.close_entry()?;
        // A head without groups is not written; in sorted order, what it shares with both of its
        // neighbours is what they share.
        let common = common_prefix(&self.head, head);
        self.shared = self.shared.min(common);
        self.head.truncate(common);
        self.head.extend_from_slice(&head[common..]);
        self.first = first;
        Ok(())
    }

    #[inline]
    fn push_ordinal(&mut self, tail: i64, values: &[i128]) -> io::Result<()> {
        self.prepare(values)?;
        self.entry.push_ordinal(tail, values);
        Ok(())
    }

    fn push_bytes(&mut self, tail: &[u8], values: &[i128]) -> io::Result<()> {
        self.prepare(values)?;
        self.entry.push_bytes(tail, values);
        Ok(())
    }

    fn end_segment(&mut self) -> io::Result<()> {
        self.close_entry()?;
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
