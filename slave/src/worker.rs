//! The threads that count. Each takes one task at a time, pulls its bytes, feeds the kernel and
//! hands out the run. No tokio, no gRPC: where the bytes come from is a [`TaskSource`].

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::mpsc;
use tracing::{Span, debug_span};

use tally_common::id::{Attempt, JobId, MessageId, SessionId};
use tally_common::limits::FRAME_BYTES;
use tally_common::run::{RunHeader, RunWriter, TaskTotals};
use tally_proto::convert::{Assignment, PartialHead};
use tally_proto::frames::PackedError;

use crate::kernel::{Kernel, KernelError};

/// Where the bytes of one task come from.
pub trait TaskSource: Send {
    /// The next piece, `None` after the last.
    ///
    /// # Errors
    /// [`SourceError`] where the rest can not be had.
    fn next(&mut self) -> Result<Option<Bytes>, SourceError>;

    /// They broke off, or came and were `damaged`: begins from the first one, unless that has been
    /// tried often enough or is of no use.
    fn again(&mut self, _damaged: bool) -> bool {
        false
    }
}

/// Why the bytes of a task could not be had.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The master no longer wants the task counted, or the session is over.
    #[error("the task is no longer wanted")]
    Gone,
    /// They came compressed, and can not be decompressed.
    #[error("the task's bytes are damaged: {0}")]
    Packed(#[from] PackedError),
    /// They broke off.
    #[error("the task's bytes broke off: {0}")]
    Broken(String),
    /// The master does not take this slave for one.
    #[error("the task's bytes are not for this slave: {0}")]
    NotAllowed(String),
    /// The master has them no longer as they were.
    #[error("{0}")]
    Lost(String),
}

/// What one attempt shares between the worker that runs it and the session that follows it.
#[derive(Clone, Debug)]
pub struct Progress {
    cancelled: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
    span: Span,
}

impl Default for Progress {
    fn default() -> Self {
        Self::within(Span::none())
    }
}

impl Progress {
    /// Of an attempt that is part of `span`.
    pub fn within(span: Span) -> Self {
        Self { cancelled: Arc::default(), bytes: Arc::default(), span }
    }

    /// Tells the worker to stop at the next piece.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether it was told to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Bytes of the task that have been counted.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// One attempt at one task, ready to run.
pub struct Execution {
    /// What to count.
    pub assignment: Assignment,
    /// Its bytes.
    pub source: Box<dyn TaskSource>,
    /// How far it is.
    pub progress: Progress,
}

/// The answer to a task.
#[derive(Clone, Debug)]
pub struct Partial {
    /// The task.
    pub message_id: MessageId,
    /// The attempt.
    pub attempt: Attempt,
    /// What the task's records came to.
    pub totals: TaskTotals,
    /// Groups in the run.
    pub groups: u64,
    /// CRC-32C of the run's bytes.
    pub crc32c: u32,
    /// The run, in pieces of one frame.
    pub frames: Vec<Bytes>,
    /// What it takes to hand it in is part of this.
    pub span: Span,
}

impl Partial {
    /// What is said of it when it is handed in.
    pub fn head(&self, session: SessionId) -> PartialHead {
        PartialHead {
            message_id: self.message_id,
            attempt: self.attempt,
            session,
            bytes: self.bytes(),
            crc32c: self.crc32c,
            groups: self.groups,
            records: self.totals.records,
            rejects: self.totals.rejects,
        }
    }

    /// Length of the run in bytes.
    pub fn bytes(&self) -> u64 {
        self.frames.iter().map(|frame| frame.len() as u64).sum()
    }
}

/// How an attempt went.
#[derive(Debug)]
pub enum Outcome {
    /// Counted.
    Counted(Partial),
    /// Not counted, and why.
    Failed(MessageId, Attempt, WorkError),
}

/// Why an attempt was not counted.
#[derive(Debug, Error)]
pub enum WorkError {
    /// The bytes could not be had, or were no longer wanted.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The bytes are not those that the master sent.
    #[error(
        "the task's bytes are damaged: {found} bytes with CRC-32C {found_crc:08x} arrived, {expected} with {expected_crc:08x} were sent"
    )]
    Damaged {
        /// Bytes that arrived.
        found: u64,
        /// Their checksum.
        found_crc: u32,
        /// Bytes that were sent.
        expected: u64,
        /// Their checksum.
        expected_crc: u32,
    },
    /// The kernel gave up.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The run could not be written.
    #[error("the run could not be written: {0}")]
    Run(#[from] io::Error),
    /// The kernel panicked: a bug, and one that must not take the slave down.
    #[error("the kernel panicked: {0}")]
    Panicked(String),
}

impl WorkError {
    /// Whether nobody waits for an answer any more.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Source(SourceError::Gone))
    }

    /// Whether the master does not take this slave for one any more.
    pub fn is_not_allowed(&self) -> bool {
        matches!(self, Self::Source(SourceError::NotAllowed(_)))
    }
}

/// A pool of counting threads.
pub struct Workers {
    queue: SyncSender<Execution>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` threads (at least 1), which send what becomes of each task to `outcomes`. The
    /// pool stops when it is dropped, after what is queued.
    ///
    /// # Errors
    /// Where the system gives no more threads.
    pub fn start(count: u32, outcomes: &mpsc::Sender<Outcome>) -> io::Result<Self> {
        // One running and one prefetched for each worker is all that the master assigns; a few
        // more, so that cancelled ones that still wait here never block the session.
        let (queue, waiting) = sync_channel(4 * count as usize + 16);
        let waiting = Arc::new(Mutex::new(waiting));
        let threads = (0..count)
            .map(|i| {
                let (waiting, outcomes) = (Arc::clone(&waiting), outcomes.clone());
                std::thread::Builder::new()
                    .name(format!("worker-{i}"))
                    .spawn(move || work(&waiting, &outcomes))
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self { queue, threads })
    }

    /// Queues an attempt; gives it back where the queue is full, which only a master that assigns
    /// more than it may can bring about.
    ///
    /// # Errors
    /// The execution itself.
    pub fn submit(&self, execution: Execution) -> Result<(), Box<Execution>> {
        self.queue.try_send(execution).map_err(|error| match error {
            std::sync::mpsc::TrySendError::Full(execution)
            | std::sync::mpsc::TrySendError::Disconnected(execution) => Box::new(execution),
        })
    }

    /// Waits until all that is queued has been dealt with.
    pub fn join(self) {
        drop(self.queue);
        for thread in self.threads {
            // A worker catches the kernel's panics; one that died all the same has said so.
            let _ = thread.join();
        }
    }
}

fn work(waiting: &Mutex<Receiver<Execution>>, outcomes: &mpsc::Sender<Outcome>) {
    let mut kernels = Kernels::default();
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut execution) = next else { return };
        let (id, attempt) = (execution.assignment.message_id, execution.assignment.attempt);
        let span = debug_span!(parent: &execution.progress.span, "count");
        let counting = || span.in_scope(|| kernels.count(&mut execution));
        let counted = catch_unwind(AssertUnwindSafe(counting)).unwrap_or_else(|panic| {
            // What a panic left behind is not to be trusted with another task.
            kernels = Kernels::default();
            Err(WorkError::Panicked(panic_message(panic.as_ref())))
        });
        let outcome = match counted {
            Ok(partial) => Outcome::Counted(partial),
            Err(error) => Outcome::Failed(id, attempt, error),
        };
        if outcomes.blocking_send(outcome).is_err() {
            return;
        }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

/// The kernel of the job that this worker counted last: its dictionaries serve the job's next task.
#[derive(Default)]
struct Kernels(Option<(JobId, Kernel)>);

impl Kernels {
    fn count(&mut self, execution: &mut Execution) -> Result<Partial, WorkError> {
        let assignment = &execution.assignment;
        if self.0.as_ref().is_none_or(|(job, _)| *job != assignment.job) {
            // The old one goes first: two at once would hold twice the memory.
            self.0 = None;
            self.0 = Some((assignment.job, Kernel::new(&assignment.spec)));
        }
        let kernel = match &mut self.0 {
            Some((_, kernel)) => kernel,
            None => return Err(WorkError::Panicked("no kernel".to_owned())),
        };
        loop {
            let counted = count(kernel, execution);
            let damaged = matches!(counted, Err(WorkError::Damaged { .. }));
            // Compressed bytes were damaged on the way: what the master has shows in the plain ones.
            let broken = matches!(
                counted,
                Err(WorkError::Source(SourceError::Broken(_) | SourceError::Packed(_)))
            );
            let wanted = (damaged || broken) && !execution.progress.is_cancelled();
            if !wanted || !execution.source.again(damaged) {
                return counted;
            }
        }
    }
}

/// Counts the bytes that a task's source gives.
fn count(kernel: &mut Kernel, execution: &mut Execution) -> Result<Partial, WorkError> {
    let assignment = &execution.assignment;
    let header = RunHeader::of(&assignment.spec, assignment.message_id);
    let mut run = RunWriter::new(Frames::default(), header)?;
    kernel.begin(assignment.number, &assignment.layout)?;
    let (mut bytes, mut crc) = (0, 0);
    while let Some(piece) = execution.source.next()? {
        if execution.progress.is_cancelled() {
            return Err(SourceError::Gone.into());
        }
        crc = crc32c::crc32c_append(crc, &piece);
        kernel.feed(&piece, &mut run)?;
        bytes += piece.len() as u64;
        execution.progress.bytes.store(bytes, Ordering::Relaxed);
    }
    if (bytes, crc) != (assignment.bytes, assignment.crc32c) {
        return Err(WorkError::Damaged {
            found: bytes,
            found_crc: crc,
            expected: assignment.bytes,
            expected_crc: assignment.crc32c,
        });
    }
    let totals = kernel.finish(&mut run)?;
    let (frames, summary) = run.finish(totals)?;
    let (frames, crc32c) = frames.finish();
    let (message_id, attempt) = (assignment.message_id, assignment.attempt);
    let span = execution.progress.span.clone();
    Ok(Partial { message_id, attempt, totals, groups: summary.groups, crc32c, frames, span })
}

/// A writer that keeps what it is given in pieces of one frame, so that a run is never copied into
/// one large buffer.
#[derive(Default)]
struct Frames {
    done: Vec<Bytes>,
    current: Vec<u8>,
    crc: u32,
}

impl Frames {
    fn finish(mut self) -> (Vec<Bytes>, u32) {
        self.seal();
        (self.done, self.crc)
    }

    fn seal(&mut self) {
        if !self.current.is_empty() {
            self.crc = crc32c::crc32c_append(self.crc, &self.current);
            self.done.push(std::mem::take(&mut self.current).into());
        }
    }
}

impl Write for Frames {
    fn write(&mut self, mut data: &[u8]) -> io::Result<usize> {
        let all = data.len();
        while !data.is_empty() {
            if self.current.capacity() == 0 && !self.done.is_empty() {
                // What has filled one frame fills most of the next: growing would copy it.
                self.current.reserve_exact(FRAME_BYTES);
            }
            let (now, later) = data.split_at(data.len().min(FRAME_BYTES - self.current.len()));
            self.current.extend_from_slice(now);
            data = later;
            if self.current.len() == FRAME_BYTES {
                self.seal();
            }
        }
        Ok(all)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
