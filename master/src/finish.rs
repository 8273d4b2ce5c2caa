//! The end of a job: from the runs that were kept to the rejects file and the result. Sync: runs on
//! a thread of its own.

mod ingest;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tracing::warn;

use tally_common::api::{IngestCounts, IngestMode, RejectView};
use tally_common::id::{JobId, MessageId, TaskNumber};
use tally_common::limits::NAMED_REJECTS;
use tally_common::reject::{Reject, RejectReason};
use tally_common::run::{ReadAt, RunError, RunMeta};
use tally_common::spec::Spec;
use tally_common::value::write_text;

use crate::coordinator::{BaseRuns, InputInfo, Meter, Task, fault};
use crate::direct::DirectWriter;
use crate::disk::Disk;
use crate::ledger::Merge;
use crate::look;
use crate::merge::{MergeError, MergeInput, MergeOptions, MergeSummary, merge_to_csv};
use crate::read_at::FileAt;
use crate::runs::run_path;
use crate::tables::{Tables, TablesError};

/// Bytes of a rejected record that are shown with the job; the rejects file has all of them.
const SHOWN_BYTES: usize = 256;

/// A job whose tasks have all been answered.
pub(crate) struct FinishJob {
    pub(crate) id: JobId,
    pub(crate) spec: Spec,
    pub(crate) folder: PathBuf,
    /// Where the result goes, if not into the folder.
    pub(crate) result_path: Option<PathBuf>,
    pub(crate) inputs: Vec<Arc<InputInfo>>,
    pub(crate) tasks: Vec<Task>,
    /// What the job is added to, where it repairs another one.
    pub(crate) base: Vec<BaseRuns>,
    /// Where its rows go, if they are not totalled.
    pub(crate) ingest: Option<(String, IngestMode)>,
    pub(crate) tables: Tables,
    pub(crate) merge: Merge,
    pub(crate) threads: usize,
    pub(crate) meter: Arc<Meter>,
    pub(crate) disk: Arc<Disk>,
    /// What is written must outlive the process.
    pub(crate) durable: bool,
}

/// What came out.
pub(crate) struct Finished {
    /// Of the result; `None` where only the rejects were wanted.
    pub(crate) result: Option<MergeSummary>,
    /// The first rejects, in input order.
    pub(crate) rejects: Vec<RejectView>,
    /// What it came to in its table.
    pub(crate) ingested: Option<IngestCounts>,
}

/// Why a job could not be finished.
#[derive(Debug, Error)]
pub(crate) enum FinishError {
    /// A run that was kept no longer holds.
    #[error("the run of task {number} does not hold: {error}")]
    Run { number: TaskNumber, error: RunError },
    /// Nor does one of the job that is repaired.
    #[error("a run of the job that is repaired does not hold any more: {0}")]
    Base(RunError),
    /// The merge gave up.
    #[error(transparent)]
    Merge(MergeError),
    /// Its rows could not be written to their table.
    #[error("the rows could not be written to their table: {0}")]
    Tables(#[from] TablesError),
    /// The disk said no.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl FinishError {
    /// Whether it failed for want of space on the disk.
    fn is_full(&self) -> bool {
        match self {
            Self::Io(error) | Self::Merge(MergeError::Io(error)) => {
                error.kind() == io::ErrorKind::StorageFull
            }
            Self::Tables(error) => error.is_full(),
            _ => false,
        }
    }

    /// What a merge of so many runs of a repaired job, and then of the job's own, failed of.
    fn of_merge(error: MergeError, base: usize) -> Self {
        match error {
            MergeError::Run { input, error } => match input.checked_sub(base) {
                Some(number) => Self::Run { number: number as TaskNumber, error },
                None => Self::Base(error),
            },
            error => Self::Merge(error),
        }
    }
}

/// Where a job's result lies.
pub(crate) fn result_path(folder: &Path) -> PathBuf {
    folder.join("result.csv")
}

/// Where the index of a job's result lies.
pub(crate) fn index_path(folder: &Path) -> PathBuf {
    folder.join("result.index")
}

/// Where it is kept what a job's result comes to.
pub(crate) fn summary_path(folder: &Path) -> PathBuf {
    folder.join("summary.json")
}

/// Where it is kept how a job went on over time.
pub(crate) fn history_path(folder: &Path) -> PathBuf {
    folder.join("history.json")
}

/// Where a job's rejects lie.
pub(crate) fn rejects_path(folder: &Path) -> PathBuf {
    folder.join("rejects.csv")
}

/// Writes what a job comes to. Each file appears under its name only when it is whole. Where the
/// disk is full, waits until it is not, and begins again.
pub(crate) fn run(job: &FinishJob) -> Result<Finished, FinishError> {
    loop {
        match try_run(job) {
            // Of a disk that is not its own the master does not know when it has space again.
            Err(error) if error.is_full() && job.result_path.is_none() => {
                warn!(job = %job.id, "the result waits for space on the disk");
                // What a merge has left is in the way of everybody.
                let _ = std::fs::remove_file(unfinished(&result_path(&job.folder)));
                job.disk.wait(&job.meter)?;
            }
            ended => {
                if let (Err(_), Some(path)) = (&ended, &job.result_path) {
                    forget_unfinished(job.id, path);
                }
                return ended;
            }
        }
    }
}

fn try_run(job: &FinishJob) -> Result<Finished, FinishError> {
    let own = (job.id, job.folder.as_path(), job.tasks.len() as TaskNumber);
    let runs =
        open_runs(&job.spec, own).map_err(|(number, error)| FinishError::Run { number, error })?;
    let rejects = write_rejects(job, &runs)?;
    if job.merge == Merge::RejectsOnly {
        return Ok(Finished { result: None, rejects, ingested: None });
    }
    let mut inputs = Vec::new();
    for base in &job.base {
        let base = open_runs(&job.spec, (base.job, &base.folder, base.tasks));
        inputs.extend(base.map_err(|(_, error)| FinishError::Base(error))?);
    }
    let base = inputs.len();
    inputs.extend(runs);
    let scratch = job.folder.join("scratch");
    std::fs::create_dir_all(&scratch)?;
    let options = MergeOptions {
        threads: job.threads,
        cancelled: &job.meter.cancelled,
        scratch_dir: &scratch,
    };
    let (part, path) = match &job.result_path {
        Some(path) => (unfinished_elsewhere(job.id, path), path.clone()),
        None => {
            let path = result_path(&job.folder);
            (unfinished(&path), path)
        }
    };
    let mut out = DirectWriter::create(&part)?.behind()?;
    let (result, ingested) = match &job.ingest {
        Some((table, mode)) => {
            let applied = ingest::apply(job, (table, *mode), &inputs, &mut out, &options)?;
            (applied.0, Some(applied.1))
        }
        None => {
            let result = merge_to_csv(&job.spec, &inputs, &mut out, &options)
                .map_err(|error| FinishError::of_merge(error, base))?;
            (result, None)
        }
    };
    fault::point("a result is written");
    if job.durable {
        out.finish_durably()?
    } else {
        out.finish()?
    }
    appear(&part, &path, job.durable)?;
    fault::point("a result is in its place");
    // The report of an ingest has no charts.
    if job.durable && ingested.is_none() {
        outline(job, &result);
    }
    Ok(Finished { result: Some(result), rejects, ingested })
}

/// Writes down where the result's rows are and what stands out. Neither is needed for the result: without
/// them a look reads more, and there are no charts.
fn outline(job: &FinishJob, result: &MergeSummary) {
    let written = look::write_marks(&index_path(&job.folder), result.bytes, &result.outline.marks);
    let summary = look::summary(&job.spec, &result.outline, result.rows);
    let summary = serde_json::to_vec(&summary).map_err(io::Error::other);
    let written = written.and_then(|()| std::fs::write(summary_path(&job.folder), summary?));
    if let Err(error) = written {
        warn!(job = %job.id, %error, "the outline of a result could not be written");
    }
}

/// The name that a file has until it is whole.
fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("tmp")
}

/// The same for a result that is written among a user's files: nobody else's, and hidden.
fn unfinished_elsewhere(job: JobId, path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{job}.tmp"))
}

/// Removes what a job has left there.
pub(crate) fn forget_unfinished(job: JobId, path: &Path) {
    // Mostly there is nothing.
    let _ = std::fs::remove_file(unfinished_elsewhere(job, path));
}

/// Gives a file its name.
fn appear(part: &Path, path: &Path, durable: bool) -> io::Result<()> {
    std::fs::rename(part, path)?;
    match path.parent() {
        Some(folder) if durable => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// The runs of a job's tasks, in order.
fn open_runs(
    spec: &Spec,
    (job, folder, tasks): (JobId, &Path, TaskNumber),
) -> Result<Vec<MergeInput>, (TaskNumber, RunError)> {
    let open = |number| open_run(spec, job, folder, number);
    (0..tasks).map(|number| open(number).map_err(|error| (number, error))).collect()
}

/// The run of one of a job's tasks.
pub(crate) fn open_run(
    spec: &Spec,
    job: JobId,
    folder: &Path,
    number: TaskNumber,
) -> Result<MergeInput, RunError> {
    let file = FileAt::open(&run_path(folder, number))?;
    let meta = RunMeta::read(&file)?;
    meta.verify_header(spec.hash(), MessageId::of_task(job, number))?;
    Ok(MergeInput { run: Arc::new(file), meta: Arc::new(meta) })
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
    let mut out = BufWriter::new(File::create(unfinished(&path))?);
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
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    if job.durable {
        file.sync_all()?;
    }
    appear(&unfinished(&path), &path, job.durable)?;
    Ok(first)
}

fn view(input: &InputInfo, reject: &Reject, lines: u64, offset: u64, record: &[u8]) -> RejectView {
    let whole = reject.reason == RejectReason::FieldCount;
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
