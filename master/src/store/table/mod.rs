//! The SQL of tables: their names, how they are made and dropped. Rows are read in `read`, written in
//! `write`; what is known of all tables is in `meta`.

mod compare;
pub(crate) mod meta;
mod page;
mod read;
mod swap;
mod write;

use std::sync::Arc;

use tally_common::spec::{AggregateOp, KeyKind};
use tally_common::table::{Row, Table, TableAggregate, Value};

use super::{Dialect, SqlColumn, StoreError, Tx};

pub(crate) use compare::Compared;
pub(crate) use meta::{Applied, Counters, IngestRow, StoredTable};
pub(crate) use page::{PageOf, Sort};
pub(crate) use read::Past;
pub(crate) use write::{GroupTotals, History, Writes};

/// A row as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) row: Row,
    /// The change that made it what it is.
    pub(crate) version: u64,
    /// The change that added it.
    pub(crate) added: u64,
    pub(crate) changed_ms: u64,
}

/// A table, and what its SQL needs to know.
#[derive(Clone, Debug)]
pub(crate) struct TableSql {
    pub(crate) id: i64,
    pub(crate) table: Arc<Table>,
    pub(crate) dialect: Dialect,
    pub(crate) side: Side,
}

/// Which of the SQL tables of a table is spoken of: there are others beside those in use while it is being
/// replaced. A name that a user gives has no `/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// What everybody reads.
    Live,
    /// What is to be that.
    New,
    /// What was that.
    Old,
}

impl Side {
    /// What its names end in.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Live => "",
            Self::New => "/new",
            Self::Old => "/old",
        }
    }
}

/// The columns that each table has besides its own.
pub(crate) const META: [&str; 3] = ["\"_version\"", "\"_added\"", "\"_changed_ms\""];

/// Bytes of a row's values, about.
pub(crate) fn weight(row: &Row) -> usize {
    let of = |value: &Value| if let Value::Text(text) = value { text.len() } else { 8 };
    row.iter().map(of).sum()
}

/// A name as SQL has it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What an aggregate keeps its number of rows in.
pub(crate) fn rows_column(aggregate: &TableAggregate) -> Option<usize> {
    aggregate.values.iter().position(|(op, ..)| *op == AggregateOp::Count)
}

impl TableSql {
    pub(crate) fn new(id: i64, table: Table, dialect: Dialect) -> Self {
        Self { id, table: Arc::new(table), dialect, side: Side::Live }
    }

    /// Its name as SQL has it, marked with its id: Postgres keeps the plans of statements by their text, and
    /// a table that was declared anew has other columns under the same name.
    pub(crate) fn name(&self) -> String {
        format!("{} /* {} */", self.bare(self.table.name()), self.id)
    }

    /// The same for the name of one of its aggregates.
    pub(crate) fn aggregate_name(&self, aggregate: &TableAggregate) -> String {
        format!("{} /* {} */", self.bare(&aggregate.name), self.id)
    }

    /// The name of it or of an aggregate without the mark.
    fn bare(&self, name: &str) -> String {
        quoted(&format!("{name}{}", self.side.suffix()))
    }

    /// The name of its `i`th column as SQL has it.
    pub(crate) fn column(&self, i: usize) -> String {
        quoted(&self.table.columns()[i].name)
    }

    pub(crate) fn kind(&self, i: usize) -> KeyKind {
        self.table.columns()[i].kind
    }

    /// The kinds of its columns, then of [`META`].
    pub(crate) fn kinds(&self) -> Vec<KeyKind> {
        let own = self.table.columns().iter().map(|column| column.kind);
        own.chain([KeyKind::Integer; META.len()]).collect()
    }

    /// The kind of an aggregate's value.
    pub(crate) fn value_kind(&self, op: AggregateOp, column: Option<usize>) -> KeyKind {
        match (op, column) {
            (AggregateOp::Min | AggregateOp::Max, Some(column)) => self.kind(column),
            _ => KeyKind::Integer,
        }
    }

    /// Its columns and [`META`] as a query reads them, of `t`.
    pub(crate) fn selected(&self) -> String {
        let own = (0..self.table.columns().len())
            .map(|i| self.dialect.read(self.kind(i), &format!("t.{}", self.column(i))));
        let meta = META.iter().map(|name| format!("t.{name}"));
        own.chain(meta).collect::<Vec<_>>().join(", ")
    }

    /// The key columns of `t`.
    pub(crate) fn key_columns(&self) -> Vec<String> {
        self.table.key().iter().map(|&i| format!("t.{}", self.column(i))).collect()
    }

    /// A row as a query of [`TableSql::selected`] gives it.
    pub(crate) fn stored(&self, mut values: Vec<Value>) -> Stored {
        let own = self.table.columns().len();
        let number = |value: &Value| value.integer().unwrap_or(0).unsigned_abs();
        let (version, added, changed_ms) =
            (number(&values[own]), number(&values[own + 1]), number(&values[own + 2]));
        values.truncate(own);
        Stored { row: values.into(), version, added, changed_ms }
    }

    /// The key columns, as a bulk statement wants them.
    pub(crate) fn key_as_columns(&self) -> Vec<SqlColumn> {
        self.table.key().iter().map(|&i| (self.column(i), self.kind(i))).collect()
    }

    /// The column that an aggregate groups by, likewise.
    pub(crate) fn group_as_column(&self, aggregate: &TableAggregate) -> SqlColumn {
        (self.column(aggregate.group_by), self.kind(aggregate.group_by))
    }

    /// Makes the SQL tables of it and its aggregates.
    pub(crate) async fn create(&self, tx: &mut Tx) -> Result<(), StoreError> {
        self.create_marked(tx, "").await
    }

    /// The same; the names of its indexes, which can not be changed, end in `mark`.
    async fn create_marked(&self, tx: &mut Tx, mark: &str) -> Result<(), StoreError> {
        let columns = self.table.columns().iter().map(|column| {
            let needed = if column.nullable { "" } else { " not null" };
            format!("{} {}{needed}", quoted(&column.name), self.dialect.column_type(column.kind))
        });
        let meta = META.iter().map(|name| format!("{name} bigint not null"));
        let key = self.table.key().iter().map(|&i| self.column(i)).collect::<Vec<_>>().join(", ");
        let all = columns.chain(meta).collect::<Vec<_>>().join(", ");
        let (name, tail) = (self.name(), self.dialect.without_rowid());
        tx.run(format!("create table {name} ({all}, primary key ({key})){tail}"), &[]).await?;
        let index = quoted(&format!("{}._version{mark}", self.table.name()));
        tx.run(format!("create unique index {index} on {name} (\"_version\")"), &[]).await?;
        for aggregate in self.table.aggregates() {
            self.create_aggregate(aggregate, tx, mark).await?;
        }
        Ok(())
    }

    async fn create_aggregate(
        &self,
        aggregate: &TableAggregate,
        tx: &mut Tx,
        mark: &str,
    ) -> Result<(), StoreError> {
        let group = self.column(aggregate.group_by);
        let mut columns =
            format!("{group} {} not null", self.dialect.column_type(self.kind(aggregate.group_by)));
        for (op, column, name) in &aggregate.values {
            let kind = self.dialect.column_type(self.value_kind(*op, *column));
            // The least of no values is none.
            let extreme = matches!(op, AggregateOp::Min | AggregateOp::Max);
            let needed = if extreme { "" } else { " not null" };
            columns += &format!(", {} {kind}{needed}", quoted(name));
        }
        if rows_column(aggregate).is_none() {
            columns += ", \"_rows\" bigint not null";
        }
        let (name, tail) = (self.aggregate_name(aggregate), self.dialect.without_rowid());
        tx.run(format!("create table {name} ({columns}, primary key ({group})){tail}"), &[])
            .await?;
        if aggregate.has_extremes() {
            // When the least row of a group goes, the next one has to be found.
            let index = quoted(&format!("{}._rows{mark}", aggregate.name));
            let table = self.name();
            tx.run(format!("create index {index} on {table} ({group})"), &[]).await?;
        }
        Ok(())
    }

    /// Drops the SQL tables of it and its aggregates.
    pub(crate) async fn drop(&self, tx: &mut Tx) -> Result<(), StoreError> {
        for aggregate in self.table.aggregates() {
            tx.run(format!("drop table {}", self.aggregate_name(aggregate)), &[]).await?;
        }
        tx.run(format!("drop table {}", self.name()), &[]).await?;
        Ok(())
    }
}
