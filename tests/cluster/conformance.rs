//! The classic edge cases of CSV, a folder each in `tests/conformance`: `input.csv`, perhaps `args`
//! (one a line), and what must come of it: `result.csv` (and `rejects.csv`), or `error`, whose lines
//! must all be in the message.

use std::path::{Path, PathBuf};
use std::process::Output;

use tally_tests::Cluster;

/// What a folder holds.
struct Case {
    folder: PathBuf,
    args: Vec<String>,
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let folders = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = folders
        .map(|folder| {
            let args = std::fs::read_to_string(folder.join("args")).unwrap_or_default();
            Case { args: args.lines().map(str::to_owned).collect(), folder }
        })
        .collect();
    cases.sort_by(|a, b| a.folder.cmp(&b.folder));
    assert!(cases.len() > 50, "{} cases", cases.len());
    cases
}

impl Case {
    fn input(&self) -> PathBuf {
        self.folder.join("input.csv")
    }

    /// Holds what a command gave to what is expected of it.
    fn check(&self, output: &Output, result: &[u8], rejects: &[u8]) {
        let name = self.folder.file_name().unwrap().to_string_lossy();
        let message = String::from_utf8_lossy(&output.stderr);
        let expected = |file| std::fs::read(self.folder.join(file)).ok();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if let Some(words) = expected("error") {
            assert_eq!(output.status.code(), Some(3), "{name}: {message}");
            for word in text(&words).lines() {
                assert!(message.contains(word), "{name}: {word:?} is not in {message:?}");
            }
            return;
        }
        assert!(output.status.success(), "{name}: {message}");
        let wanted = expected("result.csv").expect("a result or an error is expected");
        assert_eq!(text(result), text(&wanted), "{name}");
        assert!(result == wanted, "{name}");
        let none = b"line,byte_offset,column,reason,record\n".to_vec();
        let wanted = expected("rejects.csv").unwrap_or(none);
        assert_eq!(text(rejects), text(&wanted), "{name}: rejects");
        assert!(rejects == wanted, "{name}: rejects");
    }
}

#[test]
fn edge_cases_in_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let (result, rejects) = (folder.path().join("result"), folder.path().join("rejects"));
    for case in cases() {
        let mut command = tally_tests::tally();
        command.arg("count").arg(case.input()).args(&case.args);
        command.arg("-o").arg(&result).arg("--rejects").arg(&rejects);
        let output = command.output().unwrap();
        let read = |path| std::fs::read(path).unwrap_or_default();
        case.check(&output, &read(&result), &read(&rejects));
        let _ = std::fs::remove_file(&result);
        let _ = std::fs::remove_file(&rejects);
    }
}

#[test]
fn edge_cases_over_the_network() {
    let cluster = Cluster::start(2);
    let result = cluster.path("result");
    for case in cases() {
        let mut args = vec!["submit".to_owned(), case.input().display().to_string()];
        args.extend(["--wait".to_owned(), "-o".to_owned(), result.display().to_string()]);
        args.extend(case.args.iter().cloned());
        let output = cluster.run(&args);
        if !case.folder.join("result.csv").exists() {
            case.check(&output, b"", b"");
            continue;
        }
        let jobs = cluster.http().get("/api/v1/jobs").json();
        let id = jobs["jobs"][0]["id"].as_str().unwrap_or_default().to_owned();
        let rejects = cluster.run(["rejects", &id]).stdout;
        case.check(&output, &std::fs::read(&result).unwrap_or_default(), &rejects);
        let _ = std::fs::remove_file(&result);
    }
}
