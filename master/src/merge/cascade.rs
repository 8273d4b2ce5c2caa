//! More segments than can be merged at once: groups of them are first merged into runs.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

use tally_common::run::{ReadAt, RunHeader, RunMeta, RunWriter, TaskTotals};
use tally_common::spec::Spec;

use super::ranges::{Range, Segment};
use super::{MergeError, MergeInput, MergeOptions, kway, parallel, ranges};
use crate::read_at::FileAt;

/// Bytes gathered before they are written to an intermediate run.
const BUFFER_BYTES: usize = 256 << 10;

/// Merges until there are at most `fan_in` segments.
pub(super) fn narrow(
    spec: &Spec,
    mut segments: Vec<Segment>,
    options: &MergeOptions<'_>,
    fan_in: usize,
) -> Result<Vec<Segment>, MergeError> {
    while segments.len() > fan_in {
        let chunks: Vec<&[Segment]> = segments.chunks(fan_in).collect();
        let mut inputs = Vec::new();
        parallel::in_order(
            chunks.len(),
            options,
            |i| {
                let header = *chunks[i][0].input.meta.header();
                write_run(header, options.scratch_dir, |run| {
                    kway::merge(spec, chunks[i], &Range::default(), options.cancelled, run)
                })
            },
            |input| {
                inputs.push(input);
                Ok(())
            },
        )?;
        segments = ranges::segments(&inputs);
    }
    Ok(segments)
}

/// Writes an intermediate run.
pub(super) fn write_run(
    header: RunHeader,
    folder: &Path,
    write: impl FnOnce(&mut RunWriter<BufWriter<File>>) -> Result<(), MergeError>,
) -> Result<MergeInput, MergeError> {
    let file = tempfile::tempfile_in(folder)?;
    let out = BufWriter::with_capacity(BUFFER_BYTES, file);
    let mut run = RunWriter::new(out, header)?;
    write(&mut run)?;
    // Its groups are those of other runs, whose totals are known.
    let (out, _) = run.finish(TaskTotals::default())?;
    let file = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    let run: Arc<dyn ReadAt + Send + Sync> = Arc::new(FileAt::new(file)?);
    let meta = RunMeta::read(&*run).map_err(|error| MergeError::Run { input: 0, error })?;
    Ok(MergeInput { run, meta: Arc::new(meta) })
}
