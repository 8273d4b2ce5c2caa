//! Writing rows, aggregates, history and what was applied.

use tally_common::api::ChangeKind;
use tally_common::spec::{AggregateOp, KeyKind};
use tally_common::table::{Key, TableAggregate, Value};

use super::{META, Stored, TableSql, quoted, rows_column};
use crate::store::{Cell, SqlColumn, StoreError, Tx};

/// What one transaction changes of a table.
#[derive(Debug, Default)]
pub(crate) struct Writes<'a> {
    /// Rows whose keys there were not.
    pub(crate) added: Vec<&'a Stored>,
    /// Rows whose keys there were.
    pub(crate) updated: Vec<&'a Stored>,
    pub(crate) deleted: Vec<&'a Key>,
    pub(crate) history: &'a [History],
    /// The change with which the history will have happened, where it is written ahead of that.
    pub(crate) ahead: Option<u64>,
}

/// What a row was, or that it was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) version: u64,
    pub(crate) change: ChangeKind,
    pub(crate) key: Key,
    /// `None` for a deletion.
    pub(crate) row: Option<tally_common::table::Row>,
    pub(crate) changed_ms: u64,
    pub(crate) until_ms: u64,
}

/// What a group of an aggregate comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupTotals {
    /// Rows in it.
    pub(crate) rows: i64,
    /// In the order of the aggregate's values.
    pub(crate) values: Vec<Value>,
}

/// What a statement does with a row whose key there is already: it is made the new one.
fn replaced(key: &[SqlColumn], all: &[SqlColumn]) -> String {
    let key: Vec<&str> = key.iter().map(|(name, _)| name.as_str()).collect();
    let set = all.iter().filter(|(name, _)| !key.contains(&name.as_str()));
    let set: Vec<String> = set.map(|(name, _)| format!("{name} = excluded.{name}")).collect();
    format!("on conflict ({}) do update set {}", key.join(", "), set.join(", "))
}

impl TableSql {
    /// Writes what a transaction changes, the aggregates excepted.
    pub(crate) async fn write(&self, tx: &mut Tx, writes: &Writes<'_>) -> Result<(), StoreError> {
        let (name, key) = (self.name(), self.key_as_columns());
        let delete = self.dialect.delete(&name, &key, "true");
        let gone = |row: usize, column: usize| Cell::from(&writes.deleted[row].0[column]);
        tx.bulk(&delete, writes.deleted.len(), gone).await?;
        let own = self.table.columns().len();
        let names = (0..own).map(|i| self.column(i)).chain(META.map(str::to_owned));
        let columns: Vec<SqlColumn> = names.zip(self.kinds()).collect();
        let insert = self.dialect.insert(&name, &columns, "");
        let added = |row: usize, column: usize| cell(writes.added[row], column);
        tx.bulk(&insert, writes.added.len(), added).await?;
        let upsert = self.dialect.insert(&name, &columns, &replaced(&key, &columns));
        let updated = |row: usize, column: usize| cell(writes.updated[row], column);
        tx.bulk(&upsert, writes.updated.len(), updated).await?;
        self.write_history(tx, writes.history, writes.ahead).await
    }

    async fn write_history(
        &self,
        tx: &mut Tx,
        history: &[History],
        ahead: Option<u64>,
    ) -> Result<(), StoreError> {
        let (number, text) = (KeyKind::Integer, KeyKind::Text);
        let columns = [
            ("table_id", number),
            ("version", number),
            ("row_key", text),
            ("change", text),
            ("row_values", text),
            ("changed_ms", number),
            ("until_ms", number),
            ("ahead", number),
        ];
        let columns = columns.map(|(name, kind)| (name.to_owned(), kind));
        let insert = self.dialect.insert("row_history", &columns, "");
        // Values always serialise.
        let json = |row: &tally_common::table::Row| serde_json::to_string(row).unwrap_or_default();
        let texts: Vec<(String, Option<String>)> = history
            .iter()
            .map(|past| (past.key.to_json().to_string(), past.row.as_ref().map(json)))
            .collect();
        let cell = |row: usize, column: usize| {
            let (past, (key, values)) = (&history[row], &texts[row]);
            match column {
                0 => Cell::Integer(self.id),
                1 => Cell::int(past.version),
                2 => Cell::Text(key),
                3 => Cell::Text(past.change.as_str()),
                4 => values.as_deref().map_or(Cell::Null, Cell::Text),
                5 => Cell::int(past.changed_ms),
                6 => Cell::int(past.until_ms),
                _ => ahead.map_or(Cell::Null, Cell::int),
            }
        };
        tx.bulk(&insert, history.len(), cell).await
    }

    /// Writes what groups come to, or by how much they move where the aggregate only counts; a group without
    /// rows goes. `fresh`: the aggregate has no groups.
    pub(crate) async fn write_groups(
        &self,
        tx: &mut Tx,
        aggregate: &TableAggregate,
        groups: &[(&Value, &GroupTotals)],
        fresh: bool,
    ) -> Result<(), StoreError> {
        let (name, by) = (self.aggregate_name(aggregate), self.group_as_column(aggregate));
        let mut columns = vec![by.clone()];
        for (op, column, value) in &aggregate.values {
            columns.push((quoted(value), self.value_kind(*op, *column)));
        }
        if rows_column(aggregate).is_none() {
            columns.push(("\"_rows\"".to_owned(), KeyKind::Integer));
        }
        let moves = aggregate.counts_only();
        let conflict = match (fresh, moves) {
            (true, _) => String::new(),
            (false, true) => added_up(&by, &columns, &self.bare(&aggregate.name)),
            (false, false) => replaced(std::slice::from_ref(&by), &columns),
        };
        let kept = |totals: &GroupTotals| totals.rows > 0 || moves && !fresh && totals.rows != 0;
        let kept: Vec<_> = groups.iter().filter(|(_, totals)| kept(totals)).collect();
        let cell = |row: usize, column: usize| {
            let (group, totals) = kept[row];
            match column.checked_sub(1).map(|at| (at, aggregate.values.get(at))) {
                None => Cell::from(*group),
                Some((_, None | Some((AggregateOp::Count, ..)))) => Cell::Integer(totals.rows),
                Some((at, Some(_))) => Cell::from(&totals.values[at]),
            }
        };
        tx.bulk(&self.dialect.insert(&name, &columns, &conflict), kept.len(), cell).await?;
        // Of a group that is moved it is not known here whether it is empty now.
        let less = |totals: &GroupTotals| if moves { totals.rows < 0 } else { totals.rows == 0 };
        let less: Vec<_> = groups.iter().filter(|(_, totals)| less(totals)).collect();
        let empty = if moves { format!("t.{} = 0", columns[1].0) } else { "true".to_owned() };
        let delete = self.dialect.delete(&name, &[by], &empty);
        tx.bulk(&delete, less.len(), |row, _| Cell::from(less[row].0)).await
    }
}

/// What a statement does with a group that there is already: what is given is added to its counts.
fn added_up(by: &SqlColumn, all: &[SqlColumn], aggregate: &str) -> String {
    let set =
        all[1..].iter().map(|(name, _)| format!("{name} = {aggregate}.{name} + excluded.{name}"));
    format!("on conflict ({}) do update set {}", by.0, set.collect::<Vec<_>>().join(", "))
}

/// What a row has in a column, its own or one of [`META`].
fn cell(stored: &Stored, column: usize) -> Cell<'_> {
    match column.checked_sub(stored.row.len()) {
        None => Cell::from(&stored.row[column]),
        Some(0) => Cell::int(stored.version),
        Some(1) => Cell::int(stored.added),
        Some(_) => Cell::int(stored.changed_ms),
    }
}
