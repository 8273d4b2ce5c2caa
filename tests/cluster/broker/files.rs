//! Files that come through a broker.

use super::*;

use tally_tests::input;

/// The jobs that there are.
fn jobs(cluster: &Cluster) -> Vec<serde_json::Value> {
    cluster.http().get("/api/v1/jobs").json()["jobs"].as_array().unwrap().clone()
}

#[test]
fn files_are_counted_by_body_and_by_reference_each_once() {
    let rabbit = Rabbit::start();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().canonicalize().unwrap();
    let plays = input::plays(901, 40, 60_000);
    std::fs::write(place.join("plays.csv"), &plays).unwrap();
    let cluster = start(&rabbit, 1, &["--input-dir", place.to_str().unwrap()]);
    let client = Client::new(&rabbit);
    client.declare("answers");

    // By body, twice under one id: one job, two answers.
    let answered = |id: &str| properties(id, "").with_reply_to("answers".into());
    for _ in 0..2 {
        client.send("tally.files", plays.as_bytes(), answered("body-1"));
    }
    let (first, second) = (client.take("answers"), client.take("answers"));
    assert_eq!(first.json()["state"], "succeeded");
    assert_eq!(first.json()["id"], second.json()["id"]);
    assert_eq!(first.properties.correlation_id().as_ref().unwrap().as_str(), "body-1");
    assert_eq!(jobs(&cluster).len(), 1);
    let id = first.json()["id"].as_str().unwrap().to_owned();
    let result = cluster.http().get(&format!("/api/v1/jobs/{id}/result")).body;
    assert!(result == input::totals(plays.as_bytes()));

    // Compressed, and by reference, sent by the command.
    let packed = zstd::encode_all(plays.as_bytes(), 3).unwrap();
    client.send("tally.files", &packed, answered("body-2"));
    let named =
        publish(&rabbit, &["file", place.join("plays.csv").to_str().unwrap(), "--reference"]);
    assert!(named.status.success(), "{named:?}");
    let third = client.take("answers");
    assert_eq!(third.json()["state"], "succeeded");
    eventually("three jobs to succeed", || {
        let jobs = jobs(&cluster);
        let done = jobs.iter().filter(|job| job["state"] == "succeeded").count();
        (jobs.len() == 3 && done == 3).then_some(())
    });
    eventually("all to be acknowledged", || {
        (counted(&cluster, "files", "done") == 4).then_some(())
    });
    assert_eq!(client.ready("tally.files"), 0);
    assert_eq!(client.ready("tally.dead"), 0);
}

#[test]
fn files_that_are_of_no_use_lie_in_the_dead_letter_queue_and_say_why() {
    let rabbit = Rabbit::start();
    let cluster = start(&rabbit, 1, &["--amqp-retries", "0"]);
    let client = Client::new(&rabbit);
    let json = || properties("ref", "").with_content_type("application/json".into());
    for (body, properties, word) in [
        (&b"Song,Date\na,b\n"[..], properties("bad-header", ""), "Number of Plays"),
        (b"Song,Date,Number of Plays\na,2021-01-01,x\n", properties("reject", ""), "job "),
        (br#"{"path": "/etc/passwd"}"#, json(), "--input-dir"),
        (br#"{"url": "http://127.0.0.1:9/x"}"#, json(), "--allow-source"),
        (br#"{"path": "/in/x"}"#, properties("", ""), "message_id"),
        (br#"{"uri": "x"}"#, json(), "reference"),
        (b"", properties("empty", ""), "empty"),
    ] {
        client.send("tally.files", body, properties);
        let dead = client.take("tally.dead");
        assert_eq!(dead.body, body);
        let reason = dead.header("x-tally-reason");
        assert!(reason.contains(word), "{reason}");
        assert_eq!(dead.header("x-tally-queue"), "tally.files");
        assert_eq!(dead.header("x-tally-attempts"), "1");
    }
    eventually("all to be counted", || (counted(&cluster, "files", "dead") == 7).then_some(()));
}

#[test]
fn a_source_that_fails_is_tried_again_and_then_given_up() {
    let rabbit = Rabbit::start();
    let allowed = "http://127.0.0.1:9/";
    let cluster = start(&rabbit, 0, &["--allow-source", allowed, "--amqp-retries", "1"]);
    let client = Client::new(&rabbit);
    let body = br#"{"url": "http://127.0.0.1:9/plays.csv"}"#;
    client.send("tally.files", body, properties("late", ""));
    let dead = client.take("tally.dead");
    assert_eq!(dead.header("x-tally-attempts"), "2");
    assert!(dead.header("x-tally-reason").contains("after 2 attempts"));
    assert_eq!(counted(&cluster, "files", "retried"), 1);
}

#[test]
fn a_master_that_is_killed_meets_its_job_again() {
    let rabbit = Rabbit::start();
    let mut cluster = start(&rabbit, 0, &[]);
    let client = Client::new(&rabbit);
    let plays = input::plays(902, 40, 60_000);
    client.declare("answers");
    let properties = properties("once", "").with_reply_to("answers".into());
    client.send("tally.files", plays.as_bytes(), properties);
    eventually("the job to be there", || {
        jobs(&cluster).iter().any(|job| job["state"] == "running").then_some(())
    });
    cluster.restart_master(tally_tests::Process::kill);
    cluster.add_slave(1);
    let answer = client.take("answers").json();
    assert_eq!(answer["state"], "succeeded", "{answer}");
    assert_eq!(jobs(&cluster).len(), 1);
    eventually("it to be acknowledged", || (counted(&cluster, "files", "done") == 1).then_some(()));
}

#[test]
fn files_fill_tables_as_their_queue_or_their_message_says() {
    let rabbit = Rabbit::start();
    let cluster = start(
        &rabbit,
        1,
        &["--amqp-operations", "o", "--amqp-files", "in?table=products&preset=products"],
    );
    let client = Client::new(&rabbit);
    client.declare("answers");
    let mut file = "name,sku,description\n".to_owned();
    for number in 0..500 {
        file.push_str(&format!("n{number},s{number},\n"));
    }
    let sent = |id: &str| properties(id, "").with_reply_to("answers".into());
    client.send("in", file.as_bytes(), sent("first"));
    let answer = client.take("answers").json();
    assert_eq!(answer["state"], "succeeded", "{answer}");
    assert_eq!(answer["ingest"]["added"], 500, "{answer}");
    // The command's parameters go before the queue's.
    let rest = cluster.path("rest.csv");
    std::fs::write(&rest, "name,sku,description\nother,s0,\nnew,s1000,\n").unwrap();
    let to = ["--queue", "in", "--table", "products", "--mode", "replace"];
    let sent = publish(&rabbit, &[&["file", rest.to_str().unwrap()], &to[..]].concat());
    assert!(sent.status.success(), "{sent:?}");
    eventually("the rest to go", || {
        let rows = cluster.http().get("/api/v1/tables/products").json()["rows"].as_u64();
        (rows == Some(2)).then_some(())
    });
    client.send("in", b"name,sku\na,b\n", properties("narrow", ""));
    let dead = client.take("tally.dead");
    assert!(
        dead.header("x-tally-reason").contains("description"),
        "{}",
        dead.header("x-tally-reason")
    );
    eventually("all to be acknowledged", || {
        (counted(&cluster, "files", "done") == 2).then_some(())
    });
}
