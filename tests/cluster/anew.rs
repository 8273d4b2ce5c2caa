//! A table that is replaced by so much that it is written beside itself: the master dies at the places where
//! that is not complete, where it is and nobody sees it, and where it has just taken the old table's place.

use std::fs;

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

fn dies_at(point: &str, complete: bool) {
    let folder = tempfile::tempdir().unwrap();
    let holding = folder.path().join("held");
    let envs = [("TALLY_PAUSE_AT", point), ("TALLY_PAUSE_WHILE", holding.to_str().unwrap())];
    let envs = envs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let mut cluster = Cluster::start_with(1, Options { envs, ..Options::default() });
    if cluster.store().is_some() {
        // A Postgres is given one transaction.
        return;
    }
    let before = products(&many(BEFORE, "before"));
    ingest(&cluster, "table=products&preset=products", before.as_bytes());
    fs::write(&holding, "").unwrap();
    let after = products(&many(AFTER, "after"));
    let id = submit(&cluster, "table=products&mode=replace", after.as_bytes());
    cluster.master().says("paused at");
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
