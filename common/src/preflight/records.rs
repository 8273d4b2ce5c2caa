//! The records of a sample: which of them count, what groups they are of, what their columns hold. What
//! is called a reject here is what the kernel of a slave calls one, by the same scanner and the same
//! parsers.

use std::hash::{DefaultHasher, Hasher};

use crate::api::RejectView;
use crate::limits::NAMED_REJECTS;
use crate::reject::RejectReason;
use crate::scan::{FieldIndex, Record, split, unquote};
use crate::spec::KeyKind;
use crate::value::{parse_date, parse_integer};

/// Bytes that are indexed at once.
const WINDOW_BYTES: usize = 256 << 10;

/// Bytes of a rejected record that are shown, as with a job.
const SHOWN_BYTES: usize = 256;

/// Bytes of an example that are shown.
const EXAMPLE_BYTES: usize = 64;

/// Examples of a column.
const EXAMPLES: usize = 3;

/// Values that are told apart in all columns together, 8 bytes each: of wider samples only the first
/// part is looked at for that.
const COLUMN_MARKS: usize = 4 << 20;

/// Bits of a group's mark that hold its width; the others tell groups apart.
const WIDTH_BITS: u32 = 16;

/// What there is to do with each record.
pub(super) struct Plan<'a> {
    pub(super) delimiter: u8,
    /// The columns' names.
    pub(super) names: &'a [String],
    /// Offset of the first byte behind the header, and line breaks before it.
    pub(super) body: usize,
    pub(super) lines: u64,
    /// The group-by columns: their index and kind. None where the spec does not fit.
    pub(super) keys: Vec<(usize, KeyKind)>,
    /// For each aggregate, its column.
    pub(super) values: Vec<Option<usize>>,
}

/// A column's values.
#[derive(Default)]
pub(super) struct Column {
    pub(super) values: u64,
    pub(super) empty: u64,
    not_integer: bool,
    not_date: bool,
    pub(super) marks: Vec<u64>,
    pub(super) examples: Vec<String>,
}

/// What the records of a sample came to.
#[derive(Default)]
pub(super) struct Records {
    /// Bytes of whole records, and of the header.
    pub(super) bytes: usize,
    pub(super) records: u64,
    pub(super) rejected: u64,
    pub(super) rejects: Vec<RejectView>,
    pub(super) columns: Vec<Column>,
    /// A mark for each record that counts: what its group is, and how wide the group's key is in the
    /// result.
    pub(super) marks: Vec<u64>,
    /// For each aggregate the sum of its column's values.
    pub(super) sums: Vec<f64>,
}

/// Why a record does not count: the column at fault, or the number of fields found, and the reason.
type Fault = (usize, RejectReason);

impl Column {
    /// What all of its values are; `None` where there is none.
    pub(super) fn kind(&self) -> Option<KeyKind> {
        match self {
            Self { values: 0, .. } => None,
            Self { not_integer: false, .. } => Some(KeyKind::Integer),
            Self { not_date: false, .. } => Some(KeyKind::Date),
            _ => Some(KeyKind::Text),
        }
    }

    fn add(&mut self, value: &[u8], most: usize) {
        self.values += 1;
        self.empty += u64::from(value.is_empty());
        self.not_integer = self.not_integer || parse_integer(value).is_err();
        self.not_date = self.not_date || parse_date(value).is_err();
        if self.marks.len() < most {
            let mut hasher = DefaultHasher::new();
            hasher.write(value);
            self.marks.push(hasher.finish());
        }
        if self.examples.len() < EXAMPLES {
            let shown = String::from_utf8_lossy(&value[..value.len().min(EXAMPLE_BYTES)]);
            if !self.examples.iter().any(|known| *known == shown) {
                self.examples.push(shown.into_owned());
            }
        }
    }
}

/// The key of a group, told apart from others by `hasher`, and what it takes in the result.
struct Key {
    hasher: DefaultHasher,
    width: usize,
}

impl Key {
    fn mark(&self) -> u64 {
        let width = self.width.min((1 << WIDTH_BITS) - 1) as u64;
        self.hasher.finish() >> WIDTH_BITS << WIDTH_BITS | width
    }
}

/// What tells a group's mark from those of others.
pub(super) fn group_of(mark: u64) -> u64 {
    mark >> WIDTH_BITS
}

/// Bytes that a group's key takes in the result, its separators included.
pub(super) fn width_of(mark: u64) -> u64 {
    mark & ((1 << WIDTH_BITS) - 1)
}

impl Records {
    /// Of the whole records of `sample`; with `complete` it is all there is, and its last record needs
    /// no end.
    pub(super) fn of(sample: &[u8], complete: bool, plan: &Plan<'_>) -> Self {
        let mut found = Self {
            columns: plan.names.iter().map(|_| Column::default()).collect(),
            sums: vec![0.0; plan.values.len()],
            ..Self::default()
        };
        let mut index = FieldIndex::default();
        let mut lines = Lines { at: plan.body, count: plan.lines };
        let (mut at, mut size) = (plan.body, WINDOW_BYTES);
        while at < sample.len() {
            let end = sample.len().min(at + size);
            let last = complete && end == sample.len();
            let window = &sample[at..end];
            let split = split(window, plan.delimiter, last, &mut index);
            for i in 0..index.len() {
                let record = index.record(i, window);
                let open = split.unterminated && i + 1 == index.len();
                let fault = if open {
                    Err((record.fields() - 1, RejectReason::UnterminatedQuote))
                } else if record.is_blank() {
                    continue;
                } else {
                    found.take(window, &record, plan)
                };
                found.records += 1;
                if let Err(fault) = fault {
                    let (start, end) = (record.start, if open { window.len() } else { record.end });
                    found.reject(&mut lines, sample, (at + start, at + end), fault, plan);
                }
            }
            at += split.consumed;
            size = WINDOW_BYTES;
            if split.consumed == 0 {
                if end == sample.len() {
                    break;
                }
                size = 2 * window.len();
            }
        }
        found.bytes = at;
        found
    }

    fn take(&mut self, window: &[u8], record: &Record<'_>, plan: &Plan<'_>) -> Result<(), Fault> {
        if record.fields() != plan.names.len() {
            return Err((record.fields(), RejectReason::FieldCount));
        }
        let mut scratch = Vec::new();
        let field = |i: usize| {
            let (from, to) = record.field(i);
            &window[from..to]
        };
        let most = COLUMN_MARKS / plan.names.len().max(1);
        for (i, column) in self.columns.iter_mut().enumerate() {
            column.add(unquote(field(i), &mut scratch), most);
        }
        let mut key = Key { hasher: DefaultHasher::new(), width: 0 };
        for &(column, kind) in &plan.keys {
            let value = unquote(field(column), &mut scratch);
            key.add(kind, value).map_err(|reason| (column, reason))?;
        }
        // All of them first: a record counts as a whole or not at all.
        let mut read = |column: &Option<usize>| match column {
            Some(i) => parse_integer(unquote(field(*i), &mut scratch)).map_err(|error| (*i, error)),
            None => Ok(1),
        };
        let values = plan.values.iter().map(&mut read).collect::<Result<Vec<_>, _>>()?;
        for (sum, value) in self.sums.iter_mut().zip(values) {
            *sum += value as f64;
        }
        if !plan.keys.is_empty() {
            self.marks.push(key.mark());
        }
        Ok(())
    }

    fn reject(
        &mut self,
        lines: &mut Lines,
        sample: &[u8],
        (start, end): (usize, usize),
        (column, reason): Fault,
        plan: &Plan<'_>,
    ) {
        self.rejected += 1;
        if self.rejects.len() == NAMED_REJECTS {
            return;
        }
        let expected = plan.names.len();
        let reason_shown = match reason {
            RejectReason::FieldCount => {
                format!("{reason} ({column} where the header has {expected})")
            }
            reason => reason.to_string(),
        };
        let whole = reason == RejectReason::FieldCount;
        let shown = &sample[start..end.min(start + SHOWN_BYTES)];
        self.rejects.push(RejectView {
            line: lines.up_to(sample, start) + 1,
            byte_offset: start as u64,
            column: plan.names.get(column).filter(|_| !whole).cloned(),
            reason: reason_shown,
            record: String::from_utf8_lossy(shown).into_owned(),
        });
    }
}

impl Key {
    fn add(&mut self, kind: KeyKind, value: &[u8]) -> Result<(), RejectReason> {
        // A comma or line break behind each.
        self.width += 1;
        match kind {
            KeyKind::Text => {
                std::str::from_utf8(value).map_err(|_| RejectReason::InvalidUtf8)?;
                self.hasher.write_usize(value.len());
                self.hasher.write(value);
                let quotes = value.iter().filter(|byte| **byte == b'"').count();
                let odd = |byte: &u8| matches!(byte, b',' | b'"' | b'\r' | b'\n');
                self.width += value.len() + quotes + 2 * usize::from(value.iter().any(odd));
            }
            KeyKind::Integer => {
                let number = parse_integer(value)?;
                self.hasher.write_i64(number);
                self.width += super::estimate::digits(number as f64) as usize;
            }
            KeyKind::Date => {
                self.hasher.write_i32(parse_date(value)?);
                self.width += "YYYY-MM-DD".len();
            }
        }
        Ok(())
    }
}

/// Line breaks, counted only as far as anybody asks.
struct Lines {
    at: usize,
    count: u64,
}

impl Lines {
    /// Those before `at`, where a record begins: LF, CRLF, lone CR.
    fn up_to(&mut self, sample: &[u8], at: usize) -> u64 {
        let bytes = &sample[self.at..at];
        let lone = |i: &usize| bytes[*i] == b'\n' || bytes.get(i + 1) != Some(&b'\n');
        self.count += memchr::memchr2_iter(b'\r', b'\n', bytes).filter(lone).count() as u64;
        self.at = at;
        self.count
    }
}
