//! The end of an ingest: its rows go into the table, and what comes out is a report of the keys that the
//! file had more than once.

use std::io::{self, Write};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use tally_common::api::{IngestCounts, IngestMode};
use tally_common::spec::Spec;
use tally_common::table::{Row, Table, Value};
use tally_common::value::{write_integer, write_text};

use super::{FinishError, FinishJob};
use crate::coordinator::fault;
use crate::merge::{MergeError, MergeInput, MergeOptions, MergeSummary, each_row};
use crate::tables::{Ingest, MayGoOn, Means, TablesError};

/// Bytes of the report that are gathered before they are written.
const REPORT_BYTES: usize = 64 << 10;

/// Applies the rows of all runs, and writes the report to `out`. Applied once more, after a crash, it goes
/// on where it stopped.
pub(super) fn apply(
    job: &FinishJob,
    (table, mode): (&str, IngestMode),
    inputs: &[MergeInput],
    out: &mut impl Write,
    options: &MergeOptions<'_>,
) -> Result<(MergeSummary, IngestCounts), FinishError> {
    let definition = job.tables.table(table)?;
    if !is_of(&job.spec, &definition) {
        let why = format!(
            "the table {table:?} was declared otherwise while the file was being read; nothing of it was \
             applied, import it again"
        );
        return Err(TablesError::Ingest(why).into());
    }
    let means = Means::new(options.scratch_dir, may_go_on(job));
    let mut ingest = job.tables.ingest(job.id, (table, mode), means)?;
    let mut report = Report::begin(&job.spec, out)?;
    let mut failed = None;
    let merged = each_row(&job.spec, inputs, options, |row, records| {
        let taken = take(&mut ingest, &mut report, &definition, (row, records));
        failed = taken.err();
        failed.is_none()
    });
    if let Some(error) = failed {
        return Err(error);
    }
    merged.map_err(|error| FinishError::of_merge(error, 0))?;
    if job.meter.is_cancelled() {
        return Err(FinishError::Merge(MergeError::Cancelled));
    }
    fault::point("all rows of an ingest are handed over");
    let counts = ingest.finish()?;
    fault::point("an ingest is applied");
    Ok((report.finish()?, counts))
}

/// A table that is written anew needs room beside the one in use: where that goes into what is kept free, all
/// of it is given back, and the job waits for space.
fn may_go_on(job: &FinishJob) -> MayGoOn {
    let (meter, disk) = (Arc::clone(&job.meter), Arc::clone(&job.disk));
    Box::new(move || {
        if meter.is_over() {
            return Err(TablesError::Stopped);
        }
        if disk.look() {
            return Err(io::Error::from(io::ErrorKind::StorageFull).into());
        }
        Ok(())
    })
}

/// Whether a job's spec is still that of its table.
fn is_of(spec: &Spec, table: &Table) -> bool {
    let now = tally_common::spec::SpecDraft::of_table(table);
    Spec::try_from(now).is_ok_and(|now| now.hash() == spec.hash())
}

fn take<W: Write>(
    ingest: &mut Ingest,
    report: &mut Report<'_, W>,
    table: &Table,
    (row, records): (Row, u64),
) -> Result<(), FinishError> {
    if records > 1 {
        let key = table.key().iter().map(|&at| &row[at]);
        report.add(key, records)?;
    }
    Ok(ingest.push(row, records)?)
}

/// The keys that a file has more than once, as CSV: the key's columns, and how many records had it.
struct Report<'a, W> {
    out: &'a mut W,
    /// Lines that are not written yet.
    line: Vec<u8>,
    hash: Sha256,
    summary: MergeSummary,
}

impl<'a, W: Write> Report<'a, W> {
    fn begin(spec: &Spec, out: &'a mut W) -> io::Result<Self> {
        let (line, hash) = (Vec::with_capacity(REPORT_BYTES), Sha256::new());
        let mut report = Self { out, line, hash, summary: MergeSummary::default() };
        for (i, name) in spec.output_names().enumerate() {
            if i > 0 {
                report.line.push(b',');
            }
            write_text(name.as_bytes(), &mut report.line);
        }
        report.line.push(b'\n');
        Ok(report)
    }

    fn add<'v>(&mut self, key: impl Iterator<Item = &'v Value>, records: u64) -> io::Result<()> {
        for value in key {
            match value {
                Value::Text(text) => write_text(text.as_bytes(), &mut self.line),
                Value::Integer(n) => write_integer(*n, &mut self.line),
                other => write!(self.line, "{other}")?,
            }
            self.line.push(b',');
        }
        writeln!(self.line, "{records}")?;
        self.summary.rows += 1;
        if self.line.len() >= REPORT_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hash.update(&self.line);
        self.summary.bytes += self.line.len() as u64;
        self.out.write_all(&self.line)?;
        self.line.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<MergeSummary> {
        self.flush()?;
        self.summary.sha256 = self.hash.finalize().into();
        Ok(self.summary)
    }
}
