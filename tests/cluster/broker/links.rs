//! Connections that break, and logins that are refused.

use super::*;

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
    assert_eq!(cluster.http().get("/readyz").status, 200);
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
    rabbit.kill();
    let line = "tally_broker_queues_connected{kind=\"operations\"} 0";
    eventually("it to be noticed", || {
        cluster.http().get("/metrics").text().contains(line).then_some(())
    });
    rabbit.start_again();
    connected(&cluster);
    let client = Client::new(&rabbit);
    client.send("tally.operations", b"no json", properties("still", ""));
    let dead = client.take("tally.dead");
    assert_eq!(dead.properties.message_id(), &Some("still".into()));
    assert!(cluster.master().stop().success());
}
