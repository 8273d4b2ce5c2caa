//! Looks at results: some rows of one, found by its index without reading all of it, or of what has been
//! counted so far, found in the runs. Sync: whoever calls does so from a blocking thread.

mod index;
mod matcher;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use csv::{ByteRecord, Reader, ReaderBuilder};

use tally_common::api::{DateTotal, KeyTotal, Look, LookQuery, Span, Summary};
use tally_common::key::decode_integer;
use tally_common::spec::{KeyKind, Order, Spec};
use tally_common::value::format_date;

use crate::merge::{Mark, MergeError, MergeInput, Outline, each_group};
pub(crate) use index::{read_marks, write_marks};
pub use matcher::QueryError;
use matcher::{Matcher, Step};

/// Most rows of a look.
pub const MAX_ROWS: u32 = 10_000;

/// Most dates of a summary: with more of them a chart shows no more.
const MAX_DATES: usize = 1000;

/// Bytes that are read at a time.
const BUFFER_BYTES: usize = 128 << 10;

/// Bytes that are read to see which row begins at a mark: most rows are shorter.
const PROBE_BYTES: usize = 4 << 10;

/// What is looked for, and what has been found of it.
struct Finding {
    matcher: Matcher,
    skip: u64,
    limit: usize,
    offset: u64,
    rows: Vec<Vec<String>>,
    more: bool,
}

impl Finding {
    fn new(matcher: Matcher, query: &LookQuery) -> Self {
        let limit = query.limit.min(MAX_ROWS) as usize;
        let (skip, offset) = (query.offset, query.offset);
        Self { matcher, skip, limit, offset, rows: Vec::new(), more: false }
    }

    /// Looks at the next row; `false` where no more are wanted.
    fn see<'r>(&mut self, row: impl Iterator<Item = &'r [u8]> + Clone) -> bool {
        match self.matcher.step(row.clone()) {
            Step::Stop => return false,
            Step::Skip => return true,
            Step::Take => {}
        }
        if self.skip > 0 {
            self.skip -= 1;
            return true;
        }
        if self.rows.len() == self.limit {
            self.more = true;
            return false;
        }
        let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
        self.rows.push(row.map(text).collect());
        true
    }

    fn look(self, columns: Vec<String>) -> Look {
        let next = self.offset + self.rows.len() as u64;
        Look {
            columns,
            rows: self.rows,
            next_offset: self.more.then_some(next),
            total_rows: None,
            coverage: None,
        }
    }
}

/// Some rows of a result that lies at `path`. `marks` may be empty: then it is read from its beginning.
///
/// # Errors
/// [`QueryError`] where the query makes no sense for the spec.
pub(crate) fn result(
    path: &Path,
    spec: &Spec,
    marks: &[Mark],
    query: &LookQuery,
) -> Result<io::Result<Look>, QueryError> {
    let sorted = spec.order() == Order::Sorted;
    let matcher = Matcher::new(spec, query, sorted)?;
    Ok(in_file(path, spec, marks, matcher, query))
}

fn in_file(
    path: &Path,
    spec: &Spec,
    marks: &[Mark],
    matcher: Matcher,
    query: &LookQuery,
) -> io::Result<Look> {
    let file = File::open(path)?;
    let mut finding = Finding::new(matcher, query);
    let from = if finding.matcher.takes_all() {
        // The mark at or before the row.
        let after = marks.partition_point(|mark| mark.row <= query.offset);
        after.checked_sub(1).map(|at| marks[at])
    } else {
        let mut failed = Ok(());
        let after = marks.partition_point(|mark| {
            let row = first_row(&file, mark.offset);
            row.map(|row| finding.matcher.is_before(row.iter())).unwrap_or_else(|error| {
                failed = Err(error);
                false
            })
        });
        failed?;
        after.checked_sub(1).map(|at| marks[at])
    };
    if let (true, Some(mark)) = (finding.matcher.takes_all(), from) {
        finding.skip -= mark.row;
    }
    let mut rows = rows(&file, from.map_or(0, |mark| mark.offset), BUFFER_BYTES)?;
    let mut row = ByteRecord::new();
    if from.is_none() {
        // The header.
        rows.read_byte_record(&mut row)?;
    }
    while rows.read_byte_record(&mut row)? && finding.see(row.iter()) {}
    Ok(finding.look(spec.output_names().map(str::to_owned).collect()))
}

/// The rows of a CSV file from an offset at which one begins.
fn rows(file: &File, offset: u64, buffer: usize) -> io::Result<Reader<impl Read>> {
    let mut file = file;
    file.seek(SeekFrom::Start(offset))?;
    let from = BufReader::with_capacity(buffer, file);
    Ok(ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(buffer)
        .from_reader(from))
}

fn first_row(file: &File, offset: u64) -> io::Result<ByteRecord> {
    let mut row = ByteRecord::new();
    rows(file, offset, PROBE_BYTES)?.read_byte_record(&mut row)?;
    Ok(row)
}

/// Some rows of what `runs` come to.
///
/// # Errors
/// [`QueryError`] where the query makes no sense for the spec.
pub(crate) fn runs(
    spec: &Spec,
    runs: &[MergeInput],
    query: &LookQuery,
    (scratch, cancelled): (&Path, &AtomicBool),
) -> Result<Result<Look, MergeError>, QueryError> {
    // Runs are sorted whatever the result will be.
    let matcher = Matcher::new(spec, query, true)?;
    let from = matcher.first_head();
    let mut finding = Finding::new(matcher, query);
    let found = each_group(spec, runs, from.as_deref(), (scratch, cancelled), |row| {
        finding.see(row.iter().map(Vec::as_slice))
    });
    Ok(found.map(|()| finding.look(spec.output_names().map(str::to_owned).collect())))
}

/// Some rows of any CSV file of the master's own, by their numbers alone.
pub(crate) fn plain(path: &Path, limit: u32, offset: u64) -> io::Result<Look> {
    let file = File::open(path)?;
    let query = LookQuery { limit, offset, ..LookQuery::default() };
    let mut finding = Finding::new(Matcher::all(), &query);
    let mut rows = rows(&file, 0, BUFFER_BYTES)?;
    let mut row = ByteRecord::new();
    rows.read_byte_record(&mut row)?;
    let columns = row.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    while rows.read_byte_record(&mut row)? && finding.see(row.iter()) {}
    Ok(finding.look(columns))
}

/// What a result comes to, as it is shown.
pub(crate) fn summary(spec: &Spec, outline: &Outline, rows: u64) -> Summary {
    let key = &spec.group_by()[0];
    let top = outline.top.iter().map(|(head, value)| KeyTotal {
        key: match (key.kind, decode_integer(head)) {
            (KeyKind::Integer, Ok(value)) => value.to_string(),
            (KeyKind::Date, Ok(day)) => date(day as i32),
            _ => String::from_utf8_lossy(head).into_owned(),
        },
        value: value.to_string(),
    });
    let (span, dates) = dates(spec, outline);
    let date = spec.group_by().iter().find(|column| column.kind == KeyKind::Date);
    Summary {
        value: spec.aggregates()[0].name.clone(),
        key: key.name.clone(),
        keys: outline.keys,
        top: top.collect(),
        date: date.map(|column| column.name.clone()),
        span,
        dates,
        rows,
    }
}

fn date(day: i32) -> String {
    String::from_utf8_lossy(&format_date(day)).into_owned()
}

/// The values by day, or by what is longer where there are too many days.
fn dates(spec: &Spec, outline: &Outline) -> (Span, Vec<DateTotal>) {
    let op = spec.aggregates()[0].op;
    for (span, kept, rest) in
        [(Span::Day, 10, ""), (Span::Month, 7, "-01"), (Span::Year, 4, "-01-01")]
    {
        let mut dates: Vec<(String, i128)> = Vec::new();
        for (day, value) in &outline.days {
            let mut first = date(*day);
            first.truncate(kept);
            first.push_str(rest);
            match dates.last_mut() {
                Some((last, sum)) if *last == first => *sum = op.combine(*sum, *value),
                _ => dates.push((first, *value)),
            }
        }
        if dates.len() <= MAX_DATES || span == Span::Year {
            let total =
                |(date, value): (String, i128)| DateTotal { date, value: value.to_string() };
            return (span, dates.into_iter().map(total).collect());
        }
    }
    // The last of the spans is always taken.
    (Span::Year, Vec::new())
}

#[cfg(test)]
mod tests;
