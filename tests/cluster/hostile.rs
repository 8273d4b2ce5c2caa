//! Clients that mean harm, by what they send: slowly, too early, too much, ambiguously, or under names that
//! lead elsewhere. Each is answered or put out, and others are served meanwhile.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio_stream::StreamExt;
use tonic::Code;

use tally_proto::v1::jobs_client::JobsClient;
use tally_proto::v1::{SubmitFrame, SubmitHeader, submit_frame::Frame};
use tally_tests::{Cluster, Options, PATIENCE, eventually};

const PLAYS: &[u8] = b"Song,Date,Number of Plays\na,2021-01-01,1\n";

fn with_flags(flags: &[&str]) -> Options {
    Options { flags: flags.iter().map(|flag| (*flag).to_owned()).collect(), ..Options::default() }
}

/// A connection on which this has been said.
fn say(address: &str, words: &str) -> TcpStream {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.write_all(words.as_bytes()).unwrap();
    connection
}

/// All that comes until the other side closes, or breaks off.
fn hear(mut connection: TcpStream) -> String {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match connection.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => all.extend_from_slice(&buffer[..n]),
            Err(error) => {
                let waits = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(!waits, "the connection is not closed: {}", String::from_utf8_lossy(&all));
                break;
            }
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// Submits until there is a place.
fn is_served(cluster: &Cluster) {
    eventually("a place to be free", || {
        let answer = cluster.http().post("/api/v1/jobs", PLAYS);
        assert!([202, 429].contains(&answer.status), "{}", answer.text());
        (answer.status == 202).then_some(())
    });
}

#[test]
fn uploads_that_drip_give_way_to_others() {
    let options = with_flags(&["--max-uploads", "1", "--pace-window", "1"]);
    let cluster = Cluster::start_with(1, options);
    let http = cluster.http();
    // More than can drip before the window is over.
    let plays = [PLAYS, &b"b,2021-01-01,2\n".repeat(10_000)[..]].concat();
    let length = plays.len().to_string();
    let headers = [("tus-resumable", "1.0.0"), ("upload-length", length.as_str())];
    let created = http.request("POST", "/api/v1/uploads", &headers, b"");
    assert_eq!(created.status, 201, "{}", created.text());
    let upload = created.header("location").to_owned();
    let post = "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\n";
    let patch = format!(
        "PATCH {upload} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: {length}\r\n\r\n"
    );
    let [raw, tus] = [post, &patch].map(|request| {
        let mut drip = say(http.address(), request);
        let mut sent = plays.iter();
        // Nobody else asks for the place before it has it: its request is under way, and so is its job.
        eventually("the place to be taken", || {
            let metrics = http.get("/metrics").text();
            let jobs = http.get("/api/v1/jobs").json();
            let mut jobs = jobs["jobs"].as_array()?.iter();
            let comes = jobs.any(|job| job["state"] == "receiving");
            (comes && metrics.contains("tally_http_requests_in_flight 2\n")).then_some(())
        });
        assert_eq!(http.post("/api/v1/jobs", PLAYS).status, 429);
        eventually("it to be free", || {
            // It is not silent: a byte comes now and then.
            let _ = sent.next().map(|byte| drip.write_all(&[*byte]));
            (http.post("/api/v1/jobs", PLAYS).status == 202).then_some(())
        });
        hear(drip)
    });
    for answer in [&raw, &tus] {
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("#too-slow") && answer.contains("retry-after: "), "{answer}");
    }
    assert!(tus.contains("can go on at byte"), "{tus}");
    // It goes on where it was.
    let headers = [("tus-resumable", "1.0.0")];
    let offset = http.request("HEAD", &upload, &headers, b"");
    let offset = offset.header("upload-offset").to_owned();
    let rest = &plays[offset.parse::<usize>().unwrap()..];
    let headers = [
        ("tus-resumable", "1.0.0"),
        ("upload-offset", offset.as_str()),
        ("content-type", "application/offset+octet-stream"),
    ];
    assert_eq!(http.request("PATCH", &upload, &headers, rest).status, 204);
    let job = http.ended(upload.rsplit('/').next().unwrap());
    assert_eq!((&job["state"], &job["receipt"]["records"]), (&"succeeded".into(), &10_001.into()));
}

#[test]
fn calls_that_drip_give_way_to_others() {
    let options = with_flags(&["--max-uploads", "1", "--pace-window", "1"]);
    let cluster = Cluster::start_with(1, options);
    let refused = Runtime::new().unwrap().block_on(async {
        let mut jobs = JobsClient::connect(cluster.grpc().to_owned()).await.unwrap();
        let header = Frame::Header(SubmitHeader::default());
        let frames = [header, Frame::Data(Bytes::from_static(PLAYS))];
        let frames = frames.map(|frame| SubmitFrame { frame: Some(frame) });
        let frames = tokio_stream::iter(frames).chain(tokio_stream::pending());
        jobs.submit(frames).await.unwrap_err()
    });
    assert_eq!(refused.code(), Code::DeadlineExceeded, "{refused}");
    assert!(refused.message().contains("others waited"), "{refused}");
    is_served(&cluster);
}

#[test]
fn a_slow_pipe_is_let_be_while_there_are_places() {
    let options = with_flags(&["--max-uploads", "2", "--pace-window", "0"]);
    let cluster = Cluster::start_with(1, options);
    let request = "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                   Transfer-Encoding: chunked\r\n\r\n";
    let mut slow = say(cluster.http().address(), request);
    for byte in PLAYS {
        slow.write_all(format!("1\r\n{}\r\n", char::from(*byte)).as_bytes()).unwrap();
        // Longer than the window, several times.
        std::thread::sleep(Duration::from_millis(15));
        is_served_once(&cluster);
    }
    slow.write_all(b"0\r\n\r\n").unwrap();
    let answer = hear(slow);
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
}

fn is_served_once(cluster: &Cluster) {
    assert_eq!(cluster.http().get("/healthz").status, 200);
}

#[test]
fn early_answers_reach_those_who_send_all_first() {
    let cluster = Cluster::start(0);
    let http = cluster.http();
    assert_eq!(
        http.post_as("/api/v1/tables", "application/json", br#"{"preset":"products"}"#).status,
        201
    );
    // Far more than a connection's buffers hold.
    let body = vec![b'x'; 12 << 20];
    for (path, headers, status) in [
        ("/api/v1/tables/none/operations", "", 404),
        ("/api/v1/tables/products/operations", "Content-Type: application/pdf\r\n", 415),
        ("/api/v1/tables/products/operations", "Content-Encoding: gzip\r\n", 415),
        ("/api/v1/tables/products/operations", "Origin: https://evil.example\r\n", 403),
        ("/api/v1/tables", "", 413),
        ("/api/v1/nothing", "", 404),
        ("/api/v1/cluster", "", 405),
        ("/api/v1/jobs?sort=up", "", 400),
        ("/api/v1/jobs", "Content-Type: application/json\r\n", 400),
        ("/api/v1/uploads", "", 412),
    ] {
        let mut connection = say(
            http.address(),
            &format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n",
                body.len()
            ),
        );
        // Whoever sends everything before it looks for the answer is not cut off.
        connection.write_all(&body).unwrap_or_else(|error| panic!("{path} {headers}: {error}"));
        connection
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        let answer = hear(connection);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {headers}: {answer}");
        // The connection can be used again, or says that it can not.
        let again = answer.contains("HTTP/1.1 200 OK");
        assert!(again || answer.contains("connection: close"), "{path} {headers}: {answer}");
    }
}

#[test]
fn connections_that_do_not_begin_are_closed() {
    let cluster = Cluster::start_with(0, with_flags(&["--header-timeout", "1"]));
    let http = cluster.http().address().to_owned();
    let grpc = cluster.grpc().trim_start_matches("http://").to_owned();
    for address in [&http, &grpc] {
        for words in ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
            // A server of HTTP/2 may say its settings first.
            let answer = hear(say(address, words));
            assert!(!answer.contains("HTTP/1.1 2"), "{words:?}: {answer}");
        }
    }
    for words in ["G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "] {
        let answer = hear(say(&http, words));
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{words:?}: {answer}");
    }
    is_served(&cluster);
}

#[test]
fn headers_without_end_are_refused() {
    let mut cluster = Cluster::start(0);
    let address = cluster.http().address().to_owned();
    for line in ["X-Many: a\r\n".to_owned(), format!("X-Long: {}", "a".repeat(8000))] {
        let mut rude = say(&address, "GET / HTTP/1.1\r\nHost: localhost\r\n");
        let most = (64 << 20) / line.len();
        let taken = (0..most).take_while(|_| rude.write_all(line.as_bytes()).is_ok()).count();
        assert!(taken < most, "64 MiB of headers are taken");
        let answer = hear(rude);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let peak = cluster.master().peak_own_memory() >> 20;
    assert!(peak < 95, "{peak} MiB");
}

#[test]
fn a_request_has_one_length() {
    let cluster = Cluster::start(0);
    let address = cluster.http().address().to_owned();
    let hidden = "GET /api/v1/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    let length = format!("Content-Length: {}\r\n", hidden.len());
    for (headers, body) in [
        // Both: the chunks hold, and nothing behind them is read.
        (format!("{length}{chunked}"), format!("0\r\n\r\n{hidden}")),
        (format!("{chunked}{length}"), format!("0\r\n\r\n{hidden}")),
        (format!("Content-Length: 0\r\n{length}"), hidden.to_owned()),
        (format!("Content-Length: 0, {}\r\n", hidden.len()), hidden.to_owned()),
        ("Content-Length: +0\r\n".to_owned(), hidden.to_owned()),
        ("Content-Length: 0x0\r\n".to_owned(), hidden.to_owned()),
        ("Transfer-Encoding: chunked, identity\r\n".to_owned(), format!("0\r\n\r\n{hidden}")),
        ("Transfer-Encoding: xchunked\r\n".to_owned(), format!("0\r\n\r\n{hidden}")),
        ("Transfer-Encoding : chunked\r\n".to_owned(), format!("0\r\n\r\n{hidden}")),
        (" Transfer-Encoding: chunked\r\n".to_owned(), format!("0\r\n\r\n{hidden}")),
        (chunked.to_owned(), format!("-1\r\n\r\n{hidden}")),
        (chunked.to_owned(), format!("ffffffffffffffff1\r\n{hidden}")),
        (chunked.to_owned(), format!("0\n\n{hidden}")),
    ] {
        let request =
            format!("POST /api/v1/nothing HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}");
        let connection = say(&address, &request);
        let _ = connection.shutdown(std::net::Shutdown::Write);
        let answer = hear(connection);
        let answers = answer.matches("HTTP/1.1 ").count();
        assert!(answers <= 1 && !answer.contains("smuggled"), "{headers:?}: {answer}");
    }
}

#[test]
fn names_lead_nowhere_and_into_no_header() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    std::fs::write(folder.path().join("secret.csv"), PLAYS).unwrap();
    let inputs = folder.path().join("in");
    std::os::unix::fs::symlink(folder.path(), inputs.join("up")).unwrap();
    let cluster = Cluster::start_with(1, with_flags(&["--input-dir", inputs.to_str().unwrap()]));
    let http = cluster.http();
    for name in [
        "../../../../etc/cron.d/tally",
        "/etc/passwd",
        "..\\\\..\\\\boot.ini",
        "a.csv; filename=/etc/passwd",
        "=cmd|' /C calc'!A0",
        "<script>alert(1)</script>.csv",
    ] {
        let answer = http.form("/api/v1/jobs", &[("file", Some(name), PLAYS)]);
        assert_eq!(answer.status, 202, "{name}: {}", answer.text());
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(answer.header("location"), format!("/api/v1/jobs/{id}"));
        http.ended(&id);
        let result = http.get(&format!("/api/v1/jobs/{id}/result"));
        let attached = format!("attachment; filename=\"totals-{id}.csv\"");
        assert_eq!(result.header("content-disposition"), attached);
        assert_eq!(result.header("x-content-type-options"), "nosniff");
    }
    for name in ["a%0d%0aX-Injected:%201", "a%00b", "a%0ab", "%1b%5b2J"] {
        let answer = http.post(&format!("/api/v1/jobs?name={name}"), PLAYS);
        assert_eq!((answer.status, answer.header("x-injected")), (400, ""), "{name}");
    }
    for path in [
        "/api/v1/jobs/..%2f..%2f..%2fetc%2fpasswd/result",
        "/api/v1/jobs/%2e%2e/result",
        "/api/v1/tables/..%2f..%2fetc/data",
        "/api/v1/tables/a%00b/data",
        "/api/v1/sources/..%2f..%2fetc",
        "/docs/..%2f..%2fetc%2fpasswd",
        "/assets/..%2f..%2f..%2fetc%2fpasswd",
    ] {
        let answer = http.get(path);
        assert!([400, 404].contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
        assert!(!answer.text().contains("root:"), "{path}");
    }
    for name in ["../x", "a/b", "a\\u0000b", "", "a\\r\\nb"] {
        let table =
            format!(r#"{{"name":"{name}","key":["a"],"columns":[{{"name":"a","kind":"text"}}]}}"#);
        let answer = http.post_as("/api/v1/tables", "application/json", table.as_bytes());
        assert_eq!(answer.status, 422, "{name}: {}", answer.text());
    }
    let inside = inputs.display();
    for path in [
        format!("{inside}/../secret.csv"),
        format!("{inside}/up/secret.csv"),
        format!("{inside}/a\\u0000/../secret.csv"),
        "/etc/passwd".to_owned(),
        "secret.csv".to_owned(),
        String::new(),
    ] {
        let wish = format!(r#"{{"source":{{"path":"{path}"}}}}"#);
        let answer = http.post_as("/api/v1/jobs", "application/json", wish.as_bytes());
        assert!(answer.status == 422, "{path}: {} {}", answer.status, answer.text());
    }
}

#[test]
fn csvs_for_spreadsheets_hold_no_formulas() {
    let cluster = Cluster::start(1);
    let http = cluster.http();
    let csv = b"name,@n\n=1+1,-5\n\"-x, y\",-6\nbad,x\n+z,7\n";
    let query = "group_by=name&sum=%40n%3D%3Dtotal&max_rejects=1";
    let answer = http.post(&format!("/api/v1/jobs?{query}"), csv);
    assert_eq!(answer.status, 202, "{}", answer.text());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    http.ended(&id);
    let plain = "name,=total\n+z,7\n\"-x, y\",-6\n=1+1,-5\n";
    let safe = "name,'=total\n'+z,7\n\"'-x, y\",-6\n'=1+1,-5\n";
    let path = format!("/api/v1/jobs/{id}/result");
    let whole = http.get_with(&path, &[("accept", "text/csv")]);
    assert_eq!(whole.text(), plain);
    // A tag and a part are those of the result as it lies.
    let headers =
        [("accept", "text/csv"), ("range", "bytes=1-3"), ("if-none-match", whole.header("etag"))];
    let guarded = http.get_with(&format!("{path}?formula_safe=true"), &headers);
    assert_eq!((guarded.status, guarded.text().as_str()), (200, safe));
    assert_eq!(guarded.header("etag"), "");
    assert!(guarded.header("content-disposition").starts_with("attachment"));
    assert_eq!(http.get(&format!("{path}?formula_safe=false")).text(), plain);
    let look = http.get(&format!("{path}?limit=2&formula_safe=true"));
    assert_eq!(look.text(), "name,'=total\n'+z,7\n\"'-x, y\",-6\n");
    let rejects = http.get(&format!("/api/v1/jobs/{id}/rejects?formula_safe=true"));
    assert!(rejects.text().contains("\n4,"), "{}", rejects.text());
    for form in ["jsonl", "csv.gz", "parquet"] {
        assert_eq!(
            http.get(&format!("{path}?format={form}&formula_safe=true")).status,
            406,
            "{form}"
        );
    }
    assert_eq!(http.get(&format!("{path}?formula_safe=yes")).status, 400);
    assert_eq!(cluster.run(["result", &id, "--formula-safe"]).stdout, safe.as_bytes());
    assert_eq!(cluster.run(["result", &id]).stdout, plain.as_bytes());

    assert_eq!(
        http.post_as("/api/v1/tables", "application/json", br#"{"preset":"products"}"#).status,
        201
    );
    let operations = b"op,message_id,sku,name,description\nadd,a,-1,@b,=c\n";
    let applied = http.post_as("/api/v1/tables/products/operations", "text/csv", operations);
    assert_eq!(applied.status, 200, "{}", applied.text());
    let of_table = |path: &str| http.get(&format!("/api/v1/tables/products/{path}")).text();
    for path in ["data?format=csv&formula_safe=true", "rows?format=csv&formula_safe=true"] {
        let text = of_table(path);
        for cell in ["'-1", "'@b", "'=c"] {
            assert!(text.contains(cell), "{path}: {text}");
        }
    }
    assert!(!of_table("data?format=csv").contains('\''));
    let exported = cluster.run(["table", "export", "products", "--formula-safe"]);
    assert_eq!(
        String::from_utf8(exported.stdout).unwrap(),
        of_table("data?format=csv&formula_safe=true")
    );
}
