//! How the rows of an ingest compare with the table.

use std::cmp::Ordering;

use tally_common::spec::KeyKind;
use tally_common::table::{Row, Value};

use super::{Stored, TableSql};
use crate::store::here::{Found, Here};
use crate::store::{Bulk, Cell, Param, StoreError, Tx};

/// Rows of the table that are looked at for one that is compared, before keys are looked up one by one: a few
/// rows for all corners of a large table must not have all of it read.
const SCAN: usize = 8;

/// How a row of an ingest compares with the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    /// There is none of its key.
    New,
    /// There is one that differs.
    Differs(Stored),
}

/// Rows that are new or differ, by their index, in order.
type Differing = Vec<(usize, Compared)>;

impl TableSql {
    /// Compares rows, which are in order of their keys, with the table; gives those that are new or differ.
    pub(crate) async fn compare(
        &self,
        tx: &mut Tx,
        rows: &[(Row, u64)],
    ) -> Result<Differing, StoreError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        if let Tx::Here(here) = tx {
            return self.compare_in_order(here, rows);
        }
        if self.is_empty_between(tx, rows).await? {
            return Ok((0..rows.len()).map(|at| (at, Compared::New)).collect());
        }
        self.compare_joined(tx, rows).await
    }

    /// Reads the table along with the rows.
    fn compare_in_order(
        &self,
        here: &mut Here,
        rows: &[(Row, u64)],
    ) -> Result<Differing, StoreError> {
        let kinds = self.kinds();
        let order = format!("order by {}", self.key_columns().join(", "));
        let (sql, params) = self.stretch(rows, &self.selected(), &order);
        let (mut found, mut at, mut left) = (Vec::new(), 0, rows.len() * SCAN + 1);
        here.scan(&sql, &params, |stored| {
            while let Some((row, _)) = rows.get(at) {
                let order = self.order(stored, row)?;
                if order == Ordering::Less {
                    break;
                }
                at += 1;
                if order == Ordering::Equal {
                    if !self.is_same(stored, row)? {
                        let stored = self.stored(stored.values(&kinds)?);
                        found.push((at - 1, Compared::Differs(stored)));
                    }
                    break;
                }
                found.push((at - 1, Compared::New));
            }
            left -= 1;
            Ok(at < rows.len() && left > 0)
        })?;
        if left > 0 {
            found.extend((at..rows.len()).map(|at| (at, Compared::New)));
            return Ok(found);
        }
        self.compare_one_by_one(here, rows, at, &mut found)?;
        Ok(found)
    }

    /// Looks up each key from a row on.
    fn compare_one_by_one(
        &self,
        here: &mut Here,
        rows: &[(Row, u64)],
        from: usize,
        found: &mut Differing,
    ) -> Result<(), StoreError> {
        let (kinds, key) = (self.kinds(), self.key_as_columns());
        let bulk = self.dialect.select(&self.selected(), &self.name(), &key, "");
        for (at, (row, _)) in rows.iter().enumerate().skip(from) {
            let cell = |_, column: usize| Cell::from(&row[self.table.key()[column]]);
            let mut stored = None;
            here.bulk_query(&bulk, 1, &cell, &kinds, &mut |values| {
                stored = Some(self.stored(values));
            })?;
            match stored {
                None => found.push((at, Compared::New)),
                Some(stored) if stored.row == *row => {}
                Some(stored) => found.push((at, Compared::Differs(stored))),
            }
        }
        Ok(())
    }

    fn order(&self, stored: &Found<'_>, row: &Row) -> Result<Ordering, StoreError> {
        for &i in self.table.key() {
            let order = stored.compare(i, &row[i])?;
            if order != Ordering::Equal {
                return Ok(order);
            }
        }
        Ok(Ordering::Equal)
    }

    fn is_same(&self, stored: &Found<'_>, row: &Row) -> Result<bool, StoreError> {
        for (i, value) in row.iter().enumerate() {
            if stored.compare(i, value)? != Ordering::Equal {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A query of the rows of the table from the first key to the last one, and what it is given.
    fn stretch(&self, rows: &[(Row, u64)], selected: &str, then: &str) -> (String, Vec<Param>) {
        let key = |row: Option<&(Row, u64)>| row.map(|(row, _)| self.table.key_of(row));
        let (first, last) = (key(rows.first()), key(rows.last()));
        let (wanted, params) = self.range(&[(first.as_ref(), ">="), (last.as_ref(), "<=")]);
        (format!("select {selected} from {} t where {wanted} {then}", self.name()), params)
    }

    /// Whether the table has nothing from the first key to the last one, as where a file is read in for the
    /// first time: then nothing has to be sent to compare it.
    async fn is_empty_between(&self, tx: &mut Tx, rows: &[(Row, u64)]) -> Result<bool, StoreError> {
        let (sql, params) = self.stretch(rows, "t.\"_version\"", "limit 1");
        Ok(tx.query(sql, &params, &[KeyKind::Integer]).await?.is_empty())
    }

    /// Lets a server compare: what is equal does not come back.
    async fn compare_joined(
        &self,
        tx: &mut Tx,
        rows: &[(Row, u64)],
    ) -> Result<Differing, StoreError> {
        let own = self.table.columns().len();
        let mut given: Vec<KeyKind> = (0..own).map(|i| self.kind(i)).collect();
        given.push(KeyKind::Integer);
        let is_key = |i: &usize| self.table.key().contains(i);
        let value = |i: usize| self.dialect.written(self.kind(i), &format!("b.c{i}"));
        let same = (0..own).filter(is_key);
        let same = same.map(|i| format!("t.{} = {}", self.column(i), value(i)));
        let others = (0..own).filter(|i| !is_key(i));
        let differs = self.dialect.differs();
        let differ = others.map(|i| format!(" or t.{} {differs} {}", self.column(i), value(i)));
        let sql = format!(
            "select b.c{own}, {} from {} left join {} t on {} where t.\"_version\" is null{}",
            self.selected(),
            self.dialect.arrays(&given),
            self.name(),
            same.collect::<Vec<_>>().join(" and "),
            differ.collect::<String>()
        );
        let mut kinds = vec![KeyKind::Integer];
        kinds.extend(self.kinds());
        let mut found = Vec::new();
        let see = |mut row: Vec<Value>| {
            let at = row.remove(0).integer().unwrap_or(0) as usize;
            let new = row[own] == Value::Null;
            let compared = if new { Compared::New } else { Compared::Differs(self.stored(row)) };
            found.push((at, compared));
        };
        let cell = |at: usize, column: usize| {
            rows[at].0.get(column).map_or(Cell::Integer(at as i64), Cell::from)
        };
        tx.bulk_query(&Bulk::of_arrays(sql, given), rows.len(), cell, &kinds, see).await?;
        found.sort_unstable_by_key(|(at, _)| *at);
        Ok(found)
    }
}
