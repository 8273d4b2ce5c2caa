//! Sources that are watched and fill tables: what changes there is written, once, and nothing else.

use std::fs;

use serde_json::Value;
use tally_tests::served::{Reply, Served};
use tally_tests::{Http, Process, eventually};

use crate::ingest::{check_aggregates, counts, held, last, many, products};
use crate::watched::{polls_on, serve, start, until, until_changes, until_error};

const TABLE: &str = "/api/v1/tables/products";

/// What is said of each source of these tests, but what its data is for.
const OFTEN: &str = "interval=100ms,timeout=2s";

/// Into the table of the preset, as `mode` says.
fn into(name: &str, kind: &str, url: &str, mode: &str) -> String {
    format!(
        "name={name},kind={kind},url={url},table=products,preset=products,mode={mode},allow_private=true,{OFTEN}"
    )
}

/// What the last job of a source came to.
fn written(http: &Http, of: &Value) -> [u64; 4] {
    let job = http.ended(of["last_job"].as_str().unwrap());
    assert_eq!(job["state"], "succeeded", "{job}");
    counts(&job)
}

fn version(http: &Http) -> u64 {
    http.get(TABLE).json()["version"].as_u64().unwrap()
}

/// The keys that have changed since a version, in their order.
fn changed(http: &Http, after: u64) -> Vec<String> {
    let page = http.get(&format!("{TABLE}/changes?after={after}&limit=1000")).json();
    let changes = page["changes"].as_array().unwrap().iter();
    let mut keys: Vec<_> = changes.map(|change| change["key"].as_str().unwrap().into()).collect();
    keys.sort();
    keys
}

/// Waits for some more looks, and until no job is under way.
fn settled(http: &Http, name: &str) {
    polls_on(http, name, 5);
    until(http, name, "nothing to do", |now| now["state"] == "waiting");
}

#[test]
pub(crate) fn a_table_follows_a_folder_that_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("products.csv");
    let mut rows = many(500, "first");
    fs::write(&file, products(&rows)).unwrap();
    let (_served, url) = serve(folder.path());
    let mut cluster = start(1, &[into("shop", "sense", &url, "replace")]);
    let http = cluster.http();
    let first = until_changes(&http, "shop", 1);
    assert_eq!(written(&http, &first), [500, 0, 0, 0]);
    assert_eq!(held(&cluster, "products", "sku"), last(&rows));

    // Two change, three go, and one comes.
    rows[11].2 = "other".into();
    rows[22].0 = "another name".into();
    rows.drain(100..103);
    rows.push(("new".into(), "zzz".into(), String::new()));
    fs::write(&file, products(&rows)).unwrap();
    let before = version(&http);
    let second = until_changes(&http, "shop", 2);
    assert_eq!(written(&http, &second), [1, 2, 495, 3]);
    let keys = ["sku-000011", "sku-000022", "sku-000100", "sku-000101", "sku-000102", "zzz"];
    assert_eq!(changed(&http, before), keys);
    assert_eq!(version(&http), before + 6);
    assert_eq!(held(&cluster, "products", "sku"), last(&rows));

    // What a master knew that was killed, the next one knows.
    cluster.restart_master(Process::kill);
    settled(&http, "shop");
    // Written once more, with the same rows.
    fs::write(&file, products(&rows)).unwrap();
    settled(&http, "shop");
    assert_eq!(until_changes(&http, "shop", 2)["last_job"], second["last_job"]);
    assert_eq!((version(&http), http.jobs().len()), (before + 6, 2));

    // What happens while it is away is not missed.
    cluster.master().kill();
    rows[33].2 = "meanwhile".into();
    fs::write(&file, products(&rows)).unwrap();
    assert!(cluster.start_master_again());
    let third = until_changes(&http, "shop", 3);
    assert_eq!(written(&http, &third), [0, 1, 497, 0]);
    assert_eq!(
        (version(&http), changed(&http, before + 6)),
        (before + 7, vec!["sku-000033".into()])
    );
    check_aggregates(&cluster, "products");
}

/// Killed with the job open, and again with it under way.
#[test]
pub(crate) fn what_a_source_brings_is_applied_once_whenever_the_master_dies() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let rows = many(30_000, "a text that is a little longer than others");
    fs::write(path("1.csv"), products(&rows)).unwrap();
    let pattern = path("*.csv");
    let source =
        format!("name=files,path={},table=products,preset=products,{OFTEN}", pattern.display());
    // No slave: what is submitted is not read yet.
    let mut cluster = start(0, &[source]);
    let http = cluster.http();
    let open = until(&http, "files", "an ingest", |now| now["last_job"].is_string());
    cluster.restart_master(Process::kill);
    cluster.add_slave(1);
    let id = open["last_job"].as_str().unwrap();
    eventually("it to be merged", || {
        let state = http.job(id)["state"].clone();
        (state == "merging" || state == "succeeded").then_some(())
    });
    cluster.restart_master(Process::kill);
    let done = until(&http, "files", "its end", |now| now["state"] == "waiting");
    assert_eq!((&done["last_job"], &done["changes"]), (&open["last_job"], &1.into()), "{done}");
    assert_eq!(written(&http, &done), [30_000, 0, 0, 0]);
    assert_eq!(version(&http), 30_000);
    // Another file of the folder: its rows and nobody else's, and those that are new alone.
    let mut more = rows[..200].to_vec();
    more[0].2 = "other".into();
    more.push(("new".into(), "zzz".into(), String::new()));
    fs::write(path("2.csv"), products(&more)).unwrap();
    let second = until_changes(&http, "files", 2);
    assert_eq!(written(&http, &second), [1, 1, 199, 0]);
    assert_eq!(changed(&http, 30_000), ["sku-000000", "zzz"]);
    settled(&http, "files");
    cluster.restart_master(Process::kill);
    settled(&http, "files");
    assert_eq!((version(&http), http.jobs().len()), (30_002, 2));
    let all = [&rows[..], &more[..]].concat();
    assert!(held(&cluster, "products", "sku") == last(&all));
    check_aggregates(&cluster, "products");
}

/// All of them would replace the same table's rows.
#[test]
pub(crate) fn bad_servers_take_no_row_and_delay_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = many(300, "first");
    let file = folder.path().join("products.csv");
    fs::write(&file, products(&rows)).unwrap();
    let (_served, good) = serve(folder.path());
    let inner = Served::start(|_| Reply::ok("name,sku,description\nx,x,x\n"));
    let to = format!("{}/x.csv", inner.base);
    let server = Served::start(move |request| match request.path.as_str() {
        "/500" => Reply::status("500 Internal Server Error"),
        "/page" => Reply::with("content-type: text/html\r\n", "name,sku,description\nx,x,x\n"),
        "/hidden-page" => Reply::ok("<html>name,sku,description\nx,x,x\n"),
        "/hang" => Reply::Hang,
        "/stall" => Reply::Stall(b"name,sku,description\nx,x,x\n".to_vec()),
        "/inner" => Reply::redirect(&to),
        "/columns" => Reply::ok("name,sku\nx,x\n"),
        "/empty" => Reply::ok(""),
        _ => Reply::status("404 Not Found"),
    });
    let bad = [
        ("500", "answers 500"),
        ("page", "a web page"),
        ("hidden-page", "a web page"),
        ("hang", "does not answer: it was silent for 2 s"),
        ("stall", "broke off after"),
        ("inner", "which is not of the public network"),
        ("columns", "description"),
        ("empty", "empty"),
        ("none", "answers 404"),
    ];
    let sources = bad.iter().map(|(name, _)| {
        let url = format!("{}/{name}", server.base);
        into(name, "http", &url, "replace")
    });
    let sources: Vec<_> = sources.chain([into("good", "sense", &good, "replace")]).collect();
    let cluster = start(1, &sources);
    let http = cluster.http();
    assert_eq!(written(&http, &until_changes(&http, "good", 1)), [300, 0, 0, 0]);
    for (name, words) in bad {
        until_error(&http, name, words);
    }
    assert_eq!(held(&cluster, "products", "sku"), last(&rows));
    // The good one is followed while the others are looked at again and again.
    rows.truncate(200);
    fs::write(&file, products(&rows)).unwrap();
    assert_eq!(written(&http, &until_changes(&http, "good", 2)), [0, 0, 200, 100]);
    settled(&http, "good");
    for (name, words) in bad {
        let now = until_error(&http, name, words);
        assert!(now["errors"].as_u64() > Some(0), "{now}");
    }
    assert_eq!((held(&cluster, "products", "sku"), version(&http)), (last(&rows), 400));
    assert!(inner.requests().is_empty());
    check_aggregates(&cluster, "products");
}
