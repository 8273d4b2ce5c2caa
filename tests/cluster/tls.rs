//! TLS: a cluster whose members know each other by certificates, renewed while it works; and those who are not to be
//! let in, or have mistaken the port.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use tally_tests::{Cluster, Http, Options, Trust, eventually, input, run};

use crate::certs::{Certs, address, health, said};

#[test]
fn a_job_of_a_cluster_that_speaks_tls_alone() {
    let certs = Certs::make();
    let mut options = certs.options();
    options.flags.extend(["--http-host".to_owned(), "tally.example".to_owned()]);
    let cluster = Cluster::start_with(2, options);
    assert!(cluster.grpc().starts_with("https://"));
    let file = cluster.path("plays.csv");
    let plays = input::plays(301, 5000, 40 << 20);
    let expected = input::totals(plays.as_bytes());
    std::fs::write(&file, &plays).unwrap();
    assert!(cluster.count(&file, &[]) == expected, "over gRPC");
    let http = cluster.http();
    let id = http.post("/api/v1/jobs", plays.as_bytes()).json()["id"].clone();
    let id = id.as_str().unwrap();
    assert_eq!(http.ended(id)["state"], "succeeded");
    let result = http.get(&format!("/api/v1/jobs/{id}/result"));
    assert!(result.body == expected, "over HTTP");
    // A name of its own is to be asked by TLS alone from now on; an address can not be.
    assert_eq!(result.header("strict-transport-security"), "");
    let named = http.get_with("/health", &[("host", "tally.example")]);
    assert_eq!(named.header("strict-transport-security"), "max-age=86400");
    let metrics = http.get("/metrics").text();
    assert!(metrics.contains("\ntally_tls_certificate_expiry_seconds "), "{metrics}");
}

#[test]
fn who_does_not_trust_the_masters_authority_tells_it_nothing() {
    let (certs, others) = (Certs::make(), Certs::make());
    let cluster = Cluster::start_with(0, certs.options());
    let foreign = health(cluster.grpc(), &others.trusted());
    assert_eq!(foreign.status.code(), Some(5), "{}", said(&foreign));
    assert!(
        said(&foreign).contains("its certificate is not of an authority of"),
        "{}",
        said(&foreign)
    );
    let public = health(cluster.grpc(), &[]);
    assert_eq!(public.status.code(), Some(5));
    assert!(said(&public).contains("--tls-ca"), "{}", said(&public));
    let url = format!("https://{}", cluster.http().address());
    let http = Http::new(&url).trusting(Some(&Trust { ca: others.path("ca.pem"), identity: None }));
    assert!(http.try_request("GET", "/health", &[], &[]).is_err());
    assert!(health(cluster.grpc(), &certs.trusted()).status.success());
}

#[test]
fn a_slave_of_a_foreign_authority_does_not_join() {
    let (certs, others) = (Certs::make(), Certs::make());
    let mut cluster = Cluster::start_with(0, certs.options());
    let mut foreign = others.shown_by("slave");
    // It trusts the master, which does not trust it.
    foreign[1] = certs.text("ca.pem");
    cluster.set_options(Options { slave_flags: foreign.clone(), ..certs.options() });
    let slave = cluster.add_slave(1);
    slave.says("it refuses our certificate");
    let client = health(cluster.grpc(), &foreign);
    assert_eq!(client.status.code(), Some(5));
    assert!(said(&client).contains("it refuses our certificate"), "{}", said(&client));
    cluster.set_options(certs.options());
    cluster.add_slave(1);
    cluster.wait_for_slaves(1);
    assert_eq!(cluster.slaves_now()[0]["name"], "slave-1");
}

#[test]
fn a_certificate_is_renewed_while_a_job_runs_and_nothing_is_lost() {
    let certs = Certs::make();
    let mut cluster = Cluster::start_with(2, certs.options());
    let old = certs.shown_at(address(cluster.grpc()));
    let plays = input::plays(302, 5000, 80 << 20);
    let expected = input::totals(plays.as_bytes());
    let http = cluster.http();
    let submitted = std::thread::spawn(move || {
        http.post("/api/v1/jobs", plays.as_bytes()).json()["id"].as_str().unwrap().to_owned()
    });
    eventually("slaves to be counting", || {
        let running = |slave: &serde_json::Value| slave["running"].as_u64() > Some(0);
        cluster.slaves_now().iter().any(running).then_some(())
    });
    let new = certs.renew();
    assert_ne!(old, new);
    for at in [address(cluster.grpc()).to_owned(), cluster.http().address().to_owned()] {
        eventually("the new certificate to be shown", || {
            (certs.shown_at(&at) == new).then_some(())
        });
    }
    cluster.master().says("TLS goes on with files that have changed");
    let id = submitted.join().unwrap();
    let job = cluster.http().ended(&id);
    assert_eq!(job["state"], "succeeded", "{job}");
    assert_eq!(job["tasks"]["retried"], 0, "connections that are open go on: {job}");
    assert!(cluster.http().get(&format!("/api/v1/jobs/{id}/result")).body == expected);
    for slave in cluster.slaves() {
        assert_eq!(slave.said("joined"), 1, "no session was lost");
    }
}

#[test]
fn files_that_are_broken_leave_the_last_good_ones_in_force() {
    let certs = Certs::make();
    let mut cluster = Cluster::start_with(0, certs.options());
    let at = address(cluster.grpc()).to_owned();
    let old = certs.shown_at(&at);
    let good = std::fs::read(certs.path("127.0.0.1.pem")).unwrap();
    let broken = "what was there before stays in force";
    for (nonsense, why) in [
        (b"nonsense".to_vec(), "there is no certificate in it"),
        (std::fs::read(certs.path("alice.pem")).unwrap(), "does not belong to the certificate"),
    ] {
        std::fs::write(certs.path("127.0.0.1.pem"), nonsense).unwrap();
        let line = cluster.master().says(why);
        assert!(line.contains(broken) && line.contains("127.0.0.1.pem"), "{line}");
        assert_eq!(certs.shown_at(&at), old);
    }
    std::fs::remove_file(certs.path("127.0.0.1.pem")).unwrap();
    cluster.master().says("it can not be read");
    assert_eq!(certs.shown_at(&at), old);
    // As Kubernetes does it: the name leads elsewhere.
    std::fs::write(certs.path("elsewhere.pem"), good).unwrap();
    std::os::unix::fs::symlink(certs.path("elsewhere.pem"), certs.path("127.0.0.1.pem")).unwrap();
    cluster.master().says("TLS goes on with files that have changed");
    let new = certs.renew();
    eventually("the new certificate to be shown", || (certs.shown_at(&at) == new).then_some(()));
    assert!(!cluster.master().log().iter().any(|line| line.contains("PRIVATE KEY")));
}

#[test]
fn a_master_that_can_not_speak_tls_says_why_and_does_not_start() {
    let certs = Certs::make();
    let data = certs.text("data");
    let master = |cert: &str, key: &str| {
        let (cert, key) = (certs.text(cert), certs.text(key));
        let tls = ["--tls-cert", &cert, "--tls-key", &key];
        let at = ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir", &data];
        let output = run(["master"].iter().chain(&tls).chain(&at));
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        said(&output)
    };
    let mixed = master("127.0.0.1.pem", "alice.key");
    assert!(mixed.contains("alice.key does not belong to the certificate"), "{mixed}");
    let none = master("nowhere.pem", "alice.key");
    assert!(none.contains("nowhere.pem: it can not be read"), "{none}");
    let swapped = master("127.0.0.1.key", "127.0.0.1.pem");
    assert!(swapped.contains("127.0.0.1.key: there is no certificate in it"), "{swapped}");
    assert!(!Path::new(&data).exists(), "nothing was touched");
}

#[test]
fn who_has_mistaken_the_port_is_told() {
    let certs = Certs::make();
    let (cluster, plain) = (Cluster::start_with(0, certs.options()), Cluster::start(0));
    // Without TLS to a port that speaks it.
    let lost = health(&cluster.grpc().replace("https", "http"), &[]);
    assert_eq!(lost.status.code(), Some(5), "{}", said(&lost));
    assert!(said(&lost).contains("this port speaks TLS"), "{}", said(&lost));
    let mut stream = TcpStream::connect(cluster.http().address()).unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
    // With TLS to one that does not.
    let lost = health(&plain.grpc().replace("http", "https"), &certs.trusted());
    assert_eq!(lost.status.code(), Some(5), "{}", said(&lost));
    assert!(said(&lost).contains("does not speak TLS there"), "{}", said(&lost));
    // What was meant to be encrypted does not go in clear.
    let mistaken = health(plain.grpc(), &certs.trusted());
    assert_eq!(mistaken.status.code(), Some(2), "{}", said(&mistaken));
}

#[test]
fn handshakes_that_never_end_hold_up_nobody() {
    let certs = Certs::make();
    let cluster = Cluster::start_with(0, certs.options());
    let ports = [address(cluster.grpc()).to_owned(), cluster.http().address().to_owned()];
    let mut silent: Vec<_> = Vec::new();
    for port in &ports {
        for number in 0..32 {
            let mut stream = TcpStream::connect(port).unwrap();
            if number % 2 == 1 {
                // The beginning of a handshake.
                stream.write_all(&[0x16, 3, 1, 2, 0, 1]).unwrap();
            }
            silent.push(stream);
        }
    }
    // A client waits for five seconds at most until it is let in.
    let served = health(cluster.grpc(), &certs.shown_by("alice"));
    assert!(served.status.success(), "{}", said(&served));
    assert_eq!(cluster.http().get("/healthz").status, 200);
    // And they are let go of.
    for mut stream in silent {
        let mut rest = Vec::new();
        // Closed, in whatever way.
        let _ = stream.read_to_end(&mut rest);
    }
}
