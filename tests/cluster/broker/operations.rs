//! Operations that come through a broker: each once, whoever dies in between.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use super::*;
use tally_tests::input::Random;
use tally_tests::{Process, tally};

/// Declares the table `products`: sku, name, description.
fn products(cluster: &Cluster) {
    let draft = br#"{"preset":"products"}"#;
    let answer = cluster.http().post_as("/api/v1/tables", "application/json", draft);
    assert_eq!(answer.status, 201, "{}", answer.text());
}

fn add(id: &str, sku: &str, name: &str) -> Value {
    let row = json!({ "sku": sku, "name": name, "description": "" });
    json!({ "message_id": id, "op": "add", "row": row })
}

/// The rows, name by sku.
fn rows(cluster: &Cluster) -> BTreeMap<String, String> {
    let lines = cluster.http().get("/api/v1/tables/products/data?format=jsonl").text();
    let rows = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    rows.map(|row| (text(&row, "sku"), text(&row, "name"))).collect()
}

#[test]
fn operations_are_applied_once_and_answered() {
    let rabbit = Rabbit::start();
    let cluster = start(&rabbit, 0, &[]);
    products(&cluster);
    let client = Client::new(&rabbit);
    client.declare("answers");
    let send = |body: String, id: &str| {
        let properties = properties(id, "products").with_reply_to("answers".into());
        client.send("tally.operations", body.as_bytes(), properties);
        client.take("answers")
    };
    let outcome = |answer: &client::Got, i: usize| {
        let result = answer.json()["results"][i].clone();
        (result["outcome"].as_str().unwrap().to_owned(), result["repeated"] == true)
    };
    let mut first = add("", "s1", "one");
    first.as_object_mut().unwrap().remove("message_id");
    let answer = send(first.to_string(), "p-1");
    assert_eq!(outcome(&answer, 0), ("added".to_owned(), false));
    assert_eq!(answer.properties.correlation_id().as_ref().unwrap().as_str(), "p-1");
    // The same once more; a key that there is; lines; an array.
    assert_eq!(outcome(&send(first.to_string(), "p-1"), 0), ("added".to_owned(), true));
    assert_eq!(outcome(&send(add("b", "s1", "x").to_string(), ""), 0).0, "exists");
    let lines = format!("{}\n{}\n", add("c", "s2", "two"), add("d", "s3", "three"));
    let answer = send(lines, "");
    assert_eq!((outcome(&answer, 0).0, outcome(&answer, 1).0), ("added".into(), "added".into()));
    let array = json!([{ "message_id": "e", "op": "delete", "key": "s3" }]).to_string();
    assert_eq!(outcome(&send(array, ""), 0).0, "deleted");
    let all = [("s1", "one"), ("s2", "two")].map(|(sku, name)| (sku.to_owned(), name.to_owned()));
    assert_eq!(rows(&cluster), all.into());
    eventually("all to be acknowledged", || {
        let sum =
            counted(&cluster, "operations", "done") + counted(&cluster, "operations", "refused");
        (sum == 5).then_some(())
    });
    assert_eq!(counted(&cluster, "operations", "refused"), 1);
    assert_eq!(client.ready("tally.operations") + client.ready("tally.dead"), 0);
}

#[test]
fn operations_that_make_no_sense_lie_in_the_dead_letter_queue_and_say_why() {
    let rabbit = Rabbit::start();
    let cluster = start(
        &rabbit,
        0,
        &[
            "--amqp-operations",
            "strict?table=products&dead_letter_refused=true",
            "--amqp-files",
            "in",
            "--amqp-dead",
            "graves",
        ],
    );
    products(&cluster);
    let client = Client::new(&rabbit);
    let good = add("good", "s1", "one").to_string();
    client.send("strict", good.as_bytes(), properties("", ""));
    for (body, table, word) in [
        ("no json".to_owned(), "", "no JSON"),
        (good.clone(), "nothing", "nothing"),
        (good.replace("name", "nam"), "", "nam"),
        (good.replace("\"good\"", "\"again\""), "", "exists"),
        (good.replace("\"one\"", "\"other\""), "", "reused"),
        ("[]".to_owned(), "", "no operation"),
    ] {
        let sent = properties("the-id", table).with_correlation_id("c".into());
        client.send("strict", body.as_bytes(), sent);
        let dead = client.take("graves");
        assert_eq!(dead.body, body.as_bytes());
        let reason = dead.header("x-tally-reason");
        assert!(reason.contains(word), "{reason}");
        assert_eq!(dead.header("x-tally-queue"), "strict");
        let kept = (dead.properties.message_id(), dead.properties.correlation_id());
        assert_eq!(kept, (&Some("the-id".into()), &Some("c".into())));
    }
    assert_eq!(rows(&cluster), [("s1".to_owned(), "one".to_owned())].into());
}

/// A history of operations, and the rows that it comes to. Each operation stands there once or twice;
/// all of one row in their order, and no other order matters.
fn history(seed: u64, messages: usize) -> (String, BTreeMap<String, String>) {
    let mut random = Random::new(seed);
    let mut lines = String::new();
    let mut rows = BTreeMap::new();
    let mut sent = Vec::new();
    for number in 0..messages {
        if random.below(10) == 0 && !sent.is_empty() {
            // One that was sent before, somewhere later on: it must change nothing any more.
            let at = random.below(sent.len() as u64) as usize;
            let again: &String = &sent[at];
            lines.push_str(again);
            continue;
        }
        let sku = format!("s{}", random.below(messages as u64 / 8));
        let (id, name) = (format!("m{number}"), format!("n{number}"));
        let operation = match (rows.contains_key(&sku), random.below(4)) {
            (false, _) => add(&id, &sku, &name),
            (true, 0) => json!({ "message_id": id, "op": "delete", "key": sku }),
            (true, _) => {
                json!({ "message_id": id, "op": "update", "key": sku, "row": { "name": name } })
            }
        };
        if operation["op"] == "delete" {
            rows.remove(&sku);
        } else {
            rows.insert(sku, name);
        }
        let mut line = String::new();
        writeln!(line, "{operation}").unwrap();
        lines.push_str(&line);
        sent.push(line);
    }
    (lines, rows)
}

#[test]
fn nothing_is_lost_or_doubled_when_broker_and_master_are_killed() {
    let mut rabbit = Rabbit::start();
    let mut cluster = start(&rabbit, 0, &[]);
    products(&cluster);
    let (lines, expected) = history(903, 100_000);
    let file = cluster.path("operations.jsonl");
    std::fs::write(&file, &lines).unwrap();
    let mut command = tally();
    command.args(["publish", "operations"]).arg(&file);
    command.args(["--table", "products", "--amqp", &rabbit.url()]).stdout(Stdio::null());
    let mut sender = Process::start("publish", command);
    let done = |cluster: &Cluster| {
        counted(cluster, "operations", "done") + counted(cluster, "operations", "refused")
    };
    eventually("some to be applied", || (done(&cluster) >= 10_000).then_some(()));
    rabbit.kill();
    cluster.restart_master(Process::kill);
    rabbit.start_again();
    connected(&cluster);
    eventually("more to be applied", || (done(&cluster) >= 20_000).then_some(()));
    cluster.restart_master(Process::kill);
    assert!(sender.ended().success());
    let client = Client::new(&rabbit);
    eventually("all to be applied", || {
        (client.ready("tally.operations") == 0 && rows(&cluster) == expected).then_some(())
    });
    assert_eq!(client.ready("tally.dead"), 0);
    let recount = cluster.http().post("/api/v1/tables/products/recount", b"");
    assert_eq!(recount.json()["right"], true, "{}", recount.text());
}
