//! Runs of rows as rows: of each key the last record of all tasks, in order of the keys, as somebody wants
//! them. What a run says of a row is believed only where it fits the table and the key it stands under.

use std::io;

use tally_common::reject::Reject;
use tally_common::run::GroupSink;
use tally_common::spec::Spec;
use tally_common::table::{BadRow, Row, RowTail, read_row};

use super::ranges::Range;
use super::{FAN_IN, MergeError, MergeInput, MergeOptions, cascade, kway, ranges};

/// Calls `take` with each row, in strictly ascending order of its key, and with how many records had that
/// key, until it says `false`.
///
/// # Errors
/// [`MergeError`].
pub(crate) fn each_row(
    spec: &Spec,
    inputs: &[MergeInput],
    options: &MergeOptions<'_>,
    take: impl FnMut(Row, u64) -> bool,
) -> Result<(), MergeError> {
    let segments = cascade::narrow(spec, ranges::segments(inputs), options, FAN_IN)?;
    let mut sink = Rows::new(spec, take);
    match kway::merge(spec, &segments, &Range::default(), options.cancelled, &mut sink) {
        Err(MergeError::Io(_)) if sink.enough => Ok(()),
        ended => ended,
    }
}

/// The row of the key at hand, while more records of that key may come.
struct Rows<'a, F> {
    spec: &'a Spec,
    /// Indices of the key columns among those of the row.
    keys: Vec<usize>,
    take: F,
    head: Vec<u8>,
    /// The key columns but the first, as the tail has them.
    others: Vec<u8>,
    row: Vec<u8>,
    /// Records that had the key; none where no key is at hand.
    records: u64,
    scratch: Vec<u8>,
    /// No more are wanted: what is left to do is to end the merge, by an error.
    enough: bool,
}

impl<'a, F: FnMut(Row, u64) -> bool> Rows<'a, F> {
    fn new(spec: &'a Spec, take: F) -> Self {
        let rows = spec.rows().unwrap_or_default();
        let place = |name: &str| {
            let same = |other: &str| tally_common::dialect::fold(other);
            rows.iter().position(|column| same(&column.name) == same(name))
        };
        Self {
            spec,
            // A checked spec has its keys among its rows.
            keys: spec.group_by().iter().filter_map(|key| place(&key.name)).collect(),
            take,
            head: Vec::new(),
            others: Vec::new(),
            row: Vec::new(),
            records: 0,
            scratch: Vec::new(),
            enough: false,
        }
    }

    /// Gives the row at hand away.
    fn give(&mut self) -> io::Result<()> {
        if self.records == 0 {
            return Ok(());
        }
        let row =
            self.decode().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let records = std::mem::take(&mut self.records);
        self.enough = !(self.take)(row, records);
        if self.enough { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }

    fn decode(&mut self) -> Result<Row, BadRow> {
        let row = read_row(self.spec.rows().unwrap_or_default(), &self.row)?;
        let (first, others) = self.keys.split_first().ok_or(BadRow)?;
        self.scratch.clear();
        let holds = RowTail::put_head(&row[*first], &mut self.scratch) && self.scratch == self.head;
        self.scratch.clear();
        let key = &mut self.scratch;
        let others = others.iter().all(|&at| RowTail::put_key(&row[at], key));
        if holds && others && *key == self.others { Ok(row) } else { Err(BadRow) }
    }
}

impl<F: FnMut(Row, u64) -> bool> GroupSink for Rows<'_, F> {
    fn start_head(&mut self, head: &[u8], _: u64) -> io::Result<()> {
        self.give()?;
        self.head.clear();
        self.head.extend_from_slice(head);
        Ok(())
    }

    fn push_ordinal(&mut self, _: i64, _: &[i128]) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::InvalidData, BadRow))
    }

    fn push_bytes(&mut self, tail: &[u8], values: &[i128]) -> io::Result<()> {
        let bad = |error: BadRow| io::Error::new(io::ErrorKind::InvalidData, error);
        let others = &self.spec.group_by()[1..];
        let tail = RowTail::split(others, tail, &mut self.scratch).map_err(bad)?;
        let records = values.first().and_then(|n| u64::try_from(*n).ok()).filter(|n| *n > 0);
        let records = records.ok_or_else(|| bad(BadRow))?;
        if self.records > 0 && tail.key != self.others {
            self.give()?;
        }
        // Tails ascend: within a key this one stands later in the input than the one before.
        self.others.clear();
        self.others.extend_from_slice(tail.key);
        self.row.clear();
        self.row.extend_from_slice(tail.row);
        self.records = self.records.saturating_add(records);
        Ok(())
    }

    fn end_segment(&mut self) -> io::Result<()> {
        self.give()
    }

    fn reject(&mut self, _: Reject) -> io::Result<()> {
        Ok(())
    }
}
