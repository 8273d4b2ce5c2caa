//! What changes in a cluster, and what can be seen of it, over gRPC.

use std::collections::HashSet;

use tokio::runtime::Runtime;
use tonic::{Code, Streaming};

use tally_common::api::{ClusterView, JobState, JobView};
use tally_proto::convert::{ClusterEvent, event_from_wire};
use tally_proto::v1::jobs_client::JobsClient;
use tally_proto::v1::{
    self, ClusterRequest, GetRequest, HistoryRequest, JobSort, ListRequest, LookRequest,
    SummaryRequest, TaskState, TasksRequest, WatchClusterRequest,
};
use tally_tests::{Cluster, input};
use tonic::transport::Channel;

type Client = JobsClient<Channel>;

async fn client(cluster: &Cluster) -> Client {
    JobsClient::connect(cluster.grpc().to_owned()).await.unwrap()
}

/// The events of a cluster.
struct Events(Streaming<v1::ClusterEvent>);

impl Events {
    async fn from(client: &mut Client, last: &str) -> Self {
        let request = WatchClusterRequest { last_event_id: last.to_owned() };
        Self(client.watch_cluster(request).await.unwrap().into_inner())
    }

    async fn next(&mut self) -> (String, ClusterEvent) {
        let event = self.0.message().await.unwrap().expect("events have no last one");
        let (id, event) = event_from_wire(event).unwrap();
        (id, event.expect("a kind that is known"))
    }

    /// The next event of a job that `is` what is waited for, and its id.
    async fn job(&mut self, is: impl Fn(&JobView) -> bool) -> (String, JobView) {
        loop {
            if let (id, ClusterEvent::Job(job)) = self.next().await
                && is(&job)
            {
                return (id, *job);
            }
        }
    }
}

fn submit(cluster: &Cluster, name: &str, seed: u64) -> String {
    let file = cluster.path(name);
    std::fs::write(&file, input::plays(seed, 50, 50_000)).unwrap();
    let output = cluster.run(["submit", file.to_str().unwrap(), "--wait", "-o", "/dev/null"]);
    assert!(output.status.success(), "{output:?}");
    let list = cluster.run(["status", "--name", name, "--output", "json"]);
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    list[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn events_begin_with_a_snapshot_and_go_on_where_they_broke_off() {
    let cluster = Cluster::start(1);
    let before = submit(&cluster, "before.csv", 1);
    Runtime::new().unwrap().block_on(async {
        let mut client = client(&cluster).await;
        let mut events = Events::from(&mut client, "").await;
        let (last, ClusterEvent::Snapshot(all)) = events.next().await else {
            panic!("it begins with something else")
        };
        let jobs: Vec<_> = all.jobs.iter().map(|job| job.id.to_string()).collect();
        assert_eq!(jobs, std::slice::from_ref(&before));
        assert_eq!((all.slaves.len(), all.cluster.counts.workers), (1, 1));
        // Everybody who watches is told.
        let mut others = Events::from(&mut client, "").await;
        let id = tokio::task::block_in_place(|| submit(&cluster, "after.csv", 2));
        for events in [&mut events, &mut others] {
            let (_, job) = events.job(|job| job.state.ended()).await;
            assert_eq!((job.id.to_string(), job.state), (id.clone(), JobState::Succeeded));
        }
        drop((events, others));
        // What was missed comes, and no snapshot.
        let mut again = Events::from(&mut client, &last).await;
        let (_, first) = again.next().await;
        assert!(!matches!(first, ClusterEvent::Snapshot(_)), "{first:?}");
        let (ended, _) = again.job(|job| job.state.ended()).await;
        assert!(tokio::task::block_in_place(|| cluster.run(["delete", &id])).status.success());
        let mut later = Events::from(&mut client, &ended).await;
        loop {
            if let (_, ClusterEvent::Deleted(gone)) = later.next().await {
                assert_eq!(gone.to_string(), id);
                break;
            }
        }
        // An id that makes no sense is one of a master that has been started anew since.
        for nonsense in ["x", "1-1", "ffffffffffffffff-99999999"] {
            let (_, first) = Events::from(&mut client, nonsense).await.next().await;
            assert!(matches!(first, ClusterEvent::Snapshot(_)), "{nonsense}: {first:?}");
        }
    });
}

#[test]
fn slaves_and_cluster_come_once_a_second() {
    let mut cluster = Cluster::start(1);
    let runtime = Runtime::new().unwrap();
    let mut events = runtime.block_on(async {
        let mut client = client(&cluster).await;
        Events::from(&mut client, "").await
    });
    cluster.add_slave(3);
    runtime.block_on(async {
        let (mut slaves, mut workers) = (false, false);
        while !(slaves && workers) {
            match events.next().await.1 {
                ClusterEvent::Slaves(now) => slaves |= now.len() == 2,
                ClusterEvent::Cluster(now) => workers |= now.counts.workers == 4,
                _ => {}
            }
        }
    });
}

#[test]
fn who_watches_is_told_that_the_master_stops() {
    let mut cluster = Cluster::start(0);
    let runtime = Runtime::new().unwrap();
    let mut events = runtime.block_on(async {
        let mut client = client(&cluster).await;
        Events::from(&mut client, "").await
    });
    cluster.restart_master(|master| assert!(master.stop().success()));
    let code = runtime.block_on(async {
        loop {
            match events.0.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ends as if nothing more could come"),
                Err(status) => return status.code(),
            }
        }
    });
    assert_eq!(code, Code::Unavailable);
}

#[test]
fn lists_come_in_pages_and_an_empty_request_asks_for_all() {
    let cluster = Cluster::start(1);
    let ids: Vec<_> = (0..5).map(|n| submit(&cluster, &format!("list-{n}.csv"), n)).collect();
    Runtime::new().unwrap().block_on(async {
        let mut client = client(&cluster).await;
        let mut list = async |request: ListRequest| {
            let reply = client.list(request).await?.into_inner();
            let jobs: Vec<_> = reply.jobs.into_iter().map(|job| job.job_id).collect();
            Ok::<_, tonic::Status>((jobs, reply.next))
        };
        let newest: Vec<_> = ids.iter().rev().cloned().collect();
        let all = list(ListRequest::default()).await.unwrap();
        assert_eq!(all, (newest.clone(), String::new()));
        let page = ListRequest { limit: 2, ..ListRequest::default() };
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let (jobs, next) = list(ListRequest { cursor, ..page.clone() }).await.unwrap();
            seen.extend(jobs);
            cursor = next;
            if cursor.is_empty() {
                break;
            }
        }
        assert_eq!(seen, newest);
        let by_name = ListRequest {
            sort: JobSort::Name as i32,
            ascending: true,
            name: "LIST-".to_owned(),
            states: vec![v1::JobState::Succeeded as i32],
            ..ListRequest::default()
        };
        assert_eq!(list(by_name).await.unwrap().0, ids);
        let failed = vec![v1::JobState::Failed as i32];
        let failed = ListRequest { states: failed, ..ListRequest::default() };
        assert!(list(failed).await.unwrap().0.is_empty());
        let nonsense = ListRequest { sort: 99, ..ListRequest::default() };
        assert_eq!(list(nonsense).await.unwrap_err().code(), Code::InvalidArgument);
        let nonsense = ListRequest { cursor: "nonsense".to_owned(), ..ListRequest::default() };
        assert_eq!(list(nonsense).await.unwrap_err().code(), Code::InvalidArgument);
    });
}

#[test]
fn rows_come_in_messages_of_a_bounded_size() {
    let cluster = Cluster::start(1);
    let mut plays = "Song,Date,Number of Plays\n".to_owned();
    for song in 0..400 {
        plays.push_str(&format!("{song:03}{},2021-01-01,1\n", "x".repeat(10_000)));
    }
    let file = cluster.path("long.csv");
    std::fs::write(&file, &plays).unwrap();
    let out = cluster.run(["submit", file.to_str().unwrap(), "--wait", "-o", "/dev/null"]);
    assert!(out.status.success(), "{out:?}");
    let list = cluster.run(["status", "--output", "json"]);
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    let job_id = list[0]["id"].as_str().unwrap().to_owned();
    Runtime::new().unwrap().block_on(async {
        let mut client = client(&cluster).await;
        let request = LookRequest { job_id: job_id.clone(), limit: 400, ..LookRequest::default() };
        let first = client.look(request.clone()).await.unwrap().into_inner();
        assert!((50..400).contains(&first.rows.len()), "{} rows", first.rows.len());
        assert_eq!(
            (first.next_offset, first.total_rows),
            (Some(first.rows.len() as u64), Some(400))
        );
        let all = LookRequest { limit: 10_001, ..request };
        assert_eq!(client.look(all).await.unwrap_err().code(), Code::InvalidArgument);
    });
    // Whoever asks on gets all of them.
    let all = cluster.run(["query", &job_id, "--limit", "400"]);
    assert!(all.stdout == input::totals(plays.as_bytes()));
}

#[test]
fn tasks_history_and_cluster_can_be_asked_for() {
    let cluster = Cluster::start_with(
        2,
        tally_tests::Options {
            flags: vec!["--task-bytes".to_owned(), "20000".to_owned()],
            ..tally_tests::Options::default()
        },
    );
    let id = submit(&cluster, "tasks.csv", 3);
    Runtime::new().unwrap().block_on(async {
        let mut client = client(&cluster).await;
        let job = client.get(GetRequest { job_id: id.clone() }).await.unwrap().into_inner();
        let request = TasksRequest { job_id: id.clone(), from: 0 };
        let tasks = client.tasks(request.clone()).await.unwrap().into_inner();
        let (sum, cut) =
            (tasks.tasks.iter().map(|task| task.records).sum::<u64>(), tasks.tasks.len());
        assert!(cut > 1 && cut as u32 == job.tasks.unwrap().cut && tasks.next.is_none());
        assert_eq!(sum, job.receipt.unwrap().records);
        assert!(tasks.tasks.iter().all(|task| task.state() == TaskState::Done));
        let slaves: HashSet<_> = tasks.tasks.iter().flat_map(|task| &task.slaves).collect();
        assert!(slaves.iter().all(|name| name.starts_with("slave-")) && !slaves.is_empty());
        let rest = TasksRequest { from: 1, ..request };
        assert_eq!(client.tasks(rest).await.unwrap().into_inner().tasks, tasks.tasks[1..]);
        let request = HistoryRequest { job_id: id.clone() };
        let history = client.history(request).await.unwrap().into_inner();
        let last = history.samples.last().expect("there is one at the end");
        assert_eq!(last.records, sum);
        let view = client.cluster(ClusterRequest {}).await.unwrap().into_inner();
        let view: ClusterView = tally_proto::convert::cluster_from_wire(view).unwrap();
        assert_eq!((view.counts.slaves, view.version.as_str()), (2, tally_proto::BUILD));
        let request = SummaryRequest { job_id: id.clone() };
        let summary = client.summary(request).await.unwrap().into_inner();
        let summary = tally_proto::convert::summary_from_wire(summary).unwrap();
        assert_eq!((summary.key.as_str(), summary.date.as_deref()), ("Song", Some("Date")));
        assert_eq!(summary.rows, job.result.unwrap().rows);
        let unknown = TasksRequest { job_id: uuid::Uuid::nil().to_string(), from: 0 };
        assert_eq!(client.tasks(unknown).await.unwrap_err().code(), Code::NotFound);
    });
}
