//! Lists of jobs: filters, orders, pages; and jobs that are gone.

use std::collections::BTreeSet;

use serde_json::Value;

use tally_tests::{Cluster, Http, Process};

fn ids(list: &Value) -> Vec<String> {
    let jobs = list["jobs"].as_array().unwrap();
    jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

fn submit(http: &Http, query: &str, rows: usize) -> String {
    let csv = format!("Song,Date,Number of Plays\n{}", "a,2021-01-01,1\n".repeat(rows));
    let answer = http.post(&format!("/api/v1/jobs?{query}"), csv.as_bytes());
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// All pages of a list.
fn walk(http: &Http, query: &str) -> Vec<String> {
    let (mut all, mut path) = (Vec::new(), format!("/api/v1/jobs?limit=2&{query}"));
    loop {
        let answer = http.get(&path);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let list = answer.json();
        let page = ids(&list);
        assert!(page.len() <= 2);
        all.extend(page);
        let Some(next) = list["next"].as_str() else {
            assert_eq!(answer.header("link"), "");
            return all;
        };
        let link = answer.header("link");
        path = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
        assert!(path.ends_with(&format!("cursor={next}")), "{path}");
    }
}

#[test]
pub(crate) fn pages_have_every_job_once_in_every_order() {
    let mut cluster = Cluster::start(1);
    let http = cluster.http();
    let mut jobs = Vec::new();
    for (i, name) in ["delta", "alpha", "Beta", "alpha"].into_iter().enumerate() {
        let id = submit(&http, &format!("name={name}&priority=low"), 40 - 9 * i);
        http.ended(&id);
        jobs.push((id, name));
    }
    // These have no slave, and so do not end.
    cluster.slaves()[0].kill();
    cluster.wait_for_slaves(0);
    for (i, name) in ["charlie", "alphabet", "echo"].into_iter().enumerate() {
        jobs.push((submit(&http, &format!("name={name}&priority=high"), 10 + i), name));
    }
    let newest_first: Vec<_> = jobs.iter().rev().map(|(id, _)| id.clone()).collect();
    assert_eq!(ids(&http.get("/api/v1/jobs").json()), newest_first);
    let every: BTreeSet<_> = newest_first.iter().cloned().collect();
    for sort in ["opened", "ended", "name", "size"] {
        let down = walk(&http, &format!("sort={sort}"));
        let mut up = walk(&http, &format!("sort={sort}&order=asc"));
        up.reverse();
        assert_eq!(down, up, "{sort}");
        assert_eq!(down.len(), jobs.len(), "{sort}");
        assert_eq!(down.iter().cloned().collect::<BTreeSet<_>>(), every, "{sort}");
    }
    let mut by_name = jobs.clone();
    by_name.sort_by(|(a, a_name), (b, b_name)| (a_name, a).cmp(&(b_name, b)));
    let by_name: Vec<_> = by_name.into_iter().map(|(id, _)| id).collect();
    assert_eq!(walk(&http, "sort=name&order=asc"), by_name);

    assert_eq!(walk(&http, "priority=high").len(), 3);
    assert_eq!(walk(&http, "state=succeeded").len(), 4);
    assert_eq!(walk(&http, "state=running,receiving&name=ALPHA"), [jobs[5].0.clone()]);
    assert_eq!(walk(&http, "name=alpha").len(), 3);
    assert_eq!(walk(&http, "opened_before=2020-01-01").len(), 0);
    assert_eq!(walk(&http, "opened_from=2020-01-01T00:00:00Z").len(), 7);
    let cursor = http.get("/api/v1/jobs?limit=1&sort=name").json()["next"].clone();
    let cursor = cursor.as_str().unwrap();
    for bad in ["cursor=nonsense".to_owned(), format!("sort=size&cursor={cursor}")] {
        assert_eq!(http.get(&format!("/api/v1/jobs?{bad}")).status, 400, "{bad}");
    }
}

#[test]
pub(crate) fn a_job_that_was_deleted_is_gone_for_good() {
    let mut cluster = Cluster::start(1);
    let http = cluster.http();
    let id = submit(&http, "name=x", 3);
    http.ended(&id);
    let waiting = {
        cluster.slaves()[0].kill();
        cluster.wait_for_slaves(0);
        submit(&http, "name=y", 3)
    };
    for id in [&id, &waiting] {
        let path = format!("/api/v1/jobs/{id}");
        assert_eq!(http.delete(&path).status, 204);
        let gone = |method: &str, of: &str| {
            let answer = http.request(method, &format!("{path}{of}"), &[], b"");
            assert_eq!(answer.status, 410, "{method} {of}: {}", answer.text());
            assert_eq!(answer.json()["type"], "/docs/http.md#deleted");
        };
        gone("GET", "");
        gone("DELETE", "");
        for of in ["/result", "/tasks", "/events", "/history", "/receipt", "/rejects"] {
            gone("GET", of);
        }
    }
    cluster.restart_master(Process::kill);
    assert_eq!(http.get(&format!("/api/v1/jobs/{id}")).status, 410);
    let never = "0199c0de-0000-7000-8000-000000000000";
    assert_eq!(http.get(&format!("/api/v1/jobs/{never}")).status, 404);
}
