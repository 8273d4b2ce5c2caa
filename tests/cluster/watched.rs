//! Sources that are watched: real servers, good and bad, and a master that follows them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tally_tests::served::{Reply, Served};
use tally_tests::{Cluster, Http, Options, Process, eventually, input, tally};

/// What is said of each source of these tests: looked at often, never for long.
const OFTEN: &str = "interval=100ms,timeout=2s,preset=plays";

pub(crate) fn start(slaves: usize, sources: &[String]) -> Cluster {
    let flags = sources.iter().flat_map(|source| ["--source".to_owned(), source.clone()]);
    Cluster::start_with(slaves, Options { flags: flags.collect(), ..Options::default() })
}

fn on_loopback(name: &str, kind: &str, url: &str) -> String {
    format!("name={name},kind={kind},url={url},allow_private=true,{OFTEN}")
}

pub(crate) fn source(http: &Http, name: &str) -> Value {
    http.get(&format!("/api/v1/sources/{name}")).json()
}

/// Waits until a source is as `condition` says.
pub(crate) fn until(
    http: &Http,
    name: &str,
    what: &str,
    condition: impl Fn(&Value) -> bool,
) -> Value {
    eventually(&format!("{name}: {what}"), || {
        let now = source(http, name);
        condition(&now).then_some(now)
    })
}

pub(crate) fn until_changes(http: &Http, name: &str, changes: u64) -> Value {
    let now = until(http, name, &format!("{changes} changes"), |now| {
        now["changes"].as_u64() >= Some(changes)
    });
    assert_eq!(now["changes"], changes, "{now}");
    now
}

pub(crate) fn until_error(http: &Http, name: &str, words: &str) -> Value {
    until(http, name, words, |now| {
        now["last_error"].as_str().is_some_and(|error| error.contains(words))
    })
}

/// Waits until it has been looked at so many times more.
pub(crate) fn polls_on(http: &Http, name: &str, times: u64) {
    let before = source(http, name)["polls"].as_u64().unwrap();
    until(http, name, "more looks", |now| now["polls"].as_u64() >= Some(before + times));
}

/// The totals of the last job of a source.
fn result(http: &Http, of: &Value) -> Vec<u8> {
    let id = of["last_job"].as_str().unwrap();
    assert_eq!(http.ended(id)["state"], "succeeded", "{}", http.job(id));
    http.get(&format!("/api/v1/jobs/{id}/result")).body
}

fn plays(seed: u64) -> Vec<u8> {
    input::plays(seed, 20, 20_000).into_bytes()
}

/// A `tally source serve`, and where it is.
pub(crate) fn serve(folder: &std::path::Path) -> (Process, String) {
    let mut command = tally();
    command.arg("source").arg("serve").arg(folder);
    let mut process = Process::start("source", command);
    let line = process.says("source on http://");
    (process, line.split_whitespace().last().unwrap().to_owned())
}

#[test]
fn a_folder_that_is_served_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv"), plays(1)).unwrap();
    let (_served, url) = serve(folder.path());
    let cluster = start(1, &[on_loopback("shop", "sense", &url)]);
    let http = cluster.http();
    let first = until_changes(&http, "shop", 1);
    assert!(result(&http, &first) == input::totals(&plays(1)));
    // As long as nothing changes, nothing is done.
    polls_on(&http, "shop", 5);
    let now = source(&http, "shop");
    assert_eq!((&now["changes"], &now["last_error"]), (&1.into(), &Value::Null), "{now}");
    assert_eq!(http.jobs().len(), 1);
    // Another file: both under one header.
    std::fs::write(folder.path().join("b.csv"), plays(2)).unwrap();
    let second = until_changes(&http, "shop", 2);
    let both = plays(2);
    let line = both.iter().position(|byte| *byte == b'\n').unwrap();
    let both = [&plays(1)[..], &both[line + 1..]].concat();
    assert!(result(&http, &second) == input::totals(&both));
    // Back to what it was: that is news, too.
    std::fs::remove_file(folder.path().join("b.csv")).unwrap();
    let third = until_changes(&http, "shop", 3);
    assert!(result(&http, &third) == input::totals(&plays(1)));
    let listed = tally()
        .args(["source", "list", "--gateway"])
        .arg(format!("http://{}", http.address()))
        .output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    assert!(listed.contains("shop") && listed.contains("count plays"), "{listed}");
}

#[test]
fn what_is_served_says_when_it_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (_served, url) = serve(folder.path());
    let http = Http::new(&url);
    assert_eq!((http.get("/sense").text(), http.get("/read").status), ("0".to_owned(), 404));
    std::fs::write(folder.path().join("a.csv"), "name,sku\na,1").unwrap();
    std::fs::write(folder.path().join("b.csv"), "name,sku\r\nb,2\n").unwrap();
    assert_eq!(http.get("/sense").text(), "1");
    let read = http.get("/read");
    assert_eq!(read.text(), "name,sku\na,1\nb,2\n");
    eventually("nothing to be new", || (http.get("/sense").text() == "0").then_some(()));
    // Another reader has his own view.
    assert_eq!(http.get("/sense?since=0").text(), "1");
    let etag = read.header("etag");
    assert_eq!(http.get_with("/sense", &[("if-none-match", "\"x\"")]).text(), "1");
    assert_eq!(http.get(&format!("/sense?since={}", etag.trim_matches('"'))).text(), "0");
    assert_eq!(http.get_with("/read", &[("if-none-match", etag)]).status, 304);
    let since = read.header("last-modified");
    assert_eq!(http.get_with("/read", &[("if-modified-since", since)]).status, 304);
    std::fs::write(folder.path().join("b.csv"), "name;sku\n").unwrap();
    assert_eq!(http.get("/sense").text(), "1");
    let refused = http.get("/read");
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("b.csv"), "{}", refused.text());
}

#[test]
fn a_url_is_asked_for_changes_alone() {
    let data = Arc::new(Mutex::new(("1".to_owned(), plays(3))));
    let served = Arc::clone(&data);
    let server = Served::start(move |request| {
        let (tag, body) = served.lock().unwrap().clone();
        let etag = format!("\"{tag}\"");
        if request.path != "/x.csv" || request.header("if-none-match") == etag {
            return Reply::status("304 Not Modified");
        }
        Reply::with(&format!("etag: {etag}\r\n"), body)
    });
    let cluster = start(1, &[on_loopback("web", "http", &format!("{}/x.csv", server.base))]);
    let http = cluster.http();
    let first = until_changes(&http, "web", 1);
    assert!(result(&http, &first) == input::totals(&plays(3)));
    polls_on(&http, "web", 5);
    assert_eq!(
        server.requests().iter().filter(|r| r.header("if-none-match").is_empty()).count(),
        1
    );
    // Another tag and the same bytes are no news.
    data.lock().unwrap().0 = "2".to_owned();
    polls_on(&http, "web", 5);
    assert_eq!((&source(&http, "web")["changes"], http.jobs().len()), (&1.into(), 1));
    *data.lock().unwrap() = ("3".to_owned(), plays(4));
    let second = until_changes(&http, "web", 2);
    assert!(result(&http, &second) == input::totals(&plays(4)));
}

#[test]
fn each_file_of_a_folder_is_taken_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("1.csv"), plays(5)).unwrap();
    std::fs::write(path("1.txt"), "nothing").unwrap();
    let pattern = path("*.csv");
    let cluster = start(1, &[format!("name=files,path={},{OFTEN}", pattern.display())]);
    let http = cluster.http();
    until_changes(&http, "files", 1);
    std::fs::write(path("2.csv"), plays(6)).unwrap();
    let second = until_changes(&http, "files", 2);
    assert!(result(&http, &second) == input::totals(&plays(6)));
    // Written once more, with the same bytes.
    std::fs::write(path("1.csv"), plays(5)).unwrap();
    polls_on(&http, "files", 8);
    assert_eq!((&source(&http, "files")["changes"], http.jobs().len()), (&2.into(), 2));
    // A bad one is named, and the others go on.
    std::fs::write(path("3.csv"), "name,sku\na,1\n").unwrap();
    std::fs::write(path("4.csv"), plays(7)).unwrap();
    until_error(&http, "files", "3.csv: ");
    let last = until(&http, "files", "4.csv", |now| now["items"] == 4 && now["state"] == "waiting");
    assert!(last["last_error"].as_str().unwrap().contains("Song"), "{last}");
    let names: Vec<Value> = http.jobs().iter().map(|job| job["name"].clone()).collect();
    assert!(names.contains(&"files: 4.csv".into()), "{names:?}");
}

#[test]
fn bad_servers_are_named_and_delay_nobody() {
    let good = Arc::new(AtomicBool::new(false));
    let well = Arc::clone(&good);
    let server = Served::start(move |request| match request.path.as_str() {
        "/good.csv" => Reply::ok(plays(8)),
        "/500" if well.load(Ordering::Relaxed) => Reply::ok(plays(9)),
        "/500" => Reply::status("500 Internal Server Error"),
        "/hang" => Reply::Hang,
        "/stall" => Reply::Stall(plays(8)),
        "/page" => Reply::with("content-type: text/html\r\n", "hello"),
        "/hidden-page" => Reply::ok("  <!DOCTYPE html><html>"),
        "/endless" => Reply::Endless,
        "/large" => Reply::ok(vec![b'x'; 2_000_000]),
        "/loop" => Reply::redirect("/loop"),
        "/file" => Reply::redirect("file:///etc/passwd"),
        "/ftp" => Reply::redirect("ftp://127.0.0.1/x"),
        "/away" => Reply::redirect("/good.csv"),
        "/nonsense/sense" => Reply::ok("maybe"),
        "/columns.csv" => Reply::ok("name,sku\na,1\n"),
        _ => Reply::status("404 Not Found"),
    });
    let base = &server.base;
    let names = [
        "500",
        "hang",
        "stall",
        "page",
        "hidden-page",
        "endless",
        "large",
        "loop",
        "file",
        "ftp",
        "none",
    ];
    let mut sources: Vec<String> = names
        .iter()
        .map(|name| {
            let limit = "max_bytes=1MB";
            format!("{},{limit}", on_loopback(name, "http", &format!("{base}/{name}")))
        })
        .collect();
    sources.push(on_loopback("nonsense", "sense", &format!("{base}/nonsense")));
    sources.push(on_loopback("columns", "http", &format!("{base}/columns.csv")));
    sources.push(on_loopback("refused", "http", "http://127.0.0.1:1/"));
    // Not without allow_private.
    let port = base.rsplit(':').next().unwrap();
    sources.push(format!("name=name,url=http://localhost:{port}/good.csv,{OFTEN}"));
    sources.push(format!("name=address,url={base}/good.csv,{OFTEN}"));
    sources.push(on_loopback("away", "http", &format!("{base}/away")));
    sources.push(on_loopback("good", "http", &format!("{base}/good.csv")));
    let cluster = start(1, &sources);
    let http = cluster.http();
    for (name, words) in [
        ("500", "answers 500"),
        ("hang", "does not answer: it was silent for 2 s"),
        ("stall", "broke off after"),
        ("page", "a web page"),
        ("hidden-page", "a web page"),
        ("endless", "more than 1000000 bytes"),
        ("large", "more than 1000000 bytes"),
        ("loop", "redirects more than 3 times"),
        ("file", "redirects: this is no URL"),
        ("ftp", "redirects: a URL begins with https:// or http://"),
        ("none", "answers 404"),
        ("nonsense", "says \"maybe\", where 0 or 1 is wanted"),
        ("columns", "Song"),
        ("refused", "can not be reached"),
        ("name", "which is not of the public network"),
        ("address", "which is not of the public network"),
    ] {
        let now = until_error(&http, name, words);
        assert!(now["errors"].as_u64() > Some(0), "{now}");
        let backs_off = |now: &Value| now["state"] == "backing off" || name == "columns";
        until(&http, name, "backing off", backs_off);
    }
    for name in ["good", "away"] {
        let now = until_changes(&http, name, 1);
        assert!(result(&http, &now) == input::totals(&plays(8)), "{name}");
    }
    polls_on(&http, "good", 5);
    // What is bad once may be good later.
    good.store(true, Ordering::Relaxed);
    assert_eq!(http.post("/api/v1/sources/500/poll", b"").status, 202);
    let now = until_changes(&http, "500", 1);
    assert_eq!((&now["last_error"], http.get("/api/v1/sources/5").status), (&Value::Null, 404));
    let metrics = http.get("/metrics").text();
    assert!(metrics.contains("\ntally_sources 18\n"), "{metrics}");
}

#[test]
fn a_redirect_leads_nowhere_private() {
    let inner = Served::start(|_| Reply::ok(plays(8)));
    let to = format!("{}/good.csv", inner.base);
    let outer = Served::start(move |_| Reply::redirect(&to));
    // What is allowed is the server that is named.
    let cluster = start(1, &[on_loopback("a", "http", &format!("{}/x", outer.base))]);
    let http = cluster.http();
    until_error(&http, "a", "not of the public network");
    polls_on(&http, "a", 2);
    assert!(inner.requests().is_empty() && !outer.requests().is_empty());
}

#[test]
fn a_master_that_dies_takes_nothing_twice() {
    let hangs = Arc::new(AtomicBool::new(true));
    let hanging = Arc::clone(&hangs);
    let sensed = Arc::new(AtomicBool::new(true));
    let server = Served::start(move |request| match request.path.as_str() {
        // Says so once, whatever becomes of it.
        "/sense" if sensed.swap(false, Ordering::Relaxed) => Reply::ok(" 1\n"),
        "/sense" => Reply::ok("0"),
        "/read" if hanging.load(Ordering::Relaxed) => Reply::Stall(plays(10)),
        "/read" => Reply::ok(plays(11)),
        _ => Reply::status("404 Not Found"),
    });
    let sources = [format!(
        "name=a,kind=sense,url={},allow_private=true,interval=100ms,timeout=60s,preset=plays",
        server.base
    )];
    // No slave: what is submitted is not counted yet.
    let mut cluster = start(0, &sources);
    let http = cluster.http();
    until(&http, "a", "a fetch", |now| now["state"] == "fetching");
    eventually("the read", || server.requests().iter().any(|r| r.path == "/read").then_some(()));
    hangs.store(false, Ordering::Relaxed);
    cluster.restart_master(Process::kill);
    let http = cluster.http();
    let open = until(&http, "a", "an ingest", |now| now["last_job"].is_string());
    cluster.restart_master(Process::kill);
    let http = cluster.http();
    cluster.add_slave(1);
    let done = until(&http, "a", "its end", |now| now["state"] == "waiting");
    assert_eq!((&done["last_job"], &done["changes"]), (&open["last_job"], &1.into()), "{done}");
    assert!(result(&http, &done) == input::totals(&plays(11)));
    polls_on(&http, "a", 5);
    cluster.restart_master(|master| assert!(master.stop().success()));
    let http = cluster.http();
    let polls = done["polls"].as_u64().unwrap();
    let now = until(&http, "a", "more looks", |now| now["polls"].as_u64() > Some(polls + 5));
    assert_eq!((&now["changes"], http.jobs().len()), (&1.into(), 1), "{now}");
}

#[test]
fn what_makes_no_sense_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tally.toml");
    let refused = |text: &str| {
        std::fs::write(&config, text).unwrap();
        let mut command = tally();
        command.arg("--config").arg(&config).arg("master").arg("--data-dir").arg(folder.path());
        let output = command.args(["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        String::from_utf8(output.stderr).unwrap()
    };
    let error = refused("[[source]]\nname = \"a\"\nurl = \"ftp://x/\"\npreset = \"plays\"\n");
    assert!(error.contains("the source \"a\": url: "), "{error}");
    let error = refused("[[source]]\nname = \"a\"\nintervall = \"1s\"\n");
    assert!(error.contains("intervall"), "{error}");
    let error = refused(
        "[[source]]\nname = \"a\"\nurl = \"http://x/\"\npreset = \"plays\"\n\
         header_env = { Authorization = \"TALLY_TESTS_NONE\" }\n",
    );
    assert!(error.contains("TALLY_TESTS_NONE is not set"), "{error}");
}

#[test]
fn the_config_file_names_sources() {
    let server = Served::start(|_| Reply::ok(plays(12)));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tally.toml");
    let text = format!(
        "[[source]]\nname = \"a\"\nurl = \"{}/x\"\npreset = \"plays\"\ninterval = \"100ms\"\n\
         allow_private = true\nheader_env = {{ X-Key = \"SOURCE_KEY\" }}\n",
        server.base
    );
    std::fs::write(&config, text).unwrap();
    let options = Options {
        envs: vec![
            ("TALLY_CONFIG".to_owned(), config.to_str().unwrap().to_owned()),
            ("SOURCE_KEY".to_owned(), "secret".to_owned()),
        ],
        ..Options::default()
    };
    let cluster = Cluster::start_with(1, options);
    let http = cluster.http();
    let now = until_changes(&http, "a", 1);
    assert!(result(&http, &now) == input::totals(&plays(12)));
    assert!(server.requests().iter().all(|request| request.header("x-key") == "secret"));
    assert!(!http.get("/api/v1/sources").text().contains("secret"));
}
