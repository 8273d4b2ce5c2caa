//! While a table is filled, others get on: they read it, count, and change other tables. The ingest is held
//! between its chunks, so that it is under way for as long as that takes.

use std::fs;

use serde_json::{Value, json};
use tally_tests::{Cluster, Http, Options, input};

use crate::ingest::{check_aggregates, counts, held, ingest, last, many, products, submit};

/// Rows that the table has at first: more than a chunk.
const BEFORE: usize = 30_000;

/// Rows that go into it: some chunks.
const AFTER: usize = 60_000;

/// Where the master stops: some chunks have been applied, and the last one has not.
const HELD: &str = "all rows of an ingest are handed over";

/// Where it stops when all has been written beside the table in use.
const ANEW: &str = "a table is written anew";

const TABLE: &str = "/api/v1/tables/products";

/// The table's rows, as many of a page, and how many rows its groups come to.
fn look(http: &Http) -> (Vec<Value>, u64) {
    let page = http.get(&format!("{TABLE}/rows?limit=1000&sort=sku&order=desc"));
    assert_eq!(page.status, 200, "{}", page.text());
    let page = page.json();
    let rows = page["rows"].as_array().unwrap().iter().map(|row| row["row"].clone());
    let groups = http.get(&format!("{TABLE}/aggregates/products_by_name?limit=1000"));
    assert_eq!(groups.status, 200, "{}", groups.text());
    let groups = groups.json();
    let sum = groups["rows"].as_array().unwrap().iter().map(|group| group[1].as_u64().unwrap());
    (rows.collect(), sum.sum())
}

/// Fills the table, holds the second ingest, and does what others do meanwhile.
fn others_get_on(mode: &str, at: &str) {
    let folder = tempfile::tempdir().unwrap();
    let holding = folder.path().join("held");
    let env = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let envs = vec![env("TALLY_PAUSE_AT", at), env("TALLY_PAUSE_WHILE", holding.to_str().unwrap())];
    let mut cluster = Cluster::start_with(1, Options { envs, ..Options::default() });
    if at == ANEW && cluster.store().is_some() {
        // A Postgres is given one transaction, which nobody waits for.
        return;
    }
    let http = cluster.http();
    let before = many(BEFORE, "before");
    ingest(&cluster, "table=products&preset=products", products(&before).as_bytes());
    let old = look(&http);
    assert_eq!(old.1, BEFORE as u64);

    fs::write(&holding, "").unwrap();
    let after = many(AFTER, "after");
    let path = format!("table=products&mode={mode}");
    let filling = submit(&cluster, &path, products(&after).as_bytes());
    cluster.master().says("paused at");
    others_write(&cluster);
    let now = look(&http);
    if mode == "replace" {
        assert!(now == old, "what is replaced is seen before it is complete");
        assert!(held(&cluster, "products", "sku") == last(&before));
        assert_eq!(http.get(TABLE).json()["rows"], BEFORE);
    } else {
        // Whole chunks, with their groups.
        assert_eq!(now.1, http.get(TABLE).json()["rows"]);
        assert!(now.1 >= old.1);
    }
    assert_eq!(http.get(&format!("{TABLE}/rows/sku-000007")).status, 200);
    check_aggregates(&cluster, "products");
    assert_eq!(http.job(&filling)["state"], "merging", "it was held all the time");

    fs::remove_file(&holding).unwrap();
    let job = http.ended(&filling);
    let (added, updated) = ((AFTER - BEFORE) as u64, BEFORE as u64);
    assert_eq!(counts(&job), [added, updated, 0, 0], "{job}");
    assert!(held(&cluster, "products", "sku") == last(&after));
    check_aggregates(&cluster, "products");
}

/// A job from its submission to its end, and a table from its declaration to an operation on it.
fn others_write(cluster: &Cluster) {
    let http = cluster.http();
    let plays = input::plays(211, 50, 50_000);
    let counting = submit(cluster, "", plays.as_bytes());
    assert_eq!(http.ended(&counting)["state"], "succeeded");
    let result = http.get(&format!("/api/v1/jobs/{counting}/result")).body;
    assert!(result == input::totals(plays.as_bytes()));
    let stock =
        json!({"name": "stock", "key": ["id"], "columns": [{"name": "id", "kind": "text"}]});
    let made = http.post_as("/api/v1/tables", "application/json", stock.to_string().as_bytes());
    assert_eq!(made.status, 201, "{}", made.text());
    let add = json!({"message_id": "a", "op": "add", "row": {"id": "x"}}).to_string();
    let path = "/api/v1/tables/stock/operations";
    let done = http.post_as(path, "application/json", add.as_bytes());
    assert_eq!(done.json()["results"][0]["outcome"], "added", "{}", done.text());
}

#[test]
pub(crate) fn nobody_waits_for_a_file_that_is_merged_into_a_table() {
    others_get_on("merge", HELD);
}

#[test]
pub(crate) fn nobody_waits_for_a_file_that_replaces_a_table() {
    others_get_on("replace", HELD);
}

#[test]
fn jobs_and_other_tables_go_on_while_a_table_is_replaced() {
    others_get_on("replace", ANEW);
}
