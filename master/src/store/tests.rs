//! The same of both databases: what is written is read as it was.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use tally_common::api::{IngestMode, JobQuery, JobSort, JobState, JobView, Priority};
use tally_common::dialect::{Delimiter, Layout};
use tally_common::id::JobId;
use tally_common::run::TaskTotals;
use tally_common::spec::{Spec, SpecDraft};

use super::*;
use crate::access::Owner;
use crate::coordinator::InputInfo;
use crate::intake::{Cut, Taken};
use crate::jobs::Place;
use crate::ledger::Check;
use server::Postgres;

#[path = "../../../tests/src/postgres.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is the harness's")]
mod server;

/// A store of one kind, and what it stands on.
pub(crate) struct Ground {
    pub(crate) folder: TempDir,
    url: Option<String>,
    server: Option<Arc<Postgres>>,
}

impl Ground {
    /// Whether the store is in a file of the folder.
    pub(crate) fn is_a_file(&self) -> bool {
        self.url.is_none()
    }

    pub(crate) async fn open(&self) -> Store {
        match &self.url {
            Some(url) => Store::connect(url, self.folder.path()).await.unwrap(),
            None => Store::open(self.folder.path()).await.unwrap(),
        }
    }
}

/// An empty store of each kind.
pub(crate) fn both() -> [Ground; 2] {
    let folder = || tempfile::tempdir().unwrap();
    let server = Postgres::shared();
    let url = Some(server.database());
    let sqlite = Ground { folder: folder(), url: None, server: None };
    [sqlite, Ground { folder: folder(), url, server: Some(server) }]
}

fn job(n: u128) -> JobId {
    // Of version 7, as all are.
    JobId::from_uuid(Uuid::from_u128((n << 80) | (7 << 76) | (2 << 62)))
}

fn opened(n: u128, name: &str) -> Row {
    Row::Opened {
        job: job(n),
        name: name.to_owned(),
        priority: if n.is_multiple_of(2) { Priority::High } else { Priority::Low },
        spec: SpecDraft::plays(),
        opened_ms: 1000 + n as u64,
        expected: Some(u64::MAX),
        keep_input: true,
        resumable: false,
        in_place: Some(PathBuf::from("/in")),
        result_path: None,
        ingest: Some(("t".to_owned(), IngestMode::Replace)),
        repairs: None,
        first_task: u32::MAX,
        owner: n.is_multiple_of(2).then(|| Owner::stored("cert:a ß")),
    }
}

fn ended(n: u128, name: &str, repairs: Option<u128>) -> Row {
    let view = json!({
        "id": job(n), "name": name, "state": "succeeded", "priority": "low",
        "spec": SpecDraft::plays(), "opened_at": "2026-11-21T00:00:00.000Z", "ended_at": null,
        "expires_at": null, "repairs": repairs.map(job), "error": "a \u{0} and a 🎵",
        "waiting_for": null, "progress": tally_common::api::Progress::default(),
        "tasks": tally_common::api::TaskCounts::default(),
        "receipt": tally_common::api::Receipt::default(),
        "result": null, "rejects": [], "slaves": [],
    });
    let view: JobView = serde_json::from_value(view).unwrap();
    Row::Ended { view: Box::new(view), ended_ms: 5000 - n as u64 }
}

fn kept() -> KeptRow {
    let totals = TaskTotals { records: 9, rejects: 1, blank_lines: 2, lines: 12, bytes: 77 };
    let (slave, check) = ("näh\"e'".into(), Check::Alone);
    KeptRow { totals, groups: 4, run: (99, u32::MAX), slave, attempt: 3, check }
}

#[tokio::test]
async fn whose_a_job_is_and_what_was_sent_outlives_the_process() {
    for place in both() {
        let store = place.open().await;
        let (a, b) = (Owner::stored("0123456789ab"), Owner::stored("cert:b"));
        let spent = |owner: &Owner, day, bytes| Row::Spent { owner: owner.clone(), day, bytes };
        let rows = [opened(2, "x"), spent(&a, 7, 100), spent(&b, 7, 1 << 60), spent(&a, 8, 3)];
        store.commit(&rows).await.unwrap();
        store.close().await;
        let store = place.open().await;
        let mut found = store.spent().await.unwrap();
        found.sort();
        assert_eq!(found, [(a, 8, 3), (b, 7, 1 << 60)]);
        let jobs = store.open_jobs().await.unwrap();
        assert_eq!(jobs[0].new.owner, Some(Owner::stored("cert:a ß")));
    }
}

#[tokio::test]
async fn a_job_is_taken_up_as_it_was() {
    for place in both() {
        let store = place.open().await;
        let taken = Taken { bytes: 1 << 50, crc32c: u32::MAX };
        let info = InputInfo {
            name: "plays \u{0}.csv".to_owned(),
            path: Arc::new(PathBuf::from("/spool/0.csv")),
            layout: Layout {
                delimiter: Delimiter::Comma,
                fields: 3,
                keys: vec![0, 1],
                values: vec![Some(2), None],
                rows: Vec::new(),
            },
            columns: vec!["Song".to_owned(), "Größe".to_owned()],
            header_lines: 1,
            header: taken,
        };
        let cut = Cut { offset: 26, len: 77, crc32c: u32::MAX - 1 };
        let key = Row::Key {
            key: "once".to_owned(),
            job: job(1),
            fingerprint: "print".to_owned(),
            created_ms: 7,
        };
        let rows = [
            opened(1, "Ärger \u{0}"),
            key,
            Row::Input { job: job(1), number: 0, info },
            Row::Task { job: job(1), number: 0, input: 0, cut },
            Row::Task { job: job(1), number: 1, input: 0, cut },
            Row::Received { job: job(1), received: Taken { bytes: 5, crc32c: 6 } },
            Row::Complete { job: job(1), taken, received: taken },
            Row::Kept { job: job(1), number: 0, kept: kept() },
            Row::Kept { job: job(1), number: 1, kept: kept() },
            Row::Lost { job: job(1), number: 1 },
        ];
        store.commit(&rows).await.unwrap();
        // What is written once more changes nothing.
        store.commit(&rows[..6]).await.unwrap();
        store.close().await;
        let store = place.open().await;
        let jobs = store.open_jobs().await.unwrap();
        let [stored] = &jobs[..] else { panic!("{jobs:?}") };
        assert_eq!((stored.id, stored.opened_ms), (job(1), 1001));
        assert_eq!(stored.key.as_deref(), Some("once"));
        assert!(stored.new.name.starts_with("Ärger "), "{:?}", stored.new.name);
        assert_eq!(stored.new.expected, Some(i64::MAX as u64));
        assert_eq!((stored.new.keep_input, stored.new.resumable), (true, false));
        assert_eq!((stored.new.priority, stored.new.first_task), (Priority::Low, u32::MAX));
        assert_eq!(stored.new.in_place, Some(PathBuf::from("/in")));
        assert_eq!(stored.new.owner, None);
        assert_eq!(stored.new.spec, Spec::try_from(SpecDraft::plays()).unwrap());
        assert_eq!(stored.taken, Some(taken));
        assert_eq!(stored.inputs[0].columns, ["Song", "Größe"]);
        assert_eq!(stored.inputs[0].header, taken);
        let task = |kept| StoredTask { input: 0, cut, kept };
        assert_eq!(stored.tasks, [task(Some(kept())), task(None)]);
    }
}

#[tokio::test]
async fn slaves_that_have_lied_are_remembered_until_they_are_trusted() {
    for place in both() {
        let store = place.open().await;
        let aside = |name: &str, credential: &str, since_ms| AsideRow {
            name: name.to_owned(),
            credential: credential.to_owned(),
            reason: format!("{name}'s \"answer\" was false"),
            since_ms,
        };
        let all = [aside("b", "", 1), aside("a", "a certificate", 2), aside("a", "", 3)];
        let rows: Vec<Row> = all.iter().rev().cloned().map(Row::SetAside).collect();
        store.commit(&rows).await.unwrap();
        // What is written once more changes nothing.
        store.commit(&rows[..1]).await.unwrap();
        store.close().await;
        let store = place.open().await;
        assert_eq!(store.set_aside().await.unwrap(), all);
        store.commit(&[Row::Trusted { name: "a".to_owned() }]).await.unwrap();
        assert_eq!(store.set_aside().await.unwrap(), all[..1]);
    }
}

/// All ended jobs in pages of two, by name.
async fn walk(store: &Store, query: &JobQuery) -> Vec<String> {
    let (mut names, mut after) = (Vec::new(), None::<Place>);
    loop {
        let page = store.page(query, after.as_ref(), 2).await.unwrap();
        assert!(page.len() <= 2);
        names.extend(page.iter().map(|(_, job)| job.name.clone()));
        match page.into_iter().next_back() {
            Some((place, _)) => after = Some(place),
            None => return names,
        }
    }
}

#[tokio::test]
async fn pages_are_in_the_order_of_bytes() {
    let names = ["delta", "alpha", "Beta", "alpha", "émile", "Zoë", "_", "a b", "a-b", "ÉMILE"];
    let mut by_bytes = names.to_vec();
    by_bytes.sort_unstable();
    for place in both() {
        let store = place.open().await;
        for (n, name) in (1..).zip(names) {
            store.commit(&[opened(n, name), ended(n, name, None)]).await.unwrap();
        }
        let query = |sort, ascending| JobQuery { sort, ascending, ..JobQuery::default() };
        assert_eq!(walk(&store, &query(JobSort::Name, true)).await, by_bytes);
        let down: Vec<_> = by_bytes.iter().rev().copied().collect();
        assert_eq!(walk(&store, &query(JobSort::Name, false)).await, down);
        assert_eq!(walk(&store, &query(JobSort::Opened, true)).await, names);
        let last_first: Vec<_> = names.iter().rev().copied().collect();
        assert_eq!(walk(&store, &query(JobSort::Ended, true)).await, last_first);
        assert_eq!(walk(&store, &query(JobSort::Size, true)).await, names);
        // As SQLite has it: only ASCII letters are the same in both cases.
        let named =
            |part: &str| JobQuery { name: Some(part.to_owned()), ..query(JobSort::Opened, true) };
        assert_eq!(walk(&store, &named("L")).await, ["delta", "alpha", "alpha", "émile", "ÉMILE"]);
        assert_eq!(walk(&store, &named("É")).await, ["ÉMILE"]);
        assert_eq!(walk(&store, &named("_")).await, ["_"]);
        let some = JobQuery {
            states: vec![JobState::Succeeded, JobState::Failed],
            priorities: vec![Priority::Low],
            opened_from: Some(1003),
            opened_before: Some(1006),
            ..query(JobSort::Opened, true)
        };
        // The priority is that of the opening.
        assert_eq!(walk(&store, &some).await, ["Beta", "émile"]);
        let none = JobQuery { states: vec![JobState::Cancelled], ..some };
        assert!(walk(&store, &none).await.is_empty());
        let views = store.views(3).await.unwrap();
        assert_eq!(views.iter().map(|job| &*job.name).collect::<Vec<_>>(), ["ÉMILE", "a-b", "a b"]);
    }
}

#[tokio::test]
async fn what_is_removed_is_remembered_for_its_time() {
    for place in both() {
        let store = place.open().await;
        let key = |key: &str, n| Row::Key {
            key: key.to_owned(),
            job: job(n),
            fingerprint: "print".to_owned(),
            created_ms: n as u64,
        };
        let mut repairing = opened(2, "two");
        if let Row::Opened { repairs, .. } = &mut repairing {
            *repairs = Some(job(1));
        }
        let repair = ended(2, "two", Some(1));
        store.commit(&[opened(1, "one"), key("a", 1), ended(1, "one", None)]).await.unwrap();
        store.commit(&[repairing, key("b", 2), repair]).await.unwrap();
        let repairs = store.repairs(job(1)).await.unwrap();
        assert_eq!(repairs.iter().map(|job| job.id).collect::<Vec<_>>(), [job(2)]);
        assert_eq!(store.view(job(1)).await.unwrap().unwrap().error.unwrap(), "a \u{0} and a 🎵");
        assert_eq!(store.ended_before(4999).await.unwrap(), [job(2)]);
        assert_eq!(store.received(job(1)).await.unwrap(), None);
        store.commit(&[Row::Deleted { job: job(1), gone_ms: 50 }]).await.unwrap();
        assert_eq!(store.all_jobs().await.unwrap(), [job(2)]);
        assert!(store.is_gone(job(1)).await.unwrap() && !store.is_gone(job(2)).await.unwrap());
        assert_eq!(store.key("a").await.unwrap().unwrap().created_ms, 1);
        // Of a job that is there, the key stays.
        assert!(store.has_keys_of(2).await.unwrap());
        store.commit(&[Row::KeysExpired { before_ms: 10 }]).await.unwrap();
        assert_eq!(store.key("a").await.unwrap(), None);
        assert!(store.key("b").await.unwrap().is_some() && store.is_gone(job(1)).await.unwrap());
        store.commit(&[Row::KeysExpired { before_ms: 51 }]).await.unwrap();
        assert!(!store.is_gone(job(1)).await.unwrap());
    }
}

#[tokio::test]
async fn a_batch_is_written_all_or_not_at_all() {
    for place in both() {
        let store = place.open().await;
        // A task of a job that there is not.
        let cut = Cut { offset: 0, len: 1, crc32c: 2 };
        let orphan = Row::Task { job: job(9), number: 0, input: 0, cut };
        let error = store.commit(&[opened(1, "one"), orphan]).await.unwrap_err();
        assert!(!error.is_full() && !error.is_away(), "{error}");
        assert!(store.all_jobs().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_master_whose_database_was_taken_over_writes_nothing_more() {
    let [_, place] = both();
    let (store, server, url) = (place.open().await, place.server.unwrap(), place.url.unwrap());
    store.commit(&[opened(1, "one")]).await.unwrap();
    server.sql(&url, "update tally_lock set epoch = epoch + 1");
    for _ in 0..2 {
        let error = store.commit(&[opened(2, "two")]).await.unwrap_err();
        assert!(matches!(error, StoreError::TakenOver { .. }), "{error}");
    }
    assert!(store.taken_over().await.to_string().contains("taken over"));
    assert_eq!(server.sql(&url, "select count(*) from jobs"), "1");
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let [_, place] = both();
    place.open().await.close().await;
    let (server, url) = (place.server.unwrap(), place.url.unwrap());
    let later =
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
        values (99, 'later', true, '', 0)";
    server.sql(&url, later);
    let error = Store::connect(&url, place.folder.path()).await.unwrap_err().to_string();
    assert!(error.contains("99") && error.contains("postgres://tally@"), "{error}");
}
