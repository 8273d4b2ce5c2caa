//! Rejects of a batch on their way to the sink. Their lines are counted only when there are any.

use std::io;

use tally_common::reject::{Reject, RejectReason};
use tally_common::run::{GroupSink, TaskTotals};

use super::field::Window;

/// Rejects that are not written yet.
#[derive(Default)]
pub(super) struct Rejects(Vec<Reject>);

/// How far the line breaks of a window have been counted.
pub(super) struct Lines {
    at: usize,
    count: u64,
}

impl Lines {
    /// At the start of the window that comes after what `totals` hold.
    pub(super) fn from(totals: &TaskTotals) -> Self {
        Self { at: 0, count: totals.lines }
    }
}

impl Rejects {
    /// Takes a record in, which begins at `start` of the window.
    pub(super) fn push(&mut self, start: usize, len: usize, column: u32, reason: RejectReason) {
        let (offset, len) = (start as u64, len as u32);
        self.0.push(Reject { line: 0, offset, len, column, reason });
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Writes them in the order of the input; `totals` are those up to the window.
    pub(super) fn write<S: GroupSink>(
        &mut self,
        window: &Window<'_>,
        lines: &mut Lines,
        totals: &mut TaskTotals,
        sink: &mut S,
    ) -> io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.0.sort_unstable_by_key(|reject| reject.offset);
        totals.rejects += self.0.len() as u64;
        for mut reject in self.0.drain(..) {
            let at = reject.offset as usize;
            lines.count += line_breaks(&window.bytes[lines.at..at]);
            lines.at = at;
            reject.line = lines.count;
            reject.offset += totals.bytes;
            sink.reject(reject)?;
        }
        Ok(())
    }
}

/// Line breaks in bytes that begin and end at records: LF, CRLF, lone CR.
fn line_breaks(bytes: &[u8]) -> u64 {
    let lone = |at: usize| bytes.get(at + 1) != Some(&b'\n');
    let returns = memchr::memchr_iter(b'\r', bytes).filter(|&at| lone(at)).count();
    (memchr::memchr_iter(b'\n', bytes).count() + returns) as u64
}
