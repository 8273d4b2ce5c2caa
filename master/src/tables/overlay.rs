//! What a transaction changes of a table, before any of it is written. Pure: knows no database and no clock.
//!
//! Whoever uses it first lays in what the table has of the rows and groups that are concerned, then applies
//! changes one after another, each of which sees those before it, and at last writes what came out.

use std::collections::HashMap;

use thiserror::Error;

use tally_common::api::{ChangeKind, Outcome};
use tally_common::spec::AggregateOp;
use tally_common::table::{Key, Operation, OperationKind, Row, Table, TableAggregate, Value};

use crate::store::table::{Counters, GroupTotals, History, Stored, Writes};

/// A sum would leave the 64-bit integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a sum would leave the 64-bit integers")]
pub(crate) struct Overflow;

/// A row: as the table has it, and as it will be.
#[derive(Debug, Default)]
struct Slot {
    was: bool,
    now: Option<Stored>,
    touched: bool,
}

/// A group of an aggregate as it will be; of one that only counts, by how much it moves.
#[derive(Debug)]
struct GroupSlot {
    totals: GroupTotals,
    touched: bool,
    /// A row went that may have had the least or greatest value: these have to be found anew.
    stale: bool,
}

/// What a transaction changes of a table.
#[derive(Debug)]
pub(crate) struct Overlay<'t> {
    table: &'t Table,
    now_ms: u64,
    counters: Counters,
    rows: HashMap<Key, Slot>,
    /// For each aggregate.
    groups: Vec<HashMap<Value, GroupSlot>>,
    history: Vec<History>,
}

impl<'t> Overlay<'t> {
    pub(crate) fn new(table: &'t Table, counters: Counters, now_ms: u64) -> Self {
        let groups = table.aggregates().iter().map(|_| HashMap::new()).collect();
        Self { table, now_ms, counters, rows: HashMap::new(), groups, history: Vec::new() }
    }

    /// Lays in a row that the table has.
    pub(crate) fn lay_row(&mut self, stored: Stored) {
        let key = self.table.key_of(&stored.row);
        self.rows.insert(key, Slot { was: true, now: Some(stored), touched: false });
    }

    /// Lays in a group that the aggregate has.
    pub(crate) fn lay_group(&mut self, aggregate: usize, group: Value, totals: GroupTotals) {
        let slot = GroupSlot { totals, touched: false, stale: false };
        self.groups[aggregate].insert(group, slot);
    }

    /// The rows that were laid in.
    pub(crate) fn laid_rows(&self) -> impl Iterator<Item = &Stored> {
        self.rows.values().filter_map(|slot| slot.now.as_ref())
    }

    /// Whether anything has changed.
    pub(crate) fn is_touched(&self) -> bool {
        self.rows.values().any(|slot| slot.touched)
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
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
    pub(crate) fn put(&mut self, key: &Key, row: Option<Row>) -> Result<u64, Overflow> {
        let before = self.row(key).map(|stored| &stored.row);
        let moved = self.moved(before, row.as_ref())?;
        for (aggregate, group, slot) in moved {
            self.groups[aggregate].insert(group, slot);
        }
        self.counters.version += 1;
        let version = self.counters.version;
        let slot = self.rows.entry(key.clone()).or_default();
        slot.touched = true;
        let before = slot.now.take();
        let added = before.as_ref().map_or(version, |stored| stored.added);
        match (&before, &row) {
            (None, Some(_)) => self.counters.rows += 1,
            (Some(_), None) => self.counters.rows = self.counters.rows.saturating_sub(1),
            _ => {}
        }
        if let Some(old) = before {
            let kind =
                if old.added == old.version { ChangeKind::Added } else { ChangeKind::Updated };
            self.history.push(History {
                version: old.version,
                change: kind,
                key: key.clone(),
                row: Some(old.row),
                changed_ms: old.changed_ms,
                until_ms: self.now_ms,
            });
        }
        match row {
            Some(row) => {
                slot.now = Some(Stored { row, version, added, changed_ms: self.now_ms });
            }
            None => self.history.push(History {
                version,
                change: ChangeKind::Deleted,
                key: key.clone(),
                row: None,
                changed_ms: self.now_ms,
                until_ms: self.now_ms,
            }),
        }
        Ok(version)
    }

    /// The groups that a change of a row moves, as they will be.
    fn moved(
        &self,
        before: Option<&Row>,
        after: Option<&Row>,
    ) -> Result<Vec<(usize, Value, GroupSlot)>, Overflow> {
        let mut moved = Vec::new();
        for (at, aggregate) in self.table.aggregates().iter().enumerate() {
            let group = |row: Option<&Row>| row.map(|row| row[aggregate.group_by].clone());
            let (from, to) = (group(before), group(after));
            if from == to {
                let Some(group) = to else { continue };
                moved.push((at, group.clone(), self.turned(at, aggregate, &group, before, after)?));
                continue;
            }
            if let Some(group) = from {
                moved.push((at, group.clone(), self.turned(at, aggregate, &group, before, None)?));
            }
            if let Some(group) = to {
                moved.push((at, group.clone(), self.turned(at, aggregate, &group, None, after)?));
            }
        }
        Ok(moved)
    }

    /// A group as it will be without one row and with another one.
    fn turned(
        &self,
        at: usize,
        aggregate: &TableAggregate,
        group: &Value,
        without: Option<&Row>,
        with: Option<&Row>,
    ) -> Result<GroupSlot, Overflow> {
        let known = self.groups[at].get(group);
        let mut stale = known.is_some_and(|slot| slot.stale);
        let rows = known.map_or(0, |slot| slot.totals.rows);
        let rows = rows - i64::from(without.is_some()) + i64::from(with.is_some());
        let mut values = Vec::with_capacity(aggregate.values.len());
        for (i, (op, column, _)) in aggregate.values.iter().enumerate() {
            let value = known.map_or(&Value::Null, |slot| &slot.totals.values[i]);
            let of = |row: Option<&Row>| {
                row.zip(*column).map_or(Value::Null, |(row, column)| row[column].clone())
            };
            let (gone, come) = (of(without), of(with));
            values.push(match op {
                AggregateOp::Count => Value::Integer(rows),
                AggregateOp::Sum => sum(value, &gone, &come)?,
                // Of what was in it before it was empty nothing is left.
                AggregateOp::Min | AggregateOp::Max if rows == 0 => Value::Null,
                AggregateOp::Min | AggregateOp::Max => {
                    stale |= gone != Value::Null && gone == *value && come != gone;
                    extreme(*op, value, come)
                }
            });
        }
        // A group that is empty has nothing to be found.
        stale &= rows > 0;
        Ok(GroupSlot { totals: GroupTotals { rows, values }, touched: true, stale })
    }

    /// The rows and the history as they are to be written.
    pub(crate) fn writes(&self) -> (Writes<'_>, Counters) {
        let mut writes = Writes { history: &self.history, ..Writes::default() };
        for (key, slot) in self.rows.iter().filter(|(_, slot)| slot.touched) {
            match (&slot.now, slot.was) {
                (Some(stored), false) => writes.added.push(stored),
                (Some(stored), true) => writes.updated.push(stored),
                (None, true) => writes.deleted.push(key),
                (None, false) => {}
            }
        }
        // The pages of a table are in the order of its keys: they are written from one end to the other.
        let key = |stored: &&Stored| self.table.key_of(&stored.row);
        writes.added.sort_by_cached_key(key);
        writes.updated.sort_by_cached_key(key);
        writes.deleted.sort_unstable();
        (writes, self.counters)
    }

    /// The groups of an aggregate whose least and greatest values have to be found anew, once the rows
    /// have been written.
    pub(crate) fn stale(&self, aggregate: usize) -> Vec<&Value> {
        self.groups[aggregate]
            .iter()
            .filter(|(_, slot)| slot.stale)
            .map(|(group, _)| group)
            .collect()
    }

    /// What has been found for such a group: a value for each value of the aggregate.
    pub(crate) fn found(&mut self, aggregate: usize, group: &Value, values: Vec<Value>) {
        let ops = &self.table.aggregates()[aggregate].values;
        let Some(slot) = self.groups[aggregate].get_mut(group) else { return };
        for ((known, found), (op, ..)) in slot.totals.values.iter_mut().zip(values).zip(ops) {
            if matches!(op, AggregateOp::Min | AggregateOp::Max) {
                *known = found;
            }
        }
    }

    /// The groups of an aggregate that have changed, as they are to be written.
    pub(crate) fn groups(&self, aggregate: usize) -> Vec<(&Value, &GroupTotals)> {
        let touched = self.groups[aggregate].iter().filter(|(_, slot)| slot.touched);
        let mut groups: Vec<_> = touched.map(|(group, slot)| (group, &slot.totals)).collect();
        groups.sort_unstable_by_key(|(group, _)| *group);
        groups
    }
}

fn sum(value: &Value, gone: &Value, come: &Value) -> Result<Value, Overflow> {
    let number = |value: &Value| i128::from(value.integer().unwrap_or(0));
    let sum = number(value) - number(gone) + number(come);
    i64::try_from(sum).map(Value::Integer).map_err(|_| Overflow)
}

fn extreme(op: AggregateOp, value: &Value, come: Value) -> Value {
    match (value, come) {
        (value, Value::Null) => value.clone(),
        (Value::Null, come) => come,
        (value, come) if op == AggregateOp::Min => value.clone().min(come),
        (value, come) => value.clone().max(come),
    }
}
