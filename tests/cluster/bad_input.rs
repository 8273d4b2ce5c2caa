//! Input that can not be counted: a clear error or a reject with line, column and reason; never a
//! panic, never a silent skip.

use std::process::Output;

use tally_tests::Cluster;

const HEADER: &str = "Song,Date,Number of Plays\n";

/// Counts `input` in one process.
fn count(input: &[u8], more: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plays.csv");
    std::fs::write(&file, input).unwrap();
    tally_tests::tally().arg("count").arg(&file).args(more).output().unwrap()
}

/// The message with which counting `input` fails.
fn failure(input: &[u8]) -> String {
    let output = count(input, &[]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert_eq!(output.stdout, b"", "{message}");
    assert!(!message.contains("panicked"), "{message}");
    message
}

fn says(input: &[u8], words: &[&str]) {
    let message = failure(input);
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

fn rows(rows: &str) -> Vec<u8> {
    format!("{HEADER}{rows}").into_bytes()
}

#[test]
fn rows_that_can_not_be_counted_are_named() {
    says(&rows("a,2021-01-01,1\nb,2021-01-02\n"), &["line 3", "wrong number of fields"]);
    says(&rows("a,2021-01-01,1,9\n"), &["line 2", "4 where the header has 3"]);
    says(&rows("a,2021-01-01,many\n"), &["line 2", "Number of Plays", "not an integer"]);
    says(&rows("a,2021-01-01,1.5\n"), &["line 2", "Number of Plays", "not an integer"]);
    says(&rows("a,2021-01-01,\n"), &["line 2", "Number of Plays", "not an integer"]);
    says(
        &rows("a,2021-01-01,9223372036854775808\n"),
        &["line 2", "Number of Plays", "does not fit 64 bits"],
    );
    says(&rows("a,2021-02-29,1\n"), &["line 2", "Date", "no such date"]);
    says(&rows("a,01/02/2021,1\n"), &["line 2", "Date", "not a date"]);
    let mut latin = rows("ok,2021-01-01,1\n");
    latin.extend_from_slice(b"caf\xe9,2021-01-01,1\n");
    says(&latin, &["line 3", "Song", "UTF-8"]);
    says(&rows("a,2021-01-01,1\n\"b,2021-01-01,1\n"), &["line 3", "never closed"]);
}

#[test]
fn lines_are_those_of_the_file() {
    // A quoted newline, a blank line and CRLF before the bad row on line 7.
    let input = "Song,Date,Number of Plays\r\n\"a\nb\",2021-01-01,1\r\n\r\nc,2021-01-01,2\r\n\
                 d,2021-01-01,3\r\nbad,2021-01-01,x\r\n";
    says(input.as_bytes(), &["line 7"]);
}

#[test]
fn files_that_are_no_csv_of_plays() {
    says(b"", &["empty", "Song", "Date", "Number of Plays"]);
    says(b"Umbrella,2020-01-01,100\n", &["Song", "Umbrella", "header"]);
    says(b"Song,Day,Number of Plays\na,2020-01-01,1\n", &["Date", "Day"]);
    says(b"Song,song,Date,Number of Plays\na,b,2020-01-01,1\n", &["Song", "twice"]);
    says(b"\xff\xfeS\0o\0n\0g\0", &["UTF-16"]);
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3];
    says(&gzip, &["gzip", "damaged"]);
}

#[test]
fn a_header_alone_has_an_empty_result() {
    for input in [HEADER, HEADER.trim_end()] {
        let output = count(input.as_bytes(), &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.stdout, b"Song,Date,Total Number of Plays for Date\n");
    }
}

#[test]
fn files_that_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nothing.csv");
    for (path, word) in [(missing.as_path(), "nothing.csv"), (folder.path(), "directory")] {
        let output = tally_tests::tally().arg("count").arg(path).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn a_sum_that_does_not_fit_is_an_error_and_names_the_group() {
    let max = i64::MAX;
    let over = rows(&format!("a,2021-01-01,{max}\nb,2021-01-01,1\na,2021-01-01,1\n"));
    says(&over, &["9223372036854775808", "\"a\"", "2021-01-01"]);
    // On the way there, sums may be as large as they like.
    let back = rows(&format!("a,2021-01-01,{max}\na,2021-01-01,{max}\na,2021-01-01,-{max}\n"));
    let output = count(&back, &[]);
    let expected = format!("Song,Date,Total Number of Plays for Date\na,2021-01-01,{max}\n");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn a_quote_that_is_never_closed_can_not_swallow_a_large_file() {
    let mut input = rows("a,2021-01-01,1\n\"b,2021-01-01,1\n");
    while input.len() < 20 << 20 {
        input.extend_from_slice(b"c,2021-01-01,1\n");
    }
    says(&input, &["line 3", "never closed"]);
}

#[test]
fn rejects_within_the_limit_are_left_out_and_listed() {
    let input = rows("a,2021-01-01,1\nbad\nb,2021-01-01,2\n\"x, \"\"y\"\"\",2021-13-01,5\n");
    let folder = tempfile::tempdir().unwrap();
    let rejects = folder.path().join("rejects.csv");
    let output = count(&input, &["--max-rejects", "2", "--rejects", rejects.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result = "Song,Date,Total Number of Plays for Date\na,2021-01-01,1\nb,2021-01-01,2\n";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), result);
    let mut listed = csv::Reader::from_path(&rejects).unwrap();
    let listed: Vec<_> = listed.records().map(|record| record.unwrap()).collect();
    let fields = |i: usize| listed[i].iter().collect::<Vec<_>>();
    let reason = "wrong number of fields (1 where the header has 3)";
    assert_eq!(fields(0), ["3", "41", "", reason, "bad"]);
    assert_eq!(fields(1), ["5", "60", "Date", "no such date", "\"x, \"\"y\"\"\",2021-13-01,5"]);
    assert_eq!(listed.len(), 2);
    assert_eq!(count(&input, &["--max-rejects", "50%"]).status.code(), Some(0));
    assert_eq!(count(&input, &["--max-rejects", "49%"]).status.code(), Some(3));
}

#[test]
fn the_cluster_says_the_same() {
    let cluster = Cluster::start(1);
    let http = cluster.http();
    let answer = http.post("/api/v1/jobs", &rows("a,2021-01-01,1\na,2021-02-30,1\n"));
    assert_eq!(answer.status, 202);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let job = http.ended(&id);
    assert_eq!(job["state"], "failed");
    let error = job["error"].as_str().unwrap();
    assert!(error.contains("line 3") && error.contains("no such date"), "{error}");
    assert_eq!(job["rejects"][0]["record"], "a,2021-02-30,1");
    assert_eq!(job["receipt"]["records"], 2);
    assert_eq!(job["receipt"]["rejected"], 1);
    let rejects = http.get(&format!("/api/v1/jobs/{id}/rejects"));
    assert_eq!(rejects.status, 200);
    assert!(rejects.text().contains("3,41,Date,no such date"), "{}", rejects.text());
    let result = http.get(&format!("/api/v1/jobs/{id}/result"));
    assert_eq!(result.status, 409);
    let downloaded = cluster.run(["rejects", &id]);
    assert_eq!(downloaded.stdout, rejects.body);

    let answer = http.post("/api/v1/jobs", b"Song,Day\n");
    assert_eq!(answer.status, 422);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert!(answer.json()["detail"].as_str().unwrap().contains("Date"));
}
