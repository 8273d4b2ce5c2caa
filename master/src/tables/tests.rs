//! The verbs on real databases: a SQLite file, and a Postgres.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;

use tally_common::api::{
    AggregateQuery, Comparison, IngestCounts, IngestMode, OperationDraft, OperationResult, Outcome,
    RowsQuery,
};
use tally_common::id::JobId;
use tally_common::spec::{Aggregate, AggregateOp, KeyKind};
use tally_common::table::{AggregateDraft, OperationKind, TableColumn, TableDraft, Value};
use uuid::Uuid;

use super::ingest::Shares;
use super::{Keep, MayGoOn, Means, Tables, TablesError};
use crate::clock::Clock;
use crate::store::Store;
use crate::store::tests::{Ground, both};

mod replace;

async fn open(ground: &Ground) -> Tables {
    open_on(&ground.open().await).await
}

async fn open_on(store: &Store) -> Tables {
    Tables::open(store.db().clone(), Clock::start(), Keep::default()).await.unwrap()
}

fn operation(id: &str, op: OperationKind, key: &str, row: &[(&str, &str)]) -> OperationDraft {
    let row: serde_json::Map<_, _> =
        row.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    OperationDraft {
        message_id: id.to_owned(),
        op,
        key: Some(json!(key)),
        row: (!row.is_empty()).then_some(row),
        expected_version: None,
    }
}

fn add(id: &str, key: &str, name: &str) -> OperationDraft {
    operation(id, OperationKind::Add, key, &[("name", name), ("description", "x")])
}

fn outcomes(results: &[OperationResult]) -> Vec<(Outcome, Option<u64>, bool)> {
    results.iter().map(|result| (result.outcome, result.version, result.repeated)).collect()
}

async fn groups(tables: &Tables, table: &str, aggregate: &str) -> Vec<Vec<serde_json::Value>> {
    let query = AggregateQuery { limit: 10_000, ..AggregateQuery::default() };
    tables.aggregate(table, aggregate, &query).await.unwrap().rows
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_has_its_outcome_and_has_it_once() {
    for ground in both() {
        every_operation_has_its_outcome_and_has_it_once_on(&ground).await;
    }
}

async fn every_operation_has_its_outcome_and_has_it_once_on(ground: &Ground) {
    use OperationKind::{Delete, Update};
    let tables = open(ground).await;
    tables.create(TableDraft::products()).await.unwrap();
    let some = |version| Some(version);
    let name = |name: &'static str| vec![("name", name)];
    let results = tables
        .apply(
            "products",
            vec![
                add("1", "a", "Ann"),
                add("2", "a", "Bob"),
                operation("3", Update, "a", &name("Bob")),
                operation("4", Update, "a", &name("Bob")),
                operation("5", Update, "b", &name("Bob")),
                operation("6", Delete, "b", &[]),
                add("1", "a", "Ann"),
                add("1", "a", "Eve"),
                OperationDraft { expected_version: some(1), ..operation("7", Delete, "a", &[]) },
                OperationDraft { expected_version: some(2), ..operation("8", Delete, "a", &[]) },
                add("9", "", "nobody"),
                operation("10", Update, "a", &[("colour", "red")]),
            ],
        )
        .await
        .unwrap();
    let expected = [
        (Outcome::Added, some(1), false),
        (Outcome::Exists, some(1), false),
        (Outcome::Updated, some(2), false),
        (Outcome::Unchanged, some(2), false),
        (Outcome::Missing, None, false),
        (Outcome::Missing, None, false),
        (Outcome::Added, some(1), true),
        (Outcome::Reused, None, false),
        (Outcome::Conflict, some(2), false),
        (Outcome::Deleted, some(3), false),
        (Outcome::Invalid, None, false),
        (Outcome::Invalid, None, false),
    ];
    assert_eq!(outcomes(&results), expected);
    assert!(results[11].problem.as_ref().unwrap().contains("\"colour\""));
    // The same once more: what was applied answers as it did, and nothing happens.
    let again = tables
        .apply("products", vec![add("1", "a", "Ann"), operation("8", Delete, "a", &[])])
        .await
        .unwrap();
    assert_eq!(again[0].outcome, Outcome::Added);
    assert!(again[0].repeated);
    // It expected a version the first time.
    assert_eq!(again[1].outcome, Outcome::Reused);
    let view = tables.get("products").await.unwrap();
    assert_eq!((view.rows, view.version), (0, 3));
    assert_eq!(
        groups(&tables, "products", "products_by_name").await,
        Vec::<Vec<serde_json::Value>>::new()
    );
    let history = tables.history("products", "a").await.unwrap();
    let versions: Vec<u64> = history.iter().map(|change| change.version).collect();
    assert_eq!(versions, [3, 2, 1]);
    assert_eq!(history[1].row.as_ref().unwrap()["name"], "Bob");
    assert!(tables.recount("products").await.unwrap().right);
}

fn numbers() -> TableDraft {
    let column = |name, kind, nullable| TableColumn { nullable, ..TableColumn::new(name, kind) };
    let value = |op, column: Option<&str>, name: &str| Aggregate {
        op,
        column: column.map(str::to_owned),
        name: name.to_owned(),
    };
    TableDraft {
        name: "numbers".into(),
        key: vec!["part".into(), "day".into()],
        columns: vec![
            column("part", KeyKind::Text, false),
            column("day", KeyKind::Date, false),
            column("colour", KeyKind::Text, false),
            column("n", KeyKind::Integer, true),
        ],
        aggregates: vec![
            AggregateDraft {
                name: String::new(),
                group_by: "colour".into(),
                values: vec![
                    value(AggregateOp::Sum, Some("n"), "total"),
                    value(AggregateOp::Min, Some("n"), "least"),
                    value(AggregateOp::Max, Some("day"), "last day"),
                    value(AggregateOp::Count, None, "rows"),
                ],
            },
            AggregateDraft {
                name: "numbers_by_day".into(),
                group_by: "day".into(),
                values: vec![value(AggregateOp::Max, Some("n"), "most")],
            },
        ],
    }
}

/// A little generator: what is drawn has to be the same for the same seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// What the table should be: by part and day, colour and n.
type Oracle = BTreeMap<(String, String), (String, Option<i64>)>;

fn drawn(draw: &mut Draw, id: u64) -> (OperationDraft, (String, String)) {
    let part = format!("p{}", draw.below(4));
    let day = format!("2020-01-0{}", 1 + draw.below(3));
    let key = (part.clone(), day.clone());
    let colour = ["red", "blue", "schön 'x'"][draw.below(3) as usize];
    let n = match draw.below(4) {
        0 => json!(null),
        n => json!(n as i64 * 7 - 10),
    };
    let (op, row) = match draw.below(3) {
        0 => (OperationKind::Add, Some(json!({"colour": colour, "n": n}))),
        1 => (OperationKind::Update, Some(json!({"colour": colour, "n": n}))),
        _ => (OperationKind::Delete, None),
    };
    let draft = OperationDraft {
        message_id: format!("m{id}"),
        op,
        key: Some(json!([part, day])),
        row: row.and_then(|row| row.as_object().cloned()),
        expected_version: None,
    };
    (draft, key)
}

fn follow(oracle: &mut Oracle, draft: &OperationDraft, key: (String, String)) {
    let set = draft
        .row
        .as_ref()
        .map(|row| (row["colour"].as_str().unwrap_or_default().to_owned(), row["n"].as_i64()));
    let there = oracle.contains_key(&key);
    match (draft.op, there, set) {
        (OperationKind::Add, false, Some(set)) | (OperationKind::Update, true, Some(set)) => {
            oracle.insert(key, set);
        }
        (OperationKind::Delete, true, _) => {
            oracle.remove(&key);
        }
        _ => {}
    }
}

async fn check(tables: &Tables, oracle: &Oracle) {
    let query = RowsQuery { limit: 10_000, ..RowsQuery::default() };
    let page = tables.rows("numbers", &query).await.unwrap();
    let found: Oracle = page
        .rows
        .iter()
        .map(|row| {
            let text = |name: &str| row.row[name].as_str().unwrap_or_default().to_owned();
            ((text("part"), text("day")), (text("colour"), row.row["n"].as_i64()))
        })
        .collect();
    assert_eq!(&found, oracle);
    let mut by_colour: BTreeMap<&str, (i64, Option<i64>, String, i64)> = BTreeMap::new();
    let mut by_day: BTreeMap<&str, Option<i64>> = BTreeMap::new();
    for ((_, day), (colour, n)) in oracle {
        let group = by_colour.entry(colour).or_insert((0, None, String::new(), 0));
        group.0 += n.unwrap_or(0);
        group.1 = group.1.into_iter().chain(*n).min();
        group.2 = group.2.clone().max(day.clone());
        group.3 += 1;
        let most = by_day.entry(day).or_default();
        *most = (*most).into_iter().chain(*n).max();
    }
    let expected: Vec<_> = by_colour
        .into_iter()
        .map(|(colour, (total, least, last, rows))| {
            vec![json!(colour), json!(total), json!(least), json!(last), json!(rows)]
        })
        .collect();
    assert_eq!(groups(tables, "numbers", "numbers_by_colour").await, expected);
    let expected: Vec<_> =
        by_day.into_iter().map(|(day, most)| vec![json!(day), json!(most)]).collect();
    assert_eq!(groups(tables, "numbers", "numbers_by_day").await, expected);
    assert!(tables.recount("numbers").await.unwrap().right);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_aggregates_are_what_an_oracle_says() {
    for ground in both() {
        rows_and_aggregates_are_what_an_oracle_says_on(&ground).await;
    }
}

async fn rows_and_aggregates_are_what_an_oracle_says_on(ground: &Ground) {
    let tables = open(ground).await;
    tables.create(numbers()).await.unwrap();
    let (mut draw, mut oracle, mut id) = (Draw(0x9e37_79b9_7f4a_7c15), Oracle::new(), 0);
    for _ in 0..60 {
        let mut batch = Vec::new();
        for _ in 0..=draw.below(12) {
            id += 1;
            let (draft, key) = drawn(&mut draw, id);
            follow(&mut oracle, &draft, key);
            batch.push(draft.clone());
            if draw.below(4) == 0 {
                batch.push(draft);
            }
        }
        tables.apply("numbers", batch).await.unwrap();
        check(&tables, &oracle).await;
    }
    // Whoever opens the same file finds the same.
    drop(tables);
    check(&open(ground).await, &oracle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_tell_how_the_rows_came_to_be() {
    for ground in both() {
        changes_tell_how_the_rows_came_to_be_on(&ground).await;
    }
}

async fn changes_tell_how_the_rows_came_to_be_on(ground: &Ground) {
    let tables = open(ground).await;
    tables.create(numbers()).await.unwrap();
    let mut draw = Draw(77);
    let drafts = (0..200).map(|id| drawn(&mut draw, id).0).collect();
    tables.apply("numbers", drafts).await.unwrap();
    let (mut rows, mut after) = (HashMap::new(), 0);
    loop {
        let changes = tables.changes("numbers", after, 7).await.unwrap();
        let Some(last) = changes.last() else { break };
        assert!(changes.windows(2).all(|two| two[0].version < two[1].version));
        assert!(changes[0].version > after);
        after = last.version;
        for change in changes {
            let key = change.key.to_string();
            match change.row {
                Some(row) => rows.insert(key, row),
                None => rows.remove(&key),
            };
        }
    }
    let query = RowsQuery { limit: 10_000, ..RowsQuery::default() };
    let page = tables.rows("numbers", &query).await.unwrap();
    let there: HashMap<_, _> =
        page.rows.into_iter().map(|row| (row.key.to_string(), row.row)).collect();
    assert_eq!(rows, there);
    assert_eq!(page.version, after);
}

fn product(sku: u64, name: u64, text: &str) -> Box<[Value]> {
    let value = |text: String| Value::Text(text.into());
    [value(format!("n{name:04}")), value(format!("s{sku:06}")), value(text.to_owned())].into()
}

async fn ingest(
    tables: &Tables,
    job: JobId,
    mode: IngestMode,
    rows: Vec<Box<[Value]>>,
) -> Result<IngestCounts, TablesError> {
    ingest_into(tables, "products", job, mode, rows).await
}

async fn ingest_into(
    tables: &Tables,
    table: &'static str,
    job: JobId,
    mode: IngestMode,
    rows: Vec<Box<[Value]>>,
) -> Result<IngestCounts, TablesError> {
    ingest_with(tables, (table, mode), job, means(), rows).await
}

/// What an ingest needs that nothing stops.
fn means() -> Means {
    Means::new(&std::env::temp_dir(), Box::new(|| Ok(())))
}

async fn ingest_with(
    tables: &Tables,
    (table, mode): (&'static str, IngestMode),
    job: JobId,
    means: Means,
    rows: Vec<Box<[Value]>>,
) -> Result<IngestCounts, TablesError> {
    let tables = tables.clone();
    let done = tokio::task::spawn_blocking(move || {
        let mut ingest = tables.ingest(job, (table, mode), means)?;
        for row in rows {
            ingest.push(row, 1)?;
        }
        ingest.finish()
    });
    done.await.unwrap()
}

fn job() -> JobId {
    JobId::from_uuid(Uuid::now_v7())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_writes_what_differs_and_only_that() {
    for ground in both() {
        an_ingest_writes_what_differs_and_only_that_on(&ground).await;
    }
}

async fn an_ingest_writes_what_differs_and_only_that_on(ground: &Ground) {
    let tables = open(ground).await;
    tables.create(TableDraft::products()).await.unwrap();
    // More than one chunk.
    let rows = |text: &str| (0..45_000).map(|i| product(i, i % 1000, text)).collect::<Vec<_>>();
    let first = job();
    let counts = ingest(&tables, first, IngestMode::Merge, rows("x")).await.unwrap();
    assert_eq!((counts.keys, counts.added, counts.unchanged), (45_000, 45_000, 0));
    let version = tables.get("products").await.unwrap().version;
    assert_eq!(version, 45_000);
    // A job that was applied is not applied again, whatever is pushed.
    let repeated = ingest(&tables, first, IngestMode::Merge, rows("y")).await.unwrap();
    assert_eq!(repeated, counts);
    let same = ingest(&tables, job(), IngestMode::Merge, rows("x")).await.unwrap();
    assert_eq!((same.added, same.updated, same.unchanged), (0, 0, 45_000));
    assert_eq!(tables.get("products").await.unwrap().version, version);
    let mut some = rows("x");
    some[7] = product(7, 999, "x");
    some.push(product(100_000, 1, "new"));
    let merged = ingest(&tables, job(), IngestMode::Merge, some.clone()).await.unwrap();
    assert_eq!((merged.added, merged.updated, merged.unchanged), (1, 1, 44_999));
    // Half of them go, in one transaction.
    let half: Vec<_> = some.iter().skip(1).step_by(2).cloned().collect();
    let replaced = ingest(&tables, job(), IngestMode::Replace, half.clone()).await.unwrap();
    assert_eq!((replaced.unchanged, replaced.deleted), (22_500, 22_501));
    let view = tables.get("products").await.unwrap();
    assert_eq!(view.rows, 22_500);
    let recount = tables.recount("products").await.unwrap();
    assert!(recount.right, "{recount:?}");
    let nothing = ingest(&tables, job(), IngestMode::Replace, Vec::new()).await.unwrap();
    assert_eq!(nothing.deleted, 22_500);
    assert!(tables.recount("products").await.unwrap().right);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_goes_on_behind_what_has_been_applied() {
    for ground in both() {
        an_ingest_goes_on_behind_what_has_been_applied_on(&ground).await;
    }
}

async fn an_ingest_goes_on_behind_what_has_been_applied_on(ground: &Ground) {
    let tables = open(ground).await;
    tables.create(TableDraft::products()).await.unwrap();
    let rows: Vec<_> = (0..50_000).map(|i| product(i, i, "x")).collect();
    let id = job();
    let (half, own) = (rows[..30_000].to_vec(), tables.clone());
    tokio::task::spawn_blocking(move || {
        let mut ingest = own.ingest(id, ("products", IngestMode::Merge), means()).unwrap();
        for row in half {
            ingest.push(row, 1).unwrap();
        }
        // The process ends here.
    })
    .await
    .unwrap();
    let mut version = tables.watch("products").unwrap();
    version.wait_for(|version| *version == 25_000).await.unwrap();
    // Somebody changes a row that the ingest has been by.
    let update = operation("1", OperationKind::Update, "s000007", &[("name", "mine")]);
    tables.apply("products", vec![update]).await.unwrap();
    let counts = ingest(&tables, id, IngestMode::Merge, rows).await.unwrap();
    assert_eq!((counts.keys, counts.added, counts.updated), (50_000, 50_000, 0));
    assert_eq!(tables.row("products", "s000007").await.unwrap().row["name"], "mine");
    assert!(tables.recount("products").await.unwrap().right);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_rows_for_all_corners_of_a_table_are_compared_right() {
    for ground in both() {
        a_few_rows_for_all_corners_of_a_table_are_compared_right_on(&ground).await;
    }
}

async fn a_few_rows_for_all_corners_of_a_table_are_compared_right_on(ground: &Ground) {
    let tables = open(ground).await;
    tables.create(TableDraft::products()).await.unwrap();
    let all = (0..5_000).map(|i| product(i * 10, i, "x")).collect();
    ingest(&tables, job(), IngestMode::Merge, all).await.unwrap();
    // Between them are far more rows than are read along.
    let some = |text: &'static str| {
        (0..50).flat_map(move |i| {
            // One as it is, one that differs, one that is not there.
            let at = i * 1_000;
            [
                product(at, at / 10, "x"),
                product(at + 10, at / 10 + 1, text),
                product(at + 15, 1, "x"),
            ]
        })
    };
    let counts = ingest(&tables, job(), IngestMode::Merge, some("y").collect()).await.unwrap();
    assert_eq!((counts.unchanged, counts.updated, counts.added), (50, 50, 50));
    let counts = ingest(&tables, job(), IngestMode::Merge, some("y").collect()).await.unwrap();
    assert_eq!((counts.unchanged, counts.updated, counts.added), (150, 0, 0));
    assert!(tables.recount("products").await.unwrap().right);
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_and_extremes_follow_an_ingest() {
    for ground in both() {
        sums_and_extremes_follow_an_ingest_on(&ground).await;
    }
}

async fn sums_and_extremes_follow_an_ingest_on(ground: &Ground) {
    let tables = open(ground).await;
    tables.create(numbers()).await.unwrap();
    let row = |i: i64, colour: i64, n: Option<i64>| -> Box<[Value]> {
        let text = |text: String| Value::Text(text.into());
        let n = n.map_or(Value::Null, Value::Integer);
        [text(format!("p{i:05}")), Value::Date((i % 40) as i32), text(format!("c{colour}")), n]
            .into()
    };
    let right = async |rows: u64| {
        assert_eq!(tables.get("numbers").await.unwrap().rows, rows);
        let recount = tables.recount("numbers").await.unwrap();
        assert!(recount.right, "{recount:?}");
    };
    // More than one chunk, so that groups are gathered over several.
    let first = (0..30_000).map(|i| row(i, i % 7, (i % 5 > 0).then_some(i)));
    let first: Vec<_> = first.collect();
    ingest_into(&tables, "numbers", job(), IngestMode::Merge, first).await.unwrap();
    right(30_000).await;
    // Groups become empty and new, and lose their least and greatest.
    let second = (0..29_000).filter(|i| i % 3 > 0 || i % 7 == 2);
    let second: Vec<_> =
        second.map(|i| row(i, if i % 7 == 2 { 9 } else { i % 7 }, Some(-i))).collect();
    let counts =
        ingest_into(&tables, "numbers", job(), IngestMode::Merge, second.clone()).await.unwrap();
    assert_eq!((counts.updated, counts.unchanged), (second.len() as u64, 0));
    right(30_000).await;
    let rows = second.len() as u64;
    let counts = ingest_into(&tables, "numbers", job(), IngestMode::Replace, second).await.unwrap();
    assert_eq!((counts.deleted, counts.added), (30_000 - rows, 0));
    right(rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_the_end_of_an_ingest() {
    for ground in both() {
        nobody_waits_for_the_end_of_an_ingest_on(&ground).await;
    }
}

async fn nobody_waits_for_the_end_of_an_ingest_on(ground: &Ground) {
    let tables = open(ground).await;
    tables.create(TableDraft::products()).await.unwrap();
    tables.create(numbers()).await.unwrap();
    let own = tables.clone();
    let (go, gone) = std::sync::mpsc::sync_channel::<()>(0);
    let filling = tokio::task::spawn_blocking(move || {
        let mut ingest = own.ingest(job(), ("products", IngestMode::Merge), means()).unwrap();
        for i in 0..30_000 {
            ingest.push(product(i, i, "x"), 1).unwrap();
        }
        // A chunk is being written, and no other one comes before the others have had their turns.
        gone.recv().unwrap();
        ingest.finish()
    });
    // Of the same table, of another one, and whoever declares one.
    let results = tables.apply("products", vec![add("1", "zzz", "late")]).await.unwrap();
    assert_eq!(results[0].outcome, Outcome::Added);
    let row = json!({"part": "p", "day": "2020-02-01", "colour": "c", "n": 1});
    let other = OperationDraft {
        message_id: "1".to_owned(),
        op: OperationKind::Add,
        key: None,
        row: row.as_object().cloned(),
        expected_version: None,
    };
    tables.apply("numbers", vec![other]).await.unwrap();
    tables.create(TableDraft::plays()).await.unwrap();
    go.send(()).unwrap();
    assert_eq!(filling.await.unwrap().unwrap().added, 30_000);
    assert_eq!(tables.get("products").await.unwrap().rows, 30_001);
    assert!(tables.recount("products").await.unwrap().right);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_every_row_once_in_any_order() {
    for ground in both() {
        pages_have_every_row_once_in_any_order_on(&ground).await;
    }
}

async fn pages_have_every_row_once_in_any_order_on(ground: &Ground) {
    let tables = open(ground).await;
    tables.create(numbers()).await.unwrap();
    let add = |i: i64| {
        OperationDraft {
        message_id: format!("m{i}"),
        op: OperationKind::Add,
        key: Some(json!([format!("p{:02}", i % 50), format!("2020-02-{:02}", 1 + i / 50)])),
        row: json!({"colour": format!("c{}", i % 3), "n": if i % 4 == 0 { json!(null) } else { json!(i % 7) }})
            .as_object()
            .cloned(),
        expected_version: None,
    }
    };
    tables.apply("numbers", (0..500).map(add).collect()).await.unwrap();
    for sort in [None, Some("n"), Some("colour"), Some("Day"), Some("_version")] {
        for descending in [false, true] {
            let mut query = RowsQuery {
                sort: sort.map(str::to_owned),
                descending,
                limit: 33,
                ..RowsQuery::default()
            };
            let mut seen = Vec::new();
            loop {
                let page = tables.rows("numbers", &query).await.unwrap();
                seen.extend(page.rows);
                query.cursor = page.next;
                if query.cursor.is_none() {
                    break;
                }
            }
            assert_eq!(seen.len(), 500, "{sort:?}");
            let mut keys: Vec<_> = seen.iter().map(|row| row.key.to_string()).collect();
            keys.sort();
            keys.dedup();
            assert_eq!(keys.len(), 500, "{sort:?}");
            if sort == Some("n") {
                let n = |at: usize| seen[at].row["n"].as_i64();
                let ordered = (1..500)
                    .all(|at| if descending { n(at - 1) >= n(at) } else { n(at - 1) <= n(at) });
                assert!(ordered, "descending: {descending}");
            }
        }
    }
    let condition =
        |name: &str, comparison, value: &str| (name.to_owned(), comparison, value.to_owned());
    let count = async |query: RowsQuery| {
        tables.rows("numbers", &RowsQuery { limit: 1000, ..query }).await.unwrap().rows.len()
    };
    let conditions = vec![
        condition("part", Comparison::Prefix, "p1"),
        condition("day", Comparison::From, "2020-02-03"),
        condition("day", Comparison::Before, "2020-02-05"),
    ];
    assert_eq!(count(RowsQuery { conditions, ..RowsQuery::default() }).await, 20);
    let search = Some("P4".to_owned());
    assert_eq!(count(RowsQuery { search, ..RowsQuery::default() }).await, 100);
    let conditions = vec![condition("colour", Comparison::Equal, "c0")];
    assert_eq!(count(RowsQuery { conditions, ..RowsQuery::default() }).await, 167);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_can_be_dropped_and_declared_otherwise() {
    for ground in both() {
        a_table_can_be_dropped_and_declared_otherwise_on(&ground).await;
    }
}

async fn a_table_can_be_dropped_and_declared_otherwise_on(ground: &Ground) {
    let tables = open(ground).await;
    tables.create(TableDraft::products()).await.unwrap();
    tables.apply("products", vec![add("1", "a", "Ann")]).await.unwrap();
    // Declared once more in the same words.
    assert_eq!(tables.create(TableDraft::products()).await.unwrap().rows, 1);
    let mut other = TableDraft::products();
    other.columns.pop();
    assert!(matches!(tables.create(other.clone()).await, Err(TablesError::Exists(_))));
    let mut clash = TableDraft { name: "others".into(), ..TableDraft::products() };
    clash.aggregates[0].name = "products".into();
    assert!(matches!(tables.create(clash).await, Err(TablesError::Exists(_))));
    tables.drop("products").await.unwrap();
    assert!(matches!(tables.get("products").await, Err(TablesError::NotFound(_))));
    tables.create(other).await.unwrap();
    let row = operation("1", OperationKind::Add, "a", &[("name", "Bob")]);
    assert_eq!(tables.apply("products", vec![row]).await.unwrap()[0].version, Some(1));
    assert_eq!(tables.row("products", "a").await.unwrap().row["name"], "Bob");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sum_never_wraps() {
    for ground in both() {
        a_sum_never_wraps_on(&ground).await;
    }
}

async fn a_sum_never_wraps_on(ground: &Ground) {
    let tables = open(ground).await;
    tables.create(numbers()).await.unwrap();
    let add = |id: &str, part: &str, n: i64| OperationDraft {
        message_id: id.to_owned(),
        op: OperationKind::Add,
        key: Some(json!([part, "2020-01-01"])),
        row: json!({"colour": "red", "n": n}).as_object().cloned(),
        expected_version: None,
    };
    let results =
        tables.apply("numbers", vec![add("1", "a", i64::MAX), add("2", "b", 1), add("3", "c", -1)]);
    let results = results.await.unwrap();
    let found: Vec<_> = results.iter().map(|result| result.outcome).collect();
    assert_eq!(found, [Outcome::Added, Outcome::Overflow, Outcome::Added]);
    assert_eq!(groups(&tables, "numbers", "numbers_by_colour").await[0][1], json!(i64::MAX - 1));
}
