//! Writes the seeds of the corpora: `cargo run -p tally-fuzz --example seeds`.

use std::io::{ErrorKind, Write};
use std::path::Path;

use prost::Message;
use tally_common::id::MessageId;
use tally_common::reject::{Reject, RejectReason};
use tally_common::run::{GroupSink, RunHeader, RunWriter, TaskTotals};
use tally_common::spec::{Order, Spec, SpecDraft};
use tally_fuzz::MARKERS;
use tally_proto::frames::{Compression, Packer};
use tally_proto::v1;

const PLAYS: &str = "Song,Date,Number of Plays\na,2021-01-01,1\n\"b, \"\"c\"\"\nd\",2021-01-02,-7\na,2021-01-01,3\n";

fn main() -> std::io::Result<()> {
    csv()?;
    compressed()?;
    packed()?;
    runs()?;
    http()?;
    grpc()
}

fn put(target: &str, name: &str, data: &[u8]) -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(name), data)
}

fn csv() -> std::io::Result<()> {
    let texts: [(&str, &[u8]); 14] = [
        ("plays", PLAYS.as_bytes()),
        ("crlf", b"Song,Date,Number of Plays\r\na,2021-01-01,1\r\n\r\nb,2021-02-29,2\r\n"),
        ("cr", b"Song,Date,Number of Plays\ra,2021-01-01,1\rb,2021-01-01,2"),
        ("marked", "\u{feff}\n\nSong;Date;Number of Plays;x\nä;2021-01-01;+1;\n".as_bytes()),
        ("open", b"Song,Date,Number of Plays\na,2021-01-01,1\n\"b,2021-01-01,1\nc"),
        ("stray", b"Song,Date,Number of Plays\na\"b\",2021-01-01,1\n\"a\"b\"c,2021-01-01,2\n\"\"\"\",2021-01-01,3\n"),
        ("reject", b"Song,Date,Number of Plays\na,2021-1-1,1\nb\nc,d,e,f\ng,2021-01-01,1e3\nh,2021-01-01,9223372036854775808\n"),
        ("latin", b"Song,Date,Number of Plays\ncaf\xe9,2021-01-01,1\n"),
        ("overflow", b"Song,Date,Number of Plays\na,2021-01-01,9223372036854775807\na,2021-01-01,1\n"),
        ("name", b"id,name\n1,x\n2,\"y\n\"\n"),
        ("tab", b"Number of Plays\tSong\tDate\n1\t\t0001-01-01\n2\t\0\t9999-12-31\n"),
        ("utf16", b"S\0o\0n\0g\0,\0D\0a\0t\0e\0\n\0"),
        ("twice", b"Song,song,Date,Number of Plays\n"),
        ("empty", b""),
    ];
    for (i, (name, text)) in (0u8..).zip(texts) {
        put("scan", name, &[&[i % 4, 1 + i, 7], text].concat())?;
        put("header", name, &[&[u8::from(name == "name"), 1, i], text].concat())?;
        for (j, spec) in [0u8, 5, 26, 31].iter().enumerate() {
            let choices = [*spec, 1 + i, 3, 1 + i % 5, 64, i * 8, i, 20 * j as u8];
            put("count", &format!("{name}-{j}"), &[&choices, text].concat())?;
        }
    }
    Ok(())
}

fn compressed() -> std::io::Result<()> {
    let gzip = |data: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(data)?;
        gzip.finish()
    };
    let sizes = [3, 1];
    let long = PLAYS.repeat(40);
    for (name, data) in [("plays", PLAYS.as_bytes()), ("long", long.as_bytes()), ("empty", b"")] {
        let (gz, zst) = (gzip(data)?, zstd::encode_all(data, 3)?);
        put("decompress", &format!("{name}.gz"), &[&sizes, &gz[..]].concat())?;
        put("decompress", &format!("{name}.zst"), &[&sizes, &zst[..]].concat())?;
        put("decompress", &format!("{name}.csv"), &[&sizes, data].concat())?;
        put("decompress", &format!("{name}-2.gz"), &[&sizes, &gz[..], &gz].concat())?;
        put("decompress", &format!("{name}-2.zst"), &[&sizes, &zst[..], &zst].concat())?;
        put("decompress", &format!("{name}-cut.gz"), &[&sizes, &gz[..gz.len() - 5]].concat())?;
        put("decompress", &format!("{name}-cut.zst"), &[&sizes, &zst[..zst.len() - 2]].concat())?;
    }
    Ok(())
}

fn packed() -> std::io::Result<()> {
    for (name, plain) in [("plays", PLAYS.repeat(5).into_bytes()), ("zeros", vec![0; 100_000])] {
        for (how, compression) in [("zstd", Compression::Zstd), ("lz4", Compression::Lz4)] {
            let packed = Packer::new(compression).pack(&plain).ok_or(ErrorKind::InvalidInput)?;
            put("packed", &format!("{name}.{how}"), &packed.encode_to_vec())?;
            let more = v1::Packed { plain_bytes: packed.plain_bytes + 1, ..packed };
            put("packed", &format!("{name}-more.{how}"), &more.encode_to_vec())?;
        }
    }
    Ok(())
}

fn runs() -> std::io::Result<()> {
    let valid = |draft| Spec::try_from(draft).map_err(std::io::Error::other);
    let specs = [
        ("date", valid(SpecDraft::plays())?),
        ("first", valid(SpecDraft { order: Order::FirstSeen, ..SpecDraft::plays() })?),
        ("none", valid(SpecDraft::products())?),
        ("bytes", {
            let keys = ["a", "b:integer", "c"].map(str::to_owned);
            let draft = SpecDraft::from_short_forms(&keys, &[], Some("n"));
            valid(draft.map_err(std::io::Error::other)?)?
        }),
    ];
    for (name, spec) in &specs {
        for segments in 0..3u64 {
            let header = RunHeader::of(spec, MessageId::from_uuid(MARKERS[3]));
            let mut run = RunWriter::with_block_bytes(Vec::new(), header, 24)?;
            let mut totals =
                TaskTotals { records: 8 * segments + 1, bytes: 500, ..Default::default() };
            for _ in 0..segments {
                for head in ["a", "ab", "b \"c\""] {
                    run.start_head(head.as_bytes(), 1 << 32)?;
                    for tail in if *name == "none" { 0..1 } else { 0..3 } {
                        match *name {
                            "bytes" => {
                                let mut key = tally_common::key::encode_integer(tail).to_vec();
                                key.extend_from_slice(b"x");
                                run.push_bytes(&key, &[1 << tail])?;
                            }
                            "none" => run.push_ordinal(0, &[7])?,
                            _ => run.push_ordinal(18_000 + tail, &[i128::from(tail) << 60])?,
                        }
                    }
                }
                run.end_segment()?;
            }
            for line in 0..segments {
                let reason = RejectReason::FieldCount;
                run.reject(Reject { line, offset: 9 * line, len: 4, column: 2, reason })?;
                totals.rejects += 1;
            }
            let (run, _) = run.finish(totals)?;
            put("run", &format!("{name}-{segments}"), &[&[1], &run[..]].concat())?;
        }
    }
    let header = RunHeader::of(&specs[0].1, MessageId::from_uuid(MARKERS[3]));
    let mut run = RunWriter::new(Vec::new(), header)?;
    run.start_head(b"a", 0)?;
    run.push_ordinal(i64::from(*tally_common::value::DAYS.end()) + 1, &[1])?;
    run.end_segment()?;
    let (run, _) = run.finish(TaskTotals::default())?;
    put("run", "no-such-date", &[&[0], &run[..]].concat())?;
    put("run", "short", b"\0TALLYRUN")
}

fn http() -> std::io::Result<()> {
    let [done, running, upload, ..] = MARKERS;
    let form = format!(
        "POST /jobs/count/\ncontent-type: multipart/form-data; boundary=x\n\n--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"p.csv\"\r\n\r\n{PLAYS}\r\n--x--\r\n"
    );
    let form_2 = format!(
        "POST /api/v1/jobs\nidempotency-key: k\ncontent-type: multipart/form-data; boundary=x\n\n--x\r\nContent-Disposition: form-data; name=\"spec\"\r\n\r\n{{\"group_by\":[{{\"name\":\"Song\",\"kind\":\"text\"}}]}}\r\n--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n{PLAYS}\r\n--x--\r\n"
    );
    let again = format!(
        "POST /api/v1/jobs?key=Song&sum=Number+of+Plays%3DTotal&count=n&order=first-seen&max_rejects=1%25&delimiter=comma&name=x&keep_input=true\nidempotency-key: abc\n\n{PLAYS}"
    );
    let tus = format!(
        "POST /api/v1/uploads?preset=plays\ntus-resumable: 1.0.0\nupload-length: {}\nupload-metadata: filename cC5jc3Y=,x\n\n",
        PLAYS.len()
    );
    let requests = [
        ("submit", format!("POST /api/v1/jobs\n\n{PLAYS}")),
        ("spec", again.clone()),
        ("twice", format!("{again}\n%%\n{again}x")),
        ("form", form),
        ("form-spec", form_2),
        (
            "list",
            "GET /api/v1/jobs\n%%\nGET /api/v1/slaves\n%%\nGET /healthz\n%%\nGET /readyz".into(),
        ),
        ("get", format!("GET /api/v1/jobs/{done}\n%%\nGET /api/v1/jobs/{running}")),
        (
            "result",
            format!(
                "GET /api/v1/jobs/{done}/result\nrange: bytes=3-9\n%%\nGET /jobs/{done}/result/\n%%\nGET /api/v1/jobs/{done}/rejects\nrange: bytes=-4\n%%\nHEAD /api/v1/jobs/{done}/result"
            ),
        ),
        (
            "receipt",
            format!(
                "GET /api/v1/jobs/{done}/receipt\n%%\nGET /api/v1/jobs/{done}/input\n%%\nGET /api/v1/jobs/{running}/result"
            ),
        ),
        ("cancel", format!("POST /api/v1/jobs/{running}/cancel")),
        ("delete", format!("DELETE /api/v1/jobs/{done}")),
        (
            "repair",
            format!(
                "POST /api/v1/jobs/{done}/repairs\nidempotency-key: r\n\nSong,Date,Number of Plays\nb,2021-01-31,2\n"
            ),
        ),
        ("tus", format!("{tus}{PLAYS}")),
        ("tus-part", format!("{tus}Song")),
        (
            "tus-on",
            format!(
                "HEAD /api/v1/uploads/{upload}\ntus-resumable: 1.0.0\n%%\nPATCH /api/v1/uploads/{upload}\ntus-resumable: 1.0.0\nupload-offset: 58\ncontent-type: application/offset+octet-stream\n\nc,2021-01-01,5\n"
            ),
        ),
        (
            "tus-sum",
            format!(
                "PATCH /api/v1/uploads/{upload}\ntus-resumable: 1.0.0\nupload-offset: 58\nupload-checksum: sha256 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\ncontent-type: application/offset+octet-stream\n\n"
            ),
        ),
        (
            "tus-end",
            format!(
                "DELETE /api/v1/uploads/{upload}\ntus-resumable: 1.0.0\n%%\nOPTIONS /api/v1/uploads\n%%\nOPTIONS /api/v1/uploads/{upload}"
            ),
        ),
        ("none", "GET /nothing\n%%\nPUT /api/v1/jobs\n%%\nGET /api/v1/jobs/x".into()),
    ];
    for (name, text) in requests {
        put("http", name, text.as_bytes())?;
    }
    Ok(())
}

/// A call of a method with these messages.
fn call(name: &str, method: u8, messages: &[Vec<u8>]) -> std::io::Result<()> {
    let mut data = vec![method];
    for message in messages {
        data.extend_from_slice(&(message.len() as u16).to_le_bytes());
        data.extend_from_slice(message);
    }
    put("grpc", name, &data)
}

fn grpc() -> std::io::Result<()> {
    let [done, running, upload, ..] = MARKERS;
    let spec = Spec::try_from(SpecDraft::plays()).map_err(std::io::Error::other)?;
    let header = v1::SubmitHeader {
        spec: Some(tally_proto::convert::draft_to_wire(spec.draft())),
        name: "p.csv".into(),
        ..Default::default()
    };
    let submit = |header: v1::SubmitHeader| {
        let frame = |frame| v1::SubmitFrame { frame: Some(frame) }.encode_to_vec();
        vec![
            frame(v1::submit_frame::Frame::Header(header)),
            frame(v1::submit_frame::Frame::Data(PLAYS[..20].to_owned().into())),
            frame(v1::submit_frame::Frame::Data(PLAYS[20..].to_owned().into())),
        ]
    };
    call("submit", 0, &submit(header.clone()))?;
    call("submit-key", 0, &submit(v1::SubmitHeader { message_id: "k".into(), ..header.clone() }))?;
    let resume = v1::SubmitHeader {
        resume: Some(v1::Resume { job_id: upload.to_string(), offset: 58 }),
        ..header.clone()
    };
    call("resume", 0, &submit(resume))?;
    let repairs = v1::SubmitHeader { repairs: done.to_string(), ..header };
    call("repair", 0, &submit(repairs))?;
    call("find", 1, &[v1::FindUploadRequest { message_id: "k".into() }.encode_to_vec()])?;
    for (name, method, id) in [
        ("get", 2, done),
        ("get-running", 2, running),
        ("watch", 4, running),
        ("result", 5, done),
        ("rejects", 6, done),
        ("receipt", 7, done),
        ("input", 8, done),
        ("cancel", 9, running),
        ("delete", 10, done),
    ] {
        // The id is the first field of all of these.
        call(name, method, &[v1::GetRequest { job_id: id.to_string() }.encode_to_vec()])?;
    }
    call("list", 3, &[vec![]])?;
    call("slaves", 11, &[vec![]])?;
    slaves(&spec)
}

/// What slaves call.
fn slaves(spec: &Spec) -> std::io::Result<()> {
    let [.., task, session] = MARKERS;
    let bytes = |id: uuid::Uuid| bytes::Bytes::copy_from_slice(id.as_bytes());
    let event = |event| v1::SlaveEvent { event: Some(event) }.encode_to_vec();
    let hello = v1::Hello {
        protocol: Some(v1::ProtocolVersion { major: 1, minor: 0 }),
        slave_id: bytes(MARKERS[0]),
        name: "x".into(),
        workers: 2,
        ..Default::default()
    };
    let failed = v1::TaskFailed { message_id: bytes(task), attempt: 1, error: "no".into() };
    let progress = v1::AttemptProgress { message_id: bytes(task), attempt: 1, bytes: 3 };
    call(
        "join",
        12,
        &[
            event(v1::slave_event::Event::Hello(hello)),
            event(v1::slave_event::Event::Heartbeat(v1::Heartbeat { attempts: vec![progress] })),
            event(v1::slave_event::Event::TaskFailed(failed)),
            event(v1::slave_event::Event::Draining(v1::Draining {})),
        ],
    )?;
    let request = v1::StreamTaskRequest {
        message_id: bytes(task),
        session_id: bytes(session),
        again: true,
        ..Default::default()
    };
    call("task", 13, &[request.encode_to_vec()])?;
    let request = v1::StreamTaskRequest { again: false, compression: 1, ..request };
    call("task-packed", 13, &[request.encode_to_vec()])?;
    let header = RunHeader::of(spec, MessageId::from_uuid(task));
    let totals = TaskTotals { records: 0, bytes: 32, ..TaskTotals::default() };
    let (run, _) = RunWriter::new(Vec::new(), header)?.finish(totals)?;
    let head = v1::PartialHeader {
        message_id: bytes(task),
        attempt: 1,
        session_id: bytes(session),
        bytes: run.len() as u64,
        crc32c: crc32c::crc32c(&run),
        ..Default::default()
    };
    let frame = |frame| v1::PartialFrame { frame: Some(frame) }.encode_to_vec();
    let header = frame(v1::partial_frame::Frame::Header(head));
    let packed = v1::Packed {
        compression: 1,
        plain_bytes: run.len() as u32,
        data: zstd::bulk::compress(&run, 1)?.into(),
    };
    let packed = frame(v1::partial_frame::Frame::Packed(packed));
    call("partial-packed", 14, &[header.clone(), packed])?;
    call("partial", 14, &[header, frame(v1::partial_frame::Frame::Data(run.into()))])
}
