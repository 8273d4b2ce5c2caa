//! Connections that break, and logins that are refused.

use super::*;
use tally_tests::Http;

#[test]
fn a_wrong_password_is_named_and_never_shown() {
    let rabbit = Rabbit::start();
    let url = format!("amqp://guest:s3cr3t-w0rd@{}", rabbit.address());
    let envs = vec![("TALLY_AMQP".to_owned(), url.clone())];
    let flags = ["--log", "debug"].map(str::to_owned).to_vec();
    let mut cluster = Cluster::start_with(0, Options { envs, flags, ..Options::default() });
    let line = cluster.master().says("not consuming");
    assert!(line.contains("ACCESS_REFUSED") || line.contains("refused"), "{line}");
    // The master serves all the same, and goes on trying.
    let ready = cluster.http().get("/readyz");
    assert_eq!(ready.text(), "degraded\nbroker: 0 of 2 queues are consumed\n");
    assert_eq!(ready.status, 200);
    eventually("other attempts", || (cluster.master().said("not consuming") >= 4).then_some(()));
    let shown = cluster.master().log().join("\n");
    assert!(!shown.contains("s3cr3t"), "{shown}");
    let operations = cluster.path("one.csv");
    std::fs::write(&operations, "op,message_id,sku\ndelete,a,x\n").unwrap();
    let output =
        tally_tests::run(["publish", "operations", operations.to_str().unwrap(), "--amqp", &url]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(!said.contains("s3cr3t"), "{said}");
    for command in ["master", "publish file x"] {
        let args = command.split(' ').chain(["--amqp", "ampq://u:s3cr3t@h"]);
        let output = tally_tests::run(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("amqp://USER") && !said.contains("s3cr3t"), "{said}");
    }
}

/// Waits until the master says that all is well; it counts its queues a moment before its metrics do, or
/// after.
fn is_well(http: &Http) {
    eventually("the master to be well", || {
        let ready = http.get("/readyz").text();
        (ready == "ready\nbroker: 2 of 2 queues are consumed\n").then_some(())
    });
    let health = http.get("/health").json();
    let broker = serde_json::json!({ "queues": 2, "consumed": 2 });
    assert_eq!((&health["status"], &health["broker"]), (&"ok".into(), &broker));
}

#[test]
fn a_broker_over_tls_is_one_whose_certificate_is_right() {
    let rabbit = Rabbit::start_with_tls();
    let url = rabbit.tls_url().unwrap();
    let trusted = format!("{url}/?cacertfile={}", rabbit.authority().display());
    let cluster = |url: &str| {
        let envs = vec![("TALLY_AMQP".to_owned(), url.to_owned())];
        Cluster::start_with(0, Options { envs, ..Options::default() })
    };
    let operations = "op,message_id,sku,name,description\nadd,a,s1,one,\n";
    let well = cluster(&trusted);
    connected(&well);
    let made = br#"{"preset":"products"}"#;
    assert_eq!(well.http().post_as("/api/v1/tables", "application/json", made).status, 201);
    let file = well.path("one.csv");
    std::fs::write(&file, operations).unwrap();
    let publish = |url: &str| {
        let args = ["publish", "operations", file.to_str().unwrap(), "--table", "products"];
        tally_tests::run(args.into_iter().chain(["--amqp", url]))
    };
    let sent = publish(&trusted);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    eventually("the row", || {
        let rows = well.http().get("/api/v1/tables/products").json()["rows"].as_u64();
        (rows == Some(1)).then_some(())
    });
    // Nobody knows who has signed it; it is for another name; there is no such file.
    let other = trusted.replace("localhost", "127.0.0.1");
    let none = trusted.replace("ca.pem", "none.pem");
    for (url, words) in [(&url, "certificate"), (&other, "certificate"), (&none, "none.pem")] {
        let mut wary = cluster(url);
        let line = wary.master().says("not consuming");
        assert!(line.contains(words), "{line}");
        assert!(wary.http().get("/readyz").text().starts_with("degraded\n"));
    }
}

#[test]
fn a_queue_that_is_deleted_and_a_broker_that_restarts_are_found_again() {
    let mut rabbit = Rabbit::start();
    let mut cluster = start(&rabbit, 0, &[]);
    {
        let client = Client::new(&rabbit);
        client.delete("tally.operations");
        cluster.master().says("has ended the subscription");
        connected(&cluster);
        assert_eq!(client.ready("tally.operations"), 0);
    }
    is_well(&cluster.http());
    rabbit.kill();
    let line = "tally_broker_queues_connected{kind=\"operations\"} 0";
    eventually("it to be noticed", || {
        cluster.http().get("/metrics").text().contains(line).then_some(())
    });
    // It says so, and does all that needs no broker.
    let http = cluster.http();
    eventually("both queues to be missed", || {
        let ready = http.get("/readyz");
        assert_eq!(ready.status, 200, "{}", ready.text());
        (ready.text() == "degraded\nbroker: 0 of 2 queues are consumed\n").then_some(())
    });
    let health = http.get("/health").json();
    assert_eq!((&health["status"], &health["broker"]["consumed"]), (&"degraded".into(), &0.into()));
    let file = b"Song,Date,Number of Plays\na,2020-01-01,1\n";
    assert_eq!(http.post("/api/v1/jobs", file).status, 202);
    rabbit.start_again();
    connected(&cluster);
    is_well(&http);
    let client = Client::new(&rabbit);
    client.send("tally.operations", b"no json", properties("still", ""));
    let dead = client.take("tally.dead");
    assert_eq!(dead.properties.message_id(), &Some("still".into()));
    assert!(cluster.master().stop().success());
}
