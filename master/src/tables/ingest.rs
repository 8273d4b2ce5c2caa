//! Rows in bulk: what an ingest job writes into its table.

use tally_common::api::{IngestCounts, IngestMode};
use tally_common::id::JobId;
use tally_common::table::{Key, Row};

use super::{Tables, TablesError};

/// Where the rows of an ingest job go. Sync: lives on the thread that merges the job's runs.
///
/// `push` each row of the file once, in strictly ascending order of its key, then `finish`. What has been
/// applied is in the store with the rows themselves, so that after a restart the same calls, with the
/// same rows, go on where the last process stopped, and nothing is applied twice.
#[derive(Debug)]
pub struct Ingest {}

#[expect(
    clippy::needless_pass_by_value,
    unused_variables,
    clippy::unused_self,
    reason = "signatures first"
)]
impl Ingest {
    /// The last key that has been applied before: rows up to it need not be pushed (it does no harm).
    pub fn applied_through(&self) -> Option<&Key> {
        None
    }

    /// Takes a row. `records` is how many records of the file had its key, at least 1.
    ///
    /// # Errors
    /// [`TablesError`]; the ingest is then over.
    pub fn push(&mut self, row: Row, records: u64) -> Result<(), TablesError> {
        Err(TablesError::None)
    }

    /// Applies what is left and gives what the whole ingest came to.
    ///
    /// # Errors
    /// [`TablesError`].
    pub fn finish(self) -> Result<IngestCounts, TablesError> {
        Err(TablesError::None)
    }
}

#[expect(unused_variables, reason = "signatures first")]
impl Tables {
    /// Begins an ingest, or goes on with it. Blocks: to be called where that is allowed.
    ///
    /// # Errors
    /// [`TablesError::NotFound`]; [`TablesError::Ingest`] where the table was dropped and declared
    /// otherwise since the job was opened.
    pub fn ingest(&self, job: JobId, table: &str, mode: IngestMode) -> Result<Ingest, TablesError> {
        Err(TablesError::None)
    }

    /// What an ingest has come to so far, for its job's view.
    pub fn ingest_counts(&self, job: JobId) -> Option<IngestCounts> {
        None
    }
}
