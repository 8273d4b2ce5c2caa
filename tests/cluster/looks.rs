//! Looks at results and rejects, and at what has been counted so far.

use rustix::process::Signal;
use serde_json::Value;

use tally_tests::{Cluster, Http, Options, eventually, input};

type Row = Vec<String>;

fn rows(csv: &[u8]) -> Vec<Row> {
    let mut reader = csv::Reader::from_reader(csv);
    let rows = reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect());
    rows.collect()
}

fn look(http: &Http, id: &str, query: &[(&str, &str)]) -> Value {
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let query: Vec<_> =
        query.iter().map(|(key, value)| format!("{key}={}", encode(value))).collect();
    let path = format!("/api/v1/jobs/{id}/result?{}", query.join("&"));
    let answer = http.get_with(&path, &[("accept", "application/json")]);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

fn shown(look: &Value) -> Vec<Row> {
    serde_json::from_value(look["rows"].clone()).unwrap()
}

#[test]
fn a_look_finds_what_the_result_has() {
    let cluster = Cluster::start(1);
    let http = cluster.http();
    // Large enough for an index with many marks.
    let plays = input::plays(31, 900, 3_000_000);
    let id = http.post("/api/v1/jobs", plays.as_bytes()).json()["id"].as_str().unwrap().to_owned();
    let job = http.ended(&id);
    let all = rows(&http.get(&format!("/api/v1/jobs/{id}/result")).body);
    let total = job["result"]["rows"].as_u64().unwrap();
    assert_eq!(all.len() as u64, total);

    for offset in [0, 1, 4_000, total - 3, total, total + 9] {
        let found = look(&http, &id, &[("limit", "7"), ("offset", &offset.to_string())]);
        let from = (offset as usize).min(all.len());
        assert_eq!(shown(&found), all[from..(from + 7).min(all.len())], "from {offset}");
        assert_eq!(found["total_rows"], total);
        let more = offset + 7 < total;
        assert_eq!(found["next_offset"], if more { (offset + 7).into() } else { Value::Null });
    }
    for at in [0, all.len() / 3, all.len() - 1] {
        let [song, date] = [&all[at][0], &all[at][1]];
        let of_song: Vec<_> = all.iter().filter(|row| row[0] == *song).cloned().collect();
        assert_eq!(shown(&look(&http, &id, &[("song", song), ("limit", "1000")])), of_song);
        let one = look(&http, &id, &[("Song", song), ("date", date)]);
        assert_eq!(shown(&one), [all[at].clone()]);
        let of_day: Vec<_> = all.iter().filter(|row| row[1] == *date).take(100).cloned().collect();
        assert_eq!(shown(&look(&http, &id, &[("date", date)])), of_day);
    }
    let begins: Vec<_> =
        all.iter().filter(|row| row[0].starts_with("Song number 7")).take(50).cloned().collect();
    let found = look(&http, &id, &[("prefix", "Song number 7"), ("limit", "50")]);
    assert_eq!(shown(&found), begins);
    assert_eq!(shown(&look(&http, &id, &[("song", "no such song")])), Vec::<Row>::new());

    let path = format!("/api/v1/jobs/{id}/result?limit=2");
    let as_csv = http.get(&path);
    assert_eq!(as_csv.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(as_csv.header("tally-total-rows"), total.to_string());
    assert_eq!(as_csv.header("tally-next-offset"), "2");
    assert_eq!(rows(&as_csv.body), all[..2]);
    for (bad, named) in [("artist=x", "groups by Song, Date"), ("date=soon", "holds dates")] {
        let refused = http.get(&format!("/api/v1/jobs/{id}/result?{bad}"));
        assert_eq!(refused.status, 400, "{bad}");
        assert!(refused.text().contains(named), "{}", refused.text());
    }
}

#[test]
fn charts_are_drawn_from_a_summary() {
    let cluster = Cluster::start(1);
    let http = cluster.http();
    let plays = input::plays(32, 300, 500_000);
    let id = http.post("/api/v1/jobs", plays.as_bytes()).json()["id"].as_str().unwrap().to_owned();
    http.ended(&id);
    let all = rows(&http.get(&format!("/api/v1/jobs/{id}/result")).body);
    let sum_by = |column: usize| {
        let mut sums = std::collections::BTreeMap::new();
        for row in &all {
            *sums.entry(row[column].clone()).or_insert(0) += row[2].parse::<i64>().unwrap();
        }
        sums
    };
    let summary = http.get(&format!("/api/v1/jobs/{id}/result/summary")).json();
    let (songs, days) = (sum_by(0), sum_by(1));
    assert_eq!(summary["keys"], songs.len());
    assert_eq!(summary["rows"], all.len());
    assert_eq!([&summary["key"], &summary["date"], &summary["span"]], ["Song", "Date", "day"]);
    let pairs = |list: &Value, name: &str| -> Vec<(String, i64)> {
        let each = list.as_array().unwrap().iter().map(|one| {
            let [key, value] = [&one[name], &one["value"]].map(|text| text.as_str().unwrap());
            (key.to_owned(), value.parse().unwrap())
        });
        each.collect()
    };
    assert_eq!(pairs(&summary["dates"], "date"), days.into_iter().collect::<Vec<_>>());
    let mut top: Vec<_> = songs.into_iter().collect();
    top.sort_by_key(|(_, plays)| std::cmp::Reverse(*plays));
    top.truncate(100);
    assert_eq!(pairs(&summary["top"], "key"), top);
}

#[test]
fn what_has_been_counted_so_far_can_be_looked_at() {
    let flags = ["--task-bytes", "50kB"].map(str::to_owned).to_vec();
    let mut cluster = Cluster::start_with(1, Options { flags, ..Options::default() });
    let http = cluster.http();
    let plays = input::plays(33, 100, 4_000_000);
    let waiting = {
        let none = input::plays(34, 2, 100);
        cluster.slaves()[0].signal(Signal::STOP);
        http.post("/api/v1/jobs", none.as_bytes()).json()["id"].as_str().unwrap().to_owned()
    };
    let too_early = http.get(&format!("/api/v1/jobs/{waiting}/result?partial=true&limit=1"));
    assert_eq!(too_early.status, 409, "{}", too_early.text());
    let id = http.post("/api/v1/jobs", plays.as_bytes()).json()["id"].as_str().unwrap().to_owned();
    cluster.slaves()[0].signal(Signal::CONT);
    eventually("some tasks to be counted", || {
        (http.job(&id)["tasks"]["done"].as_u64()? > 5).then_some(())
    });
    cluster.slaves()[0].signal(Signal::STOP);
    let done = || {
        let tasks = http.get(&format!("/api/v1/jobs/{id}/tasks")).json();
        let mut tasks = tasks["tasks"].as_array().unwrap().clone();
        tasks.retain(|task| task["state"] == "done");
        tasks
    };
    // What the slave had sent before it stopped may still be on its way.
    let (part, whole, tasks) = eventually("the counting to stand still", || {
        let before = done();
        let part = look(&http, &id, &[("partial", "true"), ("limit", "10000")]);
        let whole = http.get(&format!("/api/v1/jobs/{id}/result?partial=true"));
        assert_eq!(whole.status, 200, "{}", whole.text());
        (done() == before).then_some((part, whole, before))
    });
    let share = part["coverage"]["share"].as_f64().unwrap();
    let mut covered = plays.as_bytes()[..plays.find('\n').unwrap() + 1].to_vec();
    for task in &tasks {
        let [from, bytes] =
            ["byte_offset", "bytes"].map(|key| task[key].as_u64().unwrap() as usize);
        covered.extend_from_slice(&plays.as_bytes()[from..from + bytes]);
    }
    assert_eq!(part["coverage"]["bytes"], covered.len());
    assert_eq!(part["coverage"]["tasks"], tasks.len());
    assert_eq!(part["coverage"]["of_bytes"], plays.len());
    assert!(share > 0.0 && share < 1.0, "{share}");
    assert!(whole.header("tally-coverage").ends_with(&format!("/{}", plays.len())));
    // What the covered bytes come to, counted by somebody else.
    let expected = rows(&input::totals(&covered));
    assert_eq!(shown(&part)[..], expected[..expected.len().min(10_000)]);
    assert_eq!(rows(&whole.body), expected);
    let song = &expected[expected.len() / 2][0];
    let one = look(&http, &id, &[("partial", "true"), ("song", song), ("limit", "1000")]);
    let of_song: Vec<_> = expected.iter().filter(|row| row[0] == *song).cloned().collect();
    assert_eq!(shown(&one), of_song);

    cluster.slaves()[0].signal(Signal::CONT);
    http.ended(&id);
    let done = look(&http, &id, &[("partial", "true"), ("limit", "3")]);
    assert_eq!(done["coverage"], Value::Null);
    assert_eq!(shown(&done), rows(&input::totals(plays.as_bytes()))[..3]);
}

#[test]
fn rejects_come_in_pages() {
    let cluster = Cluster::start(1);
    let http = cluster.http();
    let mut plays = "Song,Date,Number of Plays\n".to_owned();
    for i in 0..25 {
        plays.push_str(&format!("a,2021-01-01,{i}\n\"b, {i}\",2021-01-01,many\n"));
    }
    let answer = http.post("/api/v1/jobs?max_rejects=100%25", plays.as_bytes());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    http.ended(&id);
    let path = format!("/api/v1/jobs/{id}/rejects");
    let all = rows(&http.get(&path).body);
    assert_eq!(all.len(), 25);
    let page = http.get(&format!("{path}?limit=10&offset=20&format=json")).json();
    assert_eq!(page["columns"][3], "reason");
    assert_eq!(shown(&page), all[20..]);
    assert_eq!((&page["total_rows"], &page["next_offset"]), (&25.into(), &Value::Null));
    let page = http.get(&format!("{path}?limit=10&format=json")).json();
    assert_eq!((shown(&page), &page["next_offset"]), (all[..10].to_vec(), &10.into()));
}
