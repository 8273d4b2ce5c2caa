//! All rows of a table on their way out. A scan holds a place in the store for as long as it is read, so
//! there are few at a time, and a reader that takes nothing loses its place.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::timeout;

use tally_common::table::Row;

use crate::tables::{Scan, Tables, TablesError};

/// Most scans at a time.
const MAX_SCANS: usize = 8;

/// How long a reader may take nothing.
const READER_TIMEOUT: Duration = Duration::from_secs(60);

/// Pieces that wait for a reader: one is made while another is sent.
const PIECES_AHEAD: usize = 2;

static SCANS: Semaphore = Semaphore::const_new(MAX_SCANS);

/// What a scan is turned into, piece by piece.
pub(crate) trait Outgoing: Send + 'static {
    /// What is sent.
    type Piece: Send + 'static;

    /// Takes a row with its version, and gives a piece when there is enough for one.
    fn row(&mut self, version: u64, row: Row) -> Option<Self::Piece>;

    /// What is left at the end.
    fn end(self) -> Option<Self::Piece>;
}

/// Pieces on their way to a reader.
#[derive(Debug)]
pub(crate) struct Pieces<T> {
    /// `None` is the end: a channel that closes without it has been broken off.
    pieces: mpsc::Receiver<Result<Option<T>, TablesError>>,
    ended: bool,
}

impl<T> Pieces<T> {
    /// The next piece; `None` when the table has been sent whole.
    pub(crate) async fn next(&mut self) -> Option<Result<T, TablesError>> {
        if self.ended {
            return None;
        }
        let piece = self.pieces.recv().await.unwrap_or(Err(TablesError::Stopped)).transpose();
        self.ended = !matches!(piece, Some(Ok(_)));
        piece
    }
}

/// Begins to send all rows of a table; `None` where as many scans are under way as there may be.
///
/// # Errors
/// As [`Tables::scan`].
pub(crate) async fn send<O: Outgoing>(
    tables: &Tables,
    table: &str,
    outgoing: O,
) -> Result<Option<Pieces<O::Piece>>, TablesError> {
    // First whether there is such a table: who asks for another is not to be told to come back.
    tables.table(table)?;
    let Ok(place) = SCANS.try_acquire() else { return Ok(None) };
    let scan = tables.scan(table).await?;
    let (pieces, reader) = mpsc::channel(PIECES_AHEAD);
    tokio::spawn(run(scan, outgoing, pieces, place));
    Ok(Some(Pieces { pieces: reader, ended: false }))
}

async fn run<O: Outgoing>(
    mut scan: Scan,
    mut outgoing: O,
    pieces: mpsc::Sender<Result<Option<O::Piece>, TablesError>>,
    _place: SemaphorePermit<'static>,
) {
    // A reader that is gone, or takes too long, ends the scan: the channel is dropped, and the stream
    // breaks off.
    let give =
        async |piece| matches!(timeout(READER_TIMEOUT, pieces.send(piece)).await, Ok(Ok(())));
    while let Some(rows) = scan.recv().await {
        match rows {
            Ok(rows) => {
                for (version, row) in rows {
                    if let Some(piece) = outgoing.row(version, row)
                        && !give(Ok(Some(piece))).await
                    {
                        return;
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a table could not be read to its end");
                give(Err(error)).await;
                return;
            }
        }
    }
    if let Some(piece) = outgoing.end()
        && !give(Ok(Some(piece))).await
    {
        return;
    }
    give(Ok(None)).await;
}
