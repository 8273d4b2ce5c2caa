//! What a transaction changes of a table, before any of it is written. Pure: knows no database and no clock.
//!
//! Whoever uses it first lays in what the table has of the rows and groups that are concerned, then applies
//! changes one after another, each of which sees those before it, and at last writes what came out.

use std::cmp::Ordering;
use std::collections::HashMap;

use foldhash::fast::RandomState;

use tally_common::api::Outcome;
use tally_common::table::{Key, Operation, OperationKind, Row, Table, Value};

use super::changes::{Changes, Overflow};
use crate::store::table::{Counters, History, Stored, Writes};

/// A row: as the table has it, and as it will be.
#[derive(Debug, Default)]
struct Slot {
    was: bool,
    now: Option<Stored>,
    touched: bool,
}

/// What a transaction of operations changes of a table.
#[derive(Debug)]
pub(crate) struct Overlay<'t> {
    /// All but the rows.
    pub(crate) changes: Changes<'t>,
    rows: HashMap<Key, Slot, RandomState>,
}

impl<'t> Overlay<'t> {
    pub(crate) fn new(table: &'t Table, counters: Counters, now_ms: u64) -> Self {
        Self { changes: Changes::new(table, counters, now_ms), rows: HashMap::default() }
    }

    /// Lays in a row that the table has.
    pub(crate) fn lay_row(&mut self, stored: Stored) {
        let key = self.changes.table().key_of(&stored.row);
        self.rows.insert(key, Slot { was: true, now: Some(stored), touched: false });
    }

    /// The rows that were laid in.
    pub(crate) fn laid_rows(&self) -> impl Iterator<Item = &Stored> {
        self.rows.values().filter_map(|slot| slot.now.as_ref())
    }

    /// The row of a key as it is now.
    pub(crate) fn row(&self, key: &Key) -> Option<&Stored> {
        self.rows.get(key).and_then(|slot| slot.now.as_ref())
    }

    /// Applies an operation: what comes of it, and the version that goes with that.
    pub(crate) fn apply(&mut self, operation: &Operation) -> (Outcome, Option<u64>) {
        let there = self.row(&operation.key).map(|stored| stored.version);
        match (operation.kind, there) {
            (OperationKind::Add, Some(version)) => return (Outcome::Exists, Some(version)),
            (OperationKind::Update | OperationKind::Delete, None) => {
                return (Outcome::Missing, None);
            }
            _ => {}
        }
        if let (Some(expected), Some(version)) = (operation.expected_version, there)
            && expected != version
        {
            return (Outcome::Conflict, Some(version));
        }
        let (row, done) = match operation.kind {
            OperationKind::Delete => (None, Outcome::Deleted),
            OperationKind::Add => (Some(self.changed(operation)), Outcome::Added),
            OperationKind::Update => (Some(self.changed(operation)), Outcome::Updated),
        };
        let same =
            row.is_some() && self.row(&operation.key).map(|stored| &stored.row) == row.as_ref();
        if same {
            return (Outcome::Unchanged, there);
        }
        match self.put(&operation.key, row) {
            Ok(version) => (done, Some(version)),
            Err(Overflow) => (Outcome::Overflow, there),
        }
    }

    /// The row as an add or an update makes it.
    fn changed(&self, operation: &Operation) -> Row {
        let there = self.row(&operation.key);
        let value = |(i, set): (usize, &Option<Value>)| match (set, there) {
            (Some(value), _) => value.clone(),
            (None, Some(stored)) => stored.row[i].clone(),
            // An add sets all columns.
            (None, None) => Value::Null,
        };
        operation.set.iter().enumerate().map(value).collect()
    }

    /// Makes a row what is given, or removes it; gives the number of the change. `row` differs from what
    /// is there.
    ///
    /// # Errors
    /// [`Overflow`]; nothing has changed.
    fn put(&mut self, key: &Key, row: Option<Row>) -> Result<u64, Overflow> {
        let before = self.row(key).map(|stored| &stored.row);
        let moves = self.changes.weigh(before, row.as_ref())?;
        let slot = self.rows.entry(key.clone()).or_default();
        slot.touched = true;
        let (version, now) = self.changes.make(moves, slot.now.take(), row);
        slot.now = now;
        Ok(version)
    }

    /// The rows as they are to be written.
    pub(crate) fn writes<'o>(&'o self, history: &'o [History]) -> Writes<'o> {
        let mut writes = Writes { history, ..Writes::default() };
        for (key, slot) in self.rows.iter().filter(|(_, slot)| slot.touched) {
            match (&slot.now, slot.was) {
                (Some(stored), false) => writes.added.push(stored),
                (Some(stored), true) => writes.updated.push(stored),
                (None, true) => writes.deleted.push(key),
                (None, false) => {}
            }
        }
        // The pages of a table are in the order of its keys: they are written from one end to the other.
        let key = self.changes.table().key();
        let order = |a: &&Stored, b: &&Stored| {
            key.iter().map(|&i| a.row[i].cmp(&b.row[i])).find(|order| order.is_ne())
        };
        let order = |a: &&Stored, b: &&Stored| order(a, b).unwrap_or(Ordering::Equal);
        writes.added.sort_unstable_by(order);
        writes.updated.sort_unstable_by(order);
        writes.deleted.sort_unstable();
        writes
    }
}
