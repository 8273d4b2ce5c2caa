//! Ways that are shorter where master and slaves are on one machine.

use std::path::Path;

use tally_tests::{Cluster, Options, Process, input, tally};

/// Several tasks of 16 MiB.
const BYTES: usize = 40 << 20;

fn flags<const N: usize>(flags: [&str; N]) -> Vec<String> {
    flags.map(str::to_owned).to_vec()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_unix_socket_instead_of_tcp() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("grpc.sock");
    let url = format!("unix:{}", socket.display());
    let options = Options { flags: flags(["--grpc-socket", text(&socket)]), ..Options::default() };
    let mut cluster = Cluster::start_with(0, options);
    cluster.add_slave_via(&url, 1);
    cluster.add_slave(1);
    cluster.wait_for_slaves(2);
    let (file, out) = (cluster.path("plays.csv"), cluster.path("out.csv"));
    let plays = input::plays(61, 2000, BYTES);
    let expected = input::totals(plays.as_bytes());
    std::fs::write(&file, plays).unwrap();
    let count = || {
        let mut command = tally();
        command.args(["submit", text(&file), "--master", &url, "--wait", "-o", text(&out)]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(std::fs::read(&out).unwrap() == expected);
    };
    count();
    // The socket of a master that was killed is in nobody's way.
    cluster.restart_master(Process::kill);
    cluster.wait_for_slaves(2);
    count();
    // One that is in use is.
    let second = tally()
        .args(["master", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path().join("other"))
        .args(["--grpc-socket", text(&socket)])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && said.contains("in use"), "{said}");
    cluster.master().stop();
    assert!(!socket.exists());
}

/// Counts with slaves that may read `folder`; gives how many tasks they have read there.
fn counted_by_readers(master: Vec<String>, data: &Path, folder: &Path) -> usize {
    let slave_flags = flags(["--log", "tally_slave=debug", "--read-spool", text(folder)]);
    let data_dir = Some(data.to_owned());
    let options = Options { flags: master, slave_flags, data_dir, ..Options::default() };
    let mut cluster = Cluster::start_with(2, options);
    let file = cluster.path("plays.csv");
    let plays = input::plays(62, 2000, BYTES);
    let expected = input::totals(plays.as_bytes());
    std::fs::write(&file, plays).unwrap();
    assert!(cluster.count(&file, &[]) == expected);
    let read = |slave: &mut Process| slave.said("reading a task where it lies");
    cluster.slaves().iter_mut().map(read).sum()
}

#[test]
fn tasks_are_read_where_they_lie_if_both_sides_allow_it() {
    let folder = tempfile::tempdir().unwrap();
    let (data, other) = (folder.path().join("data"), folder.path().join("other"));
    std::fs::create_dir(&other).unwrap();
    let share = || flags(["--share-spool"]);
    assert!(counted_by_readers(share(), &data, &data) >= 2);
    assert_eq!(counted_by_readers(share(), &data, &other), 0, "not the master's folder");
    assert_eq!(counted_by_readers(share(), &data, &data.join("no")), 0, "no folder at all");
    assert_eq!(counted_by_readers(Vec::new(), &data, &data), 0, "not shared");
}

#[test]
fn a_folder_by_another_name_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (data, link) = (folder.path().join("data"), folder.path().join("link"));
    std::fs::create_dir(&data).unwrap();
    std::os::unix::fs::symlink(&data, &link).unwrap();
    assert!(counted_by_readers(flags(["--share-spool"]), &link, &data) >= 2);
}
