//! The kernel: CSV bytes of a task in, its sorted groups out.
//!
//! It knows no file, no socket and no clock, and starts no thread. One kernel is one thread's work.
//!
//! ```text
//! feed ─▶ window ─▶ scan::split ─▶ batch: fields ─▶ dictionary ─▶ dense cells or log ─▶ flush ─▶ sink
//! ```
//!
//! Where the records are rows of a table, they are kept instead of counted: what comes after the index
//! is then in [`rows`], and everything before it the same.
//!
//! Windows are indexed where they lie in the caller's bytes; only the unfinished record at the end of
//! a piece is copied. Keys become small numbers by a dictionary for each part of a key, so that what
//! is hashed and sorted are the distinct keys and never the groups. Memory is bounded (see
//! [`Bounds`]): where a bound is met, the groups so far are written as a segment of their own.

mod batch;
mod bounds;
mod counter;
mod dense;
mod dict;
mod field;
mod groups;
mod log;
mod order;
mod parse;
mod plan;
mod radix;
mod rejects;
mod rows;
mod segment;
#[cfg(test)]
mod tests;

use std::io;

use tally_common::dialect::Layout;
use tally_common::id::TaskNumber;
use tally_common::limits::MAX_RECORD_BYTES;
use tally_common::run::{GroupSink, TaskTotals};
use tally_common::scan::{FieldIndex, Split, split};
use tally_common::spec::Spec;
use thiserror::Error;

pub use self::bounds::Bounds;
use self::counter::Counter;
use self::field::Window;
use self::plan::{JobPlan, TaskPlan};
use self::rows::RowKeeper;

/// Why a task could not be counted. The kernel can begin another.
#[derive(Debug, Error)]
pub enum KernelError {
    /// What the sink gave.
    #[error("a group or reject could not be written: {0}")]
    Sink(#[from] io::Error),
    /// A record of more than [`MAX_RECORD_BYTES`].
    #[error("the record at byte {offset} of the task is longer than {MAX_RECORD_BYTES} bytes")]
    RecordTooLong {
        /// Offset of its first byte from the task's first byte.
        offset: u64,
    },
    /// The layout has not the spec's columns, or columns that the input has not.
    #[error("the layout does not fit the job's spec")]
    BadLayout,
    /// Bytes or an end without a beginning, or after an error.
    #[error("no task has begun")]
    NoTask,
}

/// What becomes of the records of a job.
enum Counting {
    /// They are totalled.
    Groups(Box<Counter>),
    /// They are rows of a table.
    Rows(Box<RowKeeper>),
}

impl Counting {
    fn of(spec: &Spec, bounds: Bounds) -> Self {
        match spec.rows() {
            None => Self::Groups(Box::new(Counter::new(spec, bounds))),
            Some(rows) => Self::Rows(Box::new(RowKeeper::new(spec, rows, &bounds))),
        }
    }

    fn job(&self) -> &JobPlan {
        match self {
            Self::Groups(counter) => &counter.job,
            Self::Rows(keeper) => &keeper.job,
        }
    }

    fn begin(&mut self, plan: &TaskPlan) {
        match self {
            Self::Groups(counter) => counter.begin(plan),
            Self::Rows(keeper) => keeper.begin(),
        }
    }

    fn position(&self) -> u64 {
        match self {
            Self::Groups(counter) => counter.position(),
            Self::Rows(keeper) => keeper.position(),
        }
    }

    fn count<S: GroupSink>(
        &mut self,
        plan: &TaskPlan,
        window: Window<'_>,
        split: Split,
        sink: &mut S,
    ) -> io::Result<()> {
        match self {
            Self::Groups(counter) => counter.count(plan, window, split, sink),
            Self::Rows(keeper) => keeper.take(plan, window, split, sink),
        }
    }

    fn finish<S: GroupSink>(&mut self, sink: &mut S) -> io::Result<TaskTotals> {
        match self {
            Self::Groups(counter) => counter.finish(sink),
            Self::Rows(keeper) => keeper.finish(sink),
        }
    }
}

/// Counts tasks of one job, one after another; keeps its dictionaries between them.
pub struct Kernel {
    counter: Counting,
    task: Option<TaskPlan>,
    index: FieldIndex,
    /// Bytes to index at once: more than usual while a record does not fit.
    window: usize,
    usual_window: usize,
    /// An unfinished record, which the next bytes go on with.
    carry: Vec<u8>,
    /// Bytes of the carry that are known not to hold a whole record.
    scanned: usize,
}

/// Bytes that are added to an unfinished record at first.
const CARRY_STEP: usize = 4096;

impl Kernel {
    /// A kernel for a job.
    pub fn new(spec: &Spec) -> Self {
        Self::with_bounds(spec, Bounds::default())
    }

    /// A kernel with other bounds than the usual ones.
    pub fn with_bounds(spec: &Spec, bounds: Bounds) -> Self {
        Self {
            window: bounds.window_bytes,
            usual_window: bounds.window_bytes,
            counter: Counting::of(spec, bounds),
            task: None,
            index: FieldIndex::default(),
            carry: Vec::new(),
            scanned: 0,
        }
    }

    /// Begins a task: its number (for first-seen positions) and the layout of its input. Whatever
    /// the last task left behind is forgotten.
    ///
    /// # Errors
    /// [`KernelError::BadLayout`].
    pub fn begin(&mut self, number: TaskNumber, layout: &Layout) -> Result<(), KernelError> {
        self.task = None;
        let plan =
            TaskPlan::of(self.counter.job(), number, layout).ok_or(KernelError::BadLayout)?;
        self.counter.begin(&plan);
        self.task = Some(plan);
        self.carry.clear();
        self.scanned = 0;
        self.window = self.usual_window;
        Ok(())
    }

    /// Takes the task's next bytes, in pieces of any size. Rejects go to `sink`, and sorted segments
    /// where memory bounds are met.
    ///
    /// # Errors
    /// [`KernelError::Sink`], [`KernelError::RecordTooLong`]; the task is then given up.
    pub fn feed<S: GroupSink>(&mut self, bytes: &[u8], sink: &mut S) -> Result<(), KernelError> {
        let plan = self.task.take().ok_or(KernelError::NoTask)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = if self.carry.is_empty() {
                self.take_in_place(&plan, rest, sink)?
            } else {
                self.take_carried(&plan, rest, sink)?
            };
            rest = &rest[taken..];
        }
        self.task = Some(plan);
        Ok(())
    }

    /// Ends the task: writes the last segment, gives the totals.
    ///
    /// # Errors
    /// [`KernelError::Sink`], [`KernelError::RecordTooLong`].
    pub fn finish<S: GroupSink>(&mut self, sink: &mut S) -> Result<TaskTotals, KernelError> {
        let plan = self.task.take().ok_or(KernelError::NoTask)?;
        let carry = std::mem::take(&mut self.carry);
        if !carry.is_empty() {
            self.count(&plan, &carry, true, sink)?;
        }
        Ok(self.counter.finish(sink)?)
    }

    /// Counts the whole records at the start of `bytes`; returns how many bytes it took: 0
    /// where a longer window has to be tried.
    fn take_in_place<S: GroupSink>(
        &mut self,
        plan: &TaskPlan,
        bytes: &[u8],
        sink: &mut S,
    ) -> Result<usize, KernelError> {
        let window = &bytes[..bytes.len().min(self.window)];
        let consumed = self.count(plan, window, false, sink)?;
        if consumed > 0 {
            self.window = self.usual_window;
            return Ok(consumed);
        }
        if window.len() < bytes.len() {
            self.window *= 2;
            return Ok(0);
        }
        self.carry.extend_from_slice(bytes);
        self.scanned = bytes.len();
        Ok(bytes.len())
    }

    /// Goes on with the unfinished record; returns how many of `bytes` it took. Bytes are scanned
    /// again only when they have doubled, so that tiny pieces do not make long records slow.
    fn take_carried<S: GroupSink>(
        &mut self,
        plan: &TaskPlan,
        bytes: &[u8],
        sink: &mut S,
    ) -> Result<usize, KernelError> {
        let before = self.carry.len();
        let step = before.max(CARRY_STEP).min(bytes.len());
        self.carry.extend_from_slice(&bytes[..step]);
        if step == bytes.len() && self.carry.len() < 2 * self.scanned {
            return Ok(step);
        }
        let mut carry = std::mem::take(&mut self.carry);
        let consumed = self.count(plan, &carry, false, sink)?;
        let taken = if consumed < before {
            // More than one record was waiting, or none is whole yet.
            carry.drain(..consumed);
            step
        } else {
            // The rest is taken where it lies.
            carry.clear();
            consumed - before
        };
        self.scanned = carry.len();
        self.carry = carry;
        Ok(taken)
    }

    fn count<S: GroupSink>(
        &mut self,
        plan: &TaskPlan,
        bytes: &[u8],
        last: bool,
        sink: &mut S,
    ) -> Result<usize, KernelError> {
        let split = split(bytes, plan.delimiter, last, &mut self.index);
        if bytes.len() > MAX_RECORD_BYTES {
            self.check_lengths(bytes, split.consumed)?;
        }
        if split.consumed > 0 {
            let window = Window { bytes: &bytes[..split.consumed], index: &self.index };
            self.counter.count(plan, window, split, sink)?;
        }
        Ok(split.consumed)
    }

    /// Refuses a record that is too long, whether all of it is there or not.
    #[cold]
    fn check_lengths(&self, bytes: &[u8], consumed: usize) -> Result<(), KernelError> {
        let window = Window { bytes, index: &self.index };
        let too_long = |start: usize| {
            let offset = self.counter.position() + start as u64;
            Err(KernelError::RecordTooLong { offset })
        };
        let mut base = 0;
        for &end in &self.index.records {
            let start = window.start(base as usize);
            if window.record_end(end as usize - 1, start) - start > MAX_RECORD_BYTES {
                return too_long(start);
            }
            base = end;
        }
        // An unfinished one may end in a CR that is none of its bytes.
        if bytes.len() - consumed > MAX_RECORD_BYTES + 1 {
            return too_long(consumed);
        }
        Ok(())
    }
}
