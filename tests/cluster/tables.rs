//! Tables over HTTP: every outcome, every bad input, pages, aggregates, changes, whole tables.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use tally_tests::{Answer, Cluster, Http};

const PRODUCTS: &str = "/api/v1/tables/products";

fn with_products() -> (Cluster, Http) {
    let cluster = Cluster::start(0);
    let http = cluster.http();
    let created = http.post_as("/api/v1/tables", "application/json", br#"{"preset":"products"}"#);
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(created.header("location"), PRODUCTS);
    (cluster, http)
}

fn post(http: &Http, body: &Value) -> Answer {
    let path = format!("{PRODUCTS}/operations");
    http.post_as(&path, "application/json", body.to_string().as_bytes())
}

fn apply(http: &Http, body: &Value) -> Vec<Value> {
    let answer = post(http, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["results"].as_array().unwrap().clone()
}

fn outcomes(results: &[Value]) -> Vec<&str> {
    results.iter().map(|result| result["outcome"].as_str().unwrap()).collect()
}

fn product(id: usize, sku: &str, name: &str) -> Value {
    json!({"message_id": format!("m{id}"), "op": "add",
        "row": {"sku": sku, "name": name, "description": format!("d{id}")}})
}

fn problem(answer: &Answer, status: u16, kind: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.json()["type"], format!("/docs/http.md#{kind}"));
}

#[test]
pub(crate) fn each_operation_has_its_outcome_once() {
    let (_cluster, http) = with_products();
    let results = apply(
        &http,
        &json!([
            product(1, "a", "shoe"),
            product(2, "a", "hat"),
            {"message_id": "m3", "op": "update", "key": "a", "row": {"name": "boot"}, "expected_version": 1},
            {"message_id": "m4", "op": "update", "key": "a", "row": {"name": "boot"}},
            {"message_id": "m5", "op": "update", "key": "a", "row": {"name": "x"}, "expected_version": 1},
            {"message_id": "m6", "op": "update", "key": "b", "row": {"name": "x"}},
            {"message_id": "m7", "op": "delete", "key": "a", "expected_version": 2},
            {"message_id": "m8", "op": "delete", "key": "a"},
            product(1, "a", "shoe"),
            product(1, "c", "other"),
            {"message_id": "m9", "op": "update", "key": "a"},
        ]),
    );
    assert_eq!(
        outcomes(&results),
        [
            "added",
            "exists",
            "updated",
            "unchanged",
            "conflict",
            "missing",
            "deleted",
            "missing",
            "added",
            "reused",
            "invalid",
        ]
    );
    let versions: Vec<_> = results.iter().map(|result| result["version"].as_u64()).collect();
    assert_eq!(versions[..5], [Some(1), Some(1), Some(2), Some(2), Some(2)]);
    assert_eq!((versions[6], versions[8]), (Some(3), Some(1)));
    assert_eq!((&results[8]["repeated"], &results[0]["repeated"]), (&json!(true), &Value::Null));
    assert!(results[10]["problem"].as_str().unwrap().contains("columns to change"));
    // A message id of what was invalid is free, and one that is alone comes as an object.
    let one = apply(&http, &json!({"message_id": "m9", "op": "delete", "key": "z"}));
    assert_eq!(outcomes(&one), ["missing"]);
}

#[test]
pub(crate) fn a_sum_does_not_leave_its_integers() {
    let (_cluster, http) = with_products();
    let table = json!({"name": "stock", "key": ["id"], "columns": [
            {"name": "id", "kind": "text"}, {"name": "shop", "kind": "text"},
            {"name": "pieces", "kind": "integer"}],
        "aggregates": [{"group_by": "shop", "values": [
            {"op": "sum", "column": "pieces", "name": "all"}, {"op": "min", "column": "pieces", "name": "least"}]}]});
    let created = http.post_as("/api/v1/tables", "application/json", table.to_string().as_bytes());
    assert_eq!(created.status, 201, "{}", created.text());
    let add = |id: &str, pieces: i64| {
        json!({"message_id": id, "op": "add",
        "row": {"id": id, "shop": "x", "pieces": pieces}})
    };
    let body = json!([add("a", i64::MAX), add("b", 1), add("c", -1)]).to_string();
    let path = "/api/v1/tables/stock/operations";
    let results = http.post_as(path, "application/json", body.as_bytes()).json();
    assert_eq!(outcomes(results["results"].as_array().unwrap()), ["added", "overflow", "added"]);
    let groups = http.get("/api/v1/tables/stock/aggregates/stock_by_shop").json();
    assert_eq!(groups["rows"], json!([["x", i64::MAX - 1, -1]]));
}

#[test]
pub(crate) fn what_makes_no_sense_is_said_and_harms_nothing() {
    let (_cluster, http) = with_products();
    let add = |row: Value| json!({"message_id": "x", "op": "add", "row": row});
    for (operation, said) in [
        (add(json!({"name": "a", "description": "b"})), "needs a key"),
        (add(json!({"sku": "", "name": "a", "description": "b"})), "can not be empty"),
        (add(json!({"sku": "s", "name": "a"})), "must have a value"),
        (add(json!({"sku": "s", "name": "a", "description": "b", "colour": "red"})), "no column"),
        (add(json!({"sku": 7, "name": "a", "description": "b"})), "a text"),
        (add(json!({"sku": "s", "name": null, "description": "b"})), "must have a value"),
        (add(json!({"sku": "s", "name": "x".repeat(641), "description": "b"})), "at most 640"),
        (add(json!({"sku": "s\u{0}", "name": "a", "description": "b"})), "NUL"),
        (json!({"message_id": "x", "op": "put", "key": "s"}), "unknown variant"),
        (json!({"message_id": "", "op": "delete", "key": "s"}), "message_id"),
        (json!({"message_id": "x".repeat(129), "op": "delete", "key": "s"}), "message_id"),
        (json!({"op": "delete", "key": "s"}), "message_id"),
        (json!({"message_id": "x", "op": "delete", "key": ["s", "t"]}), "key"),
        (json!({"message_id": "x", "op": "delete", "key": "s", "expected": 1}), "unknown field"),
        (json!(7), "invalid type"),
    ] {
        let fine = json!({"message_id": format!("fine {said}"), "op": "delete", "key": "none"});
        let results = apply(&http, &json!([operation, fine]));
        assert_eq!(outcomes(&results)[0], "invalid", "{operation}");
        assert_eq!(outcomes(&results)[1].len(), "missing".len(), "{results:?}");
        let problem = results[0]["problem"].as_str().unwrap();
        assert!(problem.contains(said), "{problem:?} does not say {said:?}");
    }
    let path = format!("{PRODUCTS}/operations");
    for body in ["", "{", "[1,", "7", "\"x\""] {
        problem(&http.post_as(&path, "application/json", body.as_bytes()), 400, "bad-request");
    }
    problem(&http.post_as(&path, "image/png", b"x"), 415, "unsupported-media-type");
    for header in ["", "sku\n", "op,message_id,colour\nadd,a,red\n"] {
        problem(&http.post(&path, header.as_bytes()), 400, "bad-request");
    }
    let many: Vec<_> = (0..10_001).map(|id| product(id, "s", "n")).collect();
    problem(&post(&http, &json!(many)), 413, "too-many");
    problem(&post(&http, &json!("x".repeat(17 << 20))), 413, "too-large");
    assert_eq!(http.get(PRODUCTS).json()["rows"], 0);
    for nowhere in [
        "/api/v1/tables/none",
        "/api/v1/tables/none/rows",
        "/api/v1/tables/none/data",
        "/api/v1/tables/none/changes",
        "/data?table=none",
    ] {
        problem(&http.get(nowhere), 404, "table-not-found");
    }
    problem(&http.get(&format!("{PRODUCTS}/rows/none")), 404, "row-not-found");
    problem(&http.get(&format!("{PRODUCTS}/aggregates/none")), 404, "aggregate-not-found");
    problem(&http.get(&format!("{PRODUCTS}/rows?colour=red")), 400, "bad-request");
    problem(&http.get(&format!("{PRODUCTS}/rows?cursor=x")), 400, "bad-request");
    let other = br#"{"name":"products","key":["sku"],"columns":[{"name":"sku","kind":"text"}]}"#;
    problem(&http.post_as("/api/v1/tables", "application/json", other), 409, "table-exists");
    let same = http.post_as("/api/v1/tables", "application/json", br#"{"preset":"products"}"#);
    assert_eq!(same.status, 200, "{}", same.text());
    let bad = br#"{"name":"Bad","key":["sku"],"columns":[{"name":"sku","kind":"text"}]}"#;
    problem(&http.post_as("/api/v1/tables", "application/json", bad), 422, "bad-table");
}

#[test]
pub(crate) fn csv_and_json_lines_are_operations_too() {
    let (_cluster, http) = with_products();
    let path = format!("{PRODUCTS}/operations");
    let csv = "op,message_id,sku,name,description,expected_version\n\
        add,a,s1,\"x, \"\"y\"\"\",d,\n\
        update,b,s1,z,,1\n\
        update,c,s1\n\
        nothing,d,s1,,,\n\
        delete,e,s1,,,2\n";
    let results = http.post(&path, csv.as_bytes()).json();
    let results = results["results"].as_array().unwrap();
    assert_eq!(outcomes(results), ["added", "updated", "invalid", "invalid", "deleted"]);
    assert!(results[2]["problem"].as_str().unwrap().starts_with("line 4: 3 fields"));
    let history = http.get(&format!("{PRODUCTS}/rows/s1/history")).json();
    let history = history["changes"].as_array().unwrap();
    let said: Vec<_> = history.iter().map(|change| change["change"].as_str().unwrap()).collect();
    assert_eq!(said, ["deleted", "updated", "added"]);
    assert_eq!(history[1]["row"], json!({"sku": "s1", "name": "z", "description": "d"}));

    // More than are taken at a time as one body.
    let lines: String =
        (0..12_345).map(|id| format!("{}\n", product(id, &format!("k{id:05}"), "n"))).collect();
    let answer = http.post_as(&path, "application/x-ndjson", lines.as_bytes());
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let text = answer.text();
    let results: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(results.len(), 12_345);
    for (id, result) in results.iter().enumerate() {
        assert_eq!(
            (&result["message_id"], &result["outcome"]),
            (&json!(format!("m{id}")), &json!("added"))
        );
    }
    let answer = http.post_as(&path, "application/x-ndjson", b"\n{\nx\n7\n");
    assert_eq!(answer.text().lines().filter(|line| line.contains("invalid")).count(), 3);
}

#[test]
pub(crate) fn rows_come_in_pages_sorted_and_filtered() {
    let (_cluster, http) = with_products();
    let all: Vec<_> =
        (0..3_000).map(|id| product(id, &format!("k{id:04}"), &format!("n{}", id % 7))).collect();
    assert!(apply(&http, &json!(all)).iter().all(|result| result["outcome"] == "added"));
    let walk = |query: &str| {
        let (mut rows, mut path) = (Vec::new(), format!("{PRODUCTS}/rows?{query}"));
        loop {
            let answer = http.get(&path);
            assert_eq!(answer.status, 200, "{}", answer.text());
            let page = answer.json();
            rows.extend(page["rows"].as_array().unwrap().iter().map(|row| row["row"].clone()));
            let Some(next) = answer.header("link").strip_prefix('<') else {
                assert_eq!(page["next"], Value::Null);
                return rows;
            };
            path = next.split('>').next().unwrap().to_owned();
        }
    };
    let rows: Vec<_> = all.iter().map(|operation| operation["row"].clone()).collect();
    assert_eq!(walk("limit=700"), rows);
    let mut backwards = rows.clone();
    backwards.reverse();
    assert_eq!(walk("limit=999&sort=_version&order=desc"), backwards);
    let named =
        |name: &str| rows.iter().filter(|row| row["name"] == name).cloned().collect::<Vec<_>>();
    assert_eq!(walk("name=n3&limit=100"), named("n3"));
    assert_eq!(walk("sku.prefix=k12&limit=30"), rows[1200..1300]);
    assert_eq!(walk("sku.from=k0100&sku.before=k0103"), rows[100..103]);
    assert_eq!(walk("search=D2999"), rows[2999..]);
    let mut sorted = rows.clone();
    sorted.sort_by(|a, b| {
        (a["name"].as_str(), a["sku"].as_str()).cmp(&(b["name"].as_str(), b["sku"].as_str()))
    });
    assert_eq!(walk("sort=name&limit=450"), sorted);

    let row = http.get(&format!("{PRODUCTS}/rows/k0007"));
    assert_eq!((row.header("etag"), &row.json()["version"]), ("\"8\"", &json!(8)));
    let known = http.get_with(&format!("{PRODUCTS}/rows/k0007"), &[("if-none-match", "\"8\"")]);
    assert_eq!(known.status, 304);
    let csv = http.get(&format!("{PRODUCTS}/rows?limit=2&format=csv"));
    assert_eq!(csv.text(), "name,sku,description\nn0,k0000,d0\nn1,k0001,d1\n");
    assert!(csv.header("content-disposition").starts_with("attachment"));

    let groups = http.get(&format!("{PRODUCTS}/aggregates/products_by_name?limit=3")).json();
    assert_eq!(groups["rows"], json!([["n0", 429], ["n1", 429], ["n2", 429]]));
    assert_eq!(groups["groups"], 7);
    let last = "sort=no_of_products&order=asc&limit=1";
    let least = http.get(&format!("{PRODUCTS}/aggregates/products_by_name?{last}")).json();
    assert_eq!(least["rows"][0][1], 428);
    let csv = http.get(&format!("{PRODUCTS}/aggregates/products_by_name?group=n6&format=csv"));
    assert_eq!(csv.text(), "name,no_of_products\nn6,428\n");

    let data = http.get(&format!("{PRODUCTS}/data?format=json"));
    assert_eq!(data.json(), json!(rows));
    assert_eq!(data.header("x-content-type-options"), "nosniff");
    let kept = http.get("/data");
    assert_eq!(kept.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(kept.text().lines().count(), 3_001);
    assert_eq!(http.get_with("/data", &[("accept", "application/json")]).json(), json!(rows));
    assert_eq!(http.get("/data?format=jsonl").text().lines().count(), 3_000);
    let recount = http.request("POST", &format!("{PRODUCTS}/recount"), &[], b"").json();
    assert_eq!((&recount["right"], &recount["rows"]), (&json!(true), &json!(3_000)));
}

/// Listens from a change on until `count` have been heard.
fn listen(http: &Http, after: &str, count: usize) -> Vec<Value> {
    let mut stream = TcpStream::connect(http.address()).unwrap();
    let request = format!(
        "GET {PRODUCTS}/changes HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {after}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let data = lines.filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok());
    data.take(count).collect()
}

#[test]
pub(crate) fn changes_are_followed_over_a_restart() {
    let (mut cluster, http) = with_products();
    apply(&http, &json!([product(1, "a", "x"), product(2, "b", "x"), product(3, "c", "x")]));
    let heard = listen(&http, "0", 2);
    assert_eq!(heard.iter().map(|change| &change["version"]).collect::<Vec<_>>(), [1, 2]);
    cluster.restart_master(|master| master.kill());
    apply(&http, &json!([{"message_id": "m4", "op": "delete", "key": "b"}]));
    let heard = listen(&http, "2", 2);
    assert_eq!((&heard[0]["version"], &heard[0]["row"]["sku"]), (&json!(3), &json!("c")));
    assert_eq!(
        (&heard[1]["change"], &heard[1]["key"], &heard[1]["row"]),
        (&json!("deleted"), &json!("b"), &Value::Null)
    );
    let page = http.get(&format!("{PRODUCTS}/changes?after=1&limit=2")).json();
    assert_eq!((&page["next"], page["changes"].as_array().unwrap().len()), (&json!(3), 2));
    // What happens while somebody listens is heard.
    let listener = std::thread::spawn({
        let http = http.clone();
        move || listen(&http, "4", 1)
    });
    apply(&http, &json!([product(5, "e", "x")]));
    assert_eq!(listener.join().unwrap()[0]["version"], 5);
    assert_eq!(http.delete(PRODUCTS).status, 204);
    problem(&http.get(PRODUCTS), 404, "table-not-found");
}
