//! Writing rows, aggregates, history and what was applied.

use tally_common::api::ChangeKind;
use tally_common::spec::{AggregateOp, KeyKind};
use tally_common::table::{Key, TableAggregate, Value};

use super::{META, Stored, TableSql, quoted, rows_column};
use crate::store::{BulkColumn, StoreError, Tx};

/// What one transaction changes of a table.
#[derive(Debug, Default)]
pub(crate) struct Writes<'a> {
    /// Rows whose keys there were not.
    pub(crate) added: Vec<&'a Stored>,
    /// Rows whose keys there were.
    pub(crate) updated: Vec<&'a Stored>,
    pub(crate) deleted: Vec<&'a Key>,
    pub(crate) history: &'a [History],
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupTotals {
    /// Rows in it.
    pub(crate) rows: i64,
    /// In the order of the aggregate's values.
    pub(crate) values: Vec<Value>,
}

fn int(n: u64) -> Value {
    Value::Integer(super::super::row::int(n))
}

impl TableSql {
    /// Writes what a transaction changes, the aggregates excepted.
    pub(crate) async fn write(&self, tx: &mut Tx, writes: &Writes<'_>) -> Result<(), StoreError> {
        self.delete_rows(tx, &writes.deleted).await?;
        let own = self.table.columns().len();
        let names: Vec<String> =
            (0..own).map(|i| self.column(i)).chain(META.map(str::to_owned)).collect();
        let given: Vec<String> = self
            .kinds()
            .iter()
            .enumerate()
            .map(|(i, kind)| self.dialect.written(*kind, &format!("b.c{i}")))
            .collect();
        let insert = format!(
            "insert into {} ({}) select {} from b where true",
            self.name(),
            names.join(", "),
            given.join(", ")
        );
        tx.bulk(&self.rows_as_columns(&writes.added), &insert).await?;
        let key: Vec<String> = self.table.key().iter().map(|&i| self.column(i)).collect();
        let set: Vec<String> = names
            .iter()
            .filter(|name| !key.contains(name))
            .map(|name| format!("{name} = excluded.{name}"))
            .collect();
        let upsert =
            format!("{insert} on conflict ({}) do update set {}", key.join(", "), set.join(", "));
        tx.bulk(&self.rows_as_columns(&writes.updated), &upsert).await?;
        self.write_history(tx, writes.history).await
    }

    fn rows_as_columns(&self, rows: &[&Stored]) -> Vec<BulkColumn> {
        let own = self.table.columns().iter().enumerate().map(|(i, column)| {
            (column.kind, rows.iter().map(|stored| stored.row[i].clone()).collect())
        });
        let meta: [fn(&Stored) -> u64; 3] =
            [|stored| stored.version, |stored| stored.added, |stored| stored.changed_ms];
        let meta = meta
            .into_iter()
            .map(|of| (KeyKind::Integer, rows.iter().map(|stored| int(of(stored))).collect()));
        own.chain(meta).collect()
    }

    async fn delete_rows(&self, tx: &mut Tx, keys: &[&Key]) -> Result<(), StoreError> {
        let columns: Vec<String> = self.table.key().iter().map(|&i| self.column(i)).collect();
        let given: Vec<String> = self
            .table
            .key()
            .iter()
            .enumerate()
            .map(|(at, &i)| self.dialect.written(self.kind(i), &format!("b.c{at}")))
            .collect();
        let sql = format!(
            "delete from {} where ({}) in (select {} from b)",
            self.name(),
            columns.join(", "),
            given.join(", ")
        );
        tx.bulk(&self.keys_as_columns(keys.iter().copied()), &sql).await?;
        Ok(())
    }

    async fn write_history(&self, tx: &mut Tx, history: &[History]) -> Result<(), StoreError> {
        let json = |row: &tally_common::table::Row| {
            // Values always serialise.
            serde_json::to_string(row).map_or(Value::Null, |text| Value::Text(text.into()))
        };
        let numbers = |of: fn(&History) -> u64| {
            (KeyKind::Integer, history.iter().map(|past| int(of(past))).collect::<Vec<_>>())
        };
        let texts = |of: &dyn Fn(&History) -> Value| {
            (KeyKind::Text, history.iter().map(of).collect::<Vec<_>>())
        };
        let columns = [
            numbers(|past| past.version),
            texts(&|past| Value::Text(past.key.to_json().to_string().into())),
            texts(&|past| Value::Text(past.change.as_str().into())),
            texts(&|past| past.row.as_ref().map_or(Value::Null, json)),
            numbers(|past| past.changed_ms),
            numbers(|past| past.until_ms),
        ];
        let sql = format!(
            "insert into row_history (table_id, version, row_key, change, row_values, changed_ms, until_ms)
             select {}, c0, c1, c2, c3, c4, c5 from b where true",
            self.id
        );
        tx.bulk(&columns, &sql).await?;
        Ok(())
    }

    /// Moves the groups of an aggregate that only counts by a difference; a group without rows goes.
    async fn move_groups(
        &self,
        tx: &mut Tx,
        aggregate: &TableAggregate,
        groups: &[(&Value, &GroupTotals)],
    ) -> Result<(), StoreError> {
        let kind = self.kind(aggregate.group_by);
        let (name, group) = (self.aggregate_name(aggregate), self.column(aggregate.group_by));
        let moved: Vec<_> = groups.iter().filter(|(_, moved)| moved.rows != 0).collect();
        let columns = [
            (kind, moved.iter().map(|(group, _)| (*group).clone()).collect::<Vec<_>>()),
            (KeyKind::Integer, moved.iter().map(|(_, by)| Value::Integer(by.rows)).collect()),
        ];
        let values: Vec<String> =
            aggregate.values.iter().map(|(.., value)| quoted(value)).collect();
        let given = vec![self.dialect.written(KeyKind::Integer, "b.c1"); values.len()];
        let set = values.iter().map(|value| {
            format!("{value} = {}.{value} + excluded.{value}", quoted(&aggregate.name))
        });
        let sql = format!(
            "insert into {name} ({group}, {}) select {}, {} from b where true
             on conflict ({group}) do update set {}",
            values.join(", "),
            self.dialect.written(kind, "b.c0"),
            given.join(", "),
            set.collect::<Vec<_>>().join(", ")
        );
        tx.bulk(&columns, &sql).await?;
        let less = moved.iter().filter(|(_, by)| by.rows < 0);
        let less = [(kind, less.map(|(group, _)| (*group).clone()).collect::<Vec<_>>())];
        let given = self.dialect.written(kind, "b.c0");
        let sql = format!(
            "delete from {name} where {group} in (select {given} from b) and {} = 0",
            values[0]
        );
        tx.bulk(&less, &sql).await?;
        Ok(())
    }

    /// Writes what groups come to; a group without rows goes.
    pub(crate) async fn write_groups(
        &self,
        tx: &mut Tx,
        aggregate: &TableAggregate,
        groups: &[(&Value, &GroupTotals)],
    ) -> Result<(), StoreError> {
        if aggregate.counts_only() {
            return self.move_groups(tx, aggregate, groups).await;
        }
        let kind = self.kind(aggregate.group_by);
        let (name, group) = (self.aggregate_name(aggregate), self.column(aggregate.group_by));
        let gone = groups.iter().filter(|(_, totals)| totals.rows == 0);
        let gone = [(kind, gone.map(|(group, _)| (*group).clone()).collect::<Vec<_>>())];
        let given = self.dialect.written(kind, "b.c0");
        let sql = format!("delete from {name} where {group} in (select {given} from b)");
        tx.bulk(&gone, &sql).await?;
        let kept: Vec<_> = groups.iter().filter(|(_, totals)| totals.rows > 0).collect();
        let mut columns =
            vec![(kind, kept.iter().map(|(group, _)| (*group).clone()).collect::<Vec<_>>())];
        let mut names = vec![group.clone()];
        for (i, (op, column, value)) in aggregate.values.iter().enumerate() {
            names.push(quoted(value));
            let values = kept.iter().map(|(_, totals)| match op {
                AggregateOp::Count => Value::Integer(totals.rows),
                _ => totals.values[i].clone(),
            });
            columns.push((self.value_kind(*op, *column), values.collect()));
        }
        if rows_column(aggregate).is_none() {
            names.push("\"_rows\"".to_owned());
            let rows = kept.iter().map(|(_, totals)| Value::Integer(totals.rows));
            columns.push((KeyKind::Integer, rows.collect()));
        }
        let given: Vec<String> = columns
            .iter()
            .enumerate()
            .map(|(i, (kind, _))| self.dialect.written(*kind, &format!("b.c{i}")))
            .collect();
        let set: Vec<String> =
            names[1..].iter().map(|name| format!("{name} = excluded.{name}")).collect();
        let sql = format!(
            "insert into {name} ({}) select {} from b where true on conflict ({group}) do update set {}",
            names.join(", "),
            given.join(", "),
            set.join(", ")
        );
        tx.bulk(&columns, &sql).await?;
        Ok(())
    }
}
