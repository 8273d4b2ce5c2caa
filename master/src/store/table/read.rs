//! Reading rows, aggregates and history.

use tally_common::api::{ChangeKind, Recount, RecountedAggregate};
use tally_common::spec::{AggregateOp, KeyKind};
use tally_common::table::{Key, Row, TableAggregate, Value};

use super::{GroupTotals, Stored, TableSql, quoted, rows_column};
use crate::store::{Cell, Param, StoreError, Tx};

/// A change as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    pub(crate) version: u64,
    pub(crate) change: ChangeKind,
    pub(crate) key: serde_json::Value,
    pub(crate) row: Option<Row>,
    pub(crate) changed_ms: u64,
}

impl TableSql {
    /// The rows of some keys, as far as there are any.
    pub(crate) async fn rows_of(
        &self,
        tx: &mut Tx,
        keys: &[&Key],
        mut see: impl FnMut(Stored),
    ) -> Result<(), StoreError> {
        let (name, key) = (self.name(), self.key_as_columns());
        let bulk = self.dialect.select(&self.selected(), &name, &key, "");
        let cell = |row: usize, column: usize| Cell::from(&keys[row].0[column]);
        tx.bulk_query(&bulk, keys.len(), cell, &self.kinds(), |row| see(self.stored(row))).await
    }

    /// The rows after one key and up to another one, in order; at most `limit`.
    pub(crate) async fn between(
        &self,
        tx: &mut Tx,
        after: Option<&Key>,
        through: Option<&Key>,
        limit: Option<u32>,
    ) -> Result<Vec<Stored>, StoreError> {
        let (wanted, params) = self.range(&[(after, ">"), (through, "<=")]);
        let columns = self.key_columns().join(", ");
        let limit = limit.map(|limit| format!(" limit {limit}")).unwrap_or_default();
        let sql = format!(
            "select {} from {} t where {wanted} order by {columns}{limit}",
            self.selected(),
            self.name()
        );
        let mut found = Vec::new();
        tx.each(sql, &params, &self.kinds(), |row| found.push(self.stored(row))).await?;
        Ok(found)
    }

    /// That the key of `t` is on a side of each of some keys, and what that is given.
    pub(super) fn range(&self, sides: &[(Option<&Key>, &str)]) -> (String, Vec<Param>) {
        let columns = self.key_columns().join(", ");
        let mut params = Vec::new();
        let mut conditions = Vec::new();
        for (key, than) in sides {
            let Some(key) = key else { continue };
            let mut given = Vec::new();
            for (&i, value) in self.table.key().iter().zip(&key.0) {
                params.push(Param::Value(self.kind(i), value.clone()));
                given.push(self.dialect.written(self.kind(i), &format!("${}", params.len())));
            }
            conditions.push(format!("({columns}) {than} ({})", given.join(", ")));
        }
        let wanted =
            if conditions.is_empty() { "true".to_owned() } else { conditions.join(" and ") };
        (wanted, params)
    }

    /// What some groups of an aggregate come to, as far as there are any.
    pub(crate) async fn groups(
        &self,
        tx: &mut Tx,
        aggregate: &TableAggregate,
        groups: &[&Value],
        mut see: impl FnMut(Value, GroupTotals),
    ) -> Result<(), StoreError> {
        let kind = self.kind(aggregate.group_by);
        let group = self.column(aggregate.group_by);
        let (mut selected, mut kinds) =
            (vec![self.dialect.read(kind, &format!("t.{group}"))], vec![kind]);
        for (op, column, name) in &aggregate.values {
            let kind = self.value_kind(*op, *column);
            selected.push(self.dialect.read(kind, &format!("t.{}", quoted(name))));
            kinds.push(kind);
        }
        let rows_at = match rows_column(aggregate) {
            Some(at) => at + 1,
            None => {
                selected.push("t.\"_rows\"".to_owned());
                kinds.push(KeyKind::Integer);
                kinds.len() - 1
            }
        };
        let (name, by) = (self.aggregate_name(aggregate), [self.group_as_column(aggregate)]);
        let bulk = self.dialect.select(&selected.join(", "), &name, &by, "");
        let values = aggregate.values.len();
        let cell = |row: usize, _| Cell::from(groups[row]);
        tx.bulk_query(&bulk, groups.len(), cell, &kinds, |row| {
            let rows = row[rows_at].integer().unwrap_or(0);
            let mut row = row.into_iter();
            let Some(group) = row.next() else { return };
            see(group, GroupTotals { rows, values: row.take(values).collect() });
        })
        .await
    }

    /// The least and greatest values of some groups, from the rows: for each group a value for each value
    /// of the aggregate, null where it is neither.
    pub(crate) async fn extremes(
        &self,
        tx: &mut Tx,
        aggregate: &TableAggregate,
        groups: &[&Value],
        mut see: impl FnMut(Value, Vec<Value>),
    ) -> Result<(), StoreError> {
        let kind = self.kind(aggregate.group_by);
        let group = self.column(aggregate.group_by);
        let (mut selected, mut kinds) =
            (vec![self.dialect.read(kind, &format!("t.{group}"))], vec![kind]);
        for (op, column, _) in &aggregate.values {
            let (name, kind) = match (op, column) {
                (AggregateOp::Min, Some(i)) => {
                    (format!("min(t.{})", self.column(*i)), self.kind(*i))
                }
                (AggregateOp::Max, Some(i)) => {
                    (format!("max(t.{})", self.column(*i)), self.kind(*i))
                }
                _ => ("null".to_owned(), KeyKind::Integer),
            };
            let read = if name == "null" {
                "cast(null as bigint)".to_owned()
            } else {
                self.dialect.read(kind, &name)
            };
            selected.push(read);
            kinds.push(kind);
        }
        let (name, by) = (self.name(), [self.group_as_column(aggregate)]);
        let then = format!("group by t.{group}");
        let bulk = self.dialect.select(&selected.join(", "), &name, &by, &then);
        let cell = |row: usize, _| Cell::from(groups[row]);
        tx.bulk_query(&bulk, groups.len(), cell, &kinds, |mut row| {
            let group = row.remove(0);
            see(group, row);
        })
        .await
    }

    /// The changes after one, in order, of a table that has come to `version`.
    pub(crate) async fn changes(
        &self,
        tx: &mut Tx,
        (after, version): (u64, u64),
        limit: u32,
    ) -> Result<Vec<Past>, StoreError> {
        let after = [Param::int(after)];
        let sql = format!(
            "select {} from {} t where t.\"_version\" > $1 order by t.\"_version\" limit {limit}",
            self.selected(),
            self.name()
        );
        let mut found = Vec::new();
        tx.each(sql, &after, &self.kinds(), |row| found.push(self.now(self.stored(row)))).await?;
        let conditions = "version > $1";
        let order = format!("order by version limit {limit}");
        found.extend(self.past(tx, (conditions, &order), &after, version).await?);
        found.sort_unstable_by_key(|past| past.version);
        found.truncate(limit as usize);
        Ok(found)
    }

    /// What the row of a key was, the newest change first, in a table that has come to `version`.
    pub(crate) async fn history(
        &self,
        tx: &mut Tx,
        key: &Key,
        version: u64,
    ) -> Result<Vec<Past>, StoreError> {
        let params = [Param::text(&key.to_json().to_string())];
        let mut found = Vec::new();
        self.rows_of(tx, &[key], |stored| found.push(self.now(stored))).await?;
        let wanted = ("row_key = $1", "order by version desc limit 10000");
        found.extend(self.past(tx, wanted, &params, version).await?);
        Ok(found)
    }

    /// The change that made a row what it is.
    fn now(&self, stored: Stored) -> Past {
        let added = stored.added == stored.version;
        Past {
            version: stored.version,
            change: if added { ChangeKind::Added } else { ChangeKind::Updated },
            key: self.table.key_of(&stored.row).to_json(),
            row: Some(stored.row),
            changed_ms: stored.changed_ms,
        }
    }

    /// What is kept of the past. What was written ahead of a change that the table has not come to has not
    /// happened.
    async fn past(
        &self,
        tx: &mut Tx,
        (conditions, order): (&str, &str),
        params: &[Param],
        version: u64,
    ) -> Result<Vec<Past>, StoreError> {
        let (number, text) = (KeyKind::Integer, KeyKind::Text);
        let sql = format!(
            "select version, row_key, change, row_values, changed_ms from row_history
             where table_id = {} and {conditions} and coalesce(ahead, 0) <= ${} {order}",
            self.id,
            params.len() + 1
        );
        let params = [params, &[Param::int(version)]].concat();
        let rows = tx.query(sql, &params, &[number, text, text, text, number]).await?;
        rows.into_iter().map(|row| self.past_of(&row)).collect()
    }

    fn past_of(&self, row: &[Value]) -> Result<Past, StoreError> {
        let number = |at: usize| row[at].integer().unwrap_or(0).unsigned_abs();
        let text = |at: usize| row[at].to_string();
        let name = text(2);
        let change =
            ChangeKind::parse(&name).ok_or_else(|| StoreError::nonsense("a change", &name))?;
        let values = match &row[3] {
            Value::Null => None,
            text => Some(self.row_from_history(&text.to_string())?),
        };
        let key =
            serde_json::from_str(&text(1)).map_err(|error| StoreError::nonsense("a key", error))?;
        Ok(Past { version: number(0), change, key, row: values, changed_ms: number(4) })
    }

    fn row_from_history(&self, text: &str) -> Result<Row, StoreError> {
        let values: Vec<serde_json::Value> =
            serde_json::from_str(text).map_err(|error| StoreError::nonsense("a row", error))?;
        let columns = self.table.columns();
        if values.len() != columns.len() {
            return Err(StoreError::nonsense(
                "a row",
                "it has another number of columns than its table",
            ));
        }
        let values =
            columns.iter().zip(&values).map(|(column, value)| Value::from_json(column, value));
        values.collect::<Result<_, _>>().map_err(|error| StoreError::nonsense("a row", error))
    }

    /// Counts the rows and the aggregates anew, and compares.
    pub(crate) async fn recount(
        &self,
        tx: &mut Tx,
        rows: u64,
        version: u64,
    ) -> Result<Recount, StoreError> {
        let count = async |tx: &mut Tx, sql: String| {
            let found = tx.query(sql, &[], &[KeyKind::Integer]).await?;
            let first = found.first().and_then(|row| row.first());
            Ok::<_, StoreError>(first.and_then(Value::integer).unwrap_or(0).unsigned_abs())
        };
        let counted = count(tx, format!("select count(*) from {}", self.name())).await?;
        let mut right = counted == rows;
        let mut aggregates = Vec::new();
        for aggregate in self.table.aggregates() {
            let group = self.column(aggregate.group_by);
            let (mut anew, mut kept) = (vec![group.clone()], vec![group.clone()]);
            for (op, column, name) in &aggregate.values {
                let of = column.map(|i| self.column(i)).unwrap_or_default();
                anew.push(match op {
                    AggregateOp::Count => "count(*)".to_owned(),
                    AggregateOp::Sum => format!("cast(coalesce(sum({of}), 0) as bigint)"),
                    AggregateOp::Min => format!("min({of})"),
                    AggregateOp::Max => format!("max({of})"),
                });
                kept.push(quoted(name));
            }
            let anew = format!("select {} from {} group by {group}", anew.join(", "), self.name());
            let kept =
                format!("select {} from {}", kept.join(", "), self.aggregate_name(aggregate));
            let groups = count(tx, format!("select count(*) from ({anew}) as anew")).await?;
            let differ = |a: &str, b: &str| {
                format!(
                    "select {group} from (select * from ({a}) as x except select * from ({b}) as y) as z"
                )
            };
            let (more, less) = (differ(&anew, &kept), differ(&kept, &anew));
            let wrong = format!("select count(*) from ({more} union {less}) as wrong");
            let wrong = count(tx, wrong).await?;
            right &= wrong == 0;
            aggregates.push(RecountedAggregate { name: aggregate.name.clone(), groups, wrong });
        }
        Ok(Recount { rows: counted, version, aggregates, right })
    }
}
