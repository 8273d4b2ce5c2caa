//! Keys and tokens: a master that asks for them, those who have them, and those who do not.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use tally_proto::v1::jobs_client::JobsClient;
use tally_proto::v1::{DeleteRequest, ListRequest};
use tally_tests::{Answer, Cluster, Http, Options, eventually, input, run};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};

/// A folder with keys in it, before there is a master.
pub(crate) struct Keys(TempDir);

impl Keys {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let data = self.data();
        run(["keys"].iter().chain(args).chain(&["--data-dir", data.to_str().unwrap()]))
    }

    /// What a command prints, without its line end.
    pub(crate) fn printed(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let printed = text(&output.stdout);
        assert_eq!(printed.lines().count(), 1, "{printed}");
        printed.trim().to_owned()
    }

    pub(crate) fn create(&self, name: &str, scope: &str, more: &[&str]) -> String {
        let args = [&["create", "--name", name, "--scope", scope], more].concat();
        self.printed(&args)
    }

    /// A file with what is to be kept secret.
    pub(crate) fn file(&self, name: &str, secret: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, format!("{secret}\n")).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn token_file(&self) -> String {
        self.data().join("join-token").to_str().unwrap().to_owned()
    }

    pub(crate) fn cluster(&self, flags: &[&str], key: &str) -> Cluster {
        let owned = |flags: &[&str]| flags.iter().map(|&flag| flag.to_owned()).collect();
        let key = self.file("client.key", key);
        Cluster::start_with(
            0,
            Options {
                data_dir: Some(self.data()),
                flags: owned(flags),
                client_flags: owned(&["--api-key-file", &key]),
                ..Options::default()
            },
        )
    }

    /// With slaves that show what is in a file, or nothing, and a client that shows a key.
    pub(crate) fn slaves_by(&self, token: &str, key: &str) -> Options {
        Options {
            data_dir: Some(self.data()),
            slave_flags: match token {
                "" => Vec::new(),
                file => vec!["--token-file".to_owned(), file.to_owned()],
            },
            client_flags: vec!["--api-key-file".to_owned(), self.file("client.key", key)],
            ..Options::default()
        }
    }

    fn audit(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(self.data().join("audit.log")).unwrap_or_default();
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        // What the harness asks before there is anything to be told.
        lines.filter(|line| line["target"] != "/api/v1/slaves").collect()
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn ask(http: &Http, method: &str, path: &str, key: &str, body: &[u8]) -> Answer {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "text/csv")];
    http.request(method, path, if key.is_empty() { &headers[1..] } else { &headers }, body)
}

pub(crate) fn kind(answer: &Answer) -> String {
    answer.json()["type"].as_str().unwrap().trim_start_matches("/docs/http.md#").to_owned()
}

/// Waits until a key is answered with a status.
pub(crate) fn until(http: &Http, key: &str, status: u16) {
    eventually("the master to see the change", || {
        (ask(http, "GET", "/api/v1/jobs", key, b"").status == status).then_some(())
    });
}

pub(crate) fn slaves(http: &Http, key: &str) -> Vec<String> {
    let answer = ask(http, "GET", "/api/v1/slaves", key, b"").json();
    let slaves = answer["slaves"].as_array().unwrap().iter();
    slaves.map(|slave| slave["name"].as_str().unwrap().to_owned()).collect()
}

pub(crate) const PLAYS: &[u8] = b"Song,Date,Number of Plays\na,2021-01-01,1\n";

#[test]
fn no_route_is_answered_without_a_key() {
    let keys = Keys::new();
    let admin = keys.create("admin", "admin", &[]);
    let cluster = keys.cluster(&[], &admin);
    let http = cluster.http();
    let api = http.get("/openapi.json").json();
    let mut asked = 0;
    for (path, item) in api["paths"].as_object().unwrap() {
        let filled: Vec<_> =
            path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
        for method in item.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let body = if ["POST", "PATCH"].contains(&method.as_str()) { PLAYS } else { b"" };
            let answer = ask(&http, &method, &filled.join("/"), "", body);
            if ["/healthz", "/readyz"].contains(&path.as_str()) {
                assert_eq!(answer.status, 200, "{method} {path}");
                continue;
            }
            if path == "/session" {
                continue;
            }
            assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text());
            assert_eq!(answer.header("www-authenticate"), "Bearer");
            if method != "HEAD" {
                assert_eq!(kind(&answer), "unauthenticated");
            }
            asked += 1;
        }
    }
    assert!(asked > 40, "{asked}");
    let socket = "/socket.io/?EIO=4&transport=polling";
    for path in ["/nothing", "/api/v1/nothing", socket] {
        assert_eq!(http.get(path).status, 401, "{path}");
        assert_ne!(ask(&http, "GET", path, &admin, b"").status, 401, "{path}");
    }
    for path in ["/", "/docs/", "/openapi.json"] {
        assert_eq!(http.get(path).status, 200, "{path}");
    }
    // What was sent with a request that is refused is in nobody's way.
    let large = vec![b'x'; 4 << 20];
    assert_eq!(ask(&http, "POST", "/api/v1/jobs", "", &large).status, 401);
    assert_eq!(cluster.run(["health"]).status.code(), Some(0));
}

#[test]
fn a_key_does_what_its_scope_says() {
    let keys = Keys::new();
    let admin = keys.create("admin", "admin", &[]);
    let (submit, read) = (keys.create("ci", "submit", &[]), keys.create("look", "read", &[]));
    let join = keys.create("slaves", "join", &[]);
    let cluster = keys.cluster(&["--public-metrics"], &read);
    let http = cluster.http();
    let refused = ask(&http, "POST", "/api/v1/jobs", &read, PLAYS);
    assert_eq!((refused.status, kind(&refused).as_str()), (403, "not-allowed"));
    assert!(refused.json()["detail"].as_str().unwrap().contains("submit"));
    assert_eq!(ask(&http, "GET", "/api/v1/jobs", &join, b"").status, 403);
    let made = ask(&http, "POST", "/api/v1/jobs", &submit, PLAYS);
    assert_eq!(made.status, 202, "{}", made.text());
    let path = format!("/api/v1/jobs/{}", made.json()["id"].as_str().unwrap());
    assert_eq!(ask(&http, "GET", &path, &read, b"").status, 200);
    assert_eq!(ask(&http, "POST", &format!("{path}/cancel"), &read, b"").status, 403);
    assert_eq!(ask(&http, "DELETE", &path, &submit, b"").status, 403);
    let table = br#"{"preset":"products"}"#;
    assert_eq!(ask(&http, "POST", "/api/v1/tables", &submit, table).status, 403);
    // Nor by filling one that is not there.
    let products = b"sku,name,description\na,b,c\n";
    let fill = "/api/v1/tables/products/ingests?preset=products";
    let filled = ask(&http, "POST", fill, &submit, products);
    assert_eq!((filled.status, kind(&filled).as_str()), (404, "table-not-found"));
    assert_eq!(ask(&http, "POST", fill, &admin, products).status, 202);
    assert_eq!(ask(&http, "POST", fill, &submit, products).status, 202);
    // By the command, which speaks gRPC: the key is the reader's.
    assert!(cluster.run(["status"]).status.success());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let cancelled = cluster.run(["cancel", &id]);
    assert_eq!(cancelled.status.code(), Some(7), "{}", text(&cancelled.stderr));
    assert_eq!(ask(&http, "POST", &format!("{path}/cancel"), &submit, b"").status, 200);
    eventually("the job to end", || {
        let job = ask(&http, "GET", &path, &read, b"").json();
        (job["state"] == "cancelled").then_some(())
    });
    assert_eq!(ask(&http, "DELETE", &path, &admin, b"").status, 204);
    // For those who scrape, where the operator said so, and for nobody else.
    assert_eq!((http.get("/metrics").status, http.get("/health").status), (200, 200));
    assert_eq!(http.get("/api/v1/jobs").status, 401);
}

#[test]
fn calls_are_asked_for_a_key_as_requests_are() {
    let keys = Keys::new();
    let read = keys.create("look", "read", &[]);
    let cluster = keys.cluster(&[], &read);
    Runtime::new().unwrap().block_on(async {
        let mut client = JobsClient::connect(cluster.grpc().to_owned()).await.unwrap();
        let none = client.list(ListRequest::default()).await.unwrap_err();
        assert_eq!(none.code(), Code::Unauthenticated);
        assert!(none.message().contains("read"), "{}", none.message());
        let bearer: MetadataValue<_> = format!("Bearer {read}").parse().unwrap();
        let mut list = Request::new(ListRequest::default());
        list.metadata_mut().insert("authorization", bearer.clone());
        client.list(list).await.unwrap();
        let mut delete = Request::new(DeleteRequest::default());
        delete.metadata_mut().insert("authorization", bearer);
        let refused = client.delete(delete).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert!(!refused.message().contains(&read[read.len() - 64..]));
    });
}

#[test]
fn keys_come_and_go_while_the_master_runs() {
    let keys = Keys::new();
    let mut cluster = keys.cluster(&[], "tally_000000000000_x");
    let http = cluster.http();
    assert_eq!(http.get("/api/v1/jobs").status, 200, "nobody has made a key yet");
    let first = keys.create("first", "admin", &[]);
    until(&http, "", 401);
    until(&http, &first, 200);
    let second = keys.create("second", "read", &["--expires", "1h"]);
    until(&http, &second, 200);
    let listed = keys.run(&["list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed[1]["state"], "active");
    assert!(listed[1]["expires_at"].is_string());
    assert!(keys.run(&["revoke", "second"]).status.success());
    until(&http, &second, 401);
    let answer = ask(&http, "GET", "/api/v1/jobs", &second, b"");
    assert!(answer.text().contains("revoked"), "{}", answer.text());
    // What ends by itself does so without anybody's doing.
    let file = keys.data().join("keys.json");
    let third = keys.create("third", "read", &["--expires", "1h"]);
    until(&http, &third, 200);
    let content = std::fs::read_to_string(&file).unwrap();
    let mut content: Value = serde_json::from_str(&content).unwrap();
    content["keys"][2]["expires_ms"] = 1.into();
    std::fs::write(&file, content.to_string()).unwrap();
    until(&http, &third, 401);
    assert!(ask(&http, "GET", "/api/v1/jobs", &third, b"").text().contains("expired"));
    // A file that makes no sense changes nothing.
    std::fs::write(&file, "{").unwrap();
    cluster.master().says("stays in force");
    assert_eq!(ask(&http, "GET", "/api/v1/jobs", &first, b"").status, 200);
    assert!(!keys.run(&["create", "--name", "x", "--scope", "read"]).status.success());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{");
    assert_eq!(ask(&http, "GET", "/api/v1/jobs", &third, b"").status, 401);
}

#[test]
fn slaves_join_by_a_token_that_can_be_changed() {
    let keys = Keys::new();
    let admin = keys.create("admin", "admin", &[]);
    let mut cluster = keys.cluster(&[], &admin);
    let http = cluster.http();
    let wrong = keys.file("wrong", &format!("tallyjoin_{}", "0".repeat(64)));
    let with = |file: &str| keys.slaves_by(file, &admin);
    for file in ["", &wrong, &keys.file("key", &admin)] {
        cluster.set_options(with(file));
        let ended = cluster.add_slave(1).ended();
        assert_eq!(ended.code(), Some(7), "{file}");
    }
    assert_eq!(slaves(&http, &admin), [""; 0]);
    cluster.set_options(with(&keys.token_file()));
    cluster.add_slave(1);
    let joined = |count: usize| {
        eventually("slaves to join", || (slaves(&http, &admin).len() == count).then_some(()));
    };
    joined(1);
    let file = cluster.path("plays.csv");
    let plays = input::plays(401, 2000, 8 << 20);
    let expected = input::totals(plays.as_bytes());
    std::fs::write(&file, plays).unwrap();
    assert!(cluster.count(&file, &[]) == expected);
    // Both hold until the first is gone.
    let first = keys.file("first", &keys.printed(&["join-token"]));
    let rotated = keys.run(&["join-token", "--rotate"]);
    let second = keys.file("second", text(&rotated.stdout).trim());
    // The master reads the file within a second; a slave that comes too early ends.
    let joins = |cluster: &mut Cluster, file: &str, count: usize| {
        cluster.set_options(with(file));
        eventually("a slave to join", || {
            let slave = cluster.add_slave(1);
            let refused = eventually("the slave to join or to be refused", || {
                (slave.has_ended())
                    .then_some(true)
                    .or_else(|| (slaves(&http, &admin).len() == count).then_some(false))
            });
            (!refused).then_some(())
        });
    };
    joins(&mut cluster, &second, 2);
    joins(&mut cluster, &first, 3);
    assert!(keys.run(&["join-token", "--rotate"]).status.success());
    eventually("the first token to be refused", || {
        cluster.set_options(with(&first));
        let before = slaves(&http, &admin).len();
        let slave = cluster.add_slave(1);
        eventually("the slave to join or to be refused", || {
            slave
                .has_ended()
                .then_some(true)
                .or_else(|| (slaves(&http, &admin).len() > before).then_some(false))
        })
        .then_some(())
    });
}

#[test]
fn what_was_changed_and_who_was_refused_is_written_down() {
    let keys = Keys::new();
    let admin = keys.create("admin", "admin", &[]);
    let read = keys.create("look", "read", &[]);
    let mut cluster = keys.cluster(&[], &admin);
    let http = cluster.http();
    let made = ask(&http, "POST", "/api/v1/jobs?preset=plays&name=secret", &admin, PLAYS);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(ask(&http, "GET", "/api/v1/jobs", &read, b"").status, 200);
    assert_eq!(ask(&http, "DELETE", &format!("/api/v1/jobs/{id}"), &read, b"").status, 403);
    assert_eq!(http.get("/api/v1/jobs").status, 401);
    assert!(cluster.run(["cancel", &id]).status.success());
    let lines = eventually("the lines", || Some(keys.audit()).filter(|lines| lines.len() >= 4));
    let line =
        |place: usize, name: &str| lines[place][name].as_str().unwrap_or_default().to_owned();
    let of = |key: &str, name: &str| format!("key:{}({name})", &key[6..18]);
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!((line(0, "who"), line(0, "status")), (of(&admin, "admin"), "202".to_owned()));
    assert_eq!((line(0, "method"), line(0, "target")), ("POST".into(), "/api/v1/jobs".into()));
    assert_eq!(line(0, "job"), id);
    assert_eq!((line(1, "who"), line(1, "status")), (of(&read, "look"), "403".to_owned()));
    assert_eq!((line(2, "who"), line(2, "status")), ("anonymous".into(), "401".into()));
    assert!(line(2, "address").starts_with("127.0.0.1:"));
    assert_eq!((line(3, "target"), line(3, "job")), ("tally.v1.Jobs/Cancel".into(), id));
    assert_eq!(line(3, "status"), "OK");
    // The last line is on the disk when the master has stopped, and no secret is anywhere.
    assert_eq!(http.get("/api/v1/cluster").status, 401);
    cluster.master().stop();
    assert_eq!(keys.audit().len(), 5);
    let log = std::fs::read_to_string(keys.data().join("audit.log")).unwrap();
    let said = cluster.master().log().join("\n");
    for secret in [&admin[19..], &read[19..], "tallyjoin_"] {
        assert!(!log.contains(secret) && !said.contains(secret));
    }
    // Nor what stood behind the path.
    assert!(!log.contains("name=") && !log.contains("plays"), "{log}");
}

#[test]
fn a_key_asks_only_so_often() {
    let keys = Keys::new();
    let limits = ["--requests-per-second", "1", "--burst", "2"];
    let slow = keys.create("slow", "submit", &limits);
    let free = keys.create("free", "admin", &[]);
    let cluster = keys.cluster(&[], &slow);
    let http = cluster.http();
    let refused = eventually("the key to have asked too often", || {
        Some(ask(&http, "GET", "/api/v1/jobs", &slow, b"")).filter(|answer| answer.status != 200)
    });
    assert_eq!((refused.status, kind(&refused).as_str()), (429, "rate-limited"));
    assert_eq!(refused.header("retry-after"), "1");
    for _ in 0..20 {
        assert_eq!(ask(&http, "GET", "/api/v1/jobs", &free, b"").status, 200);
    }
    let metrics = ask(&http, "GET", "/metrics", &free, b"").text();
    assert!(metrics.contains("tally_requests_refused_total{reason=\"rate_limited\"}"), "{metrics}");
    // Whoever waits is answered.
    until(&http, &slow, 200);
}

#[test]
fn a_data_folder_is_its_owners_alone() {
    let cluster = Cluster::start(0);
    let mode = cluster.path("data").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_master_does_not_start_with_keys_that_it_can_not_read() {
    let keys = Keys::new();
    keys.create("admin", "admin", &[]);
    let start = |more: &[&str]| {
        let data = keys.data();
        let own = ["master", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir"];
        run(own.iter().chain(&[data.to_str().unwrap()]).chain(more))
    };
    let missing: &Path = &keys.0.path().join("tokens");
    let output = start(&["--join-tokens", missing.to_str().unwrap()]);
    assert!(text(&output.stderr).contains("tokens"), "{}", text(&output.stderr));
    assert!(!output.status.success());
    std::fs::write(keys.data().join("keys.json"), "{").unwrap();
    let output = start(&[]);
    assert!(text(&output.stderr).contains("keys.json"), "{}", text(&output.stderr));
    assert!(!output.status.success());
}
