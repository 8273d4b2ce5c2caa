//! Records that are rows of a table: checked column by column, kept whole, and of each key the last one
//! of the task, with how many there were. Rows lie encoded in one arena, in the form in which a run has
//! them; what is sorted are small entries that point there, and nothing is allocated for a row.

use std::io;

use tally_common::dialect::fold;
use tally_common::key::{encode_integer, encode_text};
use tally_common::reject::RejectReason;
use tally_common::run::{GroupSink, TaskTotals};
use tally_common::scan::Split;
use tally_common::spec::{KeyKind, RowColumn, Spec};
use tally_common::table::{put_date, put_integer, put_null, put_text};
use tally_common::value::{parse_date, parse_integer};

use super::bounds::Bounds;
use super::field::Window;
use super::plan::{JobPlan, TaskPlan};
use super::rejects::{Lines, Rejects};

/// Most bytes of the arena: its entries address it with 32 bits. A record more than that is never
/// appended, as a segment is written when half of them are reached.
const ARENA_BYTES: usize = 1 << 31;

/// A column, and what may be in it.
#[derive(Clone, Copy)]
struct Column {
    kind: KeyKind,
    nullable: bool,
    max_bytes: usize,
    is_key: bool,
}

/// A row in the arena: its head, the other columns of its key, its place in the input, the row.
#[derive(Clone, Copy)]
struct Entry {
    /// The first bytes of the head, so that most comparisons need not look for it.
    prefix: u64,
    at: u32,
    /// Offset of the record in the task: later ones are greater.
    offset: u32,
    head: u32,
    key: u32,
    len: u32,
}

impl Entry {
    fn head<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        &arena[self.at as usize..][..self.head as usize]
    }

    /// The key columns but the first.
    fn others<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        &arena[(self.at + self.head) as usize..][..self.key as usize]
    }

    /// All that follows the head.
    fn tail<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        &arena[(self.at + self.head) as usize..][..(self.len - self.head) as usize]
    }
}

/// What is wrong with a record, and in which column of the input.
type Fault = (usize, RejectReason);

/// See the module.
pub(super) struct RowKeeper {
    pub(super) job: JobPlan,
    columns: Vec<Column>,
    /// Indices of the key columns, in the key's order.
    keys: Vec<usize>,
    arena: Vec<u8>,
    entries: Vec<Entry>,
    row_bytes: usize,
    /// A field whose quotes had to be taken off.
    text: Vec<u8>,
    totals: TaskTotals,
    rejects: Rejects,
}

impl RowKeeper {
    pub(super) fn new(spec: &Spec, rows: &[RowColumn], bounds: &Bounds) -> Self {
        let named = |name: &str| rows.iter().position(|column| fold(&column.name) == fold(name));
        // A checked spec has its keys among its rows.
        let keys: Vec<usize> = spec.group_by().iter().filter_map(|key| named(&key.name)).collect();
        let columns = rows.iter().enumerate().map(|(i, column)| Column {
            kind: column.kind,
            nullable: column.nullable,
            max_bytes: column.max_bytes as usize,
            is_key: keys.contains(&i),
        });
        Self {
            job: JobPlan::of(spec),
            columns: columns.collect(),
            keys,
            arena: Vec::new(),
            entries: Vec::new(),
            row_bytes: bounds.row_bytes.min(ARENA_BYTES),
            text: Vec::new(),
            totals: TaskTotals::default(),
            rejects: Rejects::default(),
        }
    }

    /// Forgets the last task.
    pub(super) fn begin(&mut self) {
        self.arena.clear();
        self.entries.clear();
        self.totals = TaskTotals::default();
        self.rejects.clear();
    }

    /// Bytes of the task so far.
    pub(super) fn position(&self) -> u64 {
        self.totals.bytes
    }

    /// Keeps the records of a window.
    pub(super) fn take<S: GroupSink>(
        &mut self,
        plan: &TaskPlan,
        window: Window<'_>,
        split: Split,
        sink: &mut S,
    ) -> io::Result<()> {
        let mut lines = Lines::from(&self.totals);
        // Nearly every window is plain text: then no field of it need be looked at for that.
        let plain =
            std::str::from_utf8(window.bytes).is_ok() && memchr::memchr(0, window.bytes).is_none();
        let records = window.index.records.len();
        let mut base = 0;
        for (record, &end) in window.index.records.iter().enumerate() {
            let unterminated = split.unterminated && record + 1 == records;
            self.record(plan, &window, (base, end), (unterminated, plain));
            base = end;
            if self.memory() > self.row_bytes {
                self.flush(sink)?;
            }
        }
        self.rejects.write(&window, &mut lines, &mut self.totals, sink)?;
        self.totals.bytes += split.consumed as u64;
        self.totals.lines += split.lines;
        Ok(())
    }

    /// Ends the task.
    pub(super) fn finish<S: GroupSink>(&mut self, sink: &mut S) -> io::Result<TaskTotals> {
        self.flush(sink)?;
        Ok(std::mem::take(&mut self.totals))
    }

    fn memory(&self) -> usize {
        self.arena.len() + self.entries.len() * size_of::<Entry>()
    }

    /// Keeps or rejects the record whose separators are `base..end`.
    fn record(
        &mut self,
        plan: &TaskPlan,
        window: &Window<'_>,
        (base, end): (u32, u32),
        (unterminated, plain): (bool, bool),
    ) {
        let fields = end - base;
        let start = window.start(base as usize);
        let len = || window.record_end(end as usize - 1, start) - start;
        if fields == 1 && !unterminated && len() == 0 {
            self.totals.blank_lines += 1;
            return;
        }
        self.totals.records += 1;
        if unterminated {
            let (len, reason) = (window.bytes.len() - start, RejectReason::UnterminatedQuote);
            self.rejects.push(start, len, fields - 1, reason);
        } else if fields as usize != plan.fields {
            self.rejects.push(start, len(), fields, RejectReason::FieldCount);
        } else {
            let from = self.arena.len();
            match self.keep(plan, window, (base, start), plain) {
                Ok(entry) => self.entries.push(entry),
                Err((column, reason)) => {
                    self.arena.truncate(from);
                    self.rejects.push(start, len(), column as u32, reason);
                }
            }
        }
    }

    /// Appends a row to the arena. Of several things that are wrong with it, the first is given in this
    /// order: the key's columns, then the table's.
    fn keep(
        &mut self,
        plan: &TaskPlan,
        window: &Window<'_>,
        (base, start): (u32, usize),
        plain: bool,
    ) -> Result<Entry, Fault> {
        let at = self.arena.len();
        let mut head = 0;
        for (i, &key) in self.keys.iter().enumerate() {
            let (column, last) = plan.column(plan.keys[i]);
            let field = window.value(base, column, last, &mut self.text);
            put_key(self.columns[key], field, plain, i == 0, &mut self.arena)
                .map_err(|reason| (column, reason))?;
            if i == 0 {
                head = self.arena.len() - at;
            }
        }
        let key = self.arena.len() - at - head;
        let offset = self.totals.bytes + start as u64;
        let position = u64::from(plan.number) << 32 | offset;
        self.arena.extend_from_slice(&position.to_be_bytes());
        for (&column, place) in self.columns.iter().zip(&plan.rows) {
            let Some(place) = *place else {
                put_null(&mut self.arena);
                continue;
            };
            let (place, last) = plan.column(place);
            let field = window.value(base, place, last, &mut self.text);
            put(column, field, plain, &mut self.arena).map_err(|reason| (place, reason))?;
        }
        Ok(Entry {
            prefix: prefix(&self.arena[at..at + head]),
            at: at as u32,
            offset: offset as u32,
            head: head as u32,
            key: key as u32,
            len: (self.arena.len() - at) as u32,
        })
    }

    /// Writes the rows so far as a segment, of each key the last one.
    fn flush<S: GroupSink>(&mut self, sink: &mut S) -> io::Result<()> {
        if self.entries.is_empty() {
            return Ok(());
        }
        let arena = &self.arena[..];
        let key = |entry: &Entry| (entry.head(arena), entry.others(arena));
        self.entries.sort_unstable_by(|a, b| {
            let by_key = a.prefix.cmp(&b.prefix).then_with(|| key(a).cmp(&key(b)));
            by_key.then_with(|| a.offset.cmp(&b.offset))
        });
        let same = |a: &Entry, b: &Entry| a.prefix == b.prefix && key(a) == key(b);
        let mut head: Option<&[u8]> = None;
        for records in self.entries.chunk_by(same) {
            let Some(last) = records.last() else { continue };
            if head != Some(last.head(arena)) {
                head = Some(last.head(arena));
                sink.start_head(last.head(arena), 0)?;
            }
            sink.push_bytes(last.tail(arena), &[records.len() as i128])?;
        }
        sink.end_segment()?;
        self.arena.clear();
        self.entries.clear();
        Ok(())
    }
}

/// The first bytes of a head as a number that sorts as they do. A head has no zero at its end that is not
/// one of its eight bytes: texts of tables have none at all.
fn prefix(head: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let len = head.len().min(8);
    bytes[..len].copy_from_slice(&head[..len]);
    u64::from_be_bytes(bytes)
}

/// Checks a text. With `plain` it is UTF-8 without a NUL, as all around it.
#[inline]
fn check_text(column: Column, field: &[u8], plain: bool) -> Result<(), RejectReason> {
    if !plain {
        std::str::from_utf8(field).map_err(|_| RejectReason::InvalidUtf8)?;
    }
    if field.len() > column.max_bytes {
        return Err(RejectReason::TooLong);
    }
    if field.is_empty() && column.is_key {
        return Err(RejectReason::EmptyKey);
    }
    if !plain && memchr::memchr(0, field).is_some() {
        return Err(RejectReason::Nul);
    }
    Ok(())
}

/// Appends a column of the key, the first as a head has it, any other in a form that ends itself.
#[inline]
fn put_key(
    column: Column,
    field: &[u8],
    plain: bool,
    first: bool,
    out: &mut Vec<u8>,
) -> Result<(), RejectReason> {
    match column.kind {
        KeyKind::Text => {
            check_text(column, field, plain)?;
            if first { out.extend_from_slice(field) } else { encode_text(field, out) }
        }
        _ if field.is_empty() => return Err(RejectReason::EmptyKey),
        KeyKind::Integer => out.extend_from_slice(&encode_integer(parse_integer(field)?)),
        KeyKind::Date => out.extend_from_slice(&encode_integer(parse_date(field)?.into())),
    }
    Ok(())
}

/// Appends a column of the row.
#[inline]
fn put(column: Column, field: &[u8], plain: bool, out: &mut Vec<u8>) -> Result<(), RejectReason> {
    match column.kind {
        KeyKind::Text => {
            check_text(column, field, plain)?;
            put_text(field, out);
        }
        _ if field.is_empty() && column.nullable => put_null(out),
        KeyKind::Integer => put_integer(parse_integer(field)?, out),
        KeyKind::Date => put_date(parse_date(field)?, out),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
