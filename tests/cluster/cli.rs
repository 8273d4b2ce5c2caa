//! The command line: what scripts rely on.

use tally_tests::{Cluster, input};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_job_by_hand() {
    let cluster = Cluster::start(1);
    let file = cluster.path("plays.csv");
    let plays = input::plays(41, 50, 50_000);
    std::fs::write(&file, &plays).unwrap();
    let submitted = cluster.run(["submit", file.to_str().unwrap()]);
    assert!(submitted.status.success(), "{}", text(&submitted.stderr));
    let id = text(&submitted.stdout).trim().to_owned();
    let watched = cluster.run(["watch", &id]);
    assert!(watched.status.success(), "{}", text(&watched.stderr));
    let status = cluster.run(["status", &id, "--output", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["state"], "succeeded");
    assert!(text(&cluster.run(["status"]).stdout).contains(&id));
    assert!(text(&cluster.run(["slaves"]).stdout).contains("slave-0"));
    assert!(cluster.run(["result", &id]).stdout == input::totals(plays.as_bytes()));
    let rejects = cluster.run(["rejects", &id]);
    assert_eq!(text(&rejects.stdout), "line,byte_offset,column,reason,record\n");
    assert!(cluster.run(["delete", &id]).status.success());
    assert_eq!(cluster.run(["status", &id]).status.code(), Some(6));
}

#[test]
fn a_master_that_is_not_there_is_an_error_of_its_own() {
    let output =
        tally_tests::tally().args(["status", "--master", "http://127.0.0.1:1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("127.0.0.1:1"));
}

#[test]
fn a_master_is_not_opened_to_the_world_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    let output = tally_tests::tally()
        .args(["master", "--grpc", "0.0.0.0:0", "--http", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("--insecure") && said.contains("tally keys create"), "{said}");
}

#[test]
fn two_masters_never_share_a_data_folder() {
    let cluster = Cluster::start(0);
    let output = tally_tests::tally()
        .args(["master", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir"])
        .arg(cluster.path("data"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("in use"), "{}", text(&output.stderr));
}

#[test]
fn what_is_generated_can_be_counted() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["low", "high", "unique", "quoted", "wide"] {
        let file = folder.path().join(kind);
        let generate = ["generate", "--size", "2MB", "--seed", "7", "--kind", kind, "-o"];
        let output = tally_tests::tally().args(generate).arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let mut count = tally_tests::tally();
        count.arg("count").arg(&file);
        if kind == "wide" {
            count.args(["--group-by", "Artist,Song", "--count"]);
        }
        let output = count.output().unwrap();
        assert!(output.status.success(), "{kind}: {}", text(&output.stderr));
        if kind != "wide" {
            let expected = input::totals(&std::fs::read(&file).unwrap());
            assert!(output.stdout == expected, "{kind}");
        }
    }
}

/// Every subcommand, as `tally help` lists them.
fn subcommands() -> Vec<String> {
    let help = tally_tests::tally().arg("--help").output().unwrap();
    let help = text(&help.stdout);
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let lines = list.lines().take_while(|line| !line.is_empty());
    // Longer descriptions go on in lines that are indented further.
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

#[test]
fn shells_complete_every_subcommand() {
    let folder = tempfile::tempdir().unwrap();
    let commands = subcommands();
    assert!(commands.len() > 15, "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = tally_tests::tally().args(["completions", shell]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let script = text(&output.stdout);
        for word in commands.iter().map(String::as_str).chain(["data-dir", "group-by"]) {
            assert!(script.contains(word), "{word} is not in the script for {shell}");
        }
        let file = folder.path().join(shell);
        std::fs::write(&file, &script).unwrap();
        if shell == "bash" {
            let check = std::process::Command::new("bash").arg("-n").arg(&file).output().unwrap();
            assert!(check.status.success(), "{}", text(&check.stderr));
            // And it does complete.
            let ask = format!(
                "source {}; COMP_WORDS=(tally sub); COMP_CWORD=1; _tally tally sub tally; \
                 echo \"${{COMPREPLY[@]}}\"",
                file.display()
            );
            let said = std::process::Command::new("bash").args(["-c", &ask]).output().unwrap();
            assert_eq!(text(&said.stdout).trim(), "submit", "{}", text(&said.stderr));
        }
    }
    let wrong = tally_tests::tally().args(["completions", "cmd"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn there_is_a_manual_page_for_every_subcommand() {
    let page = tally_tests::tally().arg("man").output().unwrap();
    assert!(page.status.success(), "{}", text(&page.stderr));
    let page = text(&page.stdout);
    assert!(page.contains(".TH tally 1") && page.contains("Exit codes"), "{page}");
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let output = tally_tests::tally().arg("man").arg(&pages).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    for name in subcommands().iter().filter(|name| *name != "help") {
        assert!(page.contains(&format!("tally\\-{name}(1)")), "{name} is not in {page}");
        let own = std::fs::read_to_string(pages.join(format!("tally-{name}.1"))).unwrap();
        assert!(own.contains(".SH SYNOPSIS"), "{own}");
    }
    assert_eq!(std::fs::read_to_string(pages.join("tally.1")).unwrap(), page);
}

#[test]
fn a_pipe_is_written_to_and_stays_one() {
    use std::os::unix::fs::FileTypeExt;

    let cluster = Cluster::start(1);
    let plays = cluster.path("plays.csv");
    std::fs::write(&plays, input::plays(7, 5, 100)).unwrap();
    let pipe = cluster.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let [plays, to] = [&plays, &pipe].map(|path| path.to_str().unwrap().to_owned());
    for command in [vec!["submit", &plays, "--wait", "-o", &to], vec!["count", &plays, "-o", &to]] {
        let from = pipe.clone();
        // Opened for both, so that nobody waits for ever where nothing is written.
        let held = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
        let reader = std::thread::spawn(move || {
            use std::io::Read as _;
            let mut first = [0; 10];
            std::fs::File::open(from).unwrap().read_exact(&mut first).unwrap();
            first
        });
        let output = match command[0] {
            "count" => tally_tests::run(&command),
            _ => cluster.run(&command),
        };
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
        assert_eq!(&reader.join().unwrap(), b"Song,Date,");
        drop(held);
    }
}
