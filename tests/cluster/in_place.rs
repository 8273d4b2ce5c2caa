//! Inputs that the master counts where they lie.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tally_tests::{Cluster, Options, Process, eventually, input};
use tempfile::TempDir;

/// Several tasks of 16 MiB.
const BYTES: usize = 40 << 20;

/// A cluster that counts files of a folder where they lie.
fn cluster(slaves: usize) -> (TempDir, Cluster) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { flags: flags(folder.path()), ..Options::default() };
    (folder, Cluster::start_with(slaves, options))
}

fn flags(folder: &Path) -> Vec<String> {
    vec!["--input-dir".to_owned(), folder.to_str().unwrap().to_owned()]
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn submit(cluster: &Cluster, file: &Path, more: &[&str]) -> Output {
    let args = ["submit", file.to_str().unwrap(), "--in-place"];
    cluster.run(args.iter().chain(more))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn only_job(cluster: &Cluster) -> Value {
    let jobs = cluster.http().get("/api/v1/jobs").json();
    let jobs = jobs["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    cluster.http().ended(jobs[0]["id"].as_str().unwrap())
}

#[test]
fn a_file_is_counted_where_it_lies() {
    let (folder, cluster) = cluster(2);
    let plays = input::plays(71, 2000, BYTES);
    let expected = input::totals(plays.as_bytes());
    let plain = write(&folder, "plays.csv", plays.as_bytes());
    let gzip = folder.path().join("plays.csv.gz");
    let compressed = Command::new("gzip").arg("-1ck").arg(&plain).output().unwrap();
    fs::write(&gzip, compressed.stdout).unwrap();
    for file in [&plain, &gzip] {
        assert!(cluster.count(file, &["--in-place"]) == expected);
    }
    let jobs = cluster.http().get("/api/v1/jobs").json();
    let places = jobs["jobs"].as_array().unwrap().iter().map(|job| job["in_place"].as_str());
    let real = |path: &PathBuf| path.canonicalize().unwrap().to_str().unwrap().to_owned();
    let (plain, gzip) = (real(&plain), real(&gzip));
    assert_eq!(places.collect::<Vec<_>>(), [Some(&*gzip), Some(&*plain)]);
    assert!(fs::read(&plain).unwrap() == plays.as_bytes());
}

#[test]
fn slaves_read_it_there_too_if_both_sides_allow_it() {
    let folder = tempfile::tempdir().unwrap();
    let plays = input::plays(72, 2000, BYTES);
    let file = write(&folder, "plays.csv", plays.as_bytes());
    let shared = ["--log", "tally_slave=debug", "--read-spool", "/nowhere", "--read-spool"];
    let mut slave_flags: Vec<String> = shared.map(str::to_owned).to_vec();
    slave_flags.push(folder.path().to_str().unwrap().to_owned());
    let mut master = flags(folder.path());
    master.push("--share-spool".to_owned());
    let options = Options { flags: master, slave_flags, ..Options::default() };
    let mut cluster = Cluster::start_with(2, options);
    assert!(cluster.count(&file, &["--in-place"]) == input::totals(plays.as_bytes()));
    let read = |slave: &mut Process| slave.said("reading a task where it lies");
    assert!(cluster.slaves().iter_mut().map(read).sum::<usize>() >= 2);
}

#[test]
fn what_may_not_be_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let options =
        Options { flags: flags(folder.path()), data_dir: Some(data.clone()), ..Options::default() };
    let cluster = Cluster::start_with(0, options);
    let elsewhere = tempfile::tempdir().unwrap();
    let outside = write(&elsewhere, "plays.csv", b"Song,Date,Number of Plays\n");
    let link = folder.path().join("link.csv");
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    let up = folder.path().join("..").join(elsewhere.path().file_name().unwrap());
    let not_in = "is not in a folder";
    for (path, why) in [
        (outside, not_in),
        (elsewhere.path().join("missing.csv"), not_in),
        (link, not_in),
        (up.join("plays.csv"), not_in),
        (data.join("tally.db"), not_in),
        (folder.path().join("missing.csv"), "No such file"),
        (folder.path().join("folder"), "no regular file"),
    ] {
        let output = submit(&cluster, &path, &[]);
        let said = said(&output);
        assert!(said.contains(why) && said.contains(path.to_str().unwrap()), "{said}");
        assert_eq!(output.status.code(), Some(3));
    }
    let stdin = submit(&cluster, Path::new("-"), &[]);
    assert_eq!(stdin.status.code(), Some(2), "{}", said(&stdin));
    assert_eq!(cluster.http().get("/api/v1/jobs").json()["jobs"], Value::Array(Vec::new()));
    // A folder that is not there is a mistake of the operator.
    let mut master = tally_tests::tally();
    master.args(["master", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir"]);
    master.arg(elsewhere.path().join("data")).args(["--input-dir", "/no/such/folder"]);
    let output = master.output().unwrap();
    assert!(said(&output).contains("/no/such/folder"), "{}", said(&output));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_master_without_such_folders_refuses_all() {
    let cluster = Cluster::start(0);
    let folder = tempfile::tempdir().unwrap();
    let file = write(&folder, "plays.csv", b"Song,Date,Number of Plays\n");
    let output = submit(&cluster, &file, &[]);
    assert!(said(&output).contains("--input-dir"), "{}", said(&output));
}

/// What becomes of a job whose input is changed behind its back.
fn changed(change: impl FnOnce(&Path)) -> String {
    let (folder, mut cluster) = cluster(0);
    let plays = input::plays(73, 2000, BYTES);
    let file = write(&folder, "plays.csv", plays.as_bytes());
    assert!(submit(&cluster, &file, &[]).status.success());
    change(&file);
    cluster.add_slave(2);
    let job = only_job(&cluster);
    assert_eq!(job["state"], "failed", "{job}");
    assert_eq!(job["result"], Value::Null);
    job["error"].as_str().unwrap().to_owned()
}

#[test]
fn a_file_that_is_changed_meanwhile_is_not_counted() {
    let flipped = changed(|file| {
        let mut bytes = fs::read(file).unwrap();
        let digit = bytes.len() - 2;
        bytes[digit] ^= 1;
        fs::write(file, bytes).unwrap();
    });
    assert!(flipped.contains("must not be changed"), "{flipped}");
    let cut = changed(|file| {
        let file = fs::OpenOptions::new().write(true).open(file).unwrap();
        file.set_len(1000).unwrap();
    });
    assert!(cut.contains("can not be read any more"), "{cut}");
    let gone = changed(|file| fs::remove_file(file).unwrap());
    assert!(gone.contains("No such file"), "{gone}");
}

#[test]
fn an_input_that_is_bad_says_so_at_once() {
    let (folder, cluster) = cluster(1);
    let no_header = write(&folder, "a.csv", b"x,y\n1,2\n");
    let output = submit(&cluster, &no_header, &[]);
    assert!(said(&output).contains("Song"), "{}", said(&output));
    assert_eq!(output.status.code(), Some(3));
    let bad_row = b"Song,Date,Number of Plays\na,2020-01-01,1\nb,2020-01-01,many\n";
    let output = submit(&cluster, &write(&folder, "b.csv", bad_row), &["--wait"]);
    assert!(said(&output).contains("line 3"), "{}", said(&output));
}

#[test]
fn a_repeat_gets_the_same_job_and_another_file_is_refused() {
    let (folder, mut cluster) = cluster(0);
    let (first, second) =
        ("Song,Date,Number of Plays\n", "Song,Date,Number of Plays\na,2020-01-01,1");
    let file = write(&folder, "a.csv", first.as_bytes());
    let other = write(&folder, "b.csv", second.as_bytes());
    let key = ["--message-id", "once"];
    let ids: Vec<_> = (0..2).map(|_| submit(&cluster, &file, &key).stdout).collect();
    assert!(!ids[0].is_empty() && ids[0] == ids[1]);
    let refused = submit(&cluster, &other, &key);
    assert!(said(&refused).contains("key"), "{}", said(&refused));
    let uploaded = cluster.run(["submit", file.to_str().unwrap(), "--message-id", "once"]);
    assert!(!uploaded.status.success(), "another way of giving it is another request");
    cluster.add_slave(1);
    assert_eq!(only_job(&cluster)["state"], "succeeded");
    assert_eq!(submit(&cluster, &file, &key).stdout, ids[0]);
}

#[test]
fn a_job_can_be_verified_as_long_as_its_file_is_there() {
    let (folder, cluster) = cluster(1);
    let plays = input::plays(74, 500, 300_000);
    let file = write(&folder, "plays.csv", plays.as_bytes());
    assert!(cluster.count(&file, &["--in-place"]) == input::totals(plays.as_bytes()));
    let id = only_job(&cluster)["id"].as_str().unwrap().to_owned();
    let verify = || cluster.run(["verify", &id]);
    assert!(verify().status.success(), "{}", said(&verify()));
    write(&folder, "plays.csv", plays.replace(",1\n", ",2\n").as_bytes());
    assert!(!verify().status.success());
    fs::remove_file(&file).unwrap();
    assert!(said(&verify()).contains("not kept"), "{}", said(&verify()));
}

#[test]
fn a_master_that_dies_while_it_reads_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let plays = input::plays(75, 2000, 2 * BYTES);
    let expected = input::totals(plays.as_bytes());
    let plain = write(&folder, "plays.csv", plays.as_bytes());
    let gzip = folder.path().join("plays.csv.gz");
    let compressed = Command::new("gzip").arg("-1ck").arg(&plain).output().unwrap();
    fs::write(&gzip, compressed.stdout).unwrap();
    for file in [plain, gzip] {
        let options = Options { flags: flags(folder.path()), ..Options::default() };
        let mut cluster = Cluster::start_with(1, options);
        let out = cluster.path("totals.csv");
        let mut client = tally_tests::tally();
        client.arg("submit").arg(&file).args(["--in-place", "--wait", "--master", cluster.grpc()]);
        let mut client = client.arg("-o").arg(&out).stderr(Stdio::piped()).spawn().unwrap();
        for tasks in [1, 2] {
            eventually("some of it to be cut", || {
                let jobs = cluster.http().get("/api/v1/jobs").json();
                let cut = jobs["jobs"].get(0)?["tasks"]["cut"].as_u64()?;
                (cut >= tasks).then_some(())
            });
            cluster.restart_master(Process::kill);
        }
        assert!(client.wait().unwrap().success());
        assert!(fs::read(&out).unwrap() == expected);
        assert_eq!(only_job(&cluster)["state"], "succeeded");
    }
}

#[test]
fn a_result_is_written_where_it_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap().to_owned();
    let both = ["--input-dir", &dir, "--output-dir", &dir].map(str::to_owned).to_vec();
    let cluster = Cluster::start_with(1, Options { flags: both, ..Options::default() });
    let plays = input::plays(76, 500, 300_000);
    let expected = input::totals(plays.as_bytes());
    let file = write(&folder, "plays.csv", plays.as_bytes());
    let out = write(&folder, "totals.csv", b"yesterday's");
    let into = |out: &Path, more: &[&str]| {
        let flags = ["--result-in-place", "-o", out.to_str().unwrap()];
        submit(&cluster, &file, &[&flags, more].concat())
    };
    let output = into(&out, &["--wait"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(fs::read(&out).unwrap() == expected);
    let mut names: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["plays.csv", "totals.csv"], "nothing else is left there");
    let job = only_job(&cluster);
    let id = job["id"].as_str().unwrap();
    let kept = cluster.path("data/jobs").join(id).join("result.csv");
    assert!(!kept.exists(), "the master keeps no copy");
    let place = out.canonicalize().unwrap();
    assert_eq!(job["result_path"], place.to_str().unwrap());
    let result = format!("/api/v1/jobs/{id}/result");
    assert!(cluster.http().get(&result).body == expected);
    // From then on it is the user's, who may do with it what they like.
    fs::write(&out, b"changed").unwrap();
    assert_eq!(cluster.http().get(&result).status, 410);
    fs::remove_file(&out).unwrap();
    let gone = cluster.run(["result", id]);
    assert!(said(&gone).contains("not there any more"), "{}", said(&gone));
    assert_eq!(cluster.http().delete(&format!("/api/v1/jobs/{id}")).status, 204);

    let elsewhere = tempfile::tempdir().unwrap();
    let link = folder.path().join("link.csv");
    std::os::unix::fs::symlink(elsewhere.path().join("x"), &link).unwrap();
    let up = folder.path().join("..").join(elsewhere.path().file_name().unwrap());
    for (out, why) in [
        (elsewhere.path().join("totals.csv"), "is not in a folder"),
        (up.join("totals.csv"), "is not in a folder"),
        (folder.path().join("no/totals.csv"), "is not in a folder"),
        (link, "no regular file"),
        (folder.path().to_owned(), "is not in a folder"),
        (PathBuf::from("-"), "needs a name"),
    ] {
        let output = into(&out, &[]);
        assert!(!output.status.success() && said(&output).contains(why), "{}", said(&output));
    }
    assert_eq!(cluster.http().get("/api/v1/jobs").json()["jobs"], Value::Array(Vec::new()));
}

#[test]
fn an_upload_can_have_its_result_written_there_too() {
    let folder = tempfile::tempdir().unwrap();
    let flags = vec!["--output-dir".to_owned(), folder.path().to_str().unwrap().to_owned()];
    let cluster = Cluster::start_with(1, Options { flags, ..Options::default() });
    let plays = input::plays(77, 50, 30_000);
    let file = cluster.path("plays.csv");
    fs::write(&file, &plays).unwrap();
    let out = folder.path().join("totals.csv");
    let args = ["submit", file.to_str().unwrap(), "--wait", "--result-in-place", "-o"];
    let output = cluster.run(args.iter().copied().chain([out.to_str().unwrap()]));
    assert!(output.status.success(), "{}", said(&output));
    assert!(fs::read(&out).unwrap() == input::totals(plays.as_bytes()));
}
