//! The whole way from an input's bytes to its result, however it is cut, and against an oracle.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tally_common::dialect::{Header, read_header};
use tally_common::id::{JobId, MessageId};
use tally_common::reject::Reject;
use tally_common::run::{RunHeader, RunMeta, RunWriter, TaskTotals};
use tally_common::spec::{AggregateOp, KeyKind, Order, Spec, SpecDraft};
use tally_common::value::{format_date, parse_date, parse_integer};
use tally_master::intake::{Cut, Intake, TaskSize};
use tally_master::merge::{MergeInput, MergeOptions, merge_to_csv};
use tally_slave::kernel::{Bounds, Kernel};
use uuid::Uuid;

use crate::{choose, for_csv, pieces};

/// How an input is taken in and counted.
struct Way {
    /// Sizes of the pieces that arrive, in turn.
    arrive: [u8; 2],
    task: TaskSize,
    /// Sizes of the pieces that the kernels are fed.
    feed: [u8; 2],
    bounds: Bounds,
    /// Kernels that share the tasks.
    slaves: usize,
    /// Which run comes first into the merge.
    turn: usize,
}

/// What an input came to.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// The result, or why there is none.
    result: Result<Vec<u8>, String>,
    /// Rejects, with lines and offsets of the input.
    rejects: Vec<Reject>,
    records: u64,
    lines: u64,
}

/// Result and rejects are the same for any size of pieces and tasks (from one byte up), any number
/// of kernels, any bounds of their memory and any order of the runs; and the result is that of the
/// `csv` crate and an ordered map.
pub fn count(mut data: &[u8]) {
    let spec = spec(choose(&mut data));
    let [arrive, feed] = [(); 2].map(|()| [choose(&mut data), choose(&mut data)]);
    let task = TaskSize::AtLeast(u64::from(choose(&mut data)));
    let (slaves, small) = (choose(&mut data), choose(&mut data));
    let way = Way {
        arrive,
        feed,
        task,
        slaves: 1 + usize::from(slaves & 3),
        turn: usize::from(slaves >> 2),
        bounds: bounds(small),
    };
    let found = by(&way, &spec, data);
    let plain = Way {
        arrive: [255; 2],
        feed: [255; 2],
        task: TaskSize::AtLeast(u64::MAX),
        slaves: 1,
        turn: 0,
        bounds: bounds(255),
    };
    let expected = by(&plain, &spec, data);
    assert_eq!(found, expected);
    let Ok(outcome) = expected else { return };
    let header = read_header(data, true, &spec).ok().flatten().expect("it has been read before");
    let oracle = oracle(&spec, &header, &data[header.body as usize..], outcome.rejects.last());
    assert_eq!(oracle.records, outcome.records);
    assert_eq!(oracle.rejects, outcome.rejects.len() as u64);
    match (&oracle.result, &outcome.result) {
        (Some(oracle), Ok(result)) => assert_eq!(
            String::from_utf8_lossy(oracle),
            String::from_utf8_lossy(result),
            "other than the oracle"
        ),
        (None, Err(_)) => {}
        (oracle, result) => panic!("the oracle says {oracle:?}, the result is {result:?}"),
    }
}

fn spec(choice: u8) -> Spec {
    let keys: &[&str] = match choice % 4 {
        0 => &["Song", "Date"],
        1 => &["Song"],
        2 => &["Date", "Song"],
        _ => &["Number of Plays:integer", "Song", "Date:text"],
    };
    let keys: Vec<_> = keys.iter().map(|key| (*key).to_owned()).collect();
    let plays = || "Number of Plays".to_owned();
    let mut columns = vec![(AggregateOp::Sum, plays())];
    if choice & 4 != 0 {
        columns.extend([(AggregateOp::Min, plays()), (AggregateOp::Max, plays())]);
    }
    let count = (choice & 8 != 0).then_some("");
    let draft = SpecDraft::from_short_forms(&keys, &columns, count).expect("the kinds exist");
    let order = if choice & 16 != 0 { Order::FirstSeen } else { Order::Sorted };
    Spec::try_from(SpecDraft { order, ..draft }).expect("a valid spec")
}

fn bounds(choice: u8) -> Bounds {
    let small = usize::from(choice);
    // The usual bounds would be allocated anew each time.
    let usual = Bounds { dense_bytes: 1 << 16, log_bytes: 1 << 16, ..Bounds::default() };
    if choice >= 128 {
        return usual;
    }
    Bounds {
        window_bytes: 1 + small,
        batch_rows: 1 + small % 8,
        dense_bytes: small * 64,
        dense_heads: 1 + small % 4,
        log_bytes: small * 48,
        dictionary_bytes: small * 64,
        dictionary_keys: 1 + small,
        row_bytes: small * 64,
    }
}

fn by(way: &Way, spec: &Spec, data: &[u8]) -> Result<Outcome, String> {
    let (mut intake, mut cuts) = (Intake::new(spec, way.task), Vec::new());
    for piece in pieces(data, way.arrive) {
        intake.push(piece, &mut cuts).map_err(|error| error.to_string())?;
    }
    let taken = intake.finish(&mut cuts).map_err(|error| error.to_string())?;
    assert_eq!((taken.bytes, taken.crc32c), (data.len() as u64, crc32c::crc32c(data)));
    let (header, _) = intake.header().expect("a finished input has a header");
    let (mut at, mut lines) = (header.body, header.lines);
    let (mut rejects, mut records, mut inputs) = (Vec::new(), 0, Vec::new());
    let mut kernels: Vec<_> =
        (0..way.slaves).map(|_| Kernel::with_bounds(spec, way.bounds.clone())).collect();
    for (number, cut) in (0u32..).zip(&cuts) {
        assert_eq!(cut.offset, at, "tasks lie side by side");
        let kernel = &mut kernels[number as usize % way.slaves];
        let (run, totals) = count_task(kernel, spec, header, (number, cut), data, way.feed);
        let meta = RunMeta::read(&run).expect("what was written can be read");
        assert_eq!(*meta.totals(), totals);
        for reject in meta.rejects(&run) {
            let reject = reject.expect("what was written can be read");
            rejects.push(Reject {
                line: lines + reject.line,
                offset: cut.offset + reject.offset,
                ..reject
            });
        }
        records += totals.records;
        lines += totals.lines;
        at += cut.len;
        inputs.push(MergeInput { run: Arc::new(run), meta: Arc::new(meta) });
    }
    assert_eq!(at, data.len() as u64, "tasks cover the input");
    if !inputs.is_empty() {
        let turn = way.turn % inputs.len();
        inputs.rotate_left(turn);
    }
    let (scratch_dir, cancelled) = (std::env::temp_dir(), AtomicBool::new(false));
    let options = MergeOptions { threads: 1, cancelled: &cancelled, scratch_dir: &scratch_dir };
    let mut out = Vec::new();
    let merged = merge_to_csv(spec, &inputs, &mut out, &options);
    let result = merged.map(|_| out).map_err(|error| error.to_string());
    Ok(Outcome { result, rejects, records, lines })
}

fn count_task(
    kernel: &mut Kernel,
    spec: &Spec,
    header: &Header,
    (number, cut): (u32, &Cut),
    data: &[u8],
    feed: [u8; 2],
) -> (Vec<u8>, TaskTotals) {
    let bytes = &data[cut.offset as usize..(cut.offset + cut.len) as usize];
    assert_eq!(crc32c::crc32c(bytes), cut.crc32c);
    let id = MessageId::of_task(JobId::from_uuid(Uuid::nil()), number);
    let mut run = RunWriter::new(Vec::new(), RunHeader::of(spec, id)).expect("a Vec takes all");
    kernel.begin(number, &header.layout).expect("the layout is the spec's");
    for piece in pieces(bytes, feed) {
        kernel.feed(piece, &mut run).expect("a Vec takes all");
    }
    let totals = kernel.finish(&mut run).expect("a Vec takes all");
    assert_eq!(totals.bytes, cut.len);
    let (run, _) = run.finish(totals).expect("a Vec takes all");
    (run, totals)
}

/// What the oracle says of an input.
struct Told {
    /// `None` where a total does not fit.
    result: Option<Vec<u8>>,
    records: u64,
    rejects: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Integer(i64),
    Date(i32),
    Text(Vec<u8>),
}

/// The aggregates of one group: its values and how many.
type Values = (Vec<i128>, i128);

/// Reads with the `csv` crate, which says nothing of a quote that is never closed: whether the last
/// record has one, `last` tells.
fn oracle(spec: &Spec, header: &Header, body: &[u8], last: Option<&Reject>) -> Told {
    let bytes = for_csv(body);
    let mut reader = csv::ReaderBuilder::new();
    reader.has_headers(false).flexible(true).delimiter(header.layout.delimiter.byte());
    let records: Vec<_> = reader
        .from_reader(&bytes[..])
        .into_byte_records()
        .map(|record| record.expect("memory"))
        .collect();
    let open = last.is_some_and(|last| {
        last.reason == tally_common::reject::RejectReason::UnterminatedQuote
            && last.offset + u64::from(last.len) == header.body + body.len() as u64
    });
    let (mut groups, mut first) = (BTreeMap::<Vec<Part>, Values>::new(), BTreeMap::new());
    let mut rejects = 0;
    for (i, record) in records.iter().enumerate() {
        let key = match open && i + 1 == records.len() {
            true => None,
            false => group(spec, header, record),
        };
        let Some((key, value)) = key else {
            rejects += 1;
            continue;
        };
        let next = first.len();
        first.entry(key[0].clone()).or_insert(next);
        let known = groups.entry(key).or_insert_with(|| (vec![0, value.into(), value.into()], 0));
        known.0[0] += i128::from(value);
        known.0[1] = known.0[1].min(value.into());
        known.0[2] = known.0[2].max(value.into());
        known.1 += 1;
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    if spec.order() == Order::FirstSeen {
        groups.sort_by_key(|(key, _)| first[&key[0]]);
    }
    Told { result: write(spec, &groups), records: records.len() as u64, rejects }
}

/// The key and the value of a record; `None` where it can not be counted.
fn group(spec: &Spec, header: &Header, record: &csv::ByteRecord) -> Option<(Vec<Part>, i64)> {
    if record.len() != header.layout.fields as usize {
        return None;
    }
    let keys = spec.group_by().iter().zip(&header.layout.keys);
    let key = keys.map(|(key, column)| {
        let field = &record[*column as usize];
        Some(match key.kind {
            KeyKind::Integer => Part::Integer(parse_integer(field).ok()?),
            KeyKind::Date => Part::Date(parse_date(field).ok()?),
            KeyKind::Text => Part::Text(std::str::from_utf8(field).ok()?.into()),
        })
    });
    let key = key.collect::<Option<Vec<_>>>()?;
    let plays = header.layout.values.iter().flatten().next().expect("every spec has a sum");
    Some((key, parse_integer(&record[*plays as usize]).ok()?))
}

fn write(spec: &Spec, groups: &[(Vec<Part>, Values)]) -> Option<Vec<u8>> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(spec.output_names()).expect("a Vec takes all");
    for (key, (values, count)) in groups {
        for part in key {
            match part {
                Part::Integer(integer) => out.write_field(integer.to_string()),
                Part::Date(days) => out.write_field(format_date(*days)),
                Part::Text(text) => out.write_field(text),
            }
            .expect("a Vec takes all");
        }
        for aggregate in spec.aggregates() {
            let value = match aggregate.op {
                AggregateOp::Sum => values[0],
                AggregateOp::Min => values[1],
                AggregateOp::Max => values[2],
                AggregateOp::Count => *count,
            };
            let value = i64::try_from(value).ok()?;
            out.write_field(value.to_string()).expect("a Vec takes all");
        }
        out.write_record(None::<&[u8]>).expect("a Vec takes all");
    }
    Some(out.into_inner().expect("a Vec takes all"))
}
