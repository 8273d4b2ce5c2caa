//! Tables by a generated gRPC client.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};

use tally_proto::v1::tables_client::TablesClient;
use tally_proto::v1::value::Value as Wire;
use tally_proto::v1::{
    AggregateRequest, ApplyRequest, CreateTableRequest, DropTableRequest, Field, GetTableRequest,
    ListTablesRequest, Operation, OperationKind, Outcome, RecountRequest, RowHistoryRequest,
    RowRequest, RowsRequest, ScanRequest, Value, WatchTableRequest,
};
use tally_tests::{Cluster, PATIENCE};

fn text(text: &str) -> Value {
    Value { value: Some(Wire::Text(text.to_owned())) }
}

fn operation(id: u32, op: OperationKind, sku: &str, name: Option<&str>) -> Operation {
    let field = |(column, value): (&str, &str)| Field {
        column: column.to_owned(),
        value: Some(text(value)),
    };
    let description = name.filter(|_| op == OperationKind::Add).map(|name| ("description", name));
    let fields = name.map(|name| ("name", name)).into_iter().chain(description);
    Operation {
        message_id: format!("m{id}"),
        op: op as i32,
        key: vec![text(sku)],
        row: fields.map(field).collect(),
        expected_version: None,
    }
}

async fn products(cluster: &Cluster) -> TablesClient<Channel> {
    let mut client = TablesClient::connect(cluster.grpc().to_owned()).await.unwrap();
    let preset = CreateTableRequest { preset: "products".to_owned(), ..Default::default() };
    let table = client.create(preset).await.unwrap().into_inner();
    assert_eq!((table.name.as_str(), table.key), ("products", vec!["sku".to_owned()]));
    client
}

fn table() -> String {
    "products".to_owned()
}

async fn apply(
    client: &mut TablesClient<Channel>,
    requests: Vec<Vec<Operation>>,
) -> Result<Vec<Vec<(Outcome, Option<u64>)>>, Status> {
    // The table is said once.
    let requests = requests.into_iter().enumerate().map(|(i, operations)| {
        let table = if i == 0 { table() } else { String::new() };
        ApplyRequest { table, operations }
    });
    let requests = tokio_stream::iter(requests.collect::<Vec<_>>());
    let mut replies = client.apply(requests).await?.into_inner();
    let mut all = Vec::new();
    while let Some(reply) = replies.message().await? {
        let results = reply.results.iter().map(|result| (result.outcome(), result.version));
        all.push(results.collect());
    }
    Ok(all)
}

#[test]
fn a_table_by_a_generated_client() {
    use OperationKind::{Add, Delete, Unspecified, Update};
    let cluster = Cluster::start(0);
    Runtime::new().unwrap().block_on(async {
        let mut client = products(&cluster).await;
        let first = vec![operation(1, Add, "a", Some("x")), operation(2, Add, "b", Some("x"))];
        let second = vec![
            operation(3, Unspecified, "a", None),
            operation(4, Update, "a", Some("y")),
            operation(1, Add, "a", Some("x")),
        ];
        let replies = apply(&mut client, vec![first, Vec::new(), second]).await.unwrap();
        let (added, updated) = (Outcome::Added, Outcome::Updated);
        assert_eq!(
            replies,
            [
                vec![(added, Some(1)), (added, Some(2))],
                vec![],
                vec![(Outcome::Invalid, None), (updated, Some(3)), (added, Some(1))],
            ]
        );

        let request = RowRequest { table: table(), key: "a".to_owned() };
        let row = client.row(request).await.unwrap().into_inner();
        assert_eq!((row.version, row.key), (3, vec![text("a")]));
        let request = RowsRequest { table: table(), limit: 1, ..Default::default() };
        let page = client.rows(request.clone()).await.unwrap().into_inner();
        assert_eq!((page.rows.len(), page.table_rows, page.version), (1, 2, 3));
        let request = RowsRequest { cursor: page.next, ..request };
        let page = client.rows(request).await.unwrap().into_inner();
        assert_eq!((page.rows[0].key[0].clone(), page.next.as_str()), (text("b"), ""));
        let request = AggregateRequest {
            table: table(),
            aggregate: "products_by_name".to_owned(),
            ..Default::default()
        };
        let groups = client.aggregate(request).await.unwrap().into_inner();
        assert_eq!((groups.groups.len(), groups.all_groups), (2, 2));
        let mut scan = client.scan(ScanRequest { table: table() }).await.unwrap().into_inner();
        let reply = scan.message().await.unwrap().unwrap();
        assert_eq!(reply.columns, ["name", "sku", "description"]);
        assert_eq!(reply.rows[0].values, [text("y"), text("a"), text("x")]);
        assert_eq!(scan.message().await.unwrap(), None);
        let request = RowHistoryRequest { table: table(), key: "a".to_owned() };
        let history = client.history(request).await.unwrap().into_inner().changes;
        assert_eq!(history.iter().map(|change| change.version).collect::<Vec<_>>(), [3, 1]);

        let delete = vec![vec![operation(5, Delete, "b", None)]];
        apply(&mut client, delete).await.unwrap();
        let recount = client.recount(RecountRequest { table: table() }).await.unwrap().into_inner();
        assert!(recount.right && recount.rows == 1, "{recount:?}");
        client.drop(DropTableRequest { table: table() }).await.unwrap();
        let tables = client.list(ListTablesRequest {}).await.unwrap().into_inner().tables;
        assert!(tables.is_empty());
    });
}

#[test]
fn changes_are_watched_from_a_version_on() {
    use OperationKind::Add;
    let cluster = Cluster::start(0);
    Runtime::new().unwrap().block_on(async {
        let mut client = products(&cluster).await;
        let operations = (1..=3).map(|id| operation(id, Add, &format!("k{id}"), Some("x")));
        apply(&mut client, vec![operations.collect()]).await.unwrap();
        let once = WatchTableRequest { table: table(), after: Some(1), once: true };
        let mut changes = client.watch(once).await.unwrap().into_inner();
        let some = changes.message().await.unwrap().unwrap().changes;
        assert_eq!(some.iter().map(|change| change.version).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(changes.message().await.unwrap(), None);

        let from_now_on = WatchTableRequest { table: table(), after: None, once: false };
        let mut changes = client.watch(from_now_on).await.unwrap().into_inner();
        apply(&mut client, vec![vec![operation(4, Add, "k4", Some("x"))]]).await.unwrap();
        let next = timeout(PATIENCE.max(Duration::from_secs(1)), changes.message()).await;
        assert_eq!(next.unwrap().unwrap().unwrap().changes[0].version, 4);
        client.drop(DropTableRequest { table: table() }).await.unwrap();
        assert_eq!(changes.message().await.unwrap(), None);
    });
}

#[test]
fn refusals_have_codes() {
    let cluster = Cluster::start(0);
    Runtime::new().unwrap().block_on(async {
        let mut client = products(&cluster).await;
        let none = client.get(GetTableRequest { table: "none".to_owned() }).await.unwrap_err();
        assert_eq!(none.code(), Code::NotFound);
        let request = RowRequest { table: table(), key: "none".to_owned() };
        assert_eq!(client.row(request).await.unwrap_err().code(), Code::NotFound);
        let other = CreateTableRequest {
            name: table(),
            key: vec!["a".to_owned()],
            columns: vec![tally_proto::v1::TableColumn {
                name: "a".to_owned(),
                ..Default::default()
            }],
            ..Default::default()
        };
        assert_eq!(client.create(other).await.unwrap_err().code(), Code::AlreadyExists);
        let preset = CreateTableRequest { preset: "x".to_owned(), ..Default::default() };
        assert_eq!(client.create(preset).await.unwrap_err().code(), Code::InvalidArgument);
        let many = vec![operation(1, OperationKind::Delete, "a", None); 10_001];
        let refused = apply(&mut client, vec![many]).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let request = RowsRequest { table: table(), limit: 10_001, ..Default::default() };
        assert_eq!(client.rows(request).await.unwrap_err().code(), Code::InvalidArgument);
    });
}
