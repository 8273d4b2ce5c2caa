//! A whole table, row by row, as it is at one moment.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use tally_common::table::Row;

use super::{Tables, TablesError};

/// Rows of one batch.
const BATCH: u32 = 2_000;

/// Batches that wait for whoever reads.
const WAITING: usize = 2;

/// How long whoever reads may take for a batch: as long as he reads, the database keeps what has been
/// overwritten since he began.
const PATIENCE: Duration = Duration::from_secs(120);

/// Rows of one moment, in the order of their keys, in batches; each row with its version.
pub type Scan = mpsc::Receiver<Result<Vec<(u64, Row)>, TablesError>>;

impl Tables {
    /// All rows of one moment.
    ///
    /// # Errors
    /// [`TablesError::NotFound`].
    pub async fn scan(&self, table: &str) -> Result<Scan, TablesError> {
        let handle = self.handle(table)?;
        let mut tx = handle.db.read().await?;
        let (send, rows) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            let mut after = None;
            loop {
                let found = handle.sql.between(&mut tx, after.as_ref(), None, Some(BATCH)).await;
                let batch = match found {
                    Ok(found) => found,
                    Err(error) => {
                        // Whoever reads may be gone; so may he below.
                        let _ = send.send(Err(error.into())).await;
                        return;
                    }
                };
                let Some(last) = batch.last() else { return };
                after = Some(handle.table().key_of(&last.row));
                let batch = batch.into_iter().map(|stored| (stored.version, stored.row)).collect();
                match timeout(PATIENCE, send.send(Ok(batch))).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return,
                }
            }
        });
        Ok(rows)
    }
}
