//! Spans that follow a task from the request to the slave and back, and the log as JSON.

mod collector;

use serde_json::Value;
use tally_proto::v1::ListRequest;
use tally_proto::v1::jobs_client::JobsClient;
use tonic::transport::Endpoint;

use collector::{Collector, Found};
use tally_tests::{Cluster, Options, input};

const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
const OTHER: u128 = 0x1111_2222_3333_4444_5555_6666_7777_8888;
const CALLER: u64 = 0x00f0_67aa_0ba9_02b7;

fn traceparent(trace: u128, flags: u8) -> String {
    format!("00-{trace:032x}-{CALLER:016x}-{flags:02x}")
}

fn post(cluster: &Cluster, parent: &str, plays: &str) -> Value {
    let headers = [("traceparent", parent), ("content-type", "text/csv")];
    let query = "/api/v1/jobs?name=not-to-be-told";
    let answer = cluster.http().request("POST", query, &headers, plays.as_bytes());
    assert_eq!(answer.status, 202, "{}", answer.text());
    cluster.http().ended(answer.json()["id"].as_str().unwrap())
}

/// The spans of a name that are children of `parent`, each of the service that it should be of.
fn children<'a>(spans: &'a [Found], parent: &[u8], service: &str, name: &str) -> Vec<&'a Found> {
    let mut found: Vec<_> = spans
        .iter()
        .filter(|found| found.span.parent_span_id == parent && found.span.name == name)
        .collect();
    found.retain(|found| {
        assert_eq!(found.service, service, "{name}");
        assert!(found.span.end_time_unix_nano >= found.span.start_time_unix_nano);
        true
    });
    found
}

fn only<'a>(spans: &'a [Found], parent: &[u8], service: &str, name: &str) -> &'a Found {
    let found = children(spans, parent, service, name);
    assert_eq!(found.len(), 1, "{name} among {:#?}", spans.iter().map(told).collect::<Vec<_>>());
    found[0]
}

fn told(found: &Found) -> String {
    let (span, parent) = (&found.span.span_id, &found.span.parent_span_id);
    format!("{} {} {span:02x?} in {parent:02x?}", found.service, found.span.name)
}

#[test]
fn a_task_is_followed_from_the_request_to_the_slave_and_back() {
    let collector = Collector::start();
    let mut flags = collector.flags();
    let slave_flags = flags.clone();
    flags.extend(["--task-bytes", "50000"].map(str::to_owned));
    let options = Options { flags, slave_flags, ..Options::default() };
    let mut cluster = Cluster::start_with(1, options);
    let plays = input::plays(601, 50, 200_000);
    let job = post(&cluster, &traceparent(TRACE, 1), &plays);
    assert_eq!(job["state"], "succeeded", "{job}");
    // Whoever asks for nothing to be kept is heard, too.
    post(&cluster, &traceparent(OTHER, 0), &plays);
    list_within(&cluster, &traceparent(TRACE, 1));
    // What has not been sent is sent at the end.
    assert!(cluster.slaves()[0].stop().success());
    assert!(cluster.master().stop().success());

    let of = |trace: u128| {
        let mut spans = collector.spans();
        spans.retain(|found| found.span.trace_id == trace.to_be_bytes());
        spans
    };
    assert!(of(OTHER).is_empty());
    let spans = of(TRACE);
    let (master, slave) = ("tally-master", "tally-slave");
    let request = only(&spans, &CALLER.to_be_bytes(), master, "POST /api/v1/jobs");
    assert_eq!(request.attribute("status"), "202");
    let told_job = only(&spans, &request.span.span_id, master, "job");
    assert_eq!(told_job.attribute("job"), job["id"].as_str().unwrap());
    assert_eq!(told_job.attribute("outcome"), "succeeded");
    only(&spans, &told_job.span.span_id, master, "merge");
    let attempts = children(&spans, &told_job.span.span_id, master, "attempt");
    assert_eq!(attempts.len() as u64, job["tasks"]["cut"].as_u64().unwrap());
    assert!(attempts.len() > 2);
    for attempt in attempts {
        assert_eq!(attempt.attribute("verdict"), "accepted");
        assert_eq!(attempt.attribute("slave"), "slave-0");
        let task = only(&spans, &attempt.span.span_id, slave, "task");
        assert_eq!(task.attribute("message_id"), attempt.attribute("message_id"));
        let id = &task.span.span_id;
        only(&spans, id, slave, "count");
        let fetch = only(&spans, id, slave, "fetch");
        only(&spans, &fetch.span.span_id, master, "tally.v1.Cluster/StreamTask");
        let back = only(&spans, id, slave, "return");
        let call = only(&spans, &back.span.span_id, master, "tally.v1.Cluster/ReturnPartial");
        let partial = only(&spans, &call.span.span_id, master, "partial");
        assert_eq!(partial.attribute("verdict"), "Accepted");
        assert_eq!(partial.attribute("message_id"), attempt.attribute("message_id"));
    }
    only(&spans, &CALLER.to_be_bytes(), master, "tally.v1.Jobs/List");
    let all = format!("{:?}", collector.spans());
    assert!(!all.contains("not-to-be-told"), "what a user names is in no span");
}

/// Lists the jobs over gRPC, within a span of the caller's.
fn list_within(cluster: &Cluster, parent: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let url = cluster.grpc().to_owned();
    runtime.block_on(async {
        let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
        let mut request = tonic::Request::new(ListRequest::default());
        request.metadata_mut().insert("traceparent", parent.parse().unwrap());
        JobsClient::new(channel).list(request).await.unwrap();
    });
}

#[test]
fn a_collector_that_is_not_there_is_in_nobodys_way() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let flags = vec!["--otlp".to_owned(), url];
    let options = Options { slave_flags: flags.clone(), flags, ..Options::default() };
    let mut cluster = Cluster::start_with(1, options);
    let job = post(&cluster, "no traceparent at all", &input::plays(602, 50, 50_000));
    assert_eq!(job["state"], "succeeded", "{job}");
    assert!(cluster.slaves()[0].stop().success());
    assert!(cluster.master().stop().success());
}

#[test]
fn what_is_no_collector_is_refused() {
    for (url, word) in [("127.0.0.1:4317", "http://HOST:PORT"), ("http://", "http://")] {
        let refused = tally_tests::run(["slave", "--otlp", url]);
        let told = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{told}");
        assert!(told.contains("--otlp") && told.contains(word), "{told}");
    }
}

#[test]
fn a_log_of_json_is_an_object_a_line_with_its_spans() {
    let flags = ["--log-format", "json", "--log", "tally_master=debug,tally_slave=debug"];
    let flags = flags.map(str::to_owned).to_vec();
    let options = Options { slave_flags: flags.clone(), flags, ..Options::default() };
    let mut cluster = Cluster::start_with(1, options);
    let job = post(&cluster, &traceparent(TRACE, 1), &input::plays(603, 50, 50_000));
    assert!(cluster.slaves()[0].stop().success());
    assert!(cluster.master().stop().success());
    let slave = objects(&cluster.slaves()[0].log());
    let master = objects(&cluster.master().log());
    for line in slave.iter().chain(&master) {
        assert!(line["level"].is_string() && line["target"].is_string(), "{line}");
        assert!(line["fields"]["message"].is_string(), "{line}");
    }
    let opened = master.iter().find(|line| line["fields"]["message"] == "job opened").unwrap();
    assert_eq!(opened["fields"]["job"], job["id"]);
    let assigned = slave.iter().find(|line| line["fields"]["message"] == "assigned").unwrap();
    let task = &assigned["spans"][0];
    assert_eq!((&task["name"], &task["job"]), (&Value::from("task"), &job["id"]), "{assigned}");
    assert!(task["message_id"].is_string(), "{assigned}");
}

fn objects(lines: &[String]) -> Vec<Value> {
    let object = |line: &String| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    let lines: Vec<Value> = lines.iter().map(object).collect();
    assert!(lines.len() > 2);
    lines
}
