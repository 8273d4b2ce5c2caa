//! Two processes hammer one table: operations in any order, many of them twice and more, while the master is
//! killed again and again. In the end the table must be what the acknowledged outcomes say, replayed in the
//! order of their versions by a model that shares nothing with the master.

mod client;

use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

use tally_tests::input::Random;
use tally_tests::{Cluster, Http, Process, eventually};

use client::{ANSWERED, ANSWERED_EACH, PATIENCE, Task, send};

/// Distinct operations.
const OPERATIONS: usize = 3_000;

/// Keys that they are about: few, so that they meet.
const KEYS: u64 = 40;

/// Times that the master is killed.
const KILLS: usize = 5;

const TABLE: &str = "/api/v1/tables/products";

/// The first answers to each message id, as the clients heard them.
type Heard = HashMap<String, Value>;

#[test]
pub(crate) fn a_table_is_what_its_acknowledged_outcomes_say() {
    for seed in seeds() {
        // Shown where it fails.
        println!("TALLY_HAMMER_SEED={seed}");
        hammer(seed);
    }
}

/// `TALLY_HAMMER_SEED`, one or several with commas between them; else one that is always the same, and one
/// of this run.
fn seeds() -> Vec<u64> {
    let Ok(named) = std::env::var("TALLY_HAMMER_SEED") else {
        return vec![1, u64::from(std::process::id())];
    };
    named.split(',').map(|seed| seed.parse().expect("TALLY_HAMMER_SEED is numbers")).collect()
}

fn hammer(seed: u64) {
    let mut cluster = Cluster::start(0);
    let http = Http::with_timeout(&format!("http://{}", cluster.http().address()), Some(PATIENCE));
    let created = http.post_as("/api/v1/tables", "application/json", br#"{"preset":"products"}"#);
    assert_eq!(created.status, 201, "{}", created.text());

    let operations = operations(seed);
    let heard = ["first.json", "second.json"].map(|name| cluster.path(name));
    let mut clients = [1, 2].map(|number: u64| {
        let task = Task {
            address: http.address().to_owned(),
            seed,
            order: seed ^ number << 32,
            heard: heard[number as usize - 1].clone(),
        };
        task.start(&format!("client {number}"))
    });
    let answered = |clients: &[Process]| -> usize {
        clients.iter().map(|client| client.said(ANSWERED)).sum::<usize>() * ANSWERED_EACH
    };
    for kill in 1..=KILLS {
        // Spread over the work, by what has been done and not by the clock.
        let enough = kill * OPERATIONS / KILLS;
        eventually("the clients to get on", || (answered(&clients) >= enough).then_some(()));
        cluster.restart_master(|master| master.kill());
    }
    for client in &mut clients {
        assert!(client.ended().success(), "a client has failed: see above");
    }
    let heard = heard.map(|file| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap());
    let outcomes = same_for_all(&http, &operations, &heard);
    judge(&http, &operations, &outcomes);
}

/// Operations on few keys, so that all outcomes come about.
fn operations(seed: u64) -> Vec<Value> {
    let mut random = Random::new(seed);
    let each = (0..OPERATIONS).map(|number| {
        let key = format!("sku-{}", random.below(KEYS));
        let name = format!("name-{}", random.below(8));
        let description = format!("\"{}\",\n{number}", random.below(3));
        let id = format!("m-{number}");
        let mut operation = match random.below(100) {
            0..45 => {
                json!({"op": "add", "row": {"sku": key, "name": name, "description": description}})
            }
            45..65 => json!({"op": "update", "key": key, "row": {"name": name}}),
            65..80 => json!({"op": "update", "key": key, "row": {"name": name},
                "expected_version": random.below(OPERATIONS as u64)}),
            _ => json!({"op": "delete", "key": key}),
        };
        operation["message_id"] = id.into();
        operation
    });
    each.collect()
}

/// Whether two answers tell of the same, whichever was the first.
fn same(one: &Value, other: &Value) -> bool {
    (&one["outcome"], &one["version"]) == (&other["outcome"], &other["version"])
}

/// Asks for every operation once more: all have been applied, and nobody has heard anything else.
fn same_for_all(http: &Http, operations: &[Value], heard: &[Heard]) -> Heard {
    let all: Vec<&Value> = operations.iter().collect();
    let again = send(http, &all, false).expect("the master is up");
    let mut outcomes = Heard::new();
    for answer in again {
        let id = answer["message_id"].as_str().unwrap().to_owned();
        assert_eq!(answer["repeated"], true, "{answer}");
        for heard in heard {
            assert!(same(&heard[&id], &answer), "{} and then {answer}", heard[&id]);
        }
        // Who was told first, and who heard of it later, is all that may differ.
        let firsts = heard.iter().filter(|heard| heard[&id]["repeated"] != true).count();
        assert!(firsts <= 1, "{id} was applied twice");
        outcomes.insert(id, answer);
    }
    assert_eq!(outcomes.len(), operations.len());
    outcomes
}

/// A row as the model has it.
type Row = (u64, Value);

/// Replays what was acknowledged, and compares it with the table.
fn judge(http: &Http, operations: &[Value], outcomes: &Heard) {
    let outcome = |operation: &Value| &outcomes[operation["message_id"].as_str().unwrap()];
    let done = |operation: &&Value| {
        ["added", "updated", "deleted"].contains(&outcome(operation)["outcome"].as_str().unwrap())
    };
    let mut by_version = BTreeMap::new();
    for operation in operations.iter().filter(done) {
        let version = outcome(operation)["version"].as_u64().expect("a change has a version");
        let twice = by_version.insert(version, operation);
        assert!(twice.is_none(), "two changes have the version {version}");
    }
    let mut model: BTreeMap<String, Row> = BTreeMap::new();
    // All that a row ever was, by key and version.
    let mut past: HashMap<(String, u64), Value> = HashMap::new();
    for (version, operation) in &by_version {
        let key = key(operation);
        let before = model.get(&key);
        if let Some(expected) = operation["expected_version"].as_u64() {
            assert_eq!(before.map(|row| row.0), Some(expected), "{operation} at {version}");
        }
        match outcome(operation)["outcome"].as_str().unwrap() {
            "added" => {
                assert!(before.is_none(), "{operation} at {version}");
                model.insert(key.clone(), (*version, operation["row"].clone()));
            }
            "updated" => {
                let (_, mut row) = before.expect("there is something to update").clone();
                assert_ne!(row["name"], operation["row"]["name"], "{operation} at {version}");
                row["name"] = operation["row"]["name"].clone();
                model.insert(key.clone(), (*version, row));
            }
            _ => drop(model.remove(&key).expect("there is something to delete")),
        }
        if let Some((version, row)) = model.get(&key) {
            past.insert((key, *version), row.clone());
        }
    }
    for operation in operations.iter().filter(|operation| !done(operation)) {
        let answer = outcome(operation);
        let there = answer["version"].as_u64().and_then(|at| past.get(&(key(operation), at)));
        match answer["outcome"].as_str().unwrap() {
            "exists" => {
                assert!(operation["op"] == "add" && there.is_some(), "{operation}: {answer}")
            }
            "missing" => assert!(operation["op"] != "add", "{operation}: {answer}"),
            "conflict" => {
                assert!(there.is_some(), "{operation}: {answer}");
                assert_ne!(operation["expected_version"], answer["version"]);
            }
            "unchanged" => {
                let row = there.expect("what is unchanged is there");
                assert_eq!(row["name"], operation["row"]["name"], "{operation}: {answer}");
            }
            other => panic!("{operation} came to {other}"),
        }
    }
    compare(http, &model);
    let last = by_version.keys().next_back().copied().unwrap_or(0);
    let table = http.get(TABLE).json();
    assert_eq!((&table["version"], &table["rows"]), (&json!(last), &json!(model.len())));
}

fn key(operation: &Value) -> String {
    let key = operation["key"].as_str().or(operation["row"]["sku"].as_str());
    key.unwrap().to_owned()
}

/// Rows with their versions, all data, the aggregate, and the changes from the first on.
fn compare(http: &Http, model: &BTreeMap<String, Row>) {
    let page = http.get(&format!("{TABLE}/rows?limit=10000")).json();
    let rows = page["rows"].as_array().unwrap().iter().map(|row| {
        let version = row["version"].as_u64().unwrap();
        (row["key"].as_str().unwrap().to_owned(), (version, row["row"].clone()))
    });
    assert_eq!(&rows.collect::<BTreeMap<_, _>>(), model);
    let data = http.get(&format!("{TABLE}/data?format=json")).json();
    let expected: Vec<&Value> = model.values().map(|(_, row)| row).collect();
    assert_eq!(data, json!(expected));

    let mut names: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, row) in model.values() {
        *names.entry(row["name"].as_str().unwrap()).or_default() += 1;
    }
    let groups = http.get(&format!("{TABLE}/aggregates/products_by_name?limit=10000")).json();
    assert_eq!(groups["rows"], json!(names.into_iter().collect::<Vec<_>>()));
    let recount = http.request("POST", &format!("{TABLE}/recount"), &[], b"").json();
    assert_eq!(recount["right"], true, "{recount}");

    let (mut replayed, mut after) = (BTreeMap::new(), 0);
    loop {
        let page = http.get(&format!("{TABLE}/changes?after={after}&limit=1000")).json();
        let changes = page["changes"].as_array().unwrap();
        if changes.is_empty() {
            break;
        }
        for change in changes {
            let version = change["version"].as_u64().unwrap();
            assert!(version > after, "changes come in order");
            after = version;
            let key = change["key"].as_str().unwrap().to_owned();
            match change["row"].is_null() {
                true => drop(replayed.remove(&key)),
                false => drop(replayed.insert(key, (version, change["row"].clone()))),
            }
        }
    }
    assert_eq!(&replayed, model);
}
