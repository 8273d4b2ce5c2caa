//! `tally query`, and pages of results, rejects and jobs on the command line.

use std::process::Output;

use rustix::process::Signal;
use serde_json::Value;
use tally_tests::{Cluster, Options, eventually, input};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command has printed, which must have succeeded.
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Submits bytes under a name; gives the job's id.
fn submit(cluster: &Cluster, name: &str, content: &str, more: &[&str]) -> String {
    let file = cluster.path(name);
    std::fs::write(&file, content).unwrap();
    let args = ["submit", file.to_str().unwrap()];
    printed(&cluster.run(args.iter().chain(more))).trim().to_owned()
}

/// The header of a CSV file, and those of its rows that `keep` holds of.
fn only(csv: &str, keep: impl Fn(&str) -> bool) -> Vec<String> {
    let mut lines = csv.lines();
    let header = lines.next().unwrap();
    std::iter::once(header).chain(lines.filter(|row| keep(row))).map(str::to_owned).collect()
}

fn lines(csv: &str) -> Vec<String> {
    csv.lines().map(str::to_owned).collect()
}

#[test]
fn rows_of_a_result() {
    let cluster = Cluster::start(1);
    let plays = input::plays(51, 300, 1_000_000);
    let all = text(&input::totals(plays.as_bytes()));
    let id = submit(&cluster, "plays.csv", &plays, &[]);
    assert!(cluster.run(["watch", &id]).status.success());
    let query = |more: &[&str]| printed(&cluster.run(["query", &id].iter().chain(more)));
    // A plain row: nothing in it needs quotes.
    let row = all.lines().skip(1).find(|row| !row.contains('"')).unwrap();
    let [song, date, _] = row.split(',').collect::<Vec<_>>()[..] else { panic!("{row}") };
    let found = query(&["--song", song, "--limit", "100000"]);
    assert_eq!(lines(&found), only(&all, |row| row.starts_with(&format!("{song},"))));
    let header = all.lines().next().unwrap();
    assert_eq!(lines(&query(&["--song", song, "--date", date])), [header, row]);
    let song_is = format!("song={song}");
    assert_eq!(
        lines(&query(&["--where", &song_is, "--where", &format!("DATE={date}")])),
        [header, row]
    );
    let found = query(&["--prefix", song, "--limit", "100000"]);
    assert_eq!(lines(&found), only(&all, |row| row.starts_with(song)));
    assert_eq!(lines(&query(&["--song", "nobody's"])), [header]);
    // As JSON, with where to go on.
    let json: Value = serde_json::from_str(&query(&["--limit", "2", "--output", "json"])).unwrap();
    assert_eq!(json["rows"].as_array().unwrap().len(), 2);
    assert_eq!((&json["next_offset"], &json["coverage"]), (&2.into(), &Value::Null));
    // Pages of the result are its lines.
    let page = |more: &[&str]| printed(&cluster.run(["result", &id].iter().chain(more)));
    assert_eq!(lines(&page(&["--limit", "5"])), lines(&all)[..6]);
    assert_eq!(lines(&page(&["--limit", "5", "--offset", "7"]))[1..], lines(&all)[8..13]);
    // More than a master gives at once, into a file.
    let rows = all.lines().count() - 1;
    assert!(rows > 10_000, "{rows} rows are too few for this test");
    let out = cluster.path("page.csv");
    page(&["--limit", "1000000", "-o", out.to_str().unwrap()]);
    assert!(std::fs::read_to_string(&out).unwrap() == all);
    let refused = cluster.run(["query", &id, "--where", "artist=x"]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(text(&refused.stderr).contains("Song, Date"), "{refused:?}");
}

#[test]
fn rows_of_what_has_been_counted_so_far() {
    let flags = ["--task-bytes", "50kB"].map(str::to_owned).to_vec();
    let mut cluster = Cluster::start_with(1, Options { flags, ..Options::default() });
    cluster.slaves()[0].signal(Signal::STOP);
    let plays = input::plays(52, 100, 4_000_000);
    let id = submit(&cluster, "plays.csv", &plays, &[]);
    let early = cluster.run(["query", &id, "--partial"]);
    assert_eq!(early.status.code(), Some(3), "{early:?}");
    cluster.slaves()[0].signal(Signal::CONT);
    eventually("some tasks to be counted", || {
        (cluster.http().job(&id)["tasks"]["done"].as_u64()? > 5).then_some(())
    });
    cluster.slaves()[0].signal(Signal::STOP);
    for command in ["query", "result"] {
        let part = cluster.run([command, &id, "--partial", "--limit", "3"]);
        assert_eq!(printed(&part).lines().count(), 4);
        let label = text(&part.stderr);
        assert!(label.contains("partial: ") && label.contains("% of the input"), "{label}");
    }
    let json = cluster.run(["query", &id, "--partial", "--output", "json"]);
    let json: Value = serde_json::from_str(&printed(&json)).unwrap();
    assert_eq!(json["coverage"]["of_bytes"], plays.len());
    // Without --partial there is nothing yet, and what to do is said.
    let refused = cluster.run(["result", &id]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused.stderr).contains("--partial"), "{refused:?}");
    cluster.slaves()[0].signal(Signal::CONT);
    assert!(cluster.run(["watch", &id]).status.success());
    let whole = cluster.run(["query", &id, "--partial", "--limit", "3"]);
    assert_eq!(lines(&printed(&whole)), lines(&text(&input::totals(plays.as_bytes())))[..4]);
    assert!(!text(&whole.stderr).contains("partial"), "{whole:?}");
}

#[test]
fn pages_of_rejects() {
    let cluster = Cluster::start(1);
    let mut plays = "Song,Date,Number of Plays\n".to_owned();
    for i in 0..25 {
        plays.push_str(&format!("a,2021-01-01,{i}\n\"b, {i}\",2021-01-01,many\n"));
    }
    let id = submit(&cluster, "bad.csv", &plays, &["--max-rejects", "100%"]);
    assert!(cluster.run(["watch", &id]).status.success());
    let all = lines(&printed(&cluster.run(["rejects", &id])));
    assert_eq!(all.len(), 26);
    let page = printed(&cluster.run(["rejects", &id, "--limit", "3", "--offset", "20"]));
    assert_eq!(lines(&page)[0], all[0]);
    assert_eq!(lines(&page)[1..], all[21..24]);
}

#[test]
fn lists_of_jobs() {
    let cluster = Cluster::start(1);
    let ids: Vec<_> = ["c-small.csv", "a-large.csv", "b.csv"]
        .iter()
        .zip([1_000, 50_000, 2_000])
        .map(|(name, size)| submit(&cluster, name, &input::plays(53, 20, size), &["--wait"]))
        .collect();
    assert_eq!(ids.len(), 3);
    let failed = cluster.path("failed.csv");
    std::fs::write(&failed, "Song,Date,Number of Plays\na,b,c\n").unwrap();
    assert!(!cluster.run(["submit", failed.to_str().unwrap(), "--wait"]).status.success());
    let names = |more: &[&str]| -> Vec<String> {
        let list = cluster.run(["status", "--output", "json"].iter().chain(more));
        let list: Vec<Value> = serde_json::from_str(&printed(&list)).unwrap();
        list.iter().map(|job| job["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&[]), ["failed.csv", "b.csv", "a-large.csv", "c-small.csv"]);
    assert_eq!(names(&["--reverse", "--limit", "2"]), ["c-small.csv", "a-large.csv"]);
    assert_eq!(names(&["--state", "succeeded", "--sort", "size", "--limit", "1"]), ["a-large.csv"]);
    let by_name = ["a-large.csv", "b.csv", "c-small.csv", "failed.csv"];
    assert_eq!(names(&["--sort", "name"]), by_name);
    assert_eq!(names(&["--name", "SMALL"]), ["c-small.csv"]);
    assert_eq!(names(&["--state", "failed,cancelled"]), ["failed.csv"]);
    assert!(names(&["--state", "running"]).is_empty() && names(&["--priority", "high"]).is_empty());
    let wrong = cluster.run(["status", "--state", "done"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}
