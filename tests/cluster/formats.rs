//! Results in other forms, and as parts, as a client over HTTP gets them.

use std::io::Read;

use serde_json::Value;
use tally_tests::{Answer, Cluster, input};

fn unzip(data: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(data).read_to_end(&mut plain).unwrap();
    plain
}

/// Counts plays; gives the way to the result, and what is expected of it.
fn counted(cluster: &Cluster, seed: u64, bytes: usize) -> (String, Vec<u8>, String) {
    let http = cluster.http();
    let plays = input::plays(seed, 300, bytes);
    let answer = http.post("/api/v1/jobs", plays.as_bytes());
    assert_eq!(answer.status, 202, "{}", answer.text());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let job = http.ended(&id);
    let sha256 = job["result"]["sha256"].as_str().unwrap().to_owned();
    (format!("/api/v1/jobs/{id}/result"), input::totals(plays.as_bytes()), sha256)
}

fn refused(answer: &Answer, status: u16, kind: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.json()["type"], format!("/docs/http.md#{kind}"));
}

#[test]
fn a_result_comes_in_the_form_that_is_asked_for() {
    let cluster = Cluster::start(1);
    let http = cluster.http();
    let (path, expected, sha256) = counted(&cluster, 81, 2_000_000);
    let rows = csv::Reader::from_reader(&expected[..]).into_byte_records().count();
    let known = [
        ("csv", "text/csv", "text/csv; charset=utf-8"),
        ("csv.gz", "application/gzip", "application/gzip"),
        ("jsonl", "application/x-ndjson", "application/x-ndjson"),
        ("arrow", "application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.stream"),
        ("parquet", "application/vnd.apache.parquet", "application/vnd.apache.parquet"),
    ];
    for (format, accept, content_type) in known {
        let named = http.get_with(&format!("{path}?format={format}"), &[("accept", "image/png")]);
        let accepted = http.get_with(&path, &[("accept", accept)]);
        for answer in [&named, &accepted] {
            assert_eq!(answer.status, 200, "{format}: {}", answer.text());
            assert_eq!(answer.header("content-type"), content_type);
            assert_eq!(answer.header("vary"), "Accept, Accept-Encoding");
            let name = answer.header("content-disposition");
            assert!(name.ends_with(&format!(".{format}\"")), "{name}");
        }
        assert!(named.body == accepted.body, "{format}");
        let tag = named.header("etag").to_owned();
        let plain = format == "csv";
        let suffix = if plain { String::new() } else { format!("-{format}") };
        assert_eq!(tag, format!("\"{sha256}{suffix}\""));
        let again = http.get_with(&format!("{path}?format={format}"), &[("if-none-match", &tag)]);
        assert_eq!((again.status, again.body.len()), (304, 0), "{format}");
        assert_eq!(again.header("etag"), tag);
        let head = http.request("HEAD", &format!("{path}?format={format}"), &[], b"");
        assert_eq!((head.status, head.header("etag")), (200, &*tag));
        let length = if plain { expected.len().to_string() } else { String::new() };
        assert_eq!(head.header("content-length"), length, "{format}");
        let body = &named.body;
        match format {
            "csv" => assert!(*body == expected),
            "csv.gz" => assert!(unzip(body) == expected),
            "jsonl" => check_lines(body, &expected),
            "arrow" => assert_eq!(body[..4], [0xff; 4], "{rows} rows"),
            _ => assert!(body.starts_with(b"PAR1") && body.ends_with(b"PAR1")),
        }
    }
    refused(&http.get(&format!("{path}?format=xlsx")), 406, "not-acceptable");
    refused(&http.get_with(&path, &[("accept", "image/png")]), 406, "not-acceptable");
}

fn check_lines(lines: &[u8], expected: &[u8]) {
    let mut rows = csv::Reader::from_reader(expected).into_records();
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let row: Value = serde_json::from_slice(line).unwrap();
        let record = rows.next().unwrap().unwrap();
        assert_eq!((&row["Song"], &row["Date"]), (&record[0].into(), &record[1].into()));
        let total: i64 = record[2].parse().unwrap();
        assert_eq!(row["Total Number of Plays for Date"], total);
    }
    assert!(rows.next().is_none());
}

#[test]
fn what_is_sent_is_compressed_where_the_client_can_take_that() {
    let cluster = Cluster::start(1);
    let http = cluster.http();
    let (path, expected, sha256) = counted(&cluster, 82, 500_000);
    let zstd = http.get_with(&path, &[("accept-encoding", "gzip, deflate, br, zstd")]);
    assert_eq!(zstd.header("content-encoding"), "zstd");
    assert!(zstd::decode_all(&zstd.body[..]).unwrap() == expected);
    assert_eq!(zstd.header("etag"), format!("\"{sha256}-csv-zstd\""));
    assert_eq!(zstd.header("accept-ranges"), "none");
    // A part is one of the file as it lies.
    let headers = [("accept-encoding", "zstd"), ("range", "bytes=10-19")];
    let part = http.get_with(&path, &headers);
    assert_eq!((part.status, part.header("content-encoding")), (206, ""));
    assert_eq!(part.body, &expected[10..20]);
    // What is compressed already is not once more.
    let parquet = http.get_with(&format!("{path}?format=csv.gz"), &[("accept-encoding", "zstd")]);
    assert_eq!(parquet.header("content-encoding"), "");
}

#[test]
fn parts_of_a_result_put_together_are_the_result() {
    let cluster = Cluster::start(1);
    let http = cluster.http();
    // Longer than any piece that it is sent in.
    let (path, expected, sha256) = counted(&cluster, 83, 6_000_000);
    let size = expected.len();
    assert!(size > 1 << 20, "{size}");
    let mut all = Vec::new();
    for (from, to) in [(0, 0), (1, 65_535), (65_536, 300_000), (300_001, size - 1)] {
        let range = format!("bytes={from}-{to}");
        let part = http.get_with(&path, &[("range", &range)]);
        assert_eq!(part.status, 206);
        assert_eq!(part.header("content-range"), format!("bytes {from}-{to}/{size}"));
        assert_eq!(part.header("content-length"), (to - from + 1).to_string());
        all.extend_from_slice(&part.body);
    }
    assert!(all == expected);
    let end = http.get_with(&path, &[("range", "bytes=-10")]);
    assert_eq!((end.status, &end.body[..]), (206, &expected[size - 10..]));
    let tag = format!("\"{sha256}\"");
    let same = http.get_with(&path, &[("range", "bytes=7-"), ("if-range", &tag)]);
    assert!(same.status == 206 && same.body == expected[7..]);
    let other = http.get_with(&path, &[("range", "bytes=7-"), ("if-range", "\"other\"")]);
    assert!(other.status == 200 && other.body == expected);
    let head = http.request("HEAD", &path, &[("range", "bytes=5-14")], b"");
    assert_eq!((head.status, head.header("content-length")), (206, "10"));
    // Rejects have no tag, and can be had in parts as well.
    let rejects = http.get_with(&path.replace("/result", "/rejects"), &[("range", "bytes=0-3")]);
    assert_eq!((rejects.status, &rejects.body[..]), (206, &b"line"[..]));
}

#[test]
fn clients_that_go_away_leave_nothing_behind() {
    let cluster = Cluster::start(1);
    let http = cluster.http();
    let (path, expected, _) = counted(&cluster, 84, 6_000_000);
    // More than may be made at a time: each gives its place back when its client goes.
    for _ in 0..40 {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(http.address()).unwrap();
        let request = format!("GET {path}?format=jsonl HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        assert!([&b"HTTP/1.1 200"[..], b"HTTP/1.1 429"].contains(&&start[..]));
    }
    let answer = tally_tests::eventually("a place for one more", || {
        let answer = http.get(&format!("{path}?format=csv.gz"));
        (answer.status == 200).then_some(answer)
    });
    assert!(unzip(&answer.body) == expected);
}
