//! The `Tables` service: for clients.

mod streams;

use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use tally_common::api::{AggregateQuery, RowsQuery};
use tally_common::limits::FRAME_BYTES;
use tally_proto::convert::{
    change_to_wire, groups_query_from_wire, groups_to_wire, recount_to_wire, rows_query_from_wire,
    rows_to_wire, table_draft_from_wire, table_row_to_wire, table_to_wire,
};
use tally_proto::v1::tables_server::Tables as Service;
use tally_proto::v1::{
    AggregateReply, AggregateRequest, ApplyReply, ApplyRequest, Changes, CreateTableRequest,
    DropTableReply, DropTableRequest, GetTableRequest, ListTablesReply, ListTablesRequest,
    RecountReply, RecountRequest, RowHistoryReply, RowHistoryRequest, RowRequest, RowsReply,
    RowsRequest, ScanReply, ScanRequest, Table, TableRow, WatchTableRequest,
};

use super::access::about;
use super::errors::refused;
use super::watch::Stream;
use crate::access::About;
use crate::tables::Tables;

/// Rows and groups on a page, where the client does not say.
const PAGE: u32 = 100;

/// Bytes of a page of rows: where they are more, fewer rows are sent.
const PAGE_BYTES: usize = FRAME_BYTES;

/// The service.
#[derive(Clone)]
pub(super) struct TablesService(pub(super) Tables);

#[tonic::async_trait]
impl Service for TablesService {
    type ApplyStream = Stream<ApplyReply>;
    type ScanStream = Stream<ScanReply>;
    type WatchStream = Stream<Changes>;

    async fn create(
        &self,
        request: Request<CreateTableRequest>,
    ) -> Result<Response<Table>, Status> {
        let draft = table_draft_from_wire(request.into_inner()).map_err(refused)?;
        let table = table_to_wire(&self.0.create(draft).await?);
        let made = About::Table(table.name.clone());
        Ok(about(Response::new(table), made))
    }

    async fn list(
        &self,
        _: Request<ListTablesRequest>,
    ) -> Result<Response<ListTablesReply>, Status> {
        let tables = self.0.list().await?.iter().map(table_to_wire).collect();
        Ok(Response::new(ListTablesReply { tables }))
    }

    async fn get(&self, request: Request<GetTableRequest>) -> Result<Response<Table>, Status> {
        Ok(Response::new(table_to_wire(&self.0.get(&request.get_ref().table).await?)))
    }

    async fn drop(
        &self,
        request: Request<DropTableRequest>,
    ) -> Result<Response<DropTableReply>, Status> {
        let table = request.into_inner().table;
        self.0.drop(&table).await?;
        Ok(about(Response::new(DropTableReply {}), About::Table(table)))
    }

    async fn apply(
        &self,
        request: Request<Streaming<ApplyRequest>>,
    ) -> Result<Response<Self::ApplyStream>, Status> {
        Ok(Response::new(streams::apply(self.0.clone(), request.into_inner())))
    }

    async fn row(&self, request: Request<RowRequest>) -> Result<Response<TableRow>, Status> {
        let RowRequest { table, key } = request.into_inner();
        Ok(Response::new(table_row_to_wire(&self.0.row(&table, &key).await?)))
    }

    async fn rows(&self, request: Request<RowsRequest>) -> Result<Response<RowsReply>, Status> {
        let (table, query) = rows_query_from_wire(request.into_inner()).map_err(refused)?;
        let mut query = RowsQuery { limit: page(query.limit), ..query };
        loop {
            let reply = rows_to_wire(&self.0.rows(&table, &query).await?);
            let (rows, bytes) = (reply.rows.len(), reply.encoded_len());
            if bytes <= PAGE_BYTES || rows <= 1 {
                return Ok(Response::new(reply));
            }
            // Where a page ends only the verb can say: as many rows are asked for as should fit.
            query.limit = (rows * PAGE_BYTES / bytes).clamp(1, rows - 1) as u32;
        }
    }

    async fn scan(
        &self,
        request: Request<ScanRequest>,
    ) -> Result<Response<Self::ScanStream>, Status> {
        Ok(Response::new(streams::scan(&self.0, &request.get_ref().table).await?))
    }

    async fn aggregate(
        &self,
        request: Request<AggregateRequest>,
    ) -> Result<Response<AggregateReply>, Status> {
        let (table, aggregate, query) = groups_query_from_wire(request.into_inner());
        let query = AggregateQuery { limit: page(query.limit), ..query };
        let page = self.0.aggregate(&table, &aggregate, &query).await?;
        Ok(Response::new(groups_to_wire(page)))
    }

    async fn history(
        &self,
        request: Request<RowHistoryRequest>,
    ) -> Result<Response<RowHistoryReply>, Status> {
        let RowHistoryRequest { table, key } = request.into_inner();
        let changes = self.0.history(&table, &key).await?;
        let changes = changes.iter().map(change_to_wire).collect();
        Ok(Response::new(RowHistoryReply { changes }))
    }

    async fn watch(
        &self,
        request: Request<WatchTableRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(streams::watch(self.0.clone(), request.into_inner())?))
    }

    async fn recount(
        &self,
        request: Request<RecountRequest>,
    ) -> Result<Response<RecountReply>, Status> {
        let table = request.into_inner().table;
        let recount = self.0.recount(&table).await?;
        Ok(about(Response::new(recount_to_wire(recount)), About::Table(table)))
    }
}

fn page(wanted: u32) -> u32 {
    if wanted == 0 { PAGE } else { wanted }
}
