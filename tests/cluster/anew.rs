//! A table that is replaced by so much that it is written beside itself: the master dies at the places where
//! that is not complete, where it is and nobody sees it, and where it has just taken the old table's place.

use std::fs;
use std::path::Path;

use serde_json::json;
use tally_tests::{Cluster, Options, Process};

use crate::backup::{copied, master_on};
use crate::ingest::{check_aggregates, counts, held, ingest, last, many, products, submit};

/// Rows before and after: each is changed or added, more than one transaction takes.
const BEFORE: usize = 20_000;
const AFTER: usize = 26_000;

const TABLE: &str = "/api/v1/tables/products";

/// Whether the table is the new one: all of it, or nothing.
fn is_new(cluster: &Cluster) -> bool {
    let table = held(cluster, "products", "sku");
    let new = table == last(&many(AFTER, "after"));
    assert!(new || table == last(&many(BEFORE, "before")), "it is neither: {} rows", table.len());
    new
}

/// Waits for the end of the job, and looks at all that should have come of it.
fn comes_to_its_end(cluster: &Cluster, id: &str) {
    let http = cluster.http();
    let job = http.ended(id);
    assert_eq!(job["state"], "succeeded", "{job}");
    assert_eq!(counts(&job), [(AFTER - BEFORE) as u64, BEFORE as u64, 0, 0], "{job}");
    assert!(is_new(cluster));
    check_aggregates(cluster, "products");
    let table = http.get(TABLE).json();
    assert_eq!((&table["rows"], &table["version"]), (&json!(AFTER), &json!(BEFORE + AFTER)));
    let history = http.get(&format!("{TABLE}/rows/sku-000007/history")).json();
    let kinds = history["changes"].as_array().unwrap().iter().map(|change| &change["change"]);
    assert_eq!(kinds.collect::<Vec<_>>(), ["updated", "added"], "{history}");
}

/// A cluster whose replacement of the table is held at a place as long as there is the file; and its job. None
/// where the store is a Postgres, which is given one transaction.
fn held_at(point: &str, holding: &Path) -> Option<(Cluster, String)> {
    let envs = [("TALLY_PAUSE_AT", point), ("TALLY_PAUSE_WHILE", holding.to_str().unwrap())];
    let envs = envs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let mut cluster = Cluster::start_with(1, Options { envs, ..Options::default() });
    if cluster.store().is_some() {
        return None;
    }
    let before = products(&many(BEFORE, "before"));
    ingest(&cluster, "table=products&preset=products", before.as_bytes());
    fs::write(holding, "").unwrap();
    let after = products(&many(AFTER, "after"));
    let id = submit(&cluster, "table=products&mode=replace", after.as_bytes());
    cluster.master().says("paused at");
    Some((cluster, id))
}

fn dies_at(point: &str, complete: bool) {
    let folder = tempfile::tempdir().unwrap();
    let holding = folder.path().join("held");
    let Some((mut cluster, id)) = held_at(point, &holding) else { return };
    assert_eq!(is_new(&cluster), complete, "at {point:?}");
    check_aggregates(&cluster, "products");
    let copy = copied(&cluster, "backup");
    cluster.restart_master(|master: &mut Process| {
        master.kill();
        fs::remove_file(&holding).unwrap();
    });
    assert!(!complete || is_new(&cluster), "what was committed stays");
    comes_to_its_end(&cluster, &id);
    let restored = master_on(&copy);
    assert!(!complete || is_new(&restored), "what was committed is in a backup");
    comes_to_its_end(&restored, &id);
}

#[test]
fn a_master_that_dies_while_it_replaces_a_table_leaves_the_old_one_or_the_new_one() {
    dies_at("a share of a table is to be written anew", false);
    dies_at("a share of an aggregate is to be written anew", false);
    dies_at("a table is written anew", false);
    dies_at("a table has been replaced", true);
}

#[test]
fn a_replacement_that_is_cancelled_when_all_is_written_leaves_the_old_table() {
    let folder = tempfile::tempdir().unwrap();
    let holding = folder.path().join("held");
    let Some((cluster, id)) = held_at("a table is written anew", &holding) else { return };
    let http = cluster.http();
    let cancelled = http.post(&format!("/api/v1/jobs/{id}/cancel"), b"");
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    assert_eq!(http.ended(&id)["state"], "cancelled");
    fs::remove_file(&holding).unwrap();
    // It is answered when the table's turn is given on, and what was written is removed.
    let add = json!({"message_id": "a", "op": "add",
        "row": {"sku": "zzz", "name": "n", "description": ""}});
    let path = format!("{TABLE}/operations");
    let done = http.post_as(&path, "application/json", add.to_string().as_bytes());
    assert_eq!(done.json()["results"][0]["version"], BEFORE + 1, "{}", done.text());
    assert_eq!(http.get(TABLE).json()["rows"], BEFORE + 1);
    check_aggregates(&cluster, "products");
    let after = products(&many(AFTER, "after"));
    ingest(&cluster, "table=products&mode=replace", after.as_bytes());
    assert!(is_new(&cluster));
    check_aggregates(&cluster, "products");
}
