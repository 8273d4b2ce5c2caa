//! Masters whose store is a Postgres: the same tests as with a file, and those of what a server alone does:
//! it is shared, it goes away and comes back, and lets in whom it knows.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::thread;

use serde_json::Value;
use tally_tests::postgres::GUARDED;
use tally_tests::{Cluster, Options, Postgres, Process, eventually, input, on_postgres};

use crate::{lists, receipt, restart, retention, submission};

/// Bytes of input: several tasks of 16 MiB.
const BYTES: usize = 60 << 20;

#[test]
fn jobs_outlive_their_master() {
    on_postgres(restart::a_job_outlives_its_master_in_the_middle_of_counting);
    on_postgres(restart::ended_jobs_stay_as_they_were);
    on_postgres(restart::a_run_that_is_gone_is_counted_again_after_a_restart);
}

#[test]
fn a_master_that_dies_at_any_point() {
    on_postgres(restart::a_master_that_dies_at_any_point_of_a_job_and_of_its_recovery);
}

#[test]
fn pages_have_every_job_once_in_every_order() {
    on_postgres(lists::pages_have_every_job_once_in_every_order);
}

#[test]
fn what_is_deleted_or_over_is_gone() {
    on_postgres(lists::a_job_that_was_deleted_is_gone_for_good);
    on_postgres(retention::what_is_deleted_is_gone_at_once);
    on_postgres(retention::input_and_runs_go_with_the_end_of_the_job_and_the_rest_with_its_time);
}

#[test]
fn keys_are_known_and_submissions_go_on() {
    on_postgres(submission::a_repeat_gets_the_first_job_and_other_content_is_refused);
    on_postgres(submission::a_submission_goes_on_after_the_master_dies_under_it);
}

#[test]
fn receipts_and_repairs_add_up() {
    on_postgres(receipt::tasks_add_up_to_the_job);
    on_postgres(receipt::corrected_rejects_are_added_to_the_result);
}

fn on(store: String) -> Options {
    Options { store: Some(store), ..Options::default() }
}

fn submit(cluster: &Cluster, plays: &str) -> String {
    let answer = cluster.http().post("/api/v1/jobs", plays.as_bytes());
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn totals(cluster: &Cluster, id: &str) -> Vec<u8> {
    let job = cluster.http().ended(id);
    assert_eq!(job["state"], "succeeded", "{job}");
    cluster.http().get(&format!("/api/v1/jobs/{id}/result")).body
}

#[test]
fn a_server_that_stops_in_the_middle_of_a_job_and_comes_back() {
    let server = Postgres::start();
    let cluster = Cluster::start_with(1, on(server.database()));
    let http = cluster.http();
    let small = submit(&cluster, &input::plays(201, 50, 50_000));
    http.ended(&small);
    let plays = input::plays(202, 3000, BYTES);
    let id = submit(&cluster, &plays);
    server.stop();
    // Nothing is answered that is not known; nothing is taken in that would not be durable.
    let path = format!("/api/v1/jobs/{small}");
    eventually("the master to see that its store is away", || {
        let answer = http.get(&path);
        let away = answer.status == 503 && answer.text().contains("#store-away");
        away.then(|| assert_eq!(answer.header("retry-after"), "5"))
    });
    assert_eq!(http.delete(&path).status, 503);
    server.start_again();
    assert!(totals(&cluster, &id) == input::totals(plays.as_bytes()));
    assert_eq!(http.job(&small)["state"], "succeeded");
}

#[test]
fn a_server_that_is_away_while_the_master_dies() {
    let server = Postgres::start();
    let mut cluster = Cluster::start_with(1, on(server.database()));
    let plays = input::plays(203, 3000, BYTES);
    let id = submit(&cluster, &plays);
    server.stop();
    cluster.master().kill();
    assert!(!cluster.start_master_again(), "a master without its store does not start");
    server.start_again();
    assert!(cluster.start_master_again());
    assert!(totals(&cluster, &id) == input::totals(plays.as_bytes()));
}

#[test]
fn a_master_ends_although_its_store_does_not_answer() {
    let server = Arc::new(Postgres::start());
    let database = server.database();
    let mut cluster = Cluster::start_with(0, on(database.clone()));
    let http = cluster.http();
    let products = br#"{"preset": "products"}"#;
    assert_eq!(http.post_as("/api/v1/tables", "application/json", products).status, 201);
    // Somebody holds the table, and with it those who write to it, until the server stops.
    let (holder, held) = (Arc::clone(&server), database.clone());
    thread::spawn(move || holder.sql(&held, "begin; lock table products; select pg_sleep(600)"));
    let locks = |which: &str| {
        let count = format!("select count(*) from pg_locks where {which}");
        (server.sql(&database, &count) != "0").then_some(())
    };
    eventually("the table to be held", || {
        locks("granted and mode = 'AccessExclusiveLock' and relation = 'products'::regclass")
    });
    thread::spawn(move || {
        let add = br#"{"message_id": "a", "op": "add", "row": {"name": "n", "sku": "s", "description": "d"}}"#;
        let headers = [("content-type", "application/json")];
        // It hears nothing, as the master ends.
        let _ = http.try_request("POST", "/api/v1/tables/products/operations", &headers, add);
    });
    eventually("the operation to wait", || locks("not granted"));
    assert!(cluster.master().stop().success());
    server.stop();
}

/// Runs a master that is not expected to come up, to its end.
fn master(data: &Path, store: &str) -> Output {
    let mut command = tally_tests::tally();
    command.args(["master", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir"]);
    command.arg(data).env("TALLY_STORE", store).output().unwrap()
}

fn refused(data: &Path, store: &str) -> String {
    let output = master(data, store);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && !error.contains("panicked"), "{error}");
    error
}

#[test]
fn a_second_master_on_the_same_database_is_refused() {
    let server = Postgres::shared();
    let url = server.database();
    let mut cluster = Cluster::start_with(1, on(url.clone()));
    let plays = input::plays(204, 50, 50_000);
    let id = submit(&cluster, &plays);
    let error = refused(&cluster.path("other"), &url);
    assert!(error.contains("in use by another master"), "{error}");
    assert!(totals(&cluster, &id) == input::totals(plays.as_bytes()));
    // Once it has stopped: the files of the jobs are in its data folder, and in no other.
    assert!(cluster.master().stop().success());
    let error = refused(&cluster.path("other"), &url);
    assert!(error.contains("another data folder"), "{error}");
    let error = refused(&cluster.path("data"), &server.database());
    assert!(error.contains("another data folder") || error.contains("does not know"), "{error}");
    let output = tally_tests::tally()
        .args(["master", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir"])
        .arg(cluster.path("data"))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("--store"));
    cluster.restart_master(Process::kill);
    assert!(totals(&cluster, &id) == input::totals(plays.as_bytes()));
}

#[test]
fn a_master_whose_database_is_taken_over_ends() {
    let server = Postgres::shared();
    let url = server.database();
    let mut cluster = Cluster::start_with(0, on(url.clone()));
    // As another master does that starts while this one is cut off.
    server.sql(&url, "update tally_lock set epoch = epoch + 1");
    let all = "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()";
    server.sql(&url, all);
    let status = cluster.master().ended();
    assert!(!status.success());
    cluster.master().says("taken over");
}

#[test]
fn a_lost_connection_is_made_again_and_the_lock_with_it() {
    let server = Postgres::shared();
    let url = server.database();
    let mut cluster = Cluster::start_with(1, on(url.clone()));
    let all = "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()";
    server.sql(&url, all);
    cluster.master().says("the store is there again");
    let locks = "select count(*) from pg_locks where locktype = 'advisory' and granted
        and database = (select oid from pg_database where datname = current_database())";
    assert_eq!(server.sql(&url, locks), "1");
    let plays = input::plays(205, 50, 50_000);
    let id = submit(&cluster, &plays);
    assert!(totals(&cluster, &id) == input::totals(plays.as_bytes()));
}

#[test]
fn who_is_not_let_in_is_told_why_and_no_password_is_shown() {
    let server = Postgres::shared();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let url = server.database();
    let (user, password) = GUARDED;
    let with = |secret: &str| url.replace("tally@", &format!("{user}:{secret}@"));
    for (store, words) in [
        (with("wrong-secret"), "password authentication failed"),
        (url.replace("tally_", "no_such_"), "does not exist"),
        ("postgres://tally:wrong-secret@127.0.0.1:1/x".to_owned(), "can not be reached"),
        ("mysql://tally:wrong-secret@127.0.0.1/x".to_owned(), "postgres://user@host"),
        ("postgres://tally:wrong-secret@127.0.0.1:port/x".to_owned(), "postgres://user@host"),
    ] {
        let error = refused(data, &store);
        assert!(error.contains(words) && !error.contains("wrong-secret"), "{error}");
    }
    // With the right one it starts, and says it nowhere.
    let flags = ["--log", "trace"].map(str::to_owned).to_vec();
    let options = Options { flags, ..on(with(password)) };
    let mut cluster = Cluster::start_with(1, options);
    let id = submit(&cluster, &input::plays(206, 50, 50_000));
    assert_eq!(cluster.http().ended(&id)["state"], "succeeded");
    assert!(cluster.master().stop().success());
    assert!(cluster.master().log().iter().all(|line| !line.contains(password)));
    let mut help = tally_tests::tally();
    let help = help.args(["master", "--help"]).env("TALLY_STORE", with(password)).output().unwrap();
    let help = String::from_utf8_lossy(&help.stdout);
    assert!(help.contains("TALLY_STORE") && !help.contains(password), "{help}");
}

#[test]
fn jobs_can_be_asked_for_in_sql() {
    let server = Postgres::shared();
    let url = server.database();
    let cluster = Cluster::start_with(1, on(url.clone()));
    let plays = input::plays(207, 50, 50_000);
    let id = submit(&cluster, &plays);
    let job: Value = cluster.http().ended(&id);
    let sql = "select id, state, records, rejected, rows, result_sha256 from jobs";
    let (receipt, result) = (&job["receipt"], &job["result"]);
    let expected = format!(
        "{id}|succeeded|{}|{}|{}|{}",
        receipt["records"],
        receipt["rejected"],
        result["rows"],
        result["sha256"].as_str().unwrap()
    );
    assert_eq!(server.sql(&url, sql), expected);
}
