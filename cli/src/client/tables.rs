//! Tables of a master.

use anyhow::Context;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use tally_common::api::{
    AggregatePage, AggregateQuery, ChangeView, Recount, RowView, RowsPage, RowsQuery, TableView,
};
use tally_common::limits::MAX_TABLE_MESSAGE_BYTES;
use tally_proto::Line;
use tally_proto::convert::{
    change_from_wire, groups_from_wire, groups_query_to_wire, recount_from_wire, rows_from_wire,
    rows_query_to_wire, table_from_wire, table_row_from_wire,
};
use tally_proto::dial::Dial;
use tally_proto::v1::tables_client::TablesClient;
use tally_proto::v1::{
    ApplyReply, ApplyRequest, Changes, CreateTableRequest, DropTableRequest, GetTableRequest,
    ListTablesRequest, RecountRequest, RowHistoryRequest, RowRequest, ScanReply, ScanRequest,
    WatchTableRequest,
};

use super::{NONSENSE, Outcome, refused};
use crate::exit::undialled;

/// A connection to a master, for its tables.
pub(crate) struct Tables(TablesClient<Line>);

impl Tables {
    pub(crate) async fn connect(dial: &Dial) -> Outcome<Self> {
        Ok(Self::on(dial.connect().await.map_err(|error| undialled(&error))?))
    }

    /// The same, with the master's own words.
    pub(crate) async fn try_connect(dial: &Dial) -> Result<Self, Status> {
        Ok(Self::on(dial.connect().await?))
    }

    fn on(line: Line) -> Self {
        let client = TablesClient::new(line);
        Self(
            client
                .max_decoding_message_size(MAX_TABLE_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_TABLE_MESSAGE_BYTES),
        )
    }

    pub(crate) async fn create(&mut self, request: CreateTableRequest) -> Outcome<TableView> {
        let table = self.0.create(request).await.map_err(refused)?.into_inner();
        table_from_wire(table).context(NONSENSE)
    }

    pub(crate) async fn list(&mut self) -> Outcome<Vec<TableView>> {
        let reply = self.0.list(ListTablesRequest {}).await.map_err(refused)?.into_inner();
        reply.tables.into_iter().map(table_from_wire).collect::<Result<_, _>>().context(NONSENSE)
    }

    pub(crate) async fn get(&mut self, table: &str) -> Outcome<TableView> {
        let request = GetTableRequest { table: table.to_owned() };
        let table = self.0.get(request).await.map_err(refused)?.into_inner();
        table_from_wire(table).context(NONSENSE)
    }

    pub(crate) async fn drop(&mut self, table: &str) -> Outcome<()> {
        let request = DropTableRequest { table: table.to_owned() };
        self.0.drop(request).await.map_err(refused)?;
        Ok(())
    }

    /// Opens a stream of operations; the answers come in the order of the requests.
    pub(crate) async fn apply(
        &mut self,
        requests: mpsc::Receiver<ApplyRequest>,
    ) -> Result<Streaming<ApplyReply>, Status> {
        Ok(self.0.apply(ReceiverStream::new(requests)).await?.into_inner())
    }

    pub(crate) async fn row(&mut self, table: &str, key: &str) -> Outcome<RowView> {
        let request = RowRequest { table: table.to_owned(), key: key.to_owned() };
        let row = self.0.row(request).await.map_err(refused)?.into_inner();
        table_row_from_wire(row).context(NONSENSE)
    }

    pub(crate) async fn rows(&mut self, table: &str, query: &RowsQuery) -> Outcome<RowsPage> {
        let reply = self.0.rows(rows_query_to_wire(table, query)).await.map_err(refused)?;
        rows_from_wire(reply.into_inner()).context(NONSENSE)
    }

    pub(crate) async fn aggregate(
        &mut self,
        table: &str,
        aggregate: &str,
        query: &AggregateQuery,
    ) -> Outcome<AggregatePage> {
        let request = groups_query_to_wire(table, aggregate, query);
        let reply = self.0.aggregate(request).await.map_err(refused)?;
        groups_from_wire(reply.into_inner()).context(NONSENSE)
    }

    pub(crate) async fn history(&mut self, table: &str, key: &str) -> Outcome<Vec<ChangeView>> {
        let request = RowHistoryRequest { table: table.to_owned(), key: key.to_owned() };
        let reply = self.0.history(request).await.map_err(refused)?.into_inner();
        let changes = reply.changes.into_iter().map(change_from_wire);
        changes.collect::<Result<_, _>>().context(NONSENSE)
    }

    pub(crate) async fn scan(&mut self, table: &str) -> Outcome<Streaming<ScanReply>> {
        let request = ScanRequest { table: table.to_owned() };
        Ok(self.0.scan(request).await.map_err(refused)?.into_inner())
    }

    pub(crate) async fn watch(
        &mut self,
        table: &str,
        after: Option<u64>,
        once: bool,
    ) -> Outcome<Streaming<Changes>> {
        let request = WatchTableRequest { table: table.to_owned(), after, once };
        Ok(self.0.watch(request).await.map_err(refused)?.into_inner())
    }

    pub(crate) async fn recount(&mut self, table: &str) -> Outcome<Recount> {
        let request = RecountRequest { table: table.to_owned() };
        Ok(recount_from_wire(self.0.recount(request).await.map_err(refused)?.into_inner()))
    }
}

/// Changes from the wire.
pub(crate) fn changes_of(message: Changes) -> Outcome<Vec<ChangeView>> {
    message.changes.into_iter().map(change_from_wire).collect::<Result<_, _>>().context(NONSENSE)
}
