//! The kernel against an oracle that knows neither windows nor batches nor 64 bits: the `csv` crate
//! and a map.

use std::collections::BTreeMap;
use std::io;

use proptest::prelude::*;
use tally_common::combine::{Aggregates, Combine};
use tally_common::dialect::{Delimiter, Layout};
use tally_common::key::{TailKind, encode_integer, encode_text};
use tally_common::reject::{Reject, RejectReason};
use tally_common::run::{GroupSink, TaskTotals};
use tally_common::spec::{Aggregate, AggregateOp, KeyColumn, KeyKind, Order, Spec, SpecDraft};
use tally_common::value::{parse_date, parse_integer};

use super::{Bounds, Kernel, KernelError};

/// A tail that is owned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tail {
    Ordinal(i64),
    Bytes(Vec<u8>),
}

type GroupKey = (Vec<u8>, Tail);
type GroupMap = BTreeMap<GroupKey, Vec<i128>>;

/// What a task came to.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    groups: GroupMap,
    first: BTreeMap<Vec<u8>, u64>,
    rejects: Vec<Reject>,
    totals: TaskTotals,
}

/// Combines the segments, and checks that each is in order.
struct Collector {
    aggregates: Aggregates,
    outcome: Outcome,
    head: Option<Vec<u8>>,
    tail: Option<Tail>,
    segments: usize,
}

impl Collector {
    fn new(spec: &Spec) -> Self {
        let aggregates = Aggregates::of(spec);
        Self { aggregates, outcome: Outcome::default(), head: None, tail: None, segments: 0 }
    }

    fn push(&mut self, tail: Tail, values: &[i128]) {
        assert!(self.tail.as_ref() < Some(&tail), "tails ascend");
        assert_eq!(values.len(), self.aggregates.ops().len());
        self.tail = Some(tail.clone());
        let key = (self.head.clone().expect("a head comes first"), tail);
        match self.outcome.groups.entry(key) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(values.to_vec());
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                self.aggregates.combine(entry.get_mut(), values);
            }
        }
    }
}

impl GroupSink for Collector {
    fn start_head(&mut self, head: &[u8], first: u64) -> io::Result<()> {
        assert!(self.head.is_none() || self.tail.is_some(), "no head is without groups");
        assert!(self.head.as_deref() < Some(head), "heads ascend");
        self.head = Some(head.to_vec());
        self.tail = None;
        let known = self.outcome.first.entry(head.to_vec()).or_insert(first);
        *known = first.min(*known);
        Ok(())
    }

    fn push_ordinal(&mut self, tail: i64, values: &[i128]) -> io::Result<()> {
        self.push(Tail::Ordinal(tail), values);
        Ok(())
    }

    fn push_bytes(&mut self, tail: &[u8], values: &[i128]) -> io::Result<()> {
        self.push(Tail::Bytes(tail.to_vec()), values);
        Ok(())
    }

    fn end_segment(&mut self) -> io::Result<()> {
        assert!(self.tail.is_some(), "no segment is empty");
        self.segments += 1;
        self.head = None;
        self.tail = None;
        Ok(())
    }

    fn reject(&mut self, reject: Reject) -> io::Result<()> {
        self.outcome.rejects.push(reject);
        Ok(())
    }
}

/// A record's place: start, end without its terminator, line, whether a quote is open at its end.
pub(super) struct Place {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) line: u64,
    pub(super) open: bool,
}

/// Finds records in the dullest way.
pub(super) fn places(input: &[u8], delimiter: u8) -> (Vec<Place>, u64) {
    let (mut places, mut line, mut start, mut start_line) = (Vec::new(), 0, 0, 0);
    let (mut quoted, mut field_start, mut at) = (false, true, 0);
    while at < input.len() {
        let byte = input[at];
        let crlf = byte == b'\r' && input.get(at + 1) == Some(&b'\n');
        let len = if crlf { 2 } else { 1 };
        let breaks = byte == b'\n' || byte == b'\r';
        line += u64::from(breaks);
        if quoted {
            if byte == b'"' && input.get(at + 1) == Some(&b'"') {
                at += 2;
                continue;
            }
            quoted = byte != b'"';
        } else if breaks {
            places.push(Place { start, end: at, line: start_line, open: false });
            (start, start_line, field_start) = (at + len, line, true);
            at += len;
            continue;
        } else {
            quoted = field_start && byte == b'"';
            field_start = byte == delimiter;
        }
        at += len;
    }
    if start < input.len() {
        places.push(Place { start, end: input.len(), line: start_line, open: quoted });
    }
    (places, line)
}

pub(super) fn fields_of(record: &[u8], delimiter: u8) -> Vec<Vec<u8>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(record);
    let mut records = reader.byte_records();
    let fields = records.next().unwrap().unwrap().iter().map(<[u8]>::to_vec).collect();
    assert!(records.next().is_none());
    fields
}

/// The key of a record, and its values, or which column is wrong.
fn group(
    spec: &Spec,
    layout: &Layout,
    fields: &[Vec<u8>],
) -> Result<(GroupKey, Vec<i128>), (u32, RejectReason)> {
    let mut encoded = Vec::new();
    for (key, &column) in spec.group_by().iter().zip(&layout.keys) {
        let field = &fields[column as usize];
        let at = |reason| (column, reason);
        encoded.push(match key.kind {
            KeyKind::Text => {
                String::from_utf8(field.clone()).map_err(|_| at(RejectReason::InvalidUtf8))?;
                field.clone()
            }
            KeyKind::Integer => encode_integer(parse_integer(field).map_err(at)?).to_vec(),
            KeyKind::Date => encode_integer(parse_date(field).map_err(at)?.into()).to_vec(),
        });
    }
    let mut values = Vec::new();
    for column in &layout.values {
        values.push(match column {
            None => 1,
            Some(column) => {
                let value = parse_integer(&fields[*column as usize]);
                i128::from(value.map_err(|reason| (*column, reason))?)
            }
        });
    }
    let tail = match TailKind::of(spec) {
        TailKind::None => Tail::Ordinal(0),
        TailKind::Date => Tail::Ordinal(tally_common::key::decode_integer(&encoded[1]).unwrap()),
        TailKind::Bytes => {
            let mut tail = Vec::new();
            for (i, value) in encoded.iter().enumerate().skip(1) {
                let text = spec.group_by()[i].kind == KeyKind::Text;
                if text && i + 1 < encoded.len() {
                    encode_text(value, &mut tail);
                } else {
                    tail.extend_from_slice(value);
                }
            }
            Tail::Bytes(tail)
        }
    };
    Ok(((encoded.swap_remove(0), tail), values))
}

fn oracle(spec: &Spec, layout: &Layout, number: u32, input: &[u8]) -> Outcome {
    let (delimiter, aggregates) = (layout.delimiter.byte(), Aggregates::of(spec));
    let mut outcome = Outcome::default();
    let (places, lines) = places(input, delimiter);
    outcome.totals.lines = lines;
    outcome.totals.bytes = input.len() as u64;
    for place in places {
        let record = &input[place.start..place.end];
        if record.is_empty() {
            outcome.totals.blank_lines += 1;
            continue;
        }
        outcome.totals.records += 1;
        let fields = fields_of(record, delimiter);
        let found = fields.len() as u32;
        let counted = if place.open {
            Err((found - 1, RejectReason::UnterminatedQuote))
        } else if found != layout.fields {
            Err((found, RejectReason::FieldCount))
        } else {
            group(spec, layout, &fields)
        };
        match counted {
            Err((column, reason)) => {
                let (offset, len) = (place.start as u64, record.len() as u32);
                outcome.rejects.push(Reject { line: place.line, offset, len, column, reason });
            }
            Ok((key, values)) => {
                let position = u64::from(number) << 32 | place.start as u64;
                let first = if spec.order() == Order::FirstSeen { position } else { 0 };
                outcome.first.entry(key.0.clone()).or_insert(first);
                match outcome.groups.get_mut(&key) {
                    Some(known) => aggregates.combine(known, &values),
                    None => {
                        outcome.groups.insert(key, values);
                    }
                }
            }
        }
    }
    outcome.totals.rejects = outcome.rejects.len() as u64;
    outcome
}

fn run(
    kernel: &mut Kernel,
    spec: &Spec,
    layout: &Layout,
    (number, input): (u32, &[u8]),
    pieces: &[usize],
) -> (Outcome, usize) {
    let mut sink = Collector::new(spec);
    kernel.begin(number, layout).unwrap();
    let (mut rest, mut pieces) = (input, pieces.iter().cycle());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(*pieces.next().unwrap()));
        kernel.feed(piece, &mut sink).unwrap();
        rest = after;
    }
    sink.outcome.totals = kernel.finish(&mut sink).unwrap();
    assert!(sink.head.is_none(), "the last segment is ended");
    (sink.outcome, sink.segments)
}

fn key_kind() -> impl Strategy<Value = KeyKind> {
    prop_oneof![Just(KeyKind::Text), Just(KeyKind::Integer), Just(KeyKind::Date)]
}

fn op() -> impl Strategy<Value = AggregateOp> {
    prop_oneof![
        Just(AggregateOp::Sum),
        Just(AggregateOp::Count),
        Just(AggregateOp::Min),
        Just(AggregateOp::Max),
    ]
}

/// A spec over columns `c0..`, the columns of its keys coming first, and its layout.
fn job() -> impl Strategy<Value = (Spec, Layout)> {
    let keys = prop::collection::vec(key_kind(), 1..=4);
    let aggregates = prop::collection::vec((op(), 0u32..3), 1..=4);
    let order = prop_oneof![Just(Order::Sorted), Just(Order::FirstSeen)];
    let delimiter = prop::sample::select(Delimiter::ALL.to_vec());
    (keys, aggregates, order, delimiter, 0u32..=1).prop_map(
        |(keys, aggs, order, delimiter, more)| {
            let count = keys.len() as u32;
            let values: Vec<Option<u32>> = aggs
                .iter()
                .map(|(op, column)| (*op != AggregateOp::Count).then_some(count + column))
                .collect();
            let widest = values.iter().flatten().max().map_or(count, |&column| column + 1);
            let draft = SpecDraft {
                group_by: (0..)
                    .zip(&keys)
                    .map(|(i, &kind)| KeyColumn { name: format!("c{i}"), kind })
                    .collect(),
                aggregates: aggs
                    .iter()
                    .zip(&values)
                    .enumerate()
                    .map(|(i, ((op, _), column))| Aggregate {
                        op: *op,
                        column: column.map(|column| format!("c{column}")),
                        name: format!("a{i}"),
                    })
                    .collect(),
                order,
                ..SpecDraft::default()
            };
            // Keys stand in the input in the reverse of the spec's order.
            let keys = (0..count).rev().collect();
            (
                Spec::try_from(draft).unwrap(),
                Layout { delimiter, fields: widest + more, keys, values, rows: Vec::new() },
            )
        },
    )
}

const INVALID: &[&[u8]] = &[b"\xff", b"a\xc3", b"\"\xc3\"", b"\xc3\xa4"];

fn text_field() -> impl Strategy<Value = Vec<u8>> {
    let raw = prop_oneof![
        8 => "[ab]{0,2}",
        2 => "[a-c]{7,9}",
        2 => "a common beginning that is long [ab]{0,2}",
        1 => "[\0a]{1,3}",
    ];
    prop_oneof![
        10 => raw.prop_map(String::into_bytes),
        3 => "\"([ab,;\t|]|\"\"|\n|\r\n|\r){0,3}\"[ab\"]{0,1}".prop_map(String::into_bytes),
        1 => "a\"b?".prop_map(String::into_bytes),
        1 => prop::sample::select(INVALID).prop_map(<[u8]>::to_vec),
    ]
}

const STRANGE: &[&str] = &["", "x", "1.5", " 7", "+3", "\"1\"\"\"", "\"1\"2"];

fn integer_field() -> impl Strategy<Value = Vec<u8>> {
    const EXTREMES: &[&str] =
        &["9223372036854775807", "-9223372036854775808", "9223372036854775808"];
    prop_oneof![
        12 => "[0-9]{1,2}",
        4 => "-?[0-9]{1,9}",
        2 => "\"[0-9]{1,3}\"",
        3 => prop::sample::select(EXTREMES).prop_map(str::to_owned),
        1 => prop::sample::select(STRANGE)
            .prop_map(str::to_owned),
    ]
    .prop_map(String::into_bytes)
}

fn date_field() -> impl Strategy<Value = Vec<u8>> {
    const ODD: &[&str] =
        &["2021-02-29", "1-1-1", "", "\"2021-01-05\"", " 2021-01-06", "9999-12-31", "0000-01-01"];
    prop_oneof![
        10 => "2021-0[1-3]-[0-2][1-8]",
        2 => "20[0-9]{2}-06-10",
        1 => prop::sample::select(ODD).prop_map(str::to_owned),
    ]
    .prop_map(String::into_bytes)
}

/// Input for a job: mostly records of the right form.
fn input(spec: &Spec, layout: &Layout) -> impl Strategy<Value = Vec<u8>> + use<> {
    let columns: Vec<BoxedStrategy<Vec<u8>>> = (0..layout.fields)
        .map(|column| {
            let kind = layout.keys.iter().position(|&key| key == column);
            match kind.map(|key| spec.group_by()[key].kind) {
                Some(KeyKind::Text) => text_field().boxed(),
                Some(KeyKind::Date) => date_field().boxed(),
                Some(KeyKind::Integer) | None => integer_field().boxed(),
            }
        })
        .collect();
    let delimiter = layout.delimiter.byte();
    let record = (columns, 0u8..40).prop_map(move |(mut fields, shape)| {
        match shape {
            0 => fields.push(b"1".to_vec()),
            1 => fields.truncate(1),
            2 => fields.insert(0, b"\"open".to_vec()),
            3 => fields.clear(),
            _ => {}
        }
        fields.join(&delimiter)
    });
    let end = prop_oneof![8 => Just("\n"), 3 => Just("\r\n"), 1 => Just("\r"), 1 => Just("\n\r\n")];
    let records = prop::collection::vec((record, end), 0..60);
    (records, any::<bool>()).prop_map(|(records, ended)| {
        let mut input = Vec::new();
        let count = records.len();
        for (i, (record, end)) in records.into_iter().enumerate() {
            input.extend_from_slice(&record);
            if ended || i + 1 < count {
                input.extend_from_slice(end.as_bytes());
            }
        }
        input
    })
}

/// Bounds so tight that everything spills.
fn bounds() -> impl Strategy<Value = Bounds> {
    (1usize..200, 1usize..8, 0usize..40, 1usize..4, 0usize..300, 1usize..40).prop_map(
        |(window_bytes, batch_rows, cells, dense_heads, log_bytes, keys)| Bounds {
            window_bytes,
            batch_rows,
            dense_bytes: cells * 16,
            dense_heads,
            log_bytes,
            dictionary_bytes: 1 << 20,
            dictionary_keys: keys,
            ..Bounds::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]
    #[test]
    fn agrees_with_the_oracle(
        ((spec, layout), tasks) in job().prop_flat_map(|(spec, layout)| {
            let inputs = prop::collection::vec(input(&spec, &layout), 1..4);
            (Just((spec, layout)), inputs)
        }),
        bounds in prop_oneof![Just(Bounds::default()), bounds()],
        pieces in prop::collection::vec(prop_oneof![Just(1usize), 1usize..9, 1usize..3000], 1..4),
    ) {
        let mut kernel = Kernel::with_bounds(&spec, bounds);
        for (number, input) in (0..).zip(&tasks) {
            let expected = oracle(&spec, &layout, number, input);
            let (found, _) = run(&mut kernel, &spec, &layout, (number, input), &pieces);
            prop_assert_eq!(&found, &expected, "{:?}", String::from_utf8_lossy(input));
        }
    }
}

fn plays() -> (Spec, Layout) {
    let layout = Layout {
        delimiter: Delimiter::Comma,
        fields: 3,
        keys: vec![0, 1],
        values: vec![Some(2)],
        rows: Vec::new(),
    };
    (SpecDraft::plays().try_into().unwrap(), layout)
}

/// Rows by a small generator: `heads` songs, `days` days in a year or as they come.
fn rows(count: u32, heads: u32, days: u32, in_order: bool) -> Vec<u8> {
    let mut state = 1u64;
    let mut input = String::new();
    for i in 0..count {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let head = (state >> 33) as u32 % heads;
        let day = if in_order {
            (i / (count / days).max(1)) as i32
        } else {
            (state >> 20) as i32 % days as i32
        };
        let date = tally_common::value::format_date(18_000 + day.abs());
        let date = std::str::from_utf8(&date).unwrap();
        input.push_str(&format!("song {head} title,{date},{}\n", state >> 50));
    }
    input.into_bytes()
}

#[test]
fn shapes_of_input_that_cells_have_to_follow() {
    let (spec, layout) = plays();
    let tight = Bounds {
        window_bytes: 4096,
        dense_bytes: 1 << 20,
        dense_heads: 16,
        log_bytes: 200_000,
        dictionary_keys: 15_000,
        ..Bounds::default()
    };
    for (heads, days, in_order) in [
        (50, 300, false),
        (50, 3000, true),
        (20_000, 20, false),
        (3, 20_000, true),
        (2000, 9, true),
    ] {
        let input = rows(60_000, heads, days, in_order);
        let expected = oracle(&spec, &layout, 7, &input);
        for bounds in [Bounds::default(), tight.clone()] {
            let mut kernel = Kernel::with_bounds(&spec, bounds);
            // The second time around, the kernel knows the keys and has its cells.
            for _ in 0..2 {
                let (found, _) = run(&mut kernel, &spec, &layout, (7, &input), &[1 << 16]);
                assert!(found == expected, "{heads} {days} {in_order}");
            }
        }
    }
}

#[test]
fn sums_beyond_64_bits_are_exact() {
    let (spec, layout) = plays();
    let line = format!("a,2021-01-01,{}\nb,2021-01-01,{}\n", i64::MAX, i64::MIN);
    let input = line.repeat(1000);
    let (found, segments) =
        run(&mut Kernel::new(&spec), &spec, &layout, (0, input.as_bytes()), &[77]);
    let totals: Vec<i128> = found.groups.values().map(|values| values[0]).collect();
    assert_eq!(totals, [i128::from(i64::MAX) * 1000, i128::from(i64::MIN) * 1000]);
    assert_eq!(segments, 1);
}

#[test]
fn a_record_that_is_too_long_ends_the_task_but_not_the_kernel() {
    let (spec, layout) = plays();
    let mut kernel = Kernel::new(&spec);
    let max = tally_common::limits::MAX_RECORD_BYTES;
    for (title, fits) in [(max - 13, true), (max - 12, false)] {
        let record = [&b"b,2021-01-01,1\n"[..], &vec![b'a'; title], b",2021-01-01,1\r\n"].concat();
        for piece in [1 << 20, usize::MAX] {
            let mut sink = Collector::new(&spec);
            kernel.begin(0, &layout).unwrap();
            let fed = record.chunks(piece).try_for_each(|piece| kernel.feed(piece, &mut sink));
            match fed.and_then(|()| kernel.finish(&mut sink)) {
                Ok(totals) => {
                    assert!(fits);
                    assert_eq!(totals.records, 2);
                }
                Err(KernelError::RecordTooLong { offset }) => {
                    assert!(!fits);
                    assert_eq!(offset, 15);
                    assert!(matches!(kernel.feed(b"x", &mut sink), Err(KernelError::NoTask)));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    let (found, _) = run(&mut kernel, &spec, &layout, (0, b"a,2021-01-01,1"), &[5]);
    assert_eq!(found.totals.records, 1);
}

/// Fails at the n-th group.
struct Failing(Collector, usize);

impl GroupSink for Failing {
    fn start_head(&mut self, head: &[u8], first: u64) -> io::Result<()> {
        self.0.start_head(head, first)
    }

    fn push_ordinal(&mut self, tail: i64, values: &[i128]) -> io::Result<()> {
        self.1 = self.1.checked_sub(1).ok_or_else(|| io::Error::other("full"))?;
        self.0.push_ordinal(tail, values)
    }

    fn push_bytes(&mut self, tail: &[u8], values: &[i128]) -> io::Result<()> {
        self.0.push_bytes(tail, values)
    }

    fn end_segment(&mut self) -> io::Result<()> {
        self.0.end_segment()
    }

    fn reject(&mut self, reject: Reject) -> io::Result<()> {
        self.0.reject(reject)
    }
}

#[test]
fn nothing_of_a_task_that_failed_is_left_in_the_next() {
    let (spec, layout) = plays();
    let input = rows(5000, 300, 50, false);
    let expected = oracle(&spec, &layout, 0, &input);
    let mut kernel = Kernel::new(&spec);
    for at in [0, 1, 700] {
        kernel.begin(0, &layout).unwrap();
        let mut sink = Failing(Collector::new(&spec), at);
        kernel.feed(&input, &mut sink).unwrap();
        assert!(matches!(kernel.finish(&mut sink), Err(KernelError::Sink(_))));
        let (found, _) = run(&mut kernel, &spec, &layout, (0, &input), &[1 << 20]);
        assert!(found == expected);
    }
}

#[test]
fn a_layout_of_another_spec_is_refused() {
    let (spec, layout) = plays();
    let mut kernel = Kernel::new(&spec);
    for wrong in [
        Layout { keys: vec![0], ..layout.clone() },
        Layout { values: vec![None], ..layout.clone() },
        Layout { keys: vec![0, 3], ..layout.clone() },
        Layout { fields: 0, ..layout },
    ] {
        assert!(matches!(kernel.begin(0, &wrong), Err(KernelError::BadLayout)));
    }
}
