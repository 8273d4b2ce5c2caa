//! A slave that lies: its answers read as such, and are false. Where tasks are counted twice it is found out.

use serde_json::Value;
use tally_common::run::{GroupSink, TaskTotals};
use tally_proto::convert::{Assignment, SlaveHello};
use tally_proto::v1::cluster_client::ClusterClient;
use tally_proto::v1::{PartialVerdict, SlaveEvent, slave_event};
use tally_tests::{Cluster, Options, Process, eventually, input};
use tokio::runtime::Runtime;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::rogue::Rogue;
use crate::submission::{TUS, patch};

fn cluster(percent: &str) -> Cluster {
    let flags = ["--verify-sample", percent, "--task-bytes", "20000"].map(str::to_owned);
    Cluster::start_with(0, Options { flags: flags.to_vec(), ..Options::default() })
}

/// Says of a task that it has one record, which nobody has ever sent.
fn lie(rogue: &mut Rogue, task: &Assignment) -> PartialVerdict {
    let totals = TaskTotals { bytes: task.bytes, records: 1, lines: 1, ..TaskTotals::default() };
    let (head, run) = rogue.answer_with(task, totals, |run| {
        run.start_head(b"a song that nobody has played", 0).unwrap();
        run.push_ordinal(18_000, &[1]).unwrap();
        run.end_segment().unwrap();
    });
    rogue.hand_in(&head, run).verdict()
}

/// The slaves that are not let in.
fn aside(cluster: &Cluster) -> Vec<Value> {
    cluster.http().get("/api/v1/slaves").json()["set_aside"].as_array().unwrap().clone()
}

/// The rogue's name, as another process of it would say it.
fn join_again(cluster: &Cluster) -> Result<(), Status> {
    Runtime::new().unwrap().block_on(async {
        let channel = tally_proto::channel::connect(cluster.grpc()).await?;
        let hello = SlaveHello {
            slave: tally_common::id::SlaveId::from_uuid(Uuid::from_u128(19)),
            name: "rogue".to_owned(),
            workers: 1,
            version: "0".to_owned(),
            labels: Default::default(),
        };
        let hello = SlaveEvent::of(slave_event::Event::Hello(hello.to_wire()));
        let events = tokio_stream::iter([hello]);
        let mut commands = ClusterClient::new(channel).join(events).await?.into_inner();
        commands.message().await.map(|_| ())
    })
}

#[test]
fn a_liar_is_found_out_and_all_that_it_has_said_is_counted_again() {
    let mut cluster = cluster("100");
    let mut rogue = Rogue::join(&cluster);
    let small = input::plays(120, 20, 5_000);
    let believed = cluster.http().post("/api/v1/jobs", small.as_bytes()).json()["id"].clone();
    let believed = believed.as_str().unwrap();
    // Nobody else is there: the lie is believed, and the job says that it is not verified.
    let task = rogue.next_task().unwrap();
    assert_eq!(lie(&mut rogue, &task), PartialVerdict::Accepted);
    let job = cluster.http().ended(believed);
    assert_eq!(job["receipt"]["unverified"], 1, "{job}");
    assert_eq!(job["receipt"]["verified"], 0, "{job}");

    let plays = input::plays(121, 50, 300_000);
    let expected = input::totals(plays.as_bytes());
    let id = cluster.http().post("/api/v1/jobs", plays.as_bytes()).json()["id"].clone();
    let id = id.as_str().unwrap();
    for _ in 0..2 {
        let task = rogue.next_task().unwrap();
        assert_eq!(lie(&mut rogue, &task), PartialVerdict::Accepted);
    }
    cluster.add_slave(1);
    cluster.wait_for_slaves(2);
    while let Some(task) = rogue.next_task() {
        lie(&mut rogue, &task);
    }
    let job = cluster.http().ended(id);
    assert_eq!(job["state"], "succeeded", "{job}");
    assert!(cluster.http().get(&format!("/api/v1/jobs/{id}/result")).body == expected);
    assert!(job["receipt"]["verified"].as_u64().unwrap() >= 1, "{job}");
    assert_eq!(
        job["slaves"].as_array().unwrap().iter().filter(|s| s["name"] == "rogue").count(),
        0
    );

    let refused = join_again(&cluster).unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    assert!(refused.message().contains("set aside"), "{refused}");
    cluster.master().says("a slave has lied and is set aside");
    let named = cluster.master().says("an ended job has answers of a slave that has lied");
    assert!(named.contains(believed), "{named}");
    eventually("the metrics to say so", || {
        let metrics = cluster.http().get("/metrics").text();
        metrics.contains("tally_slaves_set_aside_total 1").then_some(())
    });

    // Nor is it let in by another process of the master, until somebody says so.
    let shown = aside(&cluster);
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert_eq!(shown[0]["name"], "rogue", "{shown:?}");
    assert!(shown[0]["reason"].as_str().unwrap().contains(id), "{shown:?}");
    cluster.restart_master(Process::kill);
    assert_eq!(aside(&cluster), shown);
    assert_eq!(join_again(&cluster).unwrap_err().code(), Code::PermissionDenied);
    let named = cluster.http().get("/api/v1/cluster").json();
    assert_eq!(named["set_aside"], Value::from(shown), "{named}");
    let said = cluster.run(["slaves"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("Not let in") && said.contains("rogue"), "{said}");
    assert!(cluster.run(["slaves", "--trust", "rogue"]).status.success());
    assert_eq!(aside(&cluster), [Value::Null; 0]);
    join_again(&cluster).unwrap();
    let nobody = cluster.http().delete("/api/v1/slaves/set-aside/rogue");
    assert_eq!(nobody.status, 404, "{}", nobody.text());
    assert!(!cluster.run(["slaves", "--trust", "rogue"]).status.success());
    cluster.restart_master(Process::kill);
    assert_eq!(aside(&cluster), [Value::Null; 0]);
    join_again(&cluster).unwrap();
}

#[test]
fn what_second_counts_said_outlives_the_master() {
    let mut cluster = cluster("100");
    cluster.add_slave(1);
    cluster.add_slave(1);
    cluster.wait_for_slaves(2);
    let plays = input::plays(123, 50, 200_000);
    let (bytes, length) = (plays.as_bytes(), plays.len().to_string());
    let create = [TUS, ("upload-length", length.as_str())];
    let created = cluster.http().request("POST", "/api/v1/uploads", &create, b"");
    assert_eq!(created.status, 201, "{}", created.text());
    let path = created.header("location").to_owned();
    let id = path.rsplit('/').next().unwrap().to_owned();
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    assert_eq!(patch(&cluster.http(), &path, 0, &[], first).status, 204);
    let checked = |job: &Value| {
        let count = |name: &str| job["receipt"][name].as_u64().unwrap();
        count("verified") + count("unverified")
    };
    eventually("some tasks to be verified", || {
        (cluster.http().job(&id)["receipt"]["verified"].as_u64()? >= 2).then_some(())
    });
    cluster.restart_master(Process::kill);
    assert!(checked(&cluster.http().job(&id)) >= 2, "{}", cluster.http().job(&id));
    assert_eq!(patch(&cluster.http(), &path, first.len(), &[], rest).status, 204);
    let job = cluster.http().ended(&id);
    assert_eq!(job["state"], "succeeded", "{job}");
    assert_eq!(job["tasks"]["cut"], checked(&job), "{job}");
    let result = cluster.http().get(&format!("/api/v1/jobs/{id}/result")).body;
    assert!(result == input::totals(bytes));
}

#[test]
fn honest_slaves_confirm_each_other_and_a_master_that_asks_for_none_counts_once() {
    for (percent, verified) in [("100", true), ("0", false)] {
        let mut cluster = cluster(percent);
        cluster.add_slave(1);
        cluster.add_slave(2);
        cluster.wait_for_slaves(2);
        let plays = input::plays(122, 50, 200_000);
        let expected = input::totals(plays.as_bytes());
        let id = cluster.http().post("/api/v1/jobs", plays.as_bytes()).json()["id"].clone();
        let id = id.as_str().unwrap();
        let job = cluster.http().ended(id);
        assert_eq!(job["state"], "succeeded", "{job}");
        assert!(cluster.http().get(&format!("/api/v1/jobs/{id}/result")).body == expected);
        let tasks = if verified { job["tasks"]["cut"].clone() } else { 0.into() };
        assert_eq!(job["receipt"]["verified"], tasks, "{job}");
        assert_eq!(cluster.slaves_now().len(), 2, "nobody has lied");
    }
}
