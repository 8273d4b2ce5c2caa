//! A table that is written anew beside the one in use, and takes its place at once. Only in SQLite: in a
//! Postgres a large transaction holds up nobody but those who write to the same table.
//!
//! To drop a large SQL table takes as long as to read it, to rename one takes no time: so the old one is
//! renamed, and emptied a share at a time before it is dropped.

use tally_common::spec::KeyKind;
use tally_common::table::Key;

use super::{Side, Stored, TableSql, quoted, weight};
use crate::store::{Dialect, Param, SqlColumn, StoreError, Tx};

impl TableSql {
    /// The same table on another side.
    pub(crate) fn on(&self, side: Side) -> Self {
        Self { side, ..self.clone() }
    }

    /// Makes the new side. `generation` goes up with each: the indexes of two of them can not have one name.
    pub(crate) async fn create_beside(
        &self,
        tx: &mut Tx,
        generation: u64,
    ) -> Result<(), StoreError> {
        self.on(Side::New).create_marked(tx, &format!("/{generation}")).await
    }

    /// The rows after a key, in order: as many as there are, at most so many, and no more than come to some
    /// bytes (but one). Gives whether there may be more.
    pub(crate) async fn share(
        &self,
        tx: &mut Tx,
        after: Option<&Key>,
        (rows, bytes): (usize, usize),
    ) -> Result<(Vec<Stored>, bool), StoreError> {
        let Tx::Here(here) = tx else {
            let found = self.between(tx, after, None, u32::try_from(rows).ok()).await?;
            let more = found.len() >= rows;
            return Ok((found, more));
        };
        let (wanted, params) = self.range(&[(after, ">")]);
        let sql = format!(
            "select {} from {} t where {wanted} order by {}",
            self.selected(),
            self.name(),
            self.key_columns().join(", ")
        );
        let (kinds, mut found, mut left) = (self.kinds(), Vec::new(), bytes);
        let mut more = false;
        here.scan(&sql, &params, |row| {
            let stored = self.stored(row.values(&kinds)?);
            left = left.saturating_sub(weight(&stored.row));
            found.push(stored);
            more = found.len() >= rows || left == 0;
            Ok(!more)
        })?;
        Ok((found, more))
    }

    /// Makes the new side the one in use, and that the old one.
    pub(crate) async fn swap(&self, tx: &mut Tx) -> Result<(), StoreError> {
        for (name, _) in self.parts() {
            let on = |side: Side| quoted(&format!("{name}{}", side.suffix()));
            let [live, new, old] = [Side::Live, Side::New, Side::Old].map(on);
            tx.run(format!("alter table {live} rename to {old}"), &[]).await?;
            tx.run(format!("alter table {new} rename to {live}"), &[]).await?;
        }
        Ok(())
    }

    /// Whether there is anything on a side.
    pub(crate) async fn is_there(&self, tx: &mut Tx, side: Side) -> Result<bool, StoreError> {
        if self.dialect == Dialect::Postgres {
            return Ok(side == Side::Live);
        }
        for (name, _) in self.parts() {
            if exists(tx, &format!("{name}{}", side.suffix())).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes at most so many rows of what is on a side, and what has none left; gives whether there may be
    /// more. The rows' own table goes last.
    pub(crate) async fn clear_some(
        &self,
        tx: &mut Tx,
        side: Side,
        most: u32,
    ) -> Result<bool, StoreError> {
        for (name, key) in self.parts() {
            let name = format!("{name}{}", side.suffix());
            if exists(tx, &name).await? {
                remove_some(tx, &quoted(&name), &key, most).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The names of the SQL tables that it consists of, its aggregates first, and their keys.
    fn parts(&self) -> Vec<(&str, Vec<SqlColumn>)> {
        let aggregates = self.table.aggregates().iter();
        let aggregates = aggregates
            .map(|aggregate| (aggregate.name.as_str(), vec![self.group_as_column(aggregate)]));
        aggregates.chain([(self.table.name(), self.key_as_columns())]).collect()
    }
}

async fn exists(tx: &mut Tx, name: &str) -> Result<bool, StoreError> {
    let sql = "select 1 from sqlite_master where type = 'table' and name = $1";
    Ok(!tx.query(sql.to_owned(), &[Param::text(name)], &[KeyKind::Integer]).await?.is_empty())
}

/// Removes the first rows of a table, or all of it where it has no more than that.
async fn remove_some(
    tx: &mut Tx,
    name: &str,
    key: &[SqlColumn],
    most: u32,
) -> Result<(), StoreError> {
    let columns: Vec<String> = key.iter().map(|(column, _)| format!("t.{column}")).collect();
    let (columns, kinds) = (columns.join(", "), key.iter().map(|(_, kind)| *kind));
    let kinds: Vec<KeyKind> = kinds.collect();
    let last = format!("select {columns} from {name} t order by {columns} limit 1 offset {most}");
    let Some(last) = tx.query(last, &[], &kinds).await?.into_iter().next() else {
        tx.run(format!("drop table {name}"), &[]).await?;
        return Ok(());
    };
    let given: Vec<String> = (1..=key.len()).map(|i| format!("${i}")).collect();
    let params = kinds.iter().zip(last).map(|(kind, value)| Param::Value(*kind, value));
    let params: Vec<Param> = params.collect();
    let sql = format!("delete from {name} as t where ({columns}) < ({})", given.join(", "));
    tx.run(sql, &params).await?;
    Ok(())
}
