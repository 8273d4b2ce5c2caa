//! The end of a job: from the runs that were kept to the rejects file and the result. Sync: runs on
//! a thread of its own.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use tally_common::api::RejectView;
use tally_common::id::{JobId, MessageId, TaskNumber};
use tally_common::limits::NAMED_REJECTS;
use tally_common::reject::{Reject, RejectReason};
use tally_common::run::{ReadAt, RunError, RunMeta};
use tally_common::spec::Spec;
use tally_common::value::write_text;

use crate::coordinator::{InputInfo, Meter, Task};
use crate::direct::DirectWriter;
use crate::ledger::Merge;
use crate::merge::{MergeError, MergeInput, MergeOptions, MergeSummary, merge_to_csv};
use crate::read_at::FileAt;
use crate::runs::run_path;

/// Bytes of a rejected record that are shown with the job; the rejects file has all of them.
const SHOWN_BYTES: usize = 256;

/// A job whose tasks have all been answered.
pub(crate) struct FinishJob {
    pub(crate) id: JobId,
    pub(crate) spec: Spec,
    pub(crate) folder: PathBuf,
    pub(crate) inputs: Vec<Arc<InputInfo>>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) merge: Merge,
    pub(crate) threads: usize,
    pub(crate) meter: Arc<Meter>,
}

/// What came out.
pub(crate) struct Finished {
    /// Of the result; `None` where only the rejects were wanted.
    pub(crate) result: Option<MergeSummary>,
    /// The first rejects, in input order.
    pub(crate) rejects: Vec<RejectView>,
}

/// Why a job could not be finished.
#[derive(Debug, Error)]
pub(crate) enum FinishError {
    /// A run that was kept no longer holds.
    #[error("the run of task {number} does not hold: {error}")]
    Run { number: TaskNumber, error: RunError },
    /// The merge gave up.
    #[error(transparent)]
    Merge(MergeError),
    /// The disk said no.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<MergeError> for FinishError {
    fn from(error: MergeError) -> Self {
        match error {
            // The inputs are the runs of the tasks, in order.
            MergeError::Run { input, error } => Self::Run { number: input as TaskNumber, error },
            error => Self::Merge(error),
        }
    }
}

/// Where a job's result lies.
pub(crate) fn result_path(folder: &Path) -> PathBuf {
    folder.join("result.csv")
}

/// Where a job's rejects lie.
pub(crate) fn rejects_path(folder: &Path) -> PathBuf {
    folder.join("rejects.csv")
}

/// Writes what a job comes to. Each file appears under its name only when it is whole.
pub(crate) fn run(job: &FinishJob) -> Result<Finished, FinishError> {
    let runs = open_runs(job)?;
    let rejects = write_rejects(job, &runs)?;
    if job.merge == Merge::RejectsOnly {
        return Ok(Finished { result: None, rejects });
    }
    let scratch = job.folder.join("scratch");
    std::fs::create_dir_all(&scratch)?;
    let options = MergeOptions {
        threads: job.threads,
        cancelled: &job.meter.cancelled,
        scratch_dir: &scratch,
    };
    let path = result_path(&job.folder);
    let unfinished = path.with_extension("tmp");
    let mut out = DirectWriter::create(&unfinished)?;
    let result = merge_to_csv(&job.spec, &runs, &mut out, &options)?;
    out.finish()?;
    std::fs::rename(&unfinished, &path)?;
    Ok(Finished { result: Some(result), rejects })
}

fn open_runs(job: &FinishJob) -> Result<Vec<MergeInput>, FinishError> {
    let spec_hash = job.spec.hash();
    (0..job.tasks.len() as TaskNumber)
        .map(|number| {
            let file = FileAt::open(&run_path(&job.folder, number))
                .map_err(|error| FinishError::Run { number, error: error.into() })?;
            let meta = RunMeta::read(&file)
                .and_then(|meta| {
                    meta.verify_header(spec_hash, MessageId::of_task(job.id, number))?;
                    Ok(meta)
                })
                .map_err(|error| FinishError::Run { number, error })?;
            Ok(MergeInput { run: Arc::new(file), meta: Arc::new(meta) })
        })
        .collect()
}

/// Where a task stands in its input: what the positions in its run are relative to.
struct Place<'a> {
    input: &'a InputInfo,
    file: FileAt,
    /// Lines of the input before the task.
    lines: u64,
}

/// Writes the rejects file (with its header alone where there are none) and gives the first ones.
fn write_rejects(job: &FinishJob, runs: &[MergeInput]) -> Result<Vec<RejectView>, FinishError> {
    let path = rejects_path(&job.folder);
    let unfinished = path.with_extension("tmp");
    let mut out = BufWriter::new(File::create(&unfinished)?);
    let many = job.inputs.len() > 1;
    out.write_all(if many { b"file,".as_slice() } else { b"" })?;
    out.write_all(b"line,byte_offset,column,reason,record\n")?;
    let mut first = Vec::new();
    let mut place: Option<Place<'_>> = None;
    let (mut record, mut row) = (Vec::new(), Vec::new());
    for ((number, task), run) in (0..).zip(&job.tasks).zip(runs) {
        let input = &*job.inputs[task.input as usize];
        if place.as_ref().is_none_or(|place| !std::ptr::eq(place.input, input)) {
            let file = FileAt::open(&input.path)?;
            place = Some(Place { input, file, lines: input.header_lines });
        }
        let Some(place) = &mut place else { continue };
        for reject in run.meta.rejects(&*run.run) {
            let reject = reject.map_err(|error| FinishError::Run { number, error })?;
            record.resize(reject.len as usize, 0);
            let offset = task.cut.offset + reject.offset;
            place.file.read_exact_at(&mut record, offset)?;
            let shown = view(input, &reject, place.lines, offset, &record);
            row.clear();
            if many {
                write_text(input.name.as_bytes(), &mut row);
                row.push(b',');
            }
            write!(row, "{},{offset},", shown.line)?;
            write_text(shown.column.as_deref().unwrap_or("").as_bytes(), &mut row);
            row.push(b',');
            write_text(shown.reason.as_bytes(), &mut row);
            row.push(b',');
            write_text(&record, &mut row);
            row.push(b'\n');
            out.write_all(&row)?;
            if first.len() < NAMED_REJECTS {
                first.push(shown);
            }
        }
        place.lines += run.meta.totals().lines;
    }
    out.flush()?;
    drop(out);
    std::fs::rename(&unfinished, &path)?;
    Ok(first)
}

fn view(input: &InputInfo, reject: &Reject, lines: u64, offset: u64, record: &[u8]) -> RejectView {
    let whole = matches!(reject.reason, RejectReason::FieldCount | RejectReason::UnterminatedQuote);
    let column = input.columns.get(reject.column as usize).filter(|_| !whole);
    let reason = match reject.reason {
        RejectReason::FieldCount => {
            let (found, expected) = (reject.column, input.columns.len());
            format!("{} ({found} where the header has {expected})", reject.reason)
        }
        reason => reason.to_string(),
    };
    let shown = &record[..record.len().min(SHOWN_BYTES)];
    RejectView {
        line: lines + reject.line + 1,
        byte_offset: offset,
        column: column.cloned(),
        reason,
        record: String::from_utf8_lossy(shown).into_owned(),
    }
}
