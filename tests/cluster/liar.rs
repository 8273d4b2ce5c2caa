//! A slave that lies: its answers read as such, and are false. Where tasks are counted twice it is found out.

use tally_common::run::{GroupSink, TaskTotals};
use tally_proto::convert::{Assignment, SlaveHello};
use tally_proto::v1::cluster_client::ClusterClient;
use tally_proto::v1::{PartialVerdict, SlaveEvent, slave_event};
use tally_tests::{Cluster, Options, eventually, input};
use tokio::runtime::Runtime;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::rogue::Rogue;

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
