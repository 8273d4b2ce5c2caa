//! The same bytes come out however many slaves there are, whatever way the input came in.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use tally_tests::{Cluster, input};

fn embedded(file: &Path, more: &[&str]) -> Vec<u8> {
    let output = tally_tests::tally().arg("count").arg(file).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn embedded_and_one_two_and_five_slaves() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plays.csv");
    let plays = input::plays(1, 3000, 70 << 20);
    std::fs::write(&file, &plays).unwrap();
    let expected = input::totals(plays.as_bytes());
    assert!(embedded(&file, &[]) == expected, "embedded");
    assert!(embedded(&file, &["--workers", "1"]) == expected, "embedded, one worker");
    let first_seen = embedded(&file, &["--order", "first-seen"]);
    for slaves in [1, 2, 5] {
        let cluster = Cluster::start(slaves);
        assert!(cluster.count(&file, &[]) == expected, "{slaves} slaves");
        let again = cluster.count(&file, &["--order", "first-seen"]);
        assert!(again == first_seen, "{slaves} slaves, first seen");
    }
}

#[test]
fn compressed_input_is_known_by_its_content() {
    let cluster = Cluster::start(1);
    let plays = input::plays(2, 500, 3 << 20);
    let expected = input::totals(plays.as_bytes());
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(plays.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(plays.as_bytes(), 1).unwrap();
    for (i, bytes) in [gzip, zstd].iter().enumerate() {
        let file = cluster.path(&format!("plays-{i}.csv"));
        std::fs::write(&file, bytes).unwrap();
        assert!(embedded(&file, &[]) == expected, "embedded");
        assert!(cluster.count(&file, &[]) == expected, "over gRPC");
        let answer = cluster.http().post("/api/v1/jobs", bytes);
        assert_eq!(answer.status, 202, "{}", answer.text());
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(cluster.http().ended(&id)["state"], "succeeded");
        let result = cluster.http().get(&format!("/api/v1/jobs/{id}/result"));
        assert!(result.body == expected, "over HTTP");
    }
}

#[test]
fn stdin_and_several_files() {
    let folder = tempfile::tempdir().unwrap();
    let whole = input::plays(3, 200, 200_000);
    let expected = input::totals(whole.as_bytes());
    let (all, half) = (folder.path().join("all.csv"), folder.path().join("half.csv"));
    std::fs::write(&all, &whole).unwrap();
    let from_stdin = tally_tests::tally()
        .args(["count", "-"])
        .stdin(std::fs::File::open(&all).unwrap())
        .output()
        .unwrap();
    assert!(from_stdin.stdout == expected, "stdin");
    // The same rows in two files, the second with its columns in another order.
    let mut reader = csv::Reader::from_reader(whole.as_bytes());
    let mut one = csv::Writer::from_path(&all).unwrap();
    let mut two = csv::WriterBuilder::new().delimiter(b';').from_path(&half).unwrap();
    one.write_record(["Song", "Date", "Number of Plays"]).unwrap();
    two.write_record(["number of plays", "Extra", " song ", "DATE"]).unwrap();
    for (i, record) in reader.records().enumerate() {
        let record = record.unwrap();
        if i % 3 == 0 {
            two.write_record([&record[2], "x", &record[0], &record[1]]).unwrap();
        } else {
            one.write_record(&record).unwrap();
        }
    }
    one.flush().unwrap();
    two.flush().unwrap();
    let both = tally_tests::tally().arg("count").args([&all, &half]).output().unwrap();
    assert!(both.stdout == expected, "{}", String::from_utf8_lossy(&both.stderr));
}
