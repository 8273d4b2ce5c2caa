//! Groups as CSV: the header, and rows formatted without `fmt`, a head's text once for all of them.

use std::io;

use tally_common::combine::{Aggregates, Combine};
use tally_common::key::{Tail, decode_integer, decode_tail};
use tally_common::limits::MAX_AGGREGATES;
use tally_common::reject::Reject;
use tally_common::run::{Batch, GroupSink};
use tally_common::spec::{AggregateOp, KeyKind, Spec};
use tally_common::value::{format_date, write_integer, write_text};

use super::MergeError;
use super::outline::Sketch;
use super::text::{BEYOND, DATE_BYTES, Dates, INTEGER_BYTES, needs_quotes, put_integer, put_text};

/// Bytes that a buffer has at first.
const BUFFER_BYTES: usize = 1 << 20;

/// The result's header line.
pub(super) fn header(spec: &Spec) -> Vec<u8> {
    let mut line = Vec::new();
    for (i, name) in spec.output_names().enumerate() {
        if i > 0 {
            line.push(b',');
        }
        write_text(name.as_bytes(), &mut line);
    }
    line.push(b'\n');
    line
}

/// A part of the result.
#[derive(Debug)]
pub(super) struct Part {
    /// Longer than the part: it goes back to where it came from.
    pub(super) buffer: Vec<u8>,
    pub(super) len: usize,
    pub(super) rows: u64,
    pub(super) totals: Totals,
    pub(super) sketch: Sketch,
}

/// The aggregates over groups.
#[derive(Clone, Debug)]
pub(super) struct Totals {
    combine: Aggregates,
    values: Option<Vec<i128>>,
}

impl Totals {
    pub(super) fn new(spec: &Spec) -> Self {
        Self { combine: Aggregates::of(spec), values: None }
    }

    #[inline]
    fn add_values(&mut self, values: &[i128]) {
        match &mut self.values {
            Some(totals) => self.combine.combine(totals, values),
            None => self.values = Some(values.to_vec()),
        }
    }

    /// Adds the values of a batch.
    #[inline]
    fn add_batch(&mut self, batch: &Batch<'_, i64>) {
        if batch.tails.is_empty() {
            return;
        }
        let mut all = [0; MAX_AGGREGATES];
        let ops = self.combine.ops().iter().zip(batch.columns());
        for (all, (op, column)) in all.iter_mut().zip(ops) {
            let least = || column.iter().copied().min();
            let greatest = || column.iter().copied().max();
            *all = match op {
                AggregateOp::Sum | AggregateOp::Count => {
                    column.iter().map(|value| i128::from(*value)).sum()
                }
                AggregateOp::Min => least().unwrap_or(i64::MAX).into(),
                AggregateOp::Max => greatest().unwrap_or(i64::MIN).into(),
            };
        }
        let count = self.combine.ops().len();
        self.add_values(&all[..count]);
    }

    pub(super) fn add(&mut self, other: &Self) {
        if let Some(values) = &other.values {
            self.add_values(values);
        }
    }

    pub(super) fn finish(self) -> Vec<i128> {
        self.values.unwrap_or_else(|| vec![0; self.combine.ops().len()])
    }
}

/// Formats groups as rows.
pub(super) struct CsvSink<'a> {
    spec: &'a Spec,
    /// Bytes at the start of each head that only order it.
    prefix: usize,
    /// Longer than what was written.
    out: Vec<u8>,
    at: usize,
    /// The head at hand, raw, and as it is written with bytes of no meaning behind it.
    head: Vec<u8>,
    text: Vec<u8>,
    text_len: usize,
    /// The tail at hand, as it is written, where it is bytes.
    columns: Vec<u8>,
    dates: Dates,
    has_tails: bool,
    rows: u64,
    totals: Totals,
    sketch: Sketch,
    overflow: Option<MergeError>,
}

impl<'a> CsvSink<'a> {
    /// Writes into `buffer`, whatever it holds.
    pub(super) fn new(spec: &'a Spec, prefix: usize, buffer: Vec<u8>) -> Self {
        Self {
            spec,
            prefix,
            out: buffer,
            at: 0,
            head: Vec::new(),
            text: Vec::new(),
            text_len: 0,
            columns: Vec::new(),
            dates: Dates::new(),
            has_tails: spec.group_by().len() > 1,
            rows: 0,
            totals: Totals::new(spec),
            sketch: Sketch::new(spec),
            overflow: None,
        }
    }

    pub(super) fn finish(mut self) -> Result<Part, MergeError> {
        self.sketch.end_head(&self.head);
        match self.overflow {
            Some(overflow) => Err(overflow),
            None => Ok(Part {
                buffer: self.out,
                len: self.at,
                rows: self.rows,
                totals: self.totals,
                sketch: self.sketch,
            }),
        }
    }

    /// Makes room for so many bytes, and [`BEYOND`].
    #[inline]
    fn reserve(&mut self, bytes: usize) {
        if self.out.len() - self.at < bytes + BEYOND {
            self.grow(bytes + BEYOND);
        }
    }

    #[cold]
    fn grow(&mut self, bytes: usize) {
        let wanted = (self.at + bytes).max(2 * self.out.len()).max(BUFFER_BYTES);
        self.out.resize(wanted, 0);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    /// Writes the values of a group that was not narrow, or has a tail of bytes.
    fn put_values(&mut self, tail: Tail<'_>, values: &[i128]) {
        self.reserve(values.len() * (INTEGER_BYTES + 1) + 1);
        for (i, value) in values.iter().enumerate() {
            self.out[self.at] = b',';
            match i64::try_from(*value) {
                Ok(value) => self.at = put_integer(value, &mut self.out, self.at + 1),
                Err(_) => self.overflows(i, *value, tail),
            }
        }
        self.out[self.at] = b'\n';
        self.at += 1;
        self.rows += 1;
        self.totals.add_values(values);
    }

    #[cold]
    fn overflows(&mut self, aggregate: usize, total: i128, tail: Tail<'_>) {
        if self.overflow.is_some() {
            return;
        }
        let columns = self.spec.group_by();
        let mut shown = vec![show(columns[0].kind, &self.head)];
        match tail {
            Tail::Bytes(tail) => {
                let each = |kind: KeyKind, value: &[u8]| shown.push(show(kind, value));
                // A tail that does not decode can not have been written.
                let _ = decode_tail(&columns[1..], tail, each);
            }
            Tail::Ordinal(day) => {
                shown.push(String::from_utf8_lossy(&format_date(day as i32)).into_owned());
            }
        }
        let group: Vec<_> =
            columns.iter().zip(shown).map(|(key, value)| format!("{} {value}", key.name)).collect();
        self.overflow = Some(MergeError::Overflow {
            aggregate: self.spec.aggregates()[aggregate].name.clone(),
            group: group.join(", "),
            total,
        });
    }
}

fn show(kind: KeyKind, value: &[u8]) -> String {
    match (kind, decode_integer(value)) {
        (KeyKind::Integer, Ok(value)) => value.to_string(),
        (KeyKind::Date, Ok(day)) => String::from_utf8_lossy(&format_date(day as i32)).into_owned(),
        _ => format!("{:?}", String::from_utf8_lossy(value)),
    }
}

fn write_key(kind: KeyKind, value: &[u8], out: &mut Vec<u8>) {
    match (kind, decode_integer(value)) {
        (KeyKind::Integer, Ok(value)) => write_integer(value, out),
        (KeyKind::Date, Ok(day)) => out.extend_from_slice(&format_date(day as i32)),
        _ => write_text(value, out),
    }
}

impl GroupSink for CsvSink<'_> {
    #[inline]
    fn start_head(&mut self, head: &[u8], _: u64) -> io::Result<()> {
        let head = head.get(self.prefix..).unwrap_or_default();
        self.sketch.end_head(&self.head);
        self.head.clear();
        self.head.extend_from_slice(head);
        self.text.clear();
        if self.spec.group_by()[0].kind == KeyKind::Text && !needs_quotes(head) {
            self.text.extend_from_slice(head);
        } else {
            write_key(self.spec.group_by()[0].kind, head, &mut self.text);
        }
        self.text_len = self.text.len();
        self.text.extend_from_slice(&[0; BEYOND]);
        Ok(())
    }

    fn push_ordinal(&mut self, tail: i64, values: &[i128]) -> io::Result<()> {
        self.sketch.row(self.at, self.rows);
        self.sketch.push(tail, values[0]);
        self.reserve(self.text_len + DATE_BYTES);
        self.at = put_text(&self.text, self.text_len, &mut self.out, self.at);
        if self.has_tails {
            let date = self.dates.text(tail as i32);
            self.put(&date[..DATE_BYTES - 1]);
        }
        self.put_values(Tail::Ordinal(tail), values);
        Ok(())
    }

    #[inline]
    fn push_batch(&mut self, batch: Batch<'_, i64>) -> io::Result<()> {
        self.sketch.row(self.at, self.rows);
        self.sketch.push_batch(&batch);
        let width = self.spec.aggregates().len() * (INTEGER_BYTES + 1);
        self.reserve(batch.tails.len() * (self.text_len + DATE_BYTES + width + 1));
        let (out, mut at) = (&mut self.out[..], self.at);
        let first = batch.column(0);
        for (i, (tail, value)) in batch.tails.iter().zip(first).enumerate() {
            at = put_text(&self.text, self.text_len, out, at);
            if self.has_tails {
                out[at..at + 16].copy_from_slice(&self.dates.text(*tail));
                at += DATE_BYTES;
            } else {
                out[at] = b',';
                at += 1;
            }
            at = put_integer(*value, out, at);
            for column in batch.columns().skip(1) {
                out[at] = b',';
                at = put_integer(column[i], out, at + 1);
            }
            out[at] = b'\n';
            at += 1;
        }
        self.at = at;
        self.rows += batch.tails.len() as u64;
        self.totals.add_batch(&batch);
        Ok(())
    }

    fn push_bytes(&mut self, tail: &[u8], values: &[i128]) -> io::Result<()> {
        self.sketch.row(self.at, self.rows);
        self.reserve(self.text_len);
        self.at = put_text(&self.text, self.text_len, &mut self.out, self.at);
        let mut text = std::mem::take(&mut self.columns);
        text.clear();
        let (date, mut column, mut day) = (self.sketch.date_in_tail(), 0, None);
        decode_tail(&self.spec.group_by()[1..], tail, |kind, value| {
            text.push(b',');
            write_key(kind, value, &mut text);
            if date == Some(column) {
                day = decode_integer(value).ok();
            }
            column += 1;
        })
        .map_err(io::Error::other)?;
        self.sketch.push_bytes(day, values[0]);
        self.put(&text);
        self.columns = text;
        self.put_values(Tail::Bytes(tail), values);
        Ok(())
    }

    fn end_segment(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reject(&mut self, _: Reject) -> io::Result<()> {
        Ok(())
    }
}
