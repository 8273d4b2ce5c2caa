//! Who may join, and who may ask for what, where the master wants to see certificates or tokens.

use std::path::{Path, PathBuf};

use tally_tests::{Cluster, Http, Options, Trust, eventually, input};

use crate::certs::{Certs, health, said};

/// Flags of a slave that trusts the master, and shows what this file has.
fn by_token(certs: &Certs, file: &Path) -> Vec<String> {
    let mut flags = certs.trusted();
    flags.extend(["--token-file".to_owned(), file.to_str().unwrap().to_owned()]);
    flags
}

/// The master's tokens.
fn tokens(cluster: &Cluster) -> PathBuf {
    cluster.path("data").join("join-token")
}

#[test]
fn who_shows_nothing_or_too_little_is_told_what_is_wanted() {
    let certs = Certs::make();
    let mut cluster = Cluster::start_with(0, certs.options());
    // A slave that has nothing to show ends at once: whoever starts it is there to read why.
    cluster.set_options(Options { slave_flags: certs.trusted(), ..certs.options() });
    let slave = cluster.add_slave(1);
    assert_eq!(slave.ended().code(), Some(7));
    slave.says("does not let this slave join");
    // One whose certificate is a client's, likewise.
    cluster.set_options(Options { slave_flags: certs.shown_by("guest"), ..certs.options() });
    assert_eq!(cluster.add_slave(1).ended().code(), Some(7));
    assert!(cluster.slaves_now().is_empty());
    // Of clients, each may what its certificate says.
    let file = cluster.path("plays.csv");
    std::fs::write(&file, input::plays(311, 10, 1000)).unwrap();
    for (flags, slaves, submit) in [
        (certs.shown_by("alice"), Some(0), Some(0)),
        (certs.shown_by("guest"), Some(0), Some(7)),
        (certs.shown_by("slave"), Some(7), Some(7)),
        (certs.trusted(), Some(7), Some(7)),
    ] {
        cluster.set_options(Options { client_flags: flags, ..certs.options() });
        let asked = cluster.run(["slaves"]);
        assert_eq!(asked.status.code(), slaves, "{}", said(&asked));
        let sent = cluster.run(["submit", file.to_str().unwrap()]);
        assert_eq!(sent.status.code(), submit, "{}", said(&sent));
    }
    // Whether a master serves, it tells to all who trust it.
    assert!(health(cluster.grpc(), &certs.trusted()).status.success());
    let url = format!("https://{}", cluster.http().address());
    let stranger = Http::new(&url).trusting(Some(&Trust { identity: None, ..certs.trust("x") }));
    assert_eq!(stranger.get("/api/v1/jobs").status, 401);
    let guest = Http::new(&url).trusting(Some(&certs.trust("guest")));
    assert_eq!(guest.get("/api/v1/jobs").status, 200);
    assert_eq!(guest.post("/api/v1/jobs", b"Song,Date,Number of Plays\n").status, 403);
}

#[test]
fn a_token_that_is_exchanged_under_a_slave_costs_no_job() {
    let certs = Certs::make();
    let mut cluster = Cluster::start_with(0, certs.options());
    let own = cluster.path("token");
    std::fs::write(&own, "tallyjoin_wrong\n").unwrap();
    cluster.set_options(Options { slave_flags: by_token(&certs, &own), ..certs.options() });
    assert_eq!(cluster.add_slave(1).ended().code(), Some(7), "a wrong one from the beginning");
    std::fs::copy(tokens(&cluster), &own).unwrap();
    cluster.add_slave(1);
    cluster.wait_for_slaves(1);
    // The operator exchanges it, and forgets the slave.
    let token = format!("tallyjoin_{}\n", "ab".repeat(32));
    std::fs::write(tokens(&cluster), &token).unwrap();
    let file = cluster.path("plays.csv");
    let plays = input::plays(312, 100, 100_000);
    std::fs::write(&file, &plays).unwrap();
    // Until the master has noticed, the slave counts.
    let slave = |cluster: &mut Cluster| cluster.slaves()[1].said("trying again") > 0;
    eventually("the token to be refused", || {
        let id = cluster.http().post("/api/v1/jobs", plays.as_bytes()).json()["id"].clone();
        assert!(id.is_string());
        slave(&mut cluster).then_some(())
    });
    assert!(!cluster.slaves()[1].has_ended(), "one that has been in goes on trying");
    std::fs::write(&own, &token).unwrap();
    cluster.wait_for_slaves(1);
    for job in cluster.http().jobs() {
        let job = cluster.http().ended(job["id"].as_str().unwrap());
        assert_eq!(job["state"], "succeeded", "{job}");
    }
    assert!(cluster.count(&file, &[]) == input::totals(plays.as_bytes()));
}
