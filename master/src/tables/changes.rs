//! What a transaction changes besides rows: history, aggregates and counters. Pure: knows no database and no
//! clock.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use thiserror::Error;

use tally_common::api::ChangeKind;
use tally_common::spec::AggregateOp;
use tally_common::table::{Row, Table, TableAggregate, Value};

use crate::store::table::{Counters, GroupTotals, History, Stored};

/// A sum would leave the 64-bit integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a sum would leave the 64-bit integers")]
pub(crate) struct Overflow;

/// A group of an aggregate as it will be; of one that only counts, by how much it moves.
#[derive(Debug, Default)]
struct GroupSlot {
    totals: GroupTotals,
    touched: bool,
    /// A row went that may have had the least or greatest value: these have to be found anew.
    stale: bool,
}

/// The groups of aggregates that do more than count as they will be after a change: aggregate, group,
/// totals.
pub(crate) struct Moves(Vec<(usize, Value, GroupSlot)>);

/// What a transaction changes.
#[derive(Debug)]
pub(crate) struct Changes<'t> {
    table: &'t Table,
    now_ms: u64,
    /// The table had no rows, and its aggregates no groups.
    fresh: bool,
    counters: Counters,
    /// For each aggregate.
    groups: Vec<HashMap<Value, GroupSlot, RandomState>>,
    history: Vec<History>,
}

impl<'t> Changes<'t> {
    pub(crate) fn new(table: &'t Table, counters: Counters, now_ms: u64) -> Self {
        let groups = table.aggregates().iter().map(|_| HashMap::default()).collect();
        let fresh = counters.rows == 0;
        Self { table, now_ms, fresh, counters, groups, history: Vec::new() }
    }

    pub(crate) const fn table(&self) -> &'t Table {
        self.table
    }

    pub(crate) const fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether the table had no rows, and so its aggregates no groups, before all this.
    pub(crate) const fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Lays in a group that the aggregate has.
    pub(crate) fn lay_group(&mut self, aggregate: usize, group: Value, totals: GroupTotals) {
        let slot = GroupSlot { totals, touched: false, stale: false };
        self.groups[aggregate].insert(group, slot);
    }

    /// Leaves those groups that are not laid in, nor made since.
    pub(crate) fn retain_unknown(&self, aggregate: usize, groups: &mut HashSet<Value>) {
        groups.retain(|group| !self.groups[aggregate].contains_key(group));
    }

    /// Groups at hand, of all aggregates.
    pub(crate) fn groups_at_hand(&self) -> usize {
        self.groups.iter().map(HashMap::len).sum()
    }

    /// What a change of a row does to groups.
    ///
    /// # Errors
    /// [`Overflow`].
    pub(crate) fn weigh(
        &self,
        before: Option<&Row>,
        after: Option<&Row>,
    ) -> Result<Moves, Overflow> {
        let mut moved = Vec::new();
        for (at, aggregate) in self.table.aggregates().iter().enumerate() {
            if aggregate.counts_only() {
                continue;
            }
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
        Ok(Moves(moved))
    }

    /// Makes a change that has been weighed: a row that was, or none, becomes what is given, or nothing. Gives
    /// its number, and the row as it is to be kept.
    pub(crate) fn make(
        &mut self,
        moves: Moves,
        before: Option<Stored>,
        row: Option<Row>,
    ) -> (u64, Option<Stored>) {
        self.group(moves, before.as_ref().map(|stored| &stored.row), row.as_ref());
        self.number(before, row)
    }

    /// Counts a row of a table that is written anew, which is no change of it, into its groups.
    ///
    /// # Errors
    /// [`Overflow`].
    pub(crate) fn take_in(&mut self, row: &Row) -> Result<(), Overflow> {
        let moves = self.weigh(None, Some(row))?;
        self.group(moves, None, Some(row));
        Ok(())
    }

    fn group(&mut self, Moves(moves): Moves, before: Option<&Row>, after: Option<&Row>) {
        for (aggregate, group, slot) in moves {
            self.groups[aggregate].insert(group, slot);
        }
        self.count(before, after);
    }

    /// Numbers a change whose groups are seen to elsewhere, and keeps what was.
    pub(crate) fn number(
        &mut self,
        before: Option<Stored>,
        row: Option<Row>,
    ) -> (u64, Option<Stored>) {
        self.counters.version += 1;
        let version = self.counters.version;
        match (&before, &row) {
            (None, Some(_)) => self.counters.rows += 1,
            (Some(_), None) => self.counters.rows = self.counters.rows.saturating_sub(1),
            _ => {}
        }
        let added = before.as_ref().map_or(version, |stored| stored.added);
        let key = before.as_ref().map(|stored| self.table.key_of(&stored.row));
        if let (Some(old), Some(key)) = (before, &key) {
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
        let now = row.map(|row| Stored { row, version, added, changed_ms: self.now_ms });
        if let (None, Some(key)) = (&now, key) {
            self.history.push(History {
                version,
                change: ChangeKind::Deleted,
                key,
                row: None,
                changed_ms: self.now_ms,
                until_ms: self.now_ms,
            });
        }
        (version, now)
    }

    /// Moves the groups of the aggregates that only count: nothing can be in the way of that.
    fn count(&mut self, before: Option<&Row>, after: Option<&Row>) {
        let counting = self.table.aggregates().iter().enumerate();
        for (at, aggregate) in counting.filter(|(_, aggregate)| aggregate.counts_only()) {
            let group = |row: Option<&'_ Row>| row.map(|row| row[aggregate.group_by].clone());
            let (from, to) = (group(before), group(after));
            if from == to {
                continue;
            }
            for (group, by) in [(from, -1), (to, 1)] {
                let Some(group) = group else { continue };
                let slot = self.groups[at].entry(group).or_default();
                slot.totals.rows += by;
                slot.touched = true;
            }
        }
    }

    /// Gives the history away, as far as it has come.
    pub(crate) fn take_history(&mut self) -> Vec<History> {
        std::mem::take(&mut self.history)
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
