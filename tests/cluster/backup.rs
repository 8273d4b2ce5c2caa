//! Backups of a master that is at work, and masters that start from them.

use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;
use tally_tests::{Cluster, Http, Options, eventually, input, tally};

fn run(args: &[&str]) -> Output {
    tally().args(args).output().unwrap()
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn submit(http: &Http, plays: &str) -> String {
    let job = http.post("/api/v1/jobs", plays.as_bytes()).json();
    job["id"].as_str().unwrap().to_owned()
}

fn result(http: &Http, id: &str) -> Vec<u8> {
    http.get(&format!("/api/v1/jobs/{id}/result")).body
}

/// A copy of a cluster's data, brought back in a new folder.
pub(crate) fn copied(cluster: &Cluster, name: &str) -> std::path::PathBuf {
    let (to, new) = (cluster.path(name), cluster.path(&format!("{name}-restored")));
    let data = cluster.path("data");
    let [data, to, new] = [&data, &to, &new].map(|path| path.to_str().unwrap());
    done(&run(&["backup", to, "--data-dir", data]));
    done(&run(&["restore", to, "--data-dir", new]));
    let again = run(&["restore", to, "--data-dir", new]);
    assert!(!again.status.success() && Path::new(new).join("tally.db").exists());
    new.into()
}

pub(crate) fn master_on(data: &Path) -> Cluster {
    Cluster::start_with(1, Options { data_dir: Some(data.to_owned()), ..small_tasks() })
}

fn small_tasks() -> Options {
    let flags = ["--task-bytes", "10000"].map(str::to_owned).to_vec();
    Options { flags, ..Options::default() }
}

#[test]
fn a_backup_has_ended_jobs_as_they_are_and_open_ones_to_be_finished() {
    let mut cluster = Cluster::start_with(1, small_tasks());
    if cluster.store().is_some() {
        // The store is not in the folder.
        return;
    }
    let http = cluster.http();
    let ended: Vec<(String, Vec<u8>)> = (0..3)
        .map(|seed| {
            let id = submit(&http, &input::plays(130 + seed, 30, 50_000));
            assert_eq!(http.ended(&id)["state"], "succeeded");
            let result = result(&http, &id);
            (id, result)
        })
        .collect();
    let plays = input::plays(140, 50, 3 << 20);
    let expected = input::totals(plays.as_bytes());
    let running = submit(&http, &plays);
    eventually("some of it to be counted", || {
        (http.job(&running)["tasks"]["done"].as_u64()? > 3).then_some(())
    });
    cluster.slaves()[0].signal(Signal::STOP);
    let queued = submit(&http, &plays);
    let open = http.job(&running)["state"] == "running";

    let restored = copied(&cluster, "backup");
    let other = master_on(&restored);
    for (id, result_before) in &ended {
        assert_eq!(other.http().job(id), http.job(id));
        assert!(result(&other.http(), id) == *result_before);
    }
    for id in [&running, &queued] {
        let job = other.http().ended(id);
        assert_eq!(job["state"], "succeeded", "{job}");
        assert!(result(&other.http(), id) == expected);
    }
    assert!(open, "the job was to be running when it was copied");
    cluster.slaves()[0].signal(Signal::CONT);
    assert_eq!(http.ended(&running)["state"], "succeeded");
}

#[test]
fn a_backup_fits_while_jobs_come_and_go() {
    let cluster = Cluster::start_with(2, small_tasks());
    if cluster.store().is_some() {
        return;
    }
    let plays = input::plays(150, 30, 60_000);
    let expected = input::totals(plays.as_bytes());
    let over = AtomicBool::new(false);
    let restored: Vec<_> = std::thread::scope(|scope| {
        let churn = || {
            let http = cluster.http();
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                let id = submit(&http, &plays);
                number += 1;
                // Some are left open, some ended, some removed.
                if number % 3 != 0 {
                    http.ended(&id);
                }
                if number % 3 == 1 {
                    http.delete(&format!("/api/v1/jobs/{id}"));
                }
            }
        };
        scope.spawn(churn);
        scope.spawn(churn);
        /// Also where the copy fails: else the threads would go on for ever.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _stop = Stop(&over);
        eventually("jobs to come and go", || (cluster.http().jobs().len() > 4).then_some(()));
        (0..4).map(|n| copied(&cluster, &format!("backup-{n}"))).collect()
    });
    let mut seen = 0;
    for data in restored {
        let other = master_on(&data);
        for job in other.http().jobs() {
            let id = job["id"].as_str().unwrap();
            let job = other.http().ended(id);
            if job["input_lost"] == true {
                // It was being uploaded when it was copied: such a job fails with any restart.
                continue;
            }
            assert_eq!(job["state"], "succeeded", "{job}");
            assert!(result(&other.http(), id) == expected, "{job}");
            seen += 1;
        }
    }
    assert!(seen > 8, "{seen} jobs in four copies");
}
