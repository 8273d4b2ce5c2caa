//! Simulated slaves are slaves: a job that they answer succeeds, and its result is the right one.

use std::time::Duration;

use sha2::{Digest, Sha256};

use tally_feed::{Bench, Load, SPEC_FLAGS, Tally};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_job_that_simulated_slaves_answer_comes_out_right() {
    let folder = tempfile::tempdir().unwrap();
    let tally = Tally::at(tally_tests::binary());
    let load = Load { task: 16 << 10, input: 2_000_000, jobs: 2 };
    let mut bench = Bench::new(tally, folder.path().to_owned(), load).unwrap();
    bench.delay = Duration::from_millis(1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let row = runtime.block_on(bench.measure(20)).unwrap();

    let input = folder.path().join("plays.csv");
    let out = folder.path().join("out.csv");
    let paths = [input.to_str().unwrap(), "-o", out.to_str().unwrap()];
    let args = [&["count"][..], &paths, &SPEC_FLAGS].concat();
    assert!(tally_tests::run(args).status.success());
    let lines = std::fs::read(&input).unwrap().iter().filter(|byte| **byte == b'\n').count();
    let expected = (lines as u64 - 1, hex(&Sha256::digest(std::fs::read(&out).unwrap())));
    assert_eq!(row.results, [expected.clone(), expected]);

    assert!(row.tasks > 100, "{} tasks", row.tasks);
    assert_eq!(row.fed.tasks, row.tasks);
    // A second attempt may have taken some bytes once more.
    let records =
        2 * (std::fs::metadata(&input).unwrap().len() - "Song,Date,Number of Plays\n".len() as u64);
    assert!(row.fed.bytes >= records, "{} bytes of {records}", row.fed.bytes);
    assert!(row.fed.peak_streams > 1 && row.fed.peak_streams <= 40, "{:?}", row.fed);
    assert!(row.master.unwrap().peak > 0 && row.simulated.peak > 0);
}
