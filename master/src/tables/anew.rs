//! A table that is replaced by so much that one transaction would hold up all who write to the same file of
//! SQLite: it is written anew beside the one in use, a share at a time, and takes its place in a last, short
//! transaction.
//!
//! Until then nobody sees any of it: rows and aggregates are in SQL tables of other names, and history that is
//! written ahead is not read before the table has come to the change that it belongs to. The turn to change
//! the table is held all the while, so what has been gathered stays true. What a process that dies leaves
//! behind is removed before anybody else has the turn (`Handle::turn`).

use std::collections::HashSet;
use std::iter::Peekable;
use std::sync::Arc;
use std::vec::IntoIter;

use tally_common::api::IngestCounts;
use tally_common::table::{Key, Table, Value};

use super::TablesError;
use super::apply::{Applier, TRANSACTION_GROUPS};
use super::changes::{Changes, Overflow};
use super::handle::{Handle, Turn};
use super::ingest::{CHUNK_BYTES, MayGoOn, Means, Shares};
use super::stage::{Change, Staged};
use super::writer::lay_groups;
use crate::coordinator::fault;
use crate::store::table::{Counters, Side, Stored, TableSql, Writes, meta, weight};

/// A table while it is written anew.
struct Anew<'h> {
    handle: &'h Handle,
    /// Beside the one in use.
    sql: TableSql,
    /// Gives changes their numbers, and keeps what was.
    numbers: Changes<'h>,
    /// The groups that are not written yet.
    groups: Changes<'h>,
    /// None has been written yet.
    fresh: bool,
    /// The first change that is not the table's yet.
    ahead: u64,
    shares: Shares,
}

impl Applier {
    /// Makes the changes by writing the table anew.
    pub(super) async fn write_anew(
        self,
        turn: Turn<'_>,
        staged: Staged,
        means: &Means,
    ) -> Result<IngestCounts, TablesError> {
        let handle = Arc::clone(&self.handle);
        // From here on, whoever has the turn next looks for what is left behind.
        handle.litter();
        let done = match Anew::write(&handle, turn.counters, staged, means).await {
            Ok(counters) => self.take_place(turn, counters, &means.may_go_on).await,
            Err(error) => {
                turn.leave();
                Err(error)
            }
        };
        handle.tidy_soon();
        done.map(|()| self.counts)
    }

    /// Makes what has been written anew the table.
    async fn take_place(
        &self,
        turn: Turn<'_>,
        counters: Counters,
        may_go_on: &MayGoOn,
    ) -> Result<(), TablesError> {
        fault::point("a table is written anew");
        // It needs no room any more.
        if let Err(stopped @ TablesError::Stopped) = may_go_on() {
            turn.leave();
            return Err(stopped);
        }
        let sql = &self.handle.sql;
        let mut tx = self.handle.db.write_here().await?;
        sql.swap(&mut tx).await?;
        meta::move_counters(&mut tx, sql.id, counters).await?;
        self.commit((turn, tx), counters, None, true).await?;
        fault::point("a table has been replaced");
        Ok(())
    }
}

impl<'h> Anew<'h> {
    /// Writes all of it; gives the table's counters as they will be.
    async fn write(
        handle: &'h Handle,
        counters: Counters,
        mut staged: Staged,
        means: &Means,
    ) -> Result<Counters, TablesError> {
        let (table, now_ms) = (handle.table(), handle.clock.unix_ms());
        let mut anew = Self {
            handle,
            sql: handle.sql.on(Side::New),
            numbers: Changes::new(table, counters, now_ms),
            groups: Changes::new(table, Counters::default(), now_ms),
            fresh: true,
            ahead: counters.version + 1,
            shares: means.shares,
        };
        // What the replacement before has left is in the way.
        handle.clear(Side::Old).await?;
        let mut tx = handle.db.write_here().await?;
        handle.sql.create_beside(&mut tx, anew.ahead).await?;
        tx.commit().await?;
        let (mut after, mut next) = (None, staged.one()?);
        loop {
            (means.may_go_on)()?;
            fault::point("a share of a table is to be written anew");
            let share = (anew.shares.rows, CHUNK_BYTES);
            let mut tx = handle.db.read_here().await?;
            let (mut rows, more) = handle.sql.share(&mut tx, after.as_ref(), share).await?;
            drop(tx);
            let last = rows.last().filter(|_| more).map(|stored| table.key_of(&stored.row));
            let (changes, filled) = take(&mut staged, &mut next, (table, last.as_ref()), share)?;
            // Where there are more changes the rows behind the last one wait for theirs.
            let through =
                if filled { changes.last().map(|change| change.key(table)) } else { last };
            if let Some(through) = &through {
                let upto = rows.partition_point(|stored| table.key_of(&stored.row) <= *through);
                rows.truncate(upto);
            }
            anew.write_share(rows, changes).await?;
            if through.is_none() {
                break;
            }
            after = through;
        }
        anew.write_groups(&means.may_go_on).await?;
        Ok(anew.numbers.counters())
    }

    /// Writes what some rows become by the changes among them.
    async fn write_share(
        &mut self,
        rows: Vec<Stored>,
        changes: Vec<Change>,
    ) -> Result<(), TablesError> {
        let table = self.handle.table();
        let mut made = Vec::with_capacity(rows.len() + changes.len());
        let mut rows = rows.into_iter().peekable();
        for Change { before, after } in changes {
            let change = Change { before, after };
            let key = change.key(table);
            pass(&mut rows, table, &key, &mut made);
            // What it was is with the change.
            let _ = rows.next_if(|stored| table.key_of(&stored.row) == key);
            made.extend(self.numbers.number(change.before, change.after).1);
        }
        made.extend(rows);
        if !self.fresh {
            self.lay_groups(&made).await?;
        }
        for stored in &made {
            self.groups.take_in(&stored.row).map_err(|error| self.overflow(error))?;
        }
        let history = self.numbers.take_history();
        let writes = Writes {
            added: made.iter().collect(),
            history: &history,
            ahead: Some(self.ahead),
            ..Writes::default()
        };
        let mut tx = self.handle.db.write_here().await?;
        self.sql.write(&mut tx, &writes).await?;
        tx.commit().await?;
        if self.groups.groups_at_hand() >= TRANSACTION_GROUPS {
            self.write_groups(&|| Ok(())).await?;
        }
        Ok(())
    }

    /// Lays in what has been written of the groups that some rows come into.
    async fn lay_groups(&mut self, rows: &[Stored]) -> Result<(), TablesError> {
        let mut tx = self.handle.db.read_here().await?;
        for (at, aggregate) in self.handle.table().aggregates().iter().enumerate() {
            let groups = rows.iter().map(|stored| stored.row[aggregate.group_by].clone());
            let groups: HashSet<Value> = groups.collect();
            lay_groups(&self.sql, &mut tx, &mut self.groups, at, groups).await?;
        }
        Ok(())
    }

    /// Writes the groups that are at hand.
    async fn write_groups(
        &mut self,
        may_go_on: &(dyn Fn() -> Result<(), TablesError> + Send + Sync),
    ) -> Result<(), TablesError> {
        let (table, fresh) = (self.handle.table(), self.fresh);
        for (at, aggregate) in table.aggregates().iter().enumerate() {
            for some in self.groups.groups(at).chunks(self.shares.rows) {
                may_go_on()?;
                fault::point("a share of an aggregate is to be written anew");
                let mut tx = self.handle.db.write_here().await?;
                self.sql.write_groups(&mut tx, aggregate, some, fresh).await?;
                tx.commit().await?;
            }
        }
        self.groups = Changes::new(table, Counters::default(), 0);
        self.fresh = false;
        Ok(())
    }

    fn overflow(&self, error: Overflow) -> TablesError {
        TablesError::Ingest(format!("the table {:?}: {error}", self.handle.table().name()))
    }
}

/// Takes the changes up to a key, or all, but no more than a share; gives whether there may be more of them.
fn take(
    staged: &mut Staged,
    next: &mut Option<Change>,
    (table, last): (&Table, Option<&Key>),
    (most, mut bytes): (usize, usize),
) -> Result<(Vec<Change>, bool), TablesError> {
    let mut changes = Vec::new();
    while let Some(change) = next.take_if(|next| last.is_none_or(|last| next.key(table) <= *last)) {
        bytes = bytes.saturating_sub(change.rows().map(weight).sum());
        changes.push(change);
        *next = staged.one()?;
        if changes.len() >= most || bytes == 0 {
            return Ok((changes, true));
        }
    }
    Ok((changes, false))
}

/// Passes the rows on whose keys are less than one.
fn pass(rows: &mut Peekable<IntoIter<Stored>>, table: &Table, key: &Key, to: &mut Vec<Stored>) {
    while let Some(stored) = rows.next_if(|stored| table.key_of(&stored.row) < *key) {
        to.push(stored);
    }
}
