//! Tables that are replaced, a few rows at a time, beside themselves.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use tempfile::TempDir;

use tally_common::api::ChangeKind;
use tally_common::value::parse_date;

use super::*;

/// Means with which little is much.
fn small(rows: usize, may_go_on: MayGoOn) -> Means {
    let shares = Shares { at_once: 3, rows };
    Means { shares, ..Means::new(&std::env::temp_dir(), may_go_on) }
}

fn never_stopped() -> MayGoOn {
    Box::new(|| Ok(()))
}

/// Rows of `numbers`, most keys of a few dozen.
fn contents(draw: &mut Draw) -> Oracle {
    let mut oracle = Oracle::new();
    let keep = 1 + draw.below(9);
    for part in 0..9 {
        for day in 1..=9 {
            if draw.below(10) >= keep {
                continue;
            }
            let colour = ["red", "blue", "schön 'x'"][draw.below(3) as usize].to_owned();
            let n = (draw.below(4) > 0).then(|| draw.below(40) as i64 - 20);
            oracle.insert((format!("p{part}"), format!("2020-01-0{day}")), (colour, n));
        }
    }
    oracle
}

fn rows_of(oracle: &Oracle) -> Vec<Box<[Value]>> {
    let text = |text: &str| Value::Text(text.into());
    let row = |((part, day), (colour, n)): (&(String, String), &(String, Option<i64>))| {
        let day = Value::Date(parse_date(day.as_bytes()).unwrap());
        [text(part), day, text(colour), n.map_or(Value::Null, Value::Integer)].into()
    };
    oracle.iter().map(row).collect()
}

async fn replace(
    tables: &Tables,
    job: JobId,
    means: Means,
    oracle: &Oracle,
) -> Result<IngestCounts, TablesError> {
    let into = ("numbers", IngestMode::Replace);
    ingest_with(tables, into, job, means, rows_of(oracle)).await
}

/// Follows a table's changes from where a copy of it stands: the copy is then what the table should be.
async fn follow_changes(tables: &Tables, copy: &mut Oracle, after: &mut u64) {
    loop {
        let changes = tables.changes("numbers", *after, 10).await.unwrap();
        let Some(last) = changes.last() else { return };
        assert!(changes.windows(2).all(|two| two[0].version < two[1].version));
        *after = last.version;
        for change in changes {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let key = (text(&change.key[0]), text(&change.key[1]));
            match change.row {
                Some(row) => copy.insert(key, (text(&row["colour"]), row["n"].as_i64())),
                None => copy.remove(&key),
            };
        }
    }
}

/// The names of the SQL tables and indexes that are there only while something is replaced.
fn left_behind(folder: &Path) -> BTreeSet<String> {
    let file = Connection::open(folder.join("tally.db")).unwrap();
    let sql = "select name from sqlite_master where type = 'table' and name like '%/%'";
    let mut statement = file.prepare(sql).unwrap();
    let names = statement.query_map([], |row| row.get(0)).unwrap();
    names.collect::<Result<_, _>>().unwrap()
}

/// Waits until what is left behind is removed, as it is beside all else.
async fn until_tidy(folder: &Path) {
    while !left_behind(folder).is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_replaced_is_what_an_oracle_says() {
    for ground in both() {
        for seed in [1, 0x9e37_79b9, 77] {
            a_table_that_is_replaced_is_what_an_oracle_says_on(&ground, seed).await;
        }
    }
}

async fn a_table_that_is_replaced_is_what_an_oracle_says_on(ground: &Ground, seed: u64) {
    println!("seed {seed}");
    let tables = open(ground).await;
    tables.create(numbers()).await.unwrap();
    let (mut draw, mut oracle) = (Draw(seed), Oracle::new());
    let (mut copy, mut after, mut id) = (Oracle::new(), 0, 0);
    for _ in 0..12 {
        let wanted = contents(&mut draw);
        let means = small(1 + draw.below(9) as usize, never_stopped());
        let counts = replace(&tables, job(), means, &wanted).await.unwrap();
        let gone = oracle.keys().filter(|key| !wanted.contains_key(*key)).count();
        let same = oracle.iter().filter(|(key, row)| wanted.get(*key) == Some(row)).count();
        assert_eq!((counts.deleted, counts.unchanged), (gone as u64, same as u64));
        assert_eq!(counts.added + counts.updated + counts.unchanged, wanted.len() as u64);
        oracle = wanted;
        check(&tables, &oracle).await;
        follow_changes(&tables, &mut copy, &mut after).await;
        assert_eq!(copy, oracle);
        let view = tables.get("numbers").await.unwrap();
        assert_eq!((view.version, view.rows), (after, oracle.len() as u64));
        // Life goes on.
        for _ in 0..draw.below(9) {
            id += 1;
            let (draft, key) = drawn(&mut draw, id);
            follow(&mut oracle, &draft, key);
            tables.apply("numbers", vec![draft]).await.unwrap();
        }
        check(&tables, &oracle).await;
        follow_changes(&tables, &mut copy, &mut after).await;
        assert_eq!(copy, oracle);
    }
    for part in 0..9 {
        let key = json!([format!("p{part}"), "2020-01-02"]).to_string();
        let history = tables.history("numbers", &key).await.unwrap();
        assert!(history.windows(2).all(|two| two[0].version > two[1].version), "{history:?}");
        let began = history.last().map(|change| change.change);
        assert!(began.is_none_or(|change| change == ChangeKind::Added), "{history:?}");
    }
    if ground.is_a_file() {
        until_tidy(ground.folder.path()).await;
    }
    tables.drop("numbers").await.unwrap();
}

/// What a process that dies would find: the file and its log, at this moment.
fn image(folder: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for name in ["tally.db", "tally.db-wal"] {
        std::fs::copy(folder.join(name), to.path().join(name)).unwrap();
    }
    to
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_at_any_share_leaves_all_of_the_old_table() {
    let [ground, _] = both();
    let folder = ground.folder.path().to_owned();
    let tables = open(&ground).await;
    tables.create(numbers()).await.unwrap();
    let mut draw = Draw(5);
    let old = contents(&mut draw);
    let mut wanted = contents(&mut draw);
    // Each kind of change, whatever was drawn.
    let first = old.keys().next().unwrap().clone();
    wanted.insert(first, ("green".into(), Some(7)));
    replace(&tables, job(), small(4, never_stopped()), &old).await.unwrap();
    until_tidy(&folder).await;
    let (mut before, mut version) = (Oracle::new(), 0);
    follow_changes(&tables, &mut before, &mut version).await;
    let images = Arc::new(Mutex::new(Vec::new()));
    let (id, taken, at) = (job(), Arc::clone(&images), folder.clone());
    let take = Box::new(move || {
        taken.lock().unwrap().push(image(&at));
        Ok(())
    });
    replace(&tables, id, small(7, take), &wanted).await.unwrap();
    check(&tables, &wanted).await;
    let images = std::mem::take(&mut *images.lock().unwrap());
    assert!(images.len() > 8, "{}", images.len());
    for (at, image) in images.iter().enumerate() {
        println!("image {at}: {:?}", left_behind(image.path()));
        let store = Store::open(image.path()).await.unwrap();
        let tables = open_on(&store).await;
        let (mut copy, mut after) = (Oracle::new(), 0);
        follow_changes(&tables, &mut copy, &mut after).await;
        assert_eq!((&copy, after), (&old, version));
        check(&tables, &old).await;
        // Some of these rows had their history written ahead.
        let update = |(part, day): &(String, String)| OperationDraft {
            message_id: format!("{part} {day}"),
            op: OperationKind::Update,
            key: Some(json!([part, day])),
            row: json!({"colour": "yellow"}).as_object().cloned(),
            expected_version: None,
        };
        tables.apply("numbers", old.keys().map(update).collect()).await.unwrap();
        let yellow = |(key, (_, n)): (&(String, String), &(String, Option<i64>))| {
            (key.clone(), ("yellow".to_owned(), *n))
        };
        let yellow: Oracle = old.iter().map(yellow).collect();
        check(&tables, &yellow).await;
        assert!(!left_behind(image.path()).iter().any(|name| name.ends_with("/new")));
        follow_changes(&tables, &mut copy, &mut after).await;
        assert_eq!(copy, yellow);
        // The job goes on.
        replace(&tables, id, small(7, never_stopped()), &wanted).await.unwrap();
        check(&tables, &wanted).await;
        follow_changes(&tables, &mut copy, &mut after).await;
        assert_eq!(copy, wanted);
        until_tidy(image.path()).await;
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_is_stopped_at_any_share_changes_nothing() {
    let mut asked = Vec::new();
    for full in [true, false] {
        for ground in both() {
            asked.push(a_replacement_that_is_stopped_changes_nothing_on(&ground, full).await);
        }
    }
    // A Postgres is not asked. Who cancels is heard once more, when all has been written.
    assert!(asked[0] > 5 && asked[2] > asked[0], "{asked:?}");
    assert_eq!((asked[1], asked[3]), (0, 0));
}

/// Stopped at the first share, the second, and so on; gives at how many.
async fn a_replacement_that_is_stopped_changes_nothing_on(ground: &Ground, full: bool) -> usize {
    let tables = open(ground).await;
    tables.create(numbers()).await.unwrap();
    let mut draw = Draw(9);
    let (mut oracle, mut stopped) = (contents(&mut draw), 0);
    replace(&tables, job(), small(5, never_stopped()), &oracle).await.unwrap();
    let wanted = contents(&mut draw);
    loop {
        let asked = AtomicUsize::new(0);
        let stop = Box::new(move || {
            if asked.fetch_add(1, Ordering::Relaxed) < stopped {
                return Ok(());
            }
            let no_room = std::io::Error::from(std::io::ErrorKind::StorageFull);
            Err(if full { no_room.into() } else { TablesError::Stopped })
        });
        let id = job();
        let version = tables.get("numbers").await.unwrap().version;
        match replace(&tables, id, small(6, stop), &wanted).await {
            Err(error) => assert_eq!(error.is_full(), full, "{error}"),
            Ok(counts) => {
                assert_eq!(counts.keys, wanted.len() as u64);
                break;
            }
        }
        assert_eq!(tables.get("numbers").await.unwrap().version, version);
        check(&tables, &oracle).await;
        let (draft, key) = drawn(&mut draw, stopped as u64);
        follow(&mut oracle, &draft, key);
        tables.apply("numbers", vec![draft]).await.unwrap();
        check(&tables, &oracle).await;
        stopped += 1;
    }
    check(&tables, &wanted).await;
    let (mut copy, mut after) = (Oracle::new(), 0);
    follow_changes(&tables, &mut copy, &mut after).await;
    assert_eq!(copy, wanted);
    stopped
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_its_own_operations_waits_for_a_replacement() {
    let [ground, _] = both();
    let store = ground.open().await;
    let tables = open_on(&store).await;
    tables.create(numbers()).await.unwrap();
    tables.create(TableDraft::products()).await.unwrap();
    let mut draw = Draw(3);
    let (old, wanted) = (contents(&mut draw), contents(&mut draw));
    replace(&tables, job(), small(5, never_stopped()), &old).await.unwrap();
    until_tidy(ground.folder.path()).await;
    let (mut copy, mut version) = (Oracle::new(), 0);
    follow_changes(&tables, &mut copy, &mut version).await;
    let (here, shares) = sync_channel(0);
    let (go, on) = sync_channel(0);
    let on = Mutex::new(on);
    let wait = Box::new(move || {
        // The test may have failed.
        let _ = here.send(());
        let _ = on.lock().unwrap().recv();
        Ok(())
    });
    let (own, rows) = (tables.clone(), wanted.clone());
    let replacing = tokio::spawn(async move { replace(&own, job(), small(6, wait), &rows).await });
    let mut waiting = None;
    let mut seen = 0;
    while shares.recv().is_ok() {
        seen += 1;
        assert!(!left_behind(ground.folder.path()).is_empty());
        // Writers of another table, jobs, and whoever declares a table.
        let message = format!("m{seen}");
        let results = tables.apply("products", vec![add(&message, &message, "x")]).await.unwrap();
        assert_eq!(results[0].outcome, Outcome::Added);
        store.commit(&[]).await.unwrap();
        tables.create(TableDraft::plays()).await.unwrap();
        tables.drop("plays").await.unwrap();
        // Whoever reads sees what was.
        check(&tables, &old).await;
        let changes = tables.changes("numbers", 0, 10_000).await.unwrap();
        assert_eq!(changes.last().map(|change| change.version), Some(version));
        for (part, day) in old.keys() {
            let key = json!([part, day]).to_string();
            assert_eq!(tables.history("numbers", &key).await.unwrap().len(), 1);
        }
        let operation = waiting.get_or_insert_with(|| {
            let (own, (draft, key)) = (tables.clone(), drawn(&mut Draw(8), 0));
            let apply =
                async move { own.apply("numbers", vec![draft.clone()]).await.map(|_| draft) };
            (tokio::spawn(apply), key)
        });
        assert!(!operation.0.is_finished());
        go.send(()).unwrap();
    }
    assert!(seen > 8, "{seen}");
    replacing.await.unwrap().unwrap();
    let (operation, key) = waiting.unwrap();
    let (draft, mut oracle) = (operation.await.unwrap().unwrap(), wanted);
    follow(&mut oracle, &draft, key);
    check(&tables, &oracle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_the_file_sees_the_old_table_or_the_new_one() {
    let [ground, _] = both();
    let tables = open(&ground).await;
    tables.create(numbers()).await.unwrap();
    let file = Connection::open(ground.folder.path().join("tally.db")).unwrap();
    file.execute_batch("create view mine as select part, day, n from numbers").unwrap();
    let mut draw = Draw(4);
    let (old, wanted) = (contents(&mut draw), contents(&mut draw));
    replace(&tables, job(), small(5, never_stopped()), &old).await.unwrap();
    let sum = |oracle: &Oracle| oracle.values().filter_map(|(_, n)| *n).sum::<i64>();
    let see = |sql: &str| file.query_one(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let both_say = |oracle: &Oracle| {
        assert_eq!(see("select coalesce(sum(n), 0) from mine"), sum(oracle));
        assert_eq!(see("select coalesce(sum(total), 0) from numbers_by_colour"), sum(oracle));
        assert_eq!(see("select count(*) from numbers"), oracle.len() as i64);
    };
    both_say(&old);
    // Who has begun to read goes on with what was.
    file.execute_batch("begin").unwrap();
    both_say(&old);
    let scan = tables.scan("numbers").await.unwrap();
    replace(&tables, job(), small(5, never_stopped()), &wanted).await.unwrap();
    both_say(&old);
    file.execute_batch("commit").unwrap();
    both_say(&wanted);
    let mut scan = scan;
    let mut scanned = 0;
    while let Some(batch) = scan.recv().await {
        scanned += batch.unwrap().len();
    }
    assert_eq!(scanned, old.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_has_left_is_removed_and_dropped_with_its_table() {
    let [ground, _] = both();
    let folder = ground.folder.path().to_owned();
    let store = ground.open().await;
    let tables = open_on(&store).await;
    tables.create(numbers()).await.unwrap();
    let mut draw = Draw(6);
    let old = contents(&mut draw);
    replace(&tables, job(), small(5, never_stopped()), &old).await.unwrap();
    until_tidy(&folder).await;
    drop(tables);
    store.close().await;
    // As if it had died right after the swap, when the rows' own table was left.
    let leave = || {
        let file = Connection::open(folder.join("tally.db")).unwrap();
        let sql = "create table \"numbers/old\" as select * from numbers;
                   create table \"numbers_by_day/old\" as select * from numbers_by_day";
        file.execute_batch(sql).unwrap();
    };
    leave();
    let store = ground.open().await;
    let tables = open_on(&store).await;
    until_tidy(&folder).await;
    leave();
    tables.drop("numbers").await.unwrap();
    assert!(left_behind(&folder).is_empty());
    tables.create(numbers()).await.unwrap();
    let wanted = contents(&mut draw);
    replace(&tables, job(), small(5, never_stopped()), &wanted).await.unwrap();
    check(&tables, &wanted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_changes_than_one_transaction_takes_are_written_beside() {
    let [ground, _] = both();
    let tables = open(&ground).await;
    tables.create(TableDraft::products()).await.unwrap();
    let rows = |text: &str| (0..30_000).map(|i| product(i, i % 700, text)).collect::<Vec<_>>();
    ingest(&tables, job(), IngestMode::Replace, rows("x")).await.unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let ask = |asked: &Arc<AtomicUsize>| {
        let asked = Arc::clone(asked);
        let count = move || {
            asked.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        Means::new(&std::env::temp_dir(), Box::new(count))
    };
    let into = ("products", IngestMode::Replace);
    let mut few = rows("x");
    few.truncate(20_000);
    let counts = ingest_with(&tables, into, job(), ask(&asked), few).await.unwrap();
    assert_eq!((counts.deleted, asked.load(Ordering::Relaxed)), (10_000, 0));
    let counts = ingest_with(&tables, into, job(), ask(&asked), rows("y")).await.unwrap();
    assert_eq!((counts.updated, counts.added), (20_000, 10_000));
    assert!(asked.load(Ordering::Relaxed) > 5);
    assert!(tables.recount("products").await.unwrap().right);
    assert_eq!(tables.get("products").await.unwrap().rows, 30_000);
}
