//! What an ingest does to its table in `replace` mode: afterwards it has the rows of the file, and no others.
//!
//! What is to be changed is gathered first, while others write. If it is little it is written in one
//! transaction; so it is in a Postgres, where many write at a time. In SQLite, where all who write wait in one
//! line, much of it is written beside the table in use (see `anew`).

use std::sync::Arc;

use tokio::sync::mpsc;

use tally_common::api::IngestCounts;
use tally_common::table::Key;

use super::TablesError;
use super::apply::{Applier, Open, count_records};
use super::ingest::{CHUNK_ROWS, Means, Part, Rows};
use super::stage::Stage;
use crate::store::Dialect;

impl Applier {
    pub(super) async fn replace(
        mut self,
        mut parts: mpsc::Receiver<Part>,
        means: &Means,
    ) -> Result<IngestCounts, TablesError> {
        let handle = Arc::clone(&self.handle);
        let mut stage = Stage::new(handle.table(), &means.scratch)?;
        // Nobody else changes the table until all is done: what is gathered stays true.
        let turn = handle.turn().await?;
        let mut after = None;
        loop {
            let (rows, last) = match parts.recv().await {
                Some(Part::Rows(rows)) => (rows, false),
                Some(Part::Last(rows)) => (rows, true),
                // The job was cancelled: nothing has changed.
                None => {
                    turn.leave();
                    return Err(TablesError::Stopped);
                }
            };
            after = self.gather(&mut stage, rows, after).await?;
            if last {
                break;
            }
        }
        self.gather_rest(&mut stage, after).await?;
        let large = stage.changes() > means.shares.at_once;
        let mut changes = stage.read()?;
        if large && handle.db.dialect() == Dialect::Sqlite {
            return self.write_anew(turn, changes, means).await;
        }
        let mut open = Open::begin(&handle, turn).await?;
        loop {
            let chunk = changes.next(CHUNK_ROWS)?;
            if chunk.is_empty() {
                break;
            }
            self.write(&mut open, chunk).await?;
        }
        self.close(Some(open), true).await?;
        Ok(self.counts)
    }

    /// Gathers what makes the part of the table after one key and up to the last row what the rows are. Gives
    /// that row's key.
    async fn gather(
        &mut self,
        stage: &mut Stage,
        rows: Rows,
        after: Option<Key>,
    ) -> Result<Option<Key>, TablesError> {
        let (handle, table) = (&self.handle, self.handle.table());
        count_records(&mut self.counts, &rows);
        let Some(through) = rows.last().map(|(row, _)| table.key_of(row)) else {
            return Ok(after);
        };
        let mut tx = handle.db.read_here().await?;
        let there = handle.sql.between(&mut tx, after.as_ref(), Some(&through), None).await?;
        drop(tx);
        let mut there = there.into_iter().peekable();
        for (row, _) in rows {
            let key = table.key_of(&row);
            while let Some(stored) = there.next_if(|stored| table.key_of(&stored.row) < key) {
                self.counts.deleted += 1;
                stage.push(Some(&stored), None)?;
            }
            match there.next_if(|stored| table.key_of(&stored.row) == key) {
                Some(stored) if stored.row == row => self.counts.unchanged += 1,
                Some(stored) => {
                    self.counts.updated += 1;
                    stage.push(Some(&stored), Some(&row))?;
                }
                None => {
                    self.counts.added += 1;
                    stage.push(None, Some(&row))?;
                }
            }
        }
        for stored in there {
            self.counts.deleted += 1;
            stage.push(Some(&stored), None)?;
        }
        Ok(Some(through))
    }

    /// Gathers that the rows after a key go.
    async fn gather_rest(
        &mut self,
        stage: &mut Stage,
        mut after: Option<Key>,
    ) -> Result<(), TablesError> {
        let handle = &self.handle;
        loop {
            let mut tx = handle.db.read_here().await?;
            let limit = Some(CHUNK_ROWS as u32);
            let rows = handle.sql.between(&mut tx, after.as_ref(), None, limit).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(handle.table().key_of(&last.row));
            for stored in &rows {
                self.counts.deleted += 1;
                stage.push(Some(stored), None)?;
            }
        }
    }
}
