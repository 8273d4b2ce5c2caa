//! Inputs that grow without end when they are decompressed: put out on each way in, and nobody's memory with
//! them.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use tally_tests::served::{Reply, Served};
use tally_tests::{Cluster, Options};

use crate::submission::TUS;

const PLAYS: &[u8] = b"Song,Date,Number of Plays\na,2021-01-01,1\n";

/// Blank lines that come out of each part of a bomb, in bytes, and how many parts there are: 4 GiB.
const PART: usize = 64 << 20;
const PARTS: usize = 64;

fn zstd_bomb() -> Vec<u8> {
    let mut bomb = zstd::encode_all(PLAYS, 1).unwrap();
    bomb.extend(zstd::encode_all(&vec![b'\n'; PART][..], 1).unwrap().repeat(PARTS));
    bomb
}

fn gzip_bomb() -> Vec<u8> {
    let gzip = |bytes: &[u8]| {
        // As far as gzip goes, which is hardly more than a thousandfold: less than that is no bomb.
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    [gzip(PLAYS), gzip(&vec![b'\n'; PART]).repeat(PARTS)].concat()
}

fn refused(status: u16, text: &str) {
    let why = format!("{status} {text}");
    assert!((400..500).contains(&status) && text.contains("grows more than"), "{why}");
}

#[test]
fn bombs_are_put_out_on_each_way_in() {
    for (encoding, bomb) in [("zstd", zstd_bomb()), ("gzip", gzip_bomb())] {
        let served = Served::start({
            let bomb = bomb.clone();
            move |_| Reply::ok(bomb.clone())
        });
        let flags = ["--allow-source", &served.base].map(str::to_owned).to_vec();
        let mut cluster = Cluster::start_with(0, Options { flags, ..Options::default() });
        let http = cluster.http();
        let answer = http.post("/api/v1/jobs", &bomb);
        refused(answer.status, &answer.text());
        let answer = http.post("/api/v1/jobs?table=plays&preset=plays", &bomb);
        refused(answer.status, &answer.text());
        let answer = http.form("/api/v1/jobs", &[("file", Some("bomb.csv"), &bomb)]);
        refused(answer.status, &answer.text());
        let headers = [("content-type", "text/csv"), ("content-encoding", encoding)];
        let answer = http.request("POST", "/api/v1/jobs", &headers, &bomb);
        refused(answer.status, &answer.text());
        let length = bomb.len().to_string();
        let headers = [TUS, ("upload-length", length.as_str())];
        let answer = http.request("POST", "/api/v1/uploads", &headers, &bomb);
        refused(answer.status, &answer.text());
        let url = format!("{}/bomb.csv", served.base);
        let source = json!({ "source": { "url": url } }).to_string();
        let answer = http.post_as("/api/v1/jobs", "application/json", source.as_bytes());
        refused(answer.status, &answer.text());
        let file = cluster.path("bomb.csv");
        std::fs::write(&file, &bomb).unwrap();
        let output = cluster.run(["submit".as_ref(), file.as_os_str()]);
        assert_eq!(output.status.code(), Some(3));
        refused(400, &String::from_utf8_lossy(&output.stderr));
        let peak = cluster.master().peak_own_memory() >> 20;
        assert!(peak < 120, "{encoding}: {peak} MiB");
    }
}
