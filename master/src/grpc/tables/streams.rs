//! The streams of the `Tables` service. Each is one message ahead of its connection, and ends when its
//! client is gone.

use prost::Message;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use tally_common::limits::FRAME_BYTES;
use tally_common::table::Row;
use tally_proto::convert::{
    WireError, cell_to_wire, change_to_wire, operation_from_wire, outcome_to_wire,
};
use tally_proto::v1::{
    ApplyReply, ApplyRequest, Changes, ScanReply, ScannedRow, WatchTableRequest,
};

use super::super::errors::refused;
use super::super::watch::Stream;
use crate::edge::{self, Batch, Following, News, Outgoing};
use crate::tables::{MAX_OPERATIONS, Tables, TablesError};

/// Bytes of rows in a reply to a scan; one row may have more.
const SCAN_BYTES: usize = FRAME_BYTES / 4;

/// Most watches of tables at a time.
const MAX_WATCHES: usize = 2048;

static WATCHES: Semaphore = Semaphore::const_new(MAX_WATCHES);

/// `Apply`: a request after the other, so that they are applied in their order, and nothing after one that
/// was not applied.
pub(super) fn apply(tables: Tables, mut requests: Streaming<ApplyRequest>) -> Stream<ApplyReply> {
    let (replies, stream) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut table = String::new();
        loop {
            let reply = match requests.message().await {
                Ok(Some(request)) => one(&tables, &mut table, request).await,
                Ok(None) => return,
                Err(status) => Err(status),
            };
            let failed = reply.is_err();
            if replies.send(reply).await.is_err() || failed {
                return;
            }
        }
    });
    ReceiverStream::new(stream)
}

async fn one(
    tables: &Tables,
    table: &mut String,
    request: ApplyRequest,
) -> Result<ApplyReply, Status> {
    if !request.table.is_empty() {
        *table = request.table;
    }
    if table.is_empty() {
        return Err(refused(WireError::Missing("table")));
    }
    let found = request.operations.len();
    if found > MAX_OPERATIONS {
        return Err(TablesError::TooMany { found, most: MAX_OPERATIONS }.into());
    }
    let mut batch = Batch::default();
    for mut operation in request.operations {
        let message_id = std::mem::take(&mut operation.message_id);
        match operation_from_wire(operation) {
            Ok(mut draft) => {
                draft.message_id = message_id;
                batch.push(draft);
            }
            Err(error) => batch.refuse(&message_id, error.to_string()),
        }
    }
    let results = batch.apply(tables, table).await?;
    Ok(ApplyReply { results: results.into_iter().map(outcome_to_wire).collect() })
}

/// `Watch`
pub(super) fn watch(tables: Tables, request: WatchTableRequest) -> Result<Stream<Changes>, Status> {
    let place = WATCHES.try_acquire().map_err(|_| {
        Status::resource_exhausted(format!("{MAX_WATCHES} watch, as many as this master takes"))
    })?;
    let WatchTableRequest { table, after, once } = request;
    let following = Following::start(tables, &table, after)?;
    let (changes, stream) = mpsc::channel(1);
    tokio::spawn(async move {
        let _place = place;
        if let Err(status) = follow(&table, following, once, &changes).await {
            // The client may be gone.
            let _ = changes.send(Err(status)).await;
        }
    });
    Ok(ReceiverStream::new(stream))
}

async fn follow(
    table: &str,
    mut following: Following,
    once: bool,
    changes: &mpsc::Sender<Result<Changes, Status>>,
) -> Result<(), Status> {
    loop {
        let news = tokio::select! {
            news = next(&mut following, once) => news?,
            () = changes.closed() => return Ok(()),
        };
        match news {
            Some(News::Changes(some)) => {
                for message in messages(some.iter().map(change_to_wire)) {
                    if changes.send(Ok(message)).await.is_err() {
                        return Ok(());
                    }
                }
            }
            Some(News::Lost(after)) => {
                return Err(TablesError::Lost { table: table.to_owned(), after }.into());
            }
            Some(News::Dropped) | None => return Ok(()),
        }
    }
}

async fn next(following: &mut Following, once: bool) -> Result<Option<News>, TablesError> {
    if once { following.ready().await } else { following.next().await.map(Some) }
}

/// Changes as messages of a bounded size; one change may have more.
fn messages(changes: impl Iterator<Item = tally_proto::v1::Change>) -> Vec<Changes> {
    let (mut messages, mut bytes) = (vec![Changes::default()], 0);
    for change in changes {
        let more = change.encoded_len();
        if bytes > 0 && bytes + more > FRAME_BYTES {
            messages.push(Changes::default());
            bytes = 0;
        }
        bytes += more;
        if let Some(last) = messages.last_mut() {
            last.changes.push(change);
        }
    }
    messages
}

/// `Scan`
pub(super) async fn scan(tables: &Tables, table: &str) -> Result<Stream<ScanReply>, Status> {
    let definition = tables.table(table)?;
    let columns = definition.columns().iter().map(|column| column.name.clone()).collect();
    let replies = Replies { reply: ScanReply { columns, rows: Vec::new() }, bytes: 0 };
    let Some(mut pieces) = edge::send(tables, table, replies).await? else {
        return Err(Status::resource_exhausted(
            "as many tables are being read as may be at a time",
        ));
    };
    let (replies, stream) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(piece) = pieces.next().await {
            if replies.send(piece.map_err(Status::from)).await.is_err() {
                return;
            }
        }
    });
    Ok(ReceiverStream::new(stream))
}

/// Rows that are put into replies.
struct Replies {
    reply: ScanReply,
    bytes: usize,
}

impl Outgoing for Replies {
    type Piece = ScanReply;

    fn row(&mut self, version: u64, row: Row) -> Option<ScanReply> {
        let row = ScannedRow { version, values: row.iter().map(cell_to_wire).collect() };
        let more = row.encoded_len();
        let full = self.bytes > 0 && self.bytes + more > SCAN_BYTES;
        let piece = full.then(|| std::mem::take(&mut self.reply));
        self.bytes = if full { more } else { self.bytes + more };
        self.reply.rows.push(row);
        piece
    }

    fn end(self) -> Option<ScanReply> {
        // The columns are said even where there are no rows.
        (!self.reply.rows.is_empty() || !self.reply.columns.is_empty()).then_some(self.reply)
    }
}

#[cfg(test)]
mod tests {
    use tally_common::table::Value;
    use tally_proto::v1::Change;

    use super::*;

    #[test]
    fn scans_come_in_pieces_and_say_their_columns_once() {
        let reply = ScanReply { columns: vec!["a".to_owned()], rows: Vec::new() };
        let mut replies = Replies { reply, bytes: 0 };
        let text = "x".repeat(SCAN_BYTES / 2);
        let mut sent = Vec::new();
        for version in 0..5 {
            sent.extend(replies.row(version, vec![Value::Text(text.as_str().into())].into()));
        }
        sent.extend(replies.end());
        let versions: Vec<_> =
            sent.iter().flat_map(|reply| &reply.rows).map(|row| row.version).collect();
        assert_eq!(versions, [0, 1, 2, 3, 4]);
        let columns: Vec<_> = sent.iter().map(|reply| reply.columns.len()).collect();
        assert_eq!(columns, [1, 0, 0, 0, 0]);
        let reply = ScanReply { columns: vec!["a".to_owned()], rows: Vec::new() };
        assert!(Replies { reply, bytes: 0 }.end().is_some());
    }

    #[test]
    fn changes_fit_their_messages() {
        let change = |version| {
            let changed_at = "x".repeat(400_000);
            Change { version, changed_at, ..Change::default() }
        };
        let messages = messages((1..6).map(change));
        let each: Vec<_> = messages.iter().map(|message| message.changes.len()).collect();
        assert_eq!(each, [2, 2, 1]);
    }
}
