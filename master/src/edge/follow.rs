//! Changes of a table as they happen. Nothing is put by for who listens: what has changed since is read
//! from the store when there is something new, so that a slow listener costs no more than its place.

use tokio::sync::watch;

use tally_common::api::ChangeView;

use crate::tables::{Tables, TablesError};

/// Changes that are read, and sent, at once.
const CHANGES_AT_ONCE: u32 = 500;

/// A place in a table's history, from which on its changes are wanted.
#[derive(Debug)]
pub(crate) struct Following {
    tables: Tables,
    table: String,
    versions: watch::Receiver<u64>,
    after: u64,
}

/// What there is to be told.
#[derive(Debug)]
pub(crate) enum News {
    /// Some changes, at least one, in order.
    Changes(Vec<ChangeView>),
    /// The changes up to this version are not kept any more: read the rows again.
    Lost(u64),
    /// The table has been dropped.
    Dropped,
}

impl Following {
    /// Begins after a version, or with what happens from now on.
    ///
    /// # Errors
    /// [`TablesError::NotFound`].
    pub(crate) fn start(
        tables: Tables,
        table: &str,
        after: Option<u64>,
    ) -> Result<Self, TablesError> {
        let versions = tables.watch(table)?;
        let after = after.unwrap_or_else(|| *versions.borrow());
        Ok(Self { tables, table: table.to_owned(), versions, after })
    }

    /// What is there already, without waiting; `None` where there is nothing.
    ///
    /// # Errors
    /// As [`Tables::changes`].
    pub(crate) async fn ready(&mut self) -> Result<Option<News>, TablesError> {
        // Marked as seen before anything is read: what happens meanwhile wakes the next wait.
        let version = *self.versions.borrow_and_update();
        if version == self.after {
            return Ok(None);
        }
        let changes = match self.tables.changes(&self.table, self.after, CHANGES_AT_ONCE).await {
            Ok(changes) => changes,
            Err(TablesError::Lost { .. }) => {
                self.after = version;
                return Ok(Some(News::Lost(version)));
            }
            Err(error) => return Err(error),
        };
        let Some(last) = changes.last() else {
            // Versions without changes to them: there is nothing before the next one.
            self.after = self.after.max(version);
            return Ok(None);
        };
        self.after = last.version;
        Ok(Some(News::Changes(changes)))
    }

    /// What there is to be told next, as soon as there is something. May be dropped while it waits, and
    /// called again: nothing is missed.
    ///
    /// # Errors
    /// As [`Tables::changes`]; [`TablesError::Stopped`].
    pub(crate) async fn next(&mut self) -> Result<News, TablesError> {
        loop {
            match self.ready().await {
                Ok(Some(news)) => return Ok(news),
                Ok(None) => {}
                Err(TablesError::NotFound(_)) => return Ok(News::Dropped),
                Err(error) => return Err(error),
            }
            if self.versions.changed().await.is_err() {
                return match self.tables.table(&self.table) {
                    Err(TablesError::NotFound(_)) => Ok(News::Dropped),
                    _ => Err(TablesError::Stopped),
                };
            }
        }
    }
}
