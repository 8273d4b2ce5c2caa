//! `tally table …`: what scripts rely on.

use serde_json::{Value, json};

use tally_tests::{Cluster, eventually, tally};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a verb, and gives its exit code, its stdout and its stderr.
fn run(cluster: &Cluster, args: &[&str]) -> (Option<i32>, String, String) {
    let output = cluster.run(["table"].iter().chain(args));
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Runs a verb that must succeed.
fn ok(cluster: &Cluster, args: &[&str]) -> String {
    let (code, out, err) = run(cluster, args);
    assert_eq!(code, Some(0), "{args:?}: {err}");
    out
}

#[test]
fn a_table_by_hand() {
    let cluster = Cluster::start(0);
    ok(
        &cluster,
        &[
            "create",
            "stock",
            "--column",
            "sku:text",
            "--column",
            "shop:text",
            "--column",
            "pieces:integer",
            "--column",
            "counted:date?",
            "--key",
            "sku,shop",
            "--aggregate",
            "in_shops=count as n, sum:pieces by shop",
        ],
    );
    assert!(ok(&cluster, &["list"]).contains("in_shops"));
    assert!(ok(&cluster, &["show", "stock"]).contains("key 2"));
    let file = cluster.path("operations.csv");
    std::fs::write(
        &file,
        "op,message_id,sku,shop,pieces,counted\n\
        add,1,a,x,3,2026-01-31\nadd,2,b,x,4,\nadd,3,a,y,5,\nadd,4,a,x,1,\n",
    )
    .unwrap();
    let results = cluster.path("results.ndjson");
    let apply = ["apply", "stock", file.to_str().unwrap(), "--results", results.to_str().unwrap()];
    let (code, _, err) = run(&cluster, &apply);
    assert_eq!(code, Some(3), "{err}");
    assert!(
        err.contains("1 of 4 operations were refused") && err.contains("\"4\" is exists"),
        "{err}"
    );
    let again: Value = serde_json::from_str(&ok(
        &cluster,
        &[&apply[..], &["--allow-refused", "--batch", "1", "--output", "json"]].concat(),
    ))
    .unwrap();
    assert_eq!(
        again,
        json!({"operations": 4, "repeated": 4, "refused": 1,
        "outcomes": {"added": 3, "exists": 1}})
    );
    let lines = std::fs::read_to_string(&results).unwrap();
    assert_eq!(lines.lines().count(), 4);

    assert_eq!(
        ok(&cluster, &["rows", "stock", "--where", "shop=x", "--sort", "pieces", "--reverse"]),
        "sku,shop,pieces,counted\nb,x,4,\na,x,3,2026-01-31\n"
    );
    let page: Value = serde_json::from_str(&ok(
        &cluster,
        &["rows", "stock", "--where", "pieces>=4", "--limit", "1", "--output", "json"],
    ))
    .unwrap();
    assert_eq!(
        page["rows"][0]["row"],
        json!({"sku": "a", "shop": "y", "pieces": 5, "counted": null})
    );
    assert!(ok(&cluster, &["get", "stock", "[\"a\",\"x\"]"]).contains("version 1"));
    assert!(ok(&cluster, &["history", "stock", "[\"a\",\"x\"]"]).contains("added"));
    assert_eq!(run(&cluster, &["get", "stock", "[\"a\",\"z\"]"]).0, Some(6));
    assert_eq!(
        ok(&cluster, &["aggregate", "stock", "in_shops"]),
        "shop,n,sum_pieces\nx,2,7\ny,1,5\n"
    );
    let changes = ok(&cluster, &["changes", "stock", "--after", "1"]);
    let versions: Vec<u64> = changes
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["version"].as_u64().unwrap())
        .collect();
    assert_eq!(versions, [2, 3]);
    let out = cluster.path("stock.csv");
    ok(&cluster, &["export", "stock", "-o", out.to_str().unwrap()]);
    assert_eq!(
        std::fs::read_to_string(&out).unwrap(),
        "sku,shop,pieces,counted\na,x,3,2026-01-31\na,y,5,\nb,x,4,\n"
    );
    assert!(ok(&cluster, &["recount", "stock"]).contains("all is right"));
    // Nobody is there to be asked.
    assert_eq!(run(&cluster, &["drop", "stock"]).0, Some(2));
    ok(&cluster, &["drop", "stock", "--yes"]);
    assert_eq!(run(&cluster, &["show", "stock"]).0, Some(6));
    assert_eq!(run(&cluster, &["create", "Bad", "--column", "a:text", "--key", "a"]).0, Some(2));
}

#[test]
fn operations_arrive_although_the_master_is_killed() {
    let mut cluster = Cluster::start(0);
    ok(&cluster, &["create", "--preset", "products"]);
    let file = cluster.path("operations.ndjson");
    let lines: String = (0..5_000)
        .map(|id| {
            let row =
                json!({"sku": format!("k{id}"), "name": format!("n{}", id % 3), "description": ""});
            format!("{}\n", json!({"message_id": format!("m{id}"), "op": "add", "row": row}))
        })
        .collect();
    std::fs::write(&file, lines).unwrap();
    let mut command = tally();
    command.args(["table", "apply", "products"]).arg(&file);
    command.args(["--batch", "20", "--master", cluster.grpc(), "--output", "json"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let client = command.spawn().unwrap();
    let http = cluster.http();
    for enough in [500, 2_000] {
        eventually("some of the operations", || {
            let rows = http.get("/api/v1/tables/products").json()["rows"].as_u64()?;
            (rows >= enough).then_some(())
        });
        cluster.restart_master(|master| master.kill());
    }
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["outcomes"], json!({"added": 5_000}));
    assert_eq!(http.get("/api/v1/tables/products").json()["rows"], 5_000);
    assert!(ok(&cluster, &["recount", "products"]).contains("all is right"));
}
