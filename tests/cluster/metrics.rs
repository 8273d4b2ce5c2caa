//! What the master measures: it adds up with what its jobs say, and is what the documentation names.

mod exposition;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use exposition::Scrape;
use tally_tests::{Cluster, Options, eventually, input};

fn scrape(cluster: &Cluster) -> Scrape {
    let answer = cluster.http().get("/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    Scrape::read(&answer.text())
}

/// Waits until a metric has a value: what there is now is shown every 100 ms.
fn becomes(cluster: &Cluster, name: &str, labels: &[(&str, &str)], value: f64) {
    let what = format!("{name} {labels:?} to become {value}");
    eventually(&what, || (scrape(cluster).sum(name, labels) == value).then_some(()));
}

fn post(cluster: &Cluster, query: &str, body: &[u8]) -> String {
    let answer = cluster.http().post(&format!("/api/v1/jobs?{query}"), body);
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn start(slaves: usize) -> Cluster {
    let flags = ["--task-bytes", "20000"].map(str::to_owned).to_vec();
    Cluster::start_with(slaves, Options { flags, ..Options::default() })
}

/// The names that the documentation's tables of metrics have.
fn documented() -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/observability.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `tally_"));
    let names = rows.map(|row| format!("tally_{}", row.split('`').next().unwrap()));
    // Other tables have expressions.
    names.filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_')).collect()
}

#[test]
fn what_is_measured_adds_up_with_what_jobs_say() {
    let mut cluster = start(0);
    let plain = input::plays(501, 50, 200_000).into_bytes();
    let cancelled = post(&cluster, "priority=low&name=a-name-for-people", &plain);
    becomes(&cluster, "tally_queue_jobs", &[("priority", "low")], 1.0);
    let queued = cluster.http().job(&cancelled)["tasks"]["queued"].as_f64().unwrap();
    assert!(queued > 5.0);
    becomes(&cluster, "tally_queue_tasks", &[("priority", "low")], queued);
    becomes(&cluster, "tally_tasks", &[("state", "queued")], queued);
    becomes(&cluster, "tally_jobs", &[("state", "running")], 1.0);
    assert!(cluster.run(["cancel", &cancelled]).status.success());

    cluster.add_slave(1);
    cluster.add_slave(2);
    cluster.wait_for_slaves(2);
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&plain).unwrap();
    let packed = packed.finish().unwrap();
    let wrong = [&plain[..], b"a,2021-01-01,many\nb,2021-13-01,1\n"].concat();
    let bodies: [(&str, &[u8], &str); 4] = [
        ("priority=high", &plain, "succeeded"),
        ("", &packed, "succeeded"),
        ("max_rejects=2", &wrong, "succeeded"),
        ("max_rejects=1", &wrong, "failed"),
    ];
    let mut jobs = vec![cluster.http().job(&cancelled)];
    for (query, body, state) in bodies {
        let job = cluster.http().ended(&post(&cluster, query, body));
        assert_eq!(job["state"], state, "{job}");
        jobs.push(job);
    }
    assert_eq!(cluster.http().get("/nothing/here").status, 404);
    assert_eq!(cluster.http().get("/api/v1/jobs/no-id").status, 404);
    becomes(&cluster, "tally_jobs", &[], 0.0);
    becomes(&cluster, "tally_workers", &[], 3.0);
    let kept = jobs.iter().map(|job| number(job, "/tasks/done")).sum::<f64>();
    eventually("each answer to have had an attempt", || {
        (scrape(&cluster).sum("tally_attempts_started_total", &[]) >= kept).then_some(())
    });

    let now = scrape(&cluster);
    let of = |path: &str| jobs.iter().map(|job| number(job, path)).sum::<f64>();
    for (name, path) in [
        ("tally_records_counted_total", "/receipt/counted"),
        ("tally_records_rejected_total", "/receipt/rejected"),
        ("tally_counted_bytes_total", "/progress/bytes_counted"),
        ("tally_input_bytes_total", "/progress/bytes_received"),
        ("tally_tasks_cut_total", "/tasks/cut"),
        ("tally_tasks_kept_total", "/tasks/done"),
        ("tally_attempts_retried_total", "/tasks/retried"),
    ] {
        assert_eq!(now.sum(name, &[]), of(path), "{name}");
    }
    assert_eq!(of("/receipt/rejected"), 4.0);
    let sent = plain.len() + bodies.iter().map(|(_, body, _)| body.len()).sum::<usize>();
    assert_eq!(now.sum("tally_input_sent_bytes_total", &[]), sent as f64);
    assert_eq!(now.sum("tally_partials_total", &[("verdict", "accepted")]), kept);
    let timed = now.sum("tally_task_seconds_count", &[]);
    assert!(timed > 0.0 && timed <= kept, "{timed} of {kept}");
    for (outcome, jobs) in [("succeeded", 3.0), ("failed", 1.0), ("cancelled", 1.0)] {
        let labels = [("outcome", outcome)];
        assert_eq!(now.sum("tally_jobs_ended_total", &labels), jobs, "{outcome}");
        assert_eq!(now.sum("tally_job_seconds_count", &labels), jobs, "{outcome}");
    }
    assert_eq!(now.sum("tally_jobs_opened_total", &[]), 5.0);
    assert_eq!(now.sum("tally_jobs_opened_total", &[("priority", "high")]), 1.0);
    assert_eq!(now.sum("tally_merge_seconds_count", &[]), 4.0);
    assert_eq!(now.sum("tally_sessions", &[]), 2.0);
    assert!(now.sum("tally_store_commit_seconds_count", &[]) >= 5.0);

    let posted = [("route", "/api/v1/jobs"), ("method", "POST"), ("status", "2xx")];
    assert_eq!(now.sum("tally_http_requests_total", &posted), 5.0);
    let nowhere = [("route", "none"), ("status", "4xx")];
    assert_eq!(now.sum("tally_http_requests_total", &nowhere), 1.0);
    let wrong = [("route", "/api/v1/jobs/{id}"), ("status", "4xx")];
    assert_eq!(now.sum("tally_http_requests_total", &wrong), 1.0);
    assert_eq!(now.sum("tally_http_requests_in_flight", &[]), 1.0, "the scrape itself");
    let cancel = [("method", "tally.v1.Jobs/Cancel"), ("code", "OK")];
    assert_eq!(now.sum("tally_grpc_calls_total", &cancel), 1.0);
    // More of them where a task of the job that failed was still under way; and a slave that hears of the failure
    // does not wait for the status of what it returned.
    let returned = [("method", "tally.v1.Cluster/ReturnPartial")];
    eventually("each partial that was kept to have come by a call", || {
        (scrape(&cluster).sum("tally_grpc_calls_total", &returned) >= kept).then_some(())
    });

    let text = cluster.http().get("/metrics").text();
    assert!(!text.contains("a-name-for-people") && !text.contains("no-id"));
    assert!(!text.contains(&cancelled), "no job is a label");
}

fn number(job: &Value, path: &str) -> f64 {
    job.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {path} in {job}"))
}

#[test]
fn slaves_that_come_and_go_are_counted() {
    let mut cluster = start(2);
    becomes(&cluster, "tally_sessions", &[], 2.0);
    assert!(cluster.slaves()[0].stop().success());
    cluster.slaves()[1].kill();
    becomes(&cluster, "tally_sessions", &[], 0.0);
    let now = scrape(&cluster);
    assert_eq!(now.sum("tally_sessions_joined_total", &[]), 2.0);
    assert_eq!(now.sum("tally_sessions_lost_total", &[("reason", "left")]), 2.0);
    // A session is a call that has lasted as long as it did.
    becomes(&cluster, "tally_grpc_calls_in_flight", &[], 0.0);
    assert_eq!(
        scrape(&cluster).sum("tally_grpc_calls_total", &[("method", "tally.v1.Cluster/Join")]),
        2.0
    );
}

#[test]
fn what_is_measured_is_documented_and_the_other_way_round() {
    let cluster = start(1);
    // What has labels that come with the first request is there after it.
    cluster.http().get("/healthz");
    assert!(cluster.run(["status"]).status.success());
    let now = scrape(&cluster);
    let measured: BTreeSet<String> = now.0.keys().cloned().collect();
    assert_eq!(measured, documented());
    for (name, family) in &now.0 {
        assert!(family.help.ends_with('.'), "{name}: {}", family.help);
    }
    for name in ["tally_resident_memory_bytes", "tally_open_files", "tally_disk_size_bytes"] {
        assert!(now.sum(name, &[]) > 0.0, "{name}");
    }
    assert_eq!(now.sum("tally_build_info", &[]), 1.0);
}

/// The names of metrics in an expression.
fn metrics_of(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("tally_"))
}

#[test]
fn the_dashboard_shows_what_is_documented() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana/tally.json");
    let dashboard: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let documented = documented();
    let known = |name: &str| {
        let of = |suffix| name.strip_suffix(suffix).is_some_and(|name| documented.contains(name));
        documented.contains(name) || of("_bucket") || of("_count") || of("_sum")
    };
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let source = variables.iter().find(|variable| variable["type"] == "datasource").unwrap();
    let source = format!("${{{}}}", source["name"].as_str().unwrap());
    assert!(dashboard["schemaVersion"].as_u64().is_some_and(|version| version >= 36));
    let (mut ids, mut places, mut shown) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let place = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        let (x, y, w, h) = (place("x"), place("y"), place("w"), place("h"));
        assert!(w > 0 && h > 0 && x + w <= 24, "{title}");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(places.insert(cell), "{title} lies on another panel");
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(["timeseries", "stat", "heatmap"].contains(&panel["type"].as_str().unwrap()));
        assert_eq!(panel["datasource"]["uid"], source.as_str(), "{title}");
        let targets = panel["targets"].as_array().unwrap();
        let names: BTreeSet<_> = targets.iter().map(|target| target["refId"].as_str()).collect();
        assert!(!targets.is_empty() && names.len() == targets.len(), "{title}");
        for target in targets {
            let expression = target["expr"].as_str().unwrap();
            assert_eq!(target["datasource"]["uid"], source.as_str(), "{title}");
            for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
                let count = |c| expression.matches(c).count();
                assert_eq!(count(open), count(close), "{expression}");
            }
            let metrics: Vec<&str> = metrics_of(expression).collect();
            assert!(!metrics.is_empty(), "{expression}");
            for name in metrics {
                assert!(known(name), "{title} shows {name}, which is not documented");
                shown.insert(name.to_owned());
            }
        }
    }
    let covers = |name: &str| {
        let histogram = ["_bucket", "_count", "_sum"].map(|suffix| format!("{name}{suffix}"));
        shown.contains(name) || histogram.iter().any(|name| shown.contains(name))
    };
    let missing: Vec<_> = documented.iter().filter(|name| !covers(name)).collect();
    assert!(missing.is_empty(), "no panel shows {missing:?}");
}
