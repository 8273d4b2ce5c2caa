//! Many clients, slow ones and rude ones: none of them keeps an honest one from being served.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use tally_proto::v1::jobs_client::JobsClient;
use tally_proto::v1::{JobState, WatchRequest};
use tally_tests::{Cluster, Http, eventually, input, tally};

/// The memory that a master may have had, whoever asks for what, in bytes.
const MEMORY: u64 = 300 << 20;

/// Rounds in which rude clients do the little that they do, and honest ones are served.
const ROUNDS: usize = 8;

/// Submits an input and gives the job.
fn submit(http: &Http, name: &str, input: &[u8]) -> String {
    let answer = http.post(&format!("/api/v1/jobs?name={name}"), input);
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Waits for a job and gives its result.
fn result(http: &Http, id: &str) -> Vec<u8> {
    let job = http.ended(id);
    assert_eq!(job["state"], "succeeded", "{job}");
    let answer = http.get(&format!("/api/v1/jobs/{id}/result"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.body
}

/// What an honest client does, from beginning to end.
fn is_served(cluster: &Cluster) {
    let plays = input::plays(301, 40, 20_000);
    let http = cluster.http();
    let id = submit(&http, "honest", plays.as_bytes());
    assert!(result(&http, &id) == input::totals(plays.as_bytes()));
}

#[test]
fn slow_readers_hold_up_nobody_and_cost_no_memory() {
    let mut cluster = Cluster::start(1);
    // Every row its own group: a result as large as the input.
    let plays = input::plays(302, u64::from(u32::MAX), 60 << 20);
    let expected = input::totals(plays.as_bytes());
    let http = cluster.http();
    let id = submit(&http, "large", plays.as_bytes());
    assert!(result(&http, &id) == expected);

    let request = format!("GET /api/v1/jobs/{id}/result HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let connect = |_| {
        let mut slow = TcpStream::connect(http.address()).unwrap();
        slow.write_all(request.as_bytes()).unwrap();
        slow
    };
    let mut readers: Vec<TcpStream> = (0..40).map(connect).collect();
    for round in 0..ROUNDS {
        for slow in &mut readers {
            let mut byte = [0];
            slow.read_exact(&mut byte).unwrap();
            assert_eq!(byte[0], b"HTTP/1.1"[round]);
        }
        is_served(&cluster);
    }
    assert!(result(&cluster.http(), &id) == expected);
    drop(readers);
    is_served(&cluster);
    let peak = cluster.master().peak_memory();
    assert!(peak < MEMORY, "{} MiB", peak >> 20);
}

#[test]
fn clients_that_never_finish_their_headers_hold_up_nobody() {
    let mut cluster = Cluster::start(1);
    let address = cluster.http().address().to_owned();
    let begin = |_| {
        let mut rude = TcpStream::connect(&address).unwrap();
        rude.write_all(b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").unwrap();
        rude
    };
    let mut crowd: Vec<TcpStream> = (0..200).map(begin).collect();
    for _ in 0..ROUNDS {
        // A master that has had enough of one may close it.
        crowd.retain_mut(|rude| rude.write_all(b"a").is_ok());
        is_served(&cluster);
    }
    drop(crowd);
    is_served(&cluster);
    let peak = cluster.master().peak_memory();
    assert!(peak < MEMORY, "{} MiB", peak >> 20);
}

#[test]
fn uploads_that_stall_hold_up_nobody() {
    let cluster = Cluster::start(1);
    let address = cluster.http().address().to_owned();
    // As many as half of the uploads that the master takes at a time.
    let begin = |number| {
        let mut rude = TcpStream::connect(&address).unwrap();
        let request = format!(
            "POST /api/v1/jobs?name=stalled-{number} HTTP/1.1\r\nHost: localhost\r\n\
             Content-Length: 1000000\r\n\r\nSong,Date,Number of Plays\n"
        );
        rude.write_all(request.as_bytes()).unwrap();
        rude
    };
    let mut crowd: Vec<TcpStream> = (0..32).map(begin).collect();
    for _ in 0..ROUNDS {
        crowd.retain_mut(|rude| rude.write_all(b"a,2020-01-01,1\n").is_ok());
        is_served(&cluster);
    }
    drop(crowd);
    // Those that broke off are no jobs: each has failed, and says so.
    eventually("the uploads to be given up", || {
        let jobs = cluster.http().jobs();
        let mut stalled = jobs.iter().filter(|job| job["name"] != "honest");
        stalled.all(|job| job["input_lost"] == true).then_some(())
    });
    is_served(&cluster);
}

#[test]
fn a_thousand_jobs_that_wait_for_the_first_slaves() {
    const JOBS: usize = 1000;
    let mut cluster = Cluster::start(0);
    let inputs: Vec<String> = (0..10).map(|n| input::plays(310 + n, 20, 2000)).collect();
    let totals: Vec<Vec<u8>> = inputs.iter().map(|plays| input::totals(plays.as_bytes())).collect();
    let http = cluster.http();
    let submit_some = |first: usize| {
        let http = cluster.http();
        let mine = (first..JOBS).step_by(4);
        mine.map(|n| submit(&http, &format!("job-{n}"), inputs[n % 10].as_bytes())).collect()
    };
    let ids: Vec<Vec<String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|first| scope.spawn(move || submit_some(first))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let waiting = http.jobs();
    assert_eq!(waiting.len(), JOBS);
    assert!(waiting.iter().all(|job| job["waiting_for"] == "a slave to join"));
    cluster.add_slave(1);
    cluster.add_slave(1);
    for n in 0..JOBS {
        let id = &ids[n % 4][n / 4];
        assert!(result(&http, id) == totals[n % 10], "job-{n}");
    }
    let peak = cluster.master().peak_memory();
    assert!(peak < MEMORY, "{} MiB", peak >> 20);
}

/// A process that follows a job until it has ended.
fn watch(cluster: &Cluster, id: &str) -> Child {
    let mut command: Command = tally();
    command.args(["watch", id, "--master", cluster.grpc()]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the tally binary starts")
}

/// Follows a job over gRPC, `count` times on a connection of its own for every hundred, and gives the
/// last state that each has seen.
async fn follow(url: &str, id: &str, count: usize) -> Vec<JobState> {
    let mut following = Vec::new();
    let mut channel = None;
    for n in 0..count {
        if n % 100 == 0 {
            channel = Some(tally_proto::channel::connect(url).await.unwrap());
        }
        let mut client = JobsClient::new(channel.clone().unwrap());
        let request = WatchRequest { job_id: id.to_owned() };
        let mut views = client.watch(request).await.unwrap().into_inner();
        following.push(tokio::spawn(async move {
            let mut last = JobState::Unspecified;
            while let Some(view) = views.message().await.unwrap() {
                last = view.state();
            }
            last
        }));
    }
    let mut states = Vec::new();
    for one in following {
        states.push(one.await.unwrap());
    }
    states
}

#[test]
fn a_thousand_follow_one_job() {
    let mut cluster = Cluster::start(0);
    let plays = input::plays(303, 3000, 10 << 20);
    let http = cluster.http();
    let id = submit(&http, "popular", plays.as_bytes());
    let mut followers: Vec<Child> = (0..20).map(|_| watch(&cluster, &id)).collect();
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(follow(cluster.grpc(), &id, 1000))
        });
        let polling: Vec<_> =
            (0..250).map(|_| scope.spawn(|| cluster.http().ended(&id)["state"].clone())).collect();
        // They follow a job that waits, and others come and go.
        let other = submit(&http, "other", plays.as_bytes());
        let cancelled = http.request("POST", &format!("/api/v1/jobs/{other}/cancel"), &[], b"");
        assert_eq!(cancelled.status, 200, "{}", cancelled.text());
        let mut slave = tally();
        slave.args(["slave", "--workers", "1", "--master", cluster.grpc()]);
        let _slave = tally_tests::Process::start("slave", slave);
        assert!(result(&http, &id) == input::totals(plays.as_bytes()));
        let states = watching.join().unwrap();
        assert_eq!(states, [JobState::Succeeded; 1000]);
        assert!(polling.into_iter().all(|seen| seen.join().unwrap() == "succeeded"));
        is_served(&cluster);
        for follower in &mut followers {
            assert!(follower.wait().unwrap().success());
        }
    });
    let peak = cluster.master().peak_memory();
    assert!(peak < MEMORY, "{} MiB", peak >> 20);
}
