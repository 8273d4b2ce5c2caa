//! A disk that fills up: what does not fit is refused, what is under way waits, what is there can be
//! read, and all goes on when there is room.

use tally_tests::{Cluster, Options, SmallDisk, eventually, input};

fn start(slaves: usize, disk: &SmallDisk) -> Cluster {
    let flags = ["--disk-reserve", "4MB"].map(str::to_owned).to_vec();
    let options = Options { flags, data_dir: Some(disk.path().join("data")), ..Options::default() };
    Cluster::start_with(slaves, options)
}

#[test]
fn what_does_not_fit_is_refused_before_it_is_sent() {
    let Some(disk) = SmallDisk::mount(48) else { return };
    let cluster = start(1, &disk);
    let plays = input::plays(101, 50, 60 << 20);
    let answer = cluster.http().post("/api/v1/jobs", plays.as_bytes());
    assert_eq!(answer.status, 507, "{}", answer.text());
    assert!(answer.json()["detail"].as_str().unwrap().contains("no room"));
    let small = input::plays(102, 50, 1 << 20);
    let answer = cluster.http().post("/api/v1/jobs", small.as_bytes());
    assert_eq!(answer.status, 202, "{}", answer.text());
}

#[test]
fn a_job_waits_while_the_disk_is_full_and_goes_on_when_it_is_not() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let mut cluster = start(1, &disk);
    let small = input::plays(103, 50, 1 << 20);
    let done = cluster.http().post("/api/v1/jobs", small.as_bytes()).json();
    let done = done["id"].as_str().unwrap().to_owned();
    cluster.http().ended(&done);

    let plays = input::plays(104, 500, 36 << 20);
    let file = cluster.path("plays.csv");
    std::fs::write(&file, &plays).unwrap();
    // Somebody else fills the disk while the input comes.
    let ballast = disk.path().join("ballast");
    let mut submit = tally_tests::tally();
    let out = cluster.path("out.csv");
    submit.arg("submit").arg(&file).args(["--wait", "--master", cluster.grpc(), "-o"]).arg(&out);
    let fill = std::thread::spawn({
        let ballast = ballast.clone();
        move || {
            use std::io::Write;
            let mut file = std::fs::File::create(ballast).unwrap();
            while file.write_all(&[7; 64 << 10]).is_ok() {}
        }
    });
    fill.join().unwrap();
    // The opening may be refused; then it is tried again when there is room.
    let mut client = submit.spawn().unwrap();
    let refused = eventually("the submission to wait or be refused", || {
        if client.try_wait().unwrap().is_some() {
            return Some(true);
        }
        let jobs = cluster.http().get("/api/v1/jobs").json();
        let waits = jobs["jobs"][0]["waiting_for"].as_str().unwrap_or_default().contains("space");
        waits.then_some(false)
    });
    assert!(refused, "a disk without room takes no new job");
    // Reads work.
    assert_eq!(cluster.http().job(&done)["state"], "succeeded");
    let read = cluster.http().get(&format!("/api/v1/jobs/{done}/result"));
    assert!(read.body == input::totals(small.as_bytes()));
    assert_eq!(cluster.http().get("/readyz").status, 200);

    // Now it fills up in the middle of the upload.
    std::fs::remove_file(&ballast).unwrap();
    let http = cluster.http();
    let sent = plays.clone();
    let upload = std::thread::spawn(move || http.post("/api/v1/jobs?name=under", sent.as_bytes()));
    let job = |cluster: &Cluster| {
        let jobs = cluster.http().get("/api/v1/jobs").json();
        jobs["jobs"].as_array().unwrap().iter().find(|job| job["name"] == "under").cloned()
    };
    eventually("some of it to come", || {
        job(&cluster).filter(|job| job["progress"]["bytes_received"].as_u64() > Some(0))
    });
    std::fs::write(&ballast, vec![7; 64 << 20]).unwrap_err();
    let waiting = eventually("the job to wait, or to have been quicker", || {
        job(&cluster).filter(|job| {
            let waits = job["waiting_for"].as_str().unwrap_or_default();
            waits.contains("space") || job["state"] != "receiving"
        })
    });
    println!("{waiting}");
    assert_ne!(waiting["state"], "failed", "{waiting}");
    std::fs::remove_file(&ballast).unwrap();
    let answer = upload.join().unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let ended = cluster.http().ended(&id);
    assert_eq!(ended["state"], "succeeded", "{ended}");
    let result = cluster.http().get(&format!("/api/v1/jobs/{id}/result"));
    assert!(result.body == input::totals(plays.as_bytes()));
    assert!(cluster.master().stop().success());
}
