//! What `tally doctor` says of a cluster that is well, and of what is not.

use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tally_tests::{Cluster, tally};

/// The report, and what was found by one of its checks.
struct Report(Value);

impl Report {
    fn of(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        Self(serde_json::from_str(&text).unwrap_or_else(|_| panic!("{output:?}")))
    }

    fn check(&self, name: &str) -> &Value {
        let checks = self.0["checks"].as_array().unwrap();
        let found = checks.iter().find(|check| check["check"] == name);
        found.unwrap_or_else(|| panic!("{name:?} is not in {}", self.0))
    }

    fn verdict(&self, name: &str) -> &str {
        self.check(name)["verdict"].as_str().unwrap()
    }

    /// All that is not well comes with something to do.
    fn advises(&self) {
        for check in self.0["checks"].as_array().unwrap() {
            assert_eq!(check["verdict"] == "ok", check.get("advice").is_none(), "{check}");
        }
    }
}

fn doctor(data: &Path, grpc: &str, http: &str, more: &[&str]) -> Output {
    let mut command = tally();
    command.args(["doctor", "--grpc", grpc, "--http", http, "--data-dir"]).arg(data).args(more);
    command.output().unwrap()
}

const JSON: [&str; 2] = ["--output", "json"];

#[test]
fn a_cluster_that_is_well() {
    let cluster = Cluster::start(2);
    let grpc = cluster.grpc().trim_start_matches("http://");
    let http = cluster.http().address().to_owned();
    let master = ["--master", cluster.grpc()];
    let output = doctor(&cluster.path("data"), grpc, &http, &[&master[..], &JSON].concat());
    assert!(output.status.success(), "{output:?}");
    let report = Report::of(&output);
    report.advises();
    let names = ["config file", "data folder", "gRPC port", "HTTP port", "master", "clock"];
    for name in names.iter().chain(&["versions", "slaves"]) {
        assert_eq!(report.verdict(name), "ok", "{}", report.0);
    }
    let found = |name: &str| report.check(name)["found"].as_str().unwrap().to_owned();
    assert!(found("data folder").contains("in use by a master"));
    assert!(found("gRPC port").contains("held by a tally master"));
    assert!(found("HTTP port").contains("held by a tally master"));
    assert!(found("slaves").contains("2 joined, 2 workers"));
    assert!(found("versions").contains("everywhere"));
    // For people: a line each.
    let table = doctor(&cluster.path("data"), grpc, &http, &master);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("ok    slaves"), "{table}");
}

#[test]
fn a_master_need_not_be_there_unless_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let none = "127.0.0.1:0";
    let output = doctor(folder.path(), none, none, &JSON);
    assert!(output.status.success(), "{output:?}");
    let report = Report::of(&output);
    report.advises();
    assert_eq!((report.verdict("master"), report.verdict("gRPC port")), ("warn", "ok"));
    assert_eq!(report.verdict("data folder"), "ok");
    let named = [&["--master", "http://127.0.0.1:1"], &JSON[..]].concat();
    let output = doctor(folder.path(), none, none, &named);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report = Report::of(&output);
    assert_eq!((report.verdict("master"), report.0["verdict"].as_str()), ("fail", Some("fail")));
}

#[test]
fn a_port_that_another_program_holds() {
    let folder = tempfile::tempdir().unwrap();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    // What is let in and never answered is no master.
    let address = holder.local_addr().unwrap().to_string();
    let output = doctor(folder.path(), "127.0.0.1:0", &address, &JSON);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report = Report::of(&output);
    report.advises();
    assert_eq!((report.verdict("HTTP port"), report.verdict("gRPC port")), ("fail", "ok"));
}

#[test]
fn a_data_folder_that_can_not_be_written() {
    let output = doctor(Path::new("/proc/tally"), "127.0.0.1:0", "127.0.0.1:0", &JSON);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report = Report::of(&output);
    report.advises();
    assert_eq!(report.verdict("data folder"), "fail");
}

#[test]
fn the_masters_section_of_the_config_file_holds() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tally.toml");
    std::fs::write(&config, "[master]\ndata-dir = \"/proc/no\"\ngrpc = \"127.0.0.1:0\"\n").unwrap();
    let run = |more: &[&str]| {
        let mut command = tally();
        command.args(["doctor", "--http", "127.0.0.1:0", "--config"]).arg(&config);
        command.args(more).args(JSON).output().unwrap()
    };
    let report = Report::of(&run(&[]));
    assert_eq!(report.verdict("data folder"), "fail");
    assert!(report.check("config file")["found"].as_str().unwrap().contains("tally.toml"));
    assert!(report.check("gRPC port")["found"].as_str().unwrap().contains("127.0.0.1:0"));
    // Flags go before it.
    let report = Report::of(&run(&["--data-dir", folder.path().to_str().unwrap()]));
    assert_eq!(report.verdict("data folder"), "ok");
    std::fs::write(&config, "[master]\nports = 1\n").unwrap();
    assert_eq!(run(&[]).status.code(), Some(2));
}
