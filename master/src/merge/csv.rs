//! Groups as CSV: the header, and rows formatted without `fmt`.

use std::io;

use tally_common::combine::{Aggregates, Combine};
use tally_common::key::{decode_integer, decode_tail};
use tally_common::reject::Reject;
use tally_common::run::GroupSink;
use tally_common::spec::{KeyKind, Spec};
use tally_common::value::{format_date, write_integer, write_text};

use super::MergeError;

/// Dates that are kept formatted: the days of several years, by their last bits.
const DATES: usize = 2048;

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
    pub(super) bytes: Vec<u8>,
    pub(super) rows: u64,
    pub(super) totals: Totals,
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
    out: Vec<u8>,
    /// The head at hand, raw and as it is written.
    head: Vec<u8>,
    text: Vec<u8>,
    dates: Vec<(i32, [u8; 10])>,
    rows: u64,
    totals: Totals,
    overflow: Option<MergeError>,
}

impl<'a> CsvSink<'a> {
    pub(super) fn new(spec: &'a Spec, prefix: usize) -> Self {
        Self {
            spec,
            prefix,
            out: Vec::new(),
            head: Vec::new(),
            text: Vec::new(),
            dates: vec![(i32::MIN, [0; 10]); DATES],
            rows: 0,
            totals: Totals::new(spec),
            overflow: None,
        }
    }

    pub(super) fn finish(self) -> Result<Part, MergeError> {
        match self.overflow {
            Some(overflow) => Err(overflow),
            None => Ok(Part { bytes: self.out, rows: self.rows, totals: self.totals }),
        }
    }

    fn write_date(&mut self, day: i32) {
        let slot = &mut self.dates[day as usize % DATES];
        if slot.0 != day {
            *slot = (day, format_date(day));
        }
        self.out.extend_from_slice(&slot.1);
    }

    #[inline]
    fn write_values(&mut self, tail: Option<&[u8]>, values: &[i128]) {
        for (i, value) in values.iter().enumerate() {
            self.out.push(b',');
            match i64::try_from(*value) {
                Ok(value) => write_integer(value, &mut self.out),
                Err(_) => self.overflows(i, *value, tail),
            }
        }
        self.out.push(b'\n');
        self.rows += 1;
        self.totals.add_values(values);
    }

    #[cold]
    fn overflows(&mut self, aggregate: usize, total: i128, tail: Option<&[u8]>) {
        if self.overflow.is_some() {
            return;
        }
        // The row as far as it is written holds the key; it is clearer column by column.
        let columns = self.spec.group_by();
        let mut shown = vec![show(columns[0].kind, &self.head)];
        match tail {
            Some(tail) => {
                let each = |kind: KeyKind, value: &[u8]| shown.push(show(kind, value));
                // A tail that does not decode can not have been written.
                let _ = decode_tail(&columns[1..], tail, each);
            }
            None => {
                let row = self.out.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                let date = &self.out[row + self.text.len()..];
                let date = date.strip_prefix(b",").unwrap_or_default();
                let date = date.split(|byte| *byte == b',').next().unwrap_or_default();
                shown.push(String::from_utf8_lossy(date).into_owned());
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
    fn start_head(&mut self, head: &[u8], _: u64) -> io::Result<()> {
        let head = head.get(self.prefix..).unwrap_or_default();
        self.head.clear();
        self.head.extend_from_slice(head);
        self.text.clear();
        write_key(self.spec.group_by()[0].kind, head, &mut self.text);
        Ok(())
    }

    #[inline]
    fn push_ordinal(&mut self, tail: i64, values: &[i128]) -> io::Result<()> {
        self.out.extend_from_slice(&self.text);
        if self.spec.group_by().len() > 1 {
            self.out.push(b',');
            self.write_date(tail as i32);
        }
        self.write_values(None, values);
        Ok(())
    }

    fn push_bytes(&mut self, tail: &[u8], values: &[i128]) -> io::Result<()> {
        self.out.extend_from_slice(&self.text);
        let out = &mut self.out;
        decode_tail(&self.spec.group_by()[1..], tail, |kind, value| {
            out.push(b',');
            write_key(kind, value, out);
        })
        .map_err(io::Error::other)?;
        self.write_values(Some(tail), values);
        Ok(())
    }

    fn end_segment(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reject(&mut self, _: Reject) -> io::Result<()> {
        Ok(())
    }
}
