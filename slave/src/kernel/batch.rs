//! A few hundred records on their way through the kernel, column by column: what is to be done with
//! a column is decided once for all of them. Nothing of a batch is counted before all of it is right.

use tally_common::key::{encode_integer, encode_text};
use tally_common::reject::RejectReason;
use tally_common::spec::KeyKind;
use tally_common::value;

use super::dict::{Dictionary, Sight};
use super::field::{Span, Window, with_fields};
use super::parse::{self, Dates};
use super::plan::{JobPlan, TailMode, TaskPlan};

/// See the module.
pub(super) struct Batch {
    /// For each record, the index of its first separator.
    pub(super) rows: Vec<u32>,
    /// Ids of the heads.
    pub(super) heads: Vec<u32>,
    /// Codes of the tails: days, ids or 0.
    pub(super) codes: Vec<u32>,
    /// Columns of values, as the plan lists them, then the constant 1.
    pub(super) values: Vec<Vec<i64>>,
    /// Indices in `rows` of records that can not be counted.
    pub(super) bad: Vec<u32>,
    head_spans: Vec<Span>,
    tail_spans: Vec<Span>,
    sights: Vec<Sight>,
    scratch: Vec<u8>,
    text: Vec<u8>,
    dates: Dates,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            rows: Vec::new(),
            heads: Vec::new(),
            codes: Vec::new(),
            values: Vec::new(),
            bad: Vec::new(),
            head_spans: Vec::new(),
            tail_spans: Vec::new(),
            sights: Vec::new(),
            scratch: Vec::new(),
            text: Vec::new(),
            dates: Dates::new(),
        }
    }

    /// Prepares for a task whose batches have at most so many rows.
    pub(super) fn begin(&mut self, plan: &TaskPlan, rows: usize) {
        self.values.clear();
        self.values.resize(plan.values.len(), Vec::new());
        self.values.push(vec![1; rows]);
    }

    /// Reads all columns of `rows`. Records with a bad integer or date are noted as bad.
    pub(super) fn read(&mut self, job: &JobPlan, plan: &TaskPlan, window: &Window<'_>) {
        self.bad.clear();
        self.scratch.clear();
        self.read_heads(job, plan, window);
        match job.tail {
            TailMode::None => {
                self.codes.clear();
                self.codes.resize(self.rows.len(), 0);
            }
            TailMode::Date => self.read_days(plan, window),
            TailMode::Text => {
                let (column, last) = plan.column(plan.keys[1]);
                let (scratch, spans) = (&mut self.scratch, &mut self.tail_spans);
                window.locate(&self.rows, column, last, scratch, spans);
            }
            TailMode::Mixed => self.read_mixed(job, plan, window),
        }
        for (slot, &column) in plan.values.iter().enumerate() {
            let (column, last) = plan.column(column);
            let (text, bad) = (&mut self.text, &mut self.bad);
            let values = &mut self.values[slot];
            values.clear();
            with_fields!(window, column, last, |fields| {
                values.extend((0..).zip(&self.rows).map(|(row, &base)| {
                    let (start, end) = fields.place(base);
                    parse::integer(window.bytes, start, end).unwrap_or_else(|| {
                        let field = window.value(base, column, last, text);
                        note_bad(value::parse_integer(field), row, bad)
                    })
                }));
            });
        }
    }

    fn read_heads(&mut self, job: &JobPlan, plan: &TaskPlan, window: &Window<'_>) {
        let (column, last) = plan.column(plan.keys[0]);
        let kind = job.kinds[0];
        let (scratch, spans) = (&mut self.scratch, &mut self.head_spans);
        window.locate(&self.rows, column, last, scratch, spans);
        if kind == KeyKind::Text {
            return;
        }
        for (row, span) in (0..).zip(&mut self.head_spans) {
            let (buffer, start, end) = span.place(window.bytes, &self.scratch);
            let value = number(kind, &buffer[start..end]);
            if value.is_err() {
                self.bad.push(row);
            }
            let from = self.scratch.len();
            self.scratch.extend_from_slice(&encode_integer(value.unwrap_or(0)));
            *span = Span::scratch(from, &self.scratch);
        }
    }

    fn read_days(&mut self, plan: &TaskPlan, window: &Window<'_>) {
        let (column, last) = plan.column(plan.keys[1]);
        let (text, bad) = (&mut self.text, &mut self.bad);
        self.codes.clear();
        with_fields!(window, column, last, |fields| {
            self.codes.extend((0..).zip(&self.rows).map(|(row, &base)| {
                let (start, end) = fields.place(base);
                self.dates.code(window.bytes, start, end).unwrap_or_else(|| {
                    let field = window.value(base, column, last, text);
                    note_bad(self.dates.meet(field), row, bad)
                })
            }));
        });
    }

    /// Encodes the tails of [`TailMode::Mixed`] as [`tally_common::key`] says.
    fn read_mixed(&mut self, job: &JobPlan, plan: &TaskPlan, window: &Window<'_>) {
        self.tail_spans.clear();
        for (row, &base) in (0..).zip(&self.rows) {
            let from = self.scratch.len();
            for (i, (&column, &kind)) in plan.keys.iter().zip(&job.kinds).enumerate().skip(1) {
                let (column, last) = plan.column(column);
                let field = window.value(base, column, last, &mut self.text);
                match kind {
                    KeyKind::Text if i + 1 == plan.keys.len() => {
                        self.scratch.extend_from_slice(field);
                    }
                    KeyKind::Text => encode_text(field, &mut self.scratch),
                    kind => match number(kind, field) {
                        Ok(value) => self.scratch.extend_from_slice(&encode_integer(value)),
                        Err(_) => self.bad.push(row),
                    },
                }
            }
            self.tail_spans.push(Span::scratch(from, &self.scratch));
        }
    }

    /// Turns heads into ids; a new one is taken in if it is valid, else its record is bad.
    pub(super) fn look_up_heads(
        &mut self,
        job: &JobPlan,
        window: &Window<'_>,
        dictionary: &mut Dictionary,
    ) {
        let text = job.kinds[0] == KeyKind::Text;
        let valid = |_, key: &[u8]| !text || std::str::from_utf8(key).is_ok();
        let (spans, sights) = (&self.head_spans[..], &mut self.sights);
        let keys = Keys { spans, window: window.bytes, scratch: &self.scratch, sights };
        look_up(keys, dictionary, valid, &mut self.heads, &mut self.bad);
    }

    /// Turns tails into ids, in the same way.
    pub(super) fn look_up_tails(
        &mut self,
        job: &JobPlan,
        plan: &TaskPlan,
        window: &Window<'_>,
        dictionary: &mut Dictionary,
    ) {
        let (rows, text) = (&self.rows, &mut self.text);
        let valid = |row: u32, key: &[u8]| match job.tail {
            TailMode::Text => std::str::from_utf8(key).is_ok(),
            _ => diagnose(job, plan, window, rows[row as usize], text).is_none(),
        };
        let (spans, sights) = (&self.tail_spans[..], &mut self.sights);
        let keys = Keys { spans, window: window.bytes, scratch: &self.scratch, sights };
        look_up(keys, dictionary, valid, &mut self.codes, &mut self.bad);
    }

    /// Takes the bad records out of `rows`, calling `each` with what is wrong with them.
    #[cold]
    pub(super) fn remove_bad(
        &mut self,
        job: &JobPlan,
        plan: &TaskPlan,
        window: &Window<'_>,
        mut each: impl FnMut(u32, u32, RejectReason),
    ) {
        self.bad.sort_unstable();
        self.bad.dedup();
        let mut bad = self.bad.iter().copied().peekable();
        let mut row = 0;
        let text = &mut self.text;
        self.rows.retain(|&base| {
            let is_bad = bad.next_if_eq(&row).is_some();
            row += 1;
            if is_bad && let Some((column, reason)) = diagnose(job, plan, window, base, text) {
                each(base, column, reason);
            }
            !is_bad
        });
    }
}

/// Where keys are, and room for the sight of each.
struct Keys<'a> {
    spans: &'a [Span],
    window: &'a [u8],
    scratch: &'a [u8],
    sights: &'a mut Vec<Sight>,
}

fn look_up(
    keys: Keys<'_>,
    dictionary: &mut Dictionary,
    mut valid: impl FnMut(u32, &[u8]) -> bool,
    ids: &mut Vec<u32>,
    bad: &mut Vec<u32>,
) {
    let Keys { spans, window, scratch, sights } = keys;
    sights.clear();
    sights.extend(spans.iter().map(|span| {
        let (buffer, start, end) = span.place(window, scratch);
        Sight::of(buffer, start, end)
    }));
    for sight in sights.iter_mut() {
        sight.guess = dictionary.guess(sight);
    }
    ids.clear();
    ids.extend((0..).zip(spans).zip(sights).map(|((row, span), sight)| {
        let (buffer, start, end) = span.place(window, scratch);
        let key = &buffer[start..end];
        if let Some(id) = dictionary.confirm(sight, key) {
            id
        } else if valid(row, key) {
            dictionary.insert(sight, key)
        } else {
            bad.push(row);
            0
        }
    }));
}

/// What was read, or the default where it could not be, which is noted.
#[inline]
fn note_bad<T: Default>(read: Result<T, RejectReason>, row: u32, bad: &mut Vec<u32>) -> T {
    read.unwrap_or_else(|_| {
        bad.push(row);
        T::default()
    })
}

fn number(kind: KeyKind, field: &[u8]) -> Result<i64, RejectReason> {
    match kind {
        KeyKind::Date => value::parse_date(field).map(i64::from),
        KeyKind::Integer | KeyKind::Text => value::parse_integer(field),
    }
}

/// What is wrong with a record of the right number of fields. Of several things it is the first in
/// this order: the keys as the spec lists them, then the aggregates' columns as it lists them.
fn diagnose(
    job: &JobPlan,
    plan: &TaskPlan,
    window: &Window<'_>,
    base: u32,
    text: &mut Vec<u8>,
) -> Option<(u32, RejectReason)> {
    let keys = plan.keys.iter().copied().zip(job.kinds.iter().copied());
    let values = plan.values.iter().map(|&column| (column, KeyKind::Integer));
    keys.chain(values).find_map(|(column, kind)| {
        let (column, last) = plan.column(column);
        let field = window.value(base, column, last, text);
        let reason = match kind {
            KeyKind::Text => std::str::from_utf8(field).err().map(|_| RejectReason::InvalidUtf8),
            kind => number(kind, field).err(),
        };
        Some((column as u32, reason?))
    })
}
