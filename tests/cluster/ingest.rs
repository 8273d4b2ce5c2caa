//! Files that fill tables through the cluster.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tally_tests::{Cluster, Options, Process, eventually, input};

/// Tasks so small that a few thousand rows make many of them.
const SMALL_TASKS: [&str; 2] = ["--task-bytes", "20000"];

fn cluster(slaves: usize) -> Cluster {
    let flags = SMALL_TASKS.map(str::to_owned).to_vec();
    Cluster::start_with(slaves, Options { flags, ..Options::default() })
}

/// Rows of `products` by their sku, in the order in which they stand in the file.
pub(crate) fn products(rows: &[(String, String, String)]) -> String {
    let mut text = String::from("name,sku,description\n");
    for (name, sku, description) in rows {
        text.push_str(&format!("{name},{sku},\"{description}\"\n"));
    }
    text
}

/// So many different products.
pub(crate) fn many(count: usize, what: &str) -> Vec<(String, String, String)> {
    let row = |i| (format!("name {}", i % 50), format!("sku-{i:06}"), format!("{what}, {i}"));
    (0..count).map(row).collect()
}

/// What a table should hold: the last row of each sku.
pub(crate) fn last(rows: &[(String, String, String)]) -> BTreeMap<String, Value> {
    let row = |(name, sku, description): &(String, String, String)| {
        let row = json!({ "name": name, "sku": sku, "description": description });
        (sku.clone(), row)
    };
    rows.iter().map(row).collect()
}

/// What a table holds.
pub(crate) fn held(cluster: &Cluster, table: &str, key: &str) -> BTreeMap<String, Value> {
    let answer = cluster.http().get(&format!("/api/v1/tables/{table}/data?format=json"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let rows = answer.json();
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| (row[key].as_str().unwrap().to_owned(), row.clone())).collect()
}

pub(crate) fn submit(cluster: &Cluster, query: &str, body: &[u8]) -> String {
    let answer = cluster.http().post(&format!("/api/v1/jobs?{query}"), body);
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

pub(crate) fn ingest(cluster: &Cluster, query: &str, body: &[u8]) -> Value {
    let job = cluster.http().ended(&submit(cluster, query, body));
    assert_eq!(job["state"], "succeeded", "{job}");
    job
}

/// Added, updated, unchanged, deleted.
pub(crate) fn counts(job: &Value) -> [u64; 4] {
    ["added", "updated", "unchanged", "deleted"].map(|name| job["ingest"][name].as_u64().unwrap())
}

pub(crate) fn check_aggregates(cluster: &Cluster, table: &str) {
    let recount = cluster.http().post(&format!("/api/v1/tables/{table}/recount"), b"");
    assert_eq!(recount.json()["right"], true, "{}", recount.text());
}

#[test]
pub(crate) fn a_file_fills_its_table_whatever_it_is_packed_in() {
    let cluster = cluster(2);
    let rows = many(3000, "first");
    let text = products(&rows);
    let path = cluster.path("products.csv");
    fs::write(&path, &text).unwrap();
    let job = ingest(&cluster, "table=products&preset=products", text.as_bytes());
    assert_eq!(counts(&job), [3000, 0, 0, 0]);
    assert!(job["tasks"]["cut"].as_u64() > Some(3), "{job}");
    assert_eq!(held(&cluster, "products", "sku"), last(&rows));
    // The same once more writes nothing, however it is compressed.
    for (program, extension) in [("gzip", "gz"), ("zstd", "zst")] {
        let packed = Command::new(program).args(["-q", "-c"]).arg(&path).output();
        let Ok(packed) = packed.map(|output| output.stdout) else { continue };
        let at = cluster.path(&format!("products.csv.{extension}"));
        fs::write(&at, &packed).unwrap();
        let job = ingest(&cluster, "table=products", &packed);
        assert_eq!(counts(&job), [0, 0, 3000, 0]);
        let output = cluster.run(["table", "import", at.to_str().unwrap(), "--table", "products"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("0 added, 0 updated, 3000 unchanged, 0 deleted"), "{said}");
    }
    check_aggregates(&cluster, "products");
}

#[test]
pub(crate) fn of_a_key_that_comes_again_the_last_row_counts_and_a_report_says_so() {
    let cluster = cluster(3);
    let mut rows = many(2000, "first");
    rows.extend(many(700, "second"));
    rows.push(("name".into(), "sku-000003".into(), "third".into()));
    let job = ingest(&cluster, "table=products&preset=products", products(&rows).as_bytes());
    assert_eq!(held(&cluster, "products", "sku"), last(&rows));
    assert_eq!(counts(&job), [2000, 0, 0, 0]);
    let number = |name: &str| job["ingest"][name].as_u64().unwrap();
    assert_eq!((number("keys"), number("repeated_keys")), (2000, 700));
    assert_eq!(number("replaced_records"), 701);
    let id = job["id"].as_str().unwrap();
    let report = cluster.http().get(&format!("/api/v1/jobs/{id}/result")).text();
    let mut lines = report.lines();
    assert_eq!(lines.next(), Some("sku,records"));
    let lines: Vec<_> = lines.collect();
    assert_eq!((lines.len(), lines[3], lines[699]), (700, "sku-000003,3", "sku-000699,2"));
    check_aggregates(&cluster, "products");
}

#[test]
pub(crate) fn replacing_deletes_what_is_not_in_the_file() {
    let cluster = cluster(1);
    ingest(&cluster, "table=products&preset=products", products(&many(500, "first")).as_bytes());
    let mut rows = many(100, "first");
    rows[7].2 = "other".into();
    rows.push(("new".into(), "zzz".into(), String::new()));
    let job = ingest(&cluster, "table=products&mode=replace", products(&rows).as_bytes());
    assert_eq!(counts(&job), [1, 1, 99, 400]);
    assert_eq!(held(&cluster, "products", "sku"), last(&rows));
    check_aggregates(&cluster, "products");
}

#[test]
pub(crate) fn bad_records_are_rejected_before_anything_is_applied() {
    let cluster = cluster(1);
    let file = "Song,Date,Number of Plays\na,2020-01-01,1\nb,2020-13-01,2\n,2020-01-01,3\nc,2020-01-01,x\n";
    let id = submit(&cluster, "table=plays&preset=plays", file.as_bytes());
    let job = cluster.http().ended(&id);
    assert_eq!(job["state"], "failed", "{job}");
    assert!(job["error"].as_str().unwrap().contains("line 3"), "{job}");
    assert_eq!(cluster.http().get("/api/v1/tables/plays").json()["rows"], 0);
    let repair = cluster.http().post(&format!("/api/v1/jobs/{id}/repairs"), file.as_bytes());
    assert_eq!(repair.status, 409, "{}", repair.text());
    assert!(repair.text().contains("import that file"), "{}", repair.text());
    let job = ingest(&cluster, "table=plays&max_rejects=75%25", file.as_bytes());
    assert_eq!((counts(&job), &job["receipt"]["rejected"]), ([1, 0, 0, 0], &json!(3)));
    let rejects =
        cluster.http().get(&format!("/api/v1/jobs/{}/rejects", job["id"].as_str().unwrap()));
    let reasons = ["no such date", "the key is empty", "not an integer"];
    assert!(reasons.iter().all(|reason| rejects.text().contains(reason)), "{}", rejects.text());
    // One in twenty is too many where there are 3 of 4.
    let id = submit(&cluster, "table=plays&max_rejects=5%25", file.as_bytes());
    assert_eq!(cluster.http().ended(&id)["state"], "failed");
}

#[test]
pub(crate) fn what_can_not_fill_a_table_is_refused_in_words() {
    let cluster = cluster(1);
    let http = cluster.http();
    let refused = |path: &str, body: &str, status: u16, words: &str| {
        let answer = http.post(path, body.as_bytes());
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.text().contains(words), "{path}: {}", answer.text());
    };
    refused("/api/v1/jobs?table=things", "a,b\n", 404, "table-not-found");
    refused("/api/v1/tables/things/ingests", "a,b\n", 404, "table-not-found");
    refused("/api/v1/jobs?table=things&preset=products", "a,b\n", 422, "of that name");
    refused("/api/v1/jobs?table=things&key=c", "a,b\n", 422, "no column");
    refused("/api/v1/jobs?table=things&key=a&group_by=b", "a,b\n", 422, "not totalled");
    refused("/jobs/count/?table=things", "a,b\n", 400, "only counts");
    ingest(&cluster, "table=products&preset=products", products(&many(1, "x")).as_bytes());
    refused("/api/v1/tables/products/ingests", "name,sku,text\n", 422, "it has \\\"name\\\"");
    let spec = json!({
        "group_by": [{ "name": "a", "kind": "text" }],
        "rows": [{ "name": "a", "kind": "text", "max_bytes": 1 }],
    });
    let spec = spec.to_string();
    let parts: [(&str, Option<&str>, &[u8]); 2] =
        [("spec", None, spec.as_bytes()), ("file", Some("a.csv"), b"a\n1\n")];
    let answer = http.form("/api/v1/jobs", &parts);
    assert!(
        answer.status == 422 && answer.text().contains("by the master alone"),
        "{}",
        answer.text()
    );
}

#[test]
pub(crate) fn a_table_is_made_after_the_file_where_its_key_is_named() {
    let cluster = cluster(2);
    let mut text = String::from("Code;Made;Sold;Price;Note\n");
    for i in 0..2000 {
        let sold = if i % 3 == 0 { String::new() } else { format!("{}", i * 2) };
        text.push_str(&format!("{i:04};2020-01-{:02};{sold};{};n{i}\n", i % 28 + 1, i % 100));
    }
    let parts: [(&str, Option<&str>, &[u8]); 3] = [
        ("table", None, b"things"),
        ("key", None, b"code"),
        ("file", Some("things.csv"), text.as_bytes()),
    ];
    let answer = cluster.http().form("/api/v1/jobs", &parts);
    assert_eq!(answer.status, 202, "{}", answer.text());
    let job = cluster.http().ended(answer.json()["id"].as_str().unwrap());
    assert_eq!((&job["state"], counts(&job)), (&json!("succeeded"), [2000, 0, 0, 0]), "{job}");
    let table = cluster.http().get("/api/v1/tables/things").json();
    let column = |at: usize| {
        let column = &table["columns"][at];
        (column["name"].clone(), column["kind"].clone(), column["nullable"] == json!(true))
    };
    assert_eq!(table["key"], json!(["Code"]));
    assert_eq!(column(0), (json!("Code"), json!("text"), false));
    assert_eq!(column(1), (json!("Made"), json!("date"), false));
    assert_eq!(column(2), (json!("Sold"), json!("integer"), true));
    let row = cluster.http().get("/api/v1/tables/things/rows/0003").json();
    let expected =
        json!({ "Code": "0003", "Made": "2020-01-04", "Sold": null, "Price": 3, "Note": "n3" });
    assert_eq!(row["row"], expected);
    // The columns that can be null need not be there.
    let job = ingest(&cluster, "table=things", b"Note,Price,Made,Code\nx,1,2020-01-01,0003\n");
    assert_eq!(counts(&job), [0, 1, 0, 0]);
}

/// Files of a folder, and what comes by gRPC.
#[test]
pub(crate) fn files_come_by_every_way() {
    let folder = tempfile::tempdir().unwrap();
    let at: PathBuf = folder.path().canonicalize().unwrap();
    let flags = vec!["--input-dir".to_owned(), at.to_str().unwrap().to_owned()];
    let cluster = Cluster::start_with(1, Options { flags, ..Options::default() });
    let rows = many(200, "x");
    let file = at.join("things.csv");
    fs::write(&file, products(&rows)).unwrap();
    let file = file.to_str().unwrap();
    let import = |more: &[&str]| {
        let args = ["table", "import", file, "--table", "things"];
        let output = cluster.run(args.iter().chain(more));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        said
    };
    assert!(import(&["--key", "sku", "--in-place"]).contains("200 added"));
    assert!(import(&["--message-id", "once"]).contains("200 unchanged"));
    assert!(import(&["--message-id", "once"]).contains("200 unchanged"));
    assert_eq!(cluster.http().jobs().len(), 2);
    let body = json!({ "source": { "path": file }, "table": "things", "mode": "replace" });
    let body = body.to_string();
    let answer = cluster.http().post_as("/api/v1/jobs", "application/json", body.as_bytes());
    assert_eq!(answer.status, 202, "{}", answer.text());
    let job = cluster.http().ended(answer.json()["id"].as_str().unwrap());
    assert_eq!(counts(&job), [0, 0, 200, 0]);
    assert_eq!(job["in_place"], json!(file));
    let json = import(&["--output", "json"]);
    let job: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(job["ingest"]["unchanged"], 200);
    // What is only of counts says so.
    let id = job["id"].as_str().unwrap();
    let summary = cluster.http().get(&format!("/api/v1/jobs/{id}/result/summary"));
    assert_eq!(summary.status, 409, "{}", summary.text());
    let report = cluster.http().get(&format!("/api/v1/jobs/{id}/result"));
    assert_eq!(report.text(), "sku,records\n");
}

#[test]
pub(crate) fn an_ingest_outlives_a_slave_that_dies_and_goes_beside_counting() {
    let mut cluster = cluster(3);
    let plays = input::plays(81, 300, 2 << 20);
    let rows = many(20_000, "some text to make it longer");
    let text = products(&rows);
    let counting = submit(&cluster, "", plays.as_bytes());
    let filling = submit(&cluster, "table=products&preset=products", text.as_bytes());
    cluster.slaves()[1].kill();
    let job = cluster.http().ended(&filling);
    assert_eq!((&job["state"], counts(&job)), (&json!("succeeded"), [20_000, 0, 0, 0]), "{job}");
    assert_eq!(held(&cluster, "products", "sku"), last(&rows));
    assert_eq!(cluster.http().ended(&counting)["state"], "succeeded");
    let result = cluster.http().get(&format!("/api/v1/jobs/{counting}/result")).body;
    assert!(result == input::totals(plays.as_bytes()));
}

#[test]
pub(crate) fn a_master_that_dies_while_it_applies_goes_on_where_it_was() {
    let mut cluster = cluster(2);
    let rows = many(70_000, "a text that is a little longer than others");
    let text = products(&rows);
    let first = many(30_000, "what was there before");
    ingest(&cluster, "table=products&preset=products", products(&first).as_bytes());
    for mode in ["merge", "replace"] {
        let id = submit(&cluster, &format!("table=products&mode={mode}"), text.as_bytes());
        eventually("rows to be applied", || {
            let job = cluster.http().job(&id);
            let merging = job["state"] != "running" && job["state"] != "receiving";
            let some = job["ingest"]["keys"].as_u64() > Some(0);
            (merging && (some || mode == "replace")).then_some(())
        });
        cluster.restart_master(Process::kill);
        let job = cluster.http().ended(&id);
        assert_eq!(job["state"], "succeeded", "{job}");
        let expected = if mode == "merge" { [40_000, 30_000, 0, 0] } else { [0, 0, 70_000, 0] };
        assert_eq!(counts(&job), expected, "{mode}");
        assert!(held(&cluster, "products", "sku") == last(&rows));
        check_aggregates(&cluster, "products");
    }
}

#[test]
pub(crate) fn a_cancelled_ingest_stops_between_chunks() {
    let cluster = cluster(2);
    let text = products(&many(200_000, "a text that is a little longer than others"));
    let id = submit(&cluster, "table=products&preset=products", text.as_bytes());
    let http = cluster.http();
    eventually("rows to be applied", || {
        (http.job(&id)["ingest"]["keys"].as_u64() > Some(0)).then_some(())
    });
    let cancelled = http.post(&format!("/api/v1/jobs/{id}/cancel"), b"");
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    let job = http.ended(&id);
    if job["state"] == "cancelled" {
        let table = http.get("/api/v1/tables/products").json();
        assert!(table["rows"].as_u64() <= Some(200_000), "{table}");
    }
    check_aggregates(&cluster, "products");
    let job = ingest(&cluster, "table=products", text.as_bytes());
    assert_eq!(job["ingest"]["keys"], 200_000);
    assert_eq!(http.get("/api/v1/tables/products").json()["rows"], 200_000);
}
