//! Rows against an oracle: the `csv` crate, the values as operations take them, and a map.

use std::collections::BTreeMap;
use std::io;

use proptest::prelude::*;
use tally_common::dialect::{Delimiter, Layout};
use tally_common::reject::{Reject, RejectReason};
use tally_common::run::{GroupSink, TaskTotals};
use tally_common::spec::{KeyKind, Spec, SpecDraft};
use tally_common::table::{Key, Row, RowTail, Table, TableColumn, TableDraft, Value, read_row};

use crate::kernel::tests::{fields_of, places};
use crate::kernel::{Bounds, Kernel};

/// The number of the task in all tests.
const NUMBER: u32 = 3;

/// What a task came to: for each key its last row, where it stood, and how many there were.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    rows: BTreeMap<Key, (u64, Row, i128)>,
    rejects: Vec<Reject>,
    totals: TaskTotals,
}

/// Takes rows as whoever merges does, and checks that each segment is in order.
struct Collector<'a> {
    table: &'a Table,
    spec: &'a Spec,
    outcome: Outcome,
    head: Option<Vec<u8>>,
    tail: Vec<u8>,
    segments: usize,
}

impl GroupSink for Collector<'_> {
    fn start_head(&mut self, head: &[u8], first: u64) -> io::Result<()> {
        assert!(self.head.as_deref() < Some(head), "heads ascend");
        assert_eq!(first, 0);
        self.head = Some(head.to_vec());
        self.tail.clear();
        Ok(())
    }

    fn push_ordinal(&mut self, _: i64, _: &[i128]) -> io::Result<()> {
        panic!("tails of rows are bytes");
    }

    fn push_bytes(&mut self, bytes: &[u8], values: &[i128]) -> io::Result<()> {
        assert!(self.tail[..] < *bytes, "tails ascend");
        self.tail = bytes.to_vec();
        let others = &self.spec.group_by()[1..];
        let tail = RowTail::split(others, bytes, &mut Vec::new()).unwrap();
        let row = read_row(self.spec.rows().unwrap(), tail.row).unwrap();
        let key = self.table.key_of(&row);
        let (mut head, mut rest) = (Vec::new(), Vec::new());
        assert!(RowTail::put_head(&key.0[0], &mut head));
        assert!(key.0[1..].iter().all(|value| RowTail::put_key(value, &mut rest)));
        assert_eq!((self.head.as_ref(), tail.key), (Some(&head), &rest[..]));
        let new = (tail.position, row, values[0]);
        self.outcome
            .rows
            .entry(key)
            .and_modify(|known| {
                let count = known.2 + new.2;
                *known = (
                    known.clone().0.max(new.0),
                    if new.0 > known.0 { new.1.clone() } else { known.1.clone() },
                    count,
                );
            })
            .or_insert(new);
        Ok(())
    }

    fn end_segment(&mut self) -> io::Result<()> {
        assert!(self.head.take().is_some(), "no segment is empty");
        self.segments += 1;
        Ok(())
    }

    fn reject(&mut self, reject: Reject) -> io::Result<()> {
        self.outcome.rejects.push(reject);
        Ok(())
    }
}

/// The row of a record, or which column is wrong.
fn row(table: &Table, layout: &Layout, fields: &[Vec<u8>]) -> Result<Row, (u32, RejectReason)> {
    let value = |at: usize| match layout.rows[at] {
        None => Ok(Value::Null),
        Some(column) => {
            let (definition, field) = (&table.columns()[at], &fields[column as usize]);
            if definition.is_key && field.is_empty() {
                return Err((column, RejectReason::EmptyKey));
            }
            Value::from_field(definition, field).map_err(|reason| (column, reason))
        }
    };
    for &at in table.key() {
        value(at)?;
    }
    (0..table.columns().len()).map(value).collect()
}

fn oracle(table: &Table, layout: &Layout, input: &[u8]) -> Outcome {
    let delimiter = layout.delimiter.byte();
    let mut outcome = Outcome::default();
    let (places, lines) = places(input, delimiter);
    (outcome.totals.lines, outcome.totals.bytes) = (lines, input.len() as u64);
    for place in places {
        let record = &input[place.start..place.end];
        if record.is_empty() {
            outcome.totals.blank_lines += 1;
            continue;
        }
        outcome.totals.records += 1;
        let fields = fields_of(record, delimiter);
        let found = fields.len() as u32;
        let kept = if place.open {
            Err((found - 1, RejectReason::UnterminatedQuote))
        } else if found != layout.fields {
            Err((found, RejectReason::FieldCount))
        } else {
            row(table, layout, &fields)
        };
        match kept {
            Err((column, reason)) => {
                let (offset, len) = (place.start as u64, record.len() as u32);
                outcome.rejects.push(Reject { line: place.line, offset, len, column, reason });
            }
            Ok(row) => {
                let position = u64::from(NUMBER) << 32 | place.start as u64;
                let key = table.key_of(&row);
                let count = outcome.rows.get(&key).map_or(0, |known| known.2) + 1;
                outcome.rows.insert(key, (position, row, count));
            }
        }
    }
    outcome.totals.rejects = outcome.rejects.len() as u64;
    outcome
}

fn run(
    kernel: &mut Kernel,
    (table, spec, layout): (&Table, &Spec, &Layout),
    input: &[u8],
    pieces: &[usize],
) -> (Outcome, usize) {
    let (outcome, tail) = (Outcome::default(), Vec::new());
    let mut sink = Collector { table, spec, outcome, head: None, tail, segments: 0 };
    kernel.begin(NUMBER, layout).unwrap();
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

fn spec_of(table: &Table) -> Spec {
    Spec::try_from(SpecDraft::of_table(table)).unwrap()
}

/// A table of some columns, and an input's layout for it: columns in reverse, perhaps one more, and perhaps
/// one that can be null is missing.
fn job() -> impl Strategy<Value = (Table, Spec, Layout)> {
    let kind = prop_oneof![2 => Just(KeyKind::Text), 1 => Just(KeyKind::Integer), 1 => Just(KeyKind::Date)];
    let columns = prop::collection::vec((kind, any::<bool>()), 1..=5);
    let delimiter = prop::sample::select(Delimiter::ALL.to_vec());
    (columns, 1usize..=3, delimiter, 0u32..=1, any::<bool>()).prop_map(
        |(columns, keys, delimiter, more, lacks)| {
            let keys = keys.min(columns.len());
            let name = |i: usize| format!("c{i}");
            let columns: Vec<_> = columns
                .iter()
                .enumerate()
                .map(|(i, (kind, nullable))| {
                    let nullable = *nullable && i >= keys;
                    TableColumn { nullable, ..TableColumn::new(&name(i), *kind) }
                })
                .collect();
            // The key's order is not that of the columns.
            let key = (0..keys).rev().map(name).collect();
            let (count, draft) = (columns.len() as u32, (String::from("t"), Vec::new()));
            let lacking = lacks && columns[count as usize - 1].nullable;
            let (name, aggregates) = draft;
            let table = Table::try_from(TableDraft { name, key, columns, aggregates }).unwrap();
            let fields = count + more;
            let place = |at: usize| fields - 1 - at as u32;
            let rows = (0..count as usize)
                .map(|at| (!(lacking && at + 1 == count as usize)).then(|| place(at)))
                .collect();
            let keys = table.key().iter().map(|&at| place(at)).collect();
            let (spec, values) = (spec_of(&table), vec![None]);
            (table, spec, Layout { delimiter, fields, keys, values, rows })
        },
    )
}

fn field() -> impl Strategy<Value = Vec<u8>> {
    let text = |text: &str| Just(text.as_bytes().to_vec());
    prop_oneof![
        6 => "[ab]{0,2}".prop_map(String::into_bytes),
        4 => "[0-9]{1,3}".prop_map(String::into_bytes),
        4 => "2020-01-0[1-3]".prop_map(String::into_bytes),
        1 => "a common beginning [ab]".prop_map(String::into_bytes),
        1 => text("\"a\"\"b\""),
        1 => text("\"\""),
        1 => text("\"a\nb\""),
        1 => text(" 7 "),
        1 => text("a\0"),
        1 => text("\u{e9}"),
        1 => Just(b"\xff".to_vec()),
        1 => Just(vec![b'x'; 641]),
    ]
}

fn input(layout: &Layout) -> impl Strategy<Value = Vec<u8>> + use<> {
    let (fields, delimiter) = (layout.fields as usize, layout.delimiter.byte());
    let good = prop::collection::vec(field(), fields..=fields);
    let ragged = prop::collection::vec(field(), 1..=4);
    let record = prop_oneof![12 => good, 1 => ragged];
    let end = prop_oneof![4 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\n\n"), 1 => Just("\r")];
    let last = prop_oneof![6 => Just(""), 1 => Just("\""), 1 => Just("a")];
    (prop::collection::vec((record, end), 0..60), last).prop_map(move |(records, last)| {
        let mut input = Vec::new();
        for (fields, end) in records {
            input.extend_from_slice(&fields.join(&delimiter));
            input.extend_from_slice(end.as_bytes());
        }
        input.extend_from_slice(last.as_bytes());
        input
    })
}

proptest! {
    #[test]
    fn rows_are_what_a_map_makes_of_them(
        ((table, spec, layout), input) in job().prop_flat_map(|job| {
            let input = input(&job.2);
            (Just(job), input)
        }),
        pieces in prop::collection::vec(1usize..200, 1..4),
        row_bytes in prop_oneof![Just(0), 1usize..2000, Just(1 << 20)],
        window_bytes in 1usize..300,
    ) {
        let expected = oracle(&table, &layout, &input);
        let bounds = Bounds { row_bytes, window_bytes, ..Bounds::default() };
        let mut kernel = Kernel::with_bounds(&spec, bounds);
        for _ in 0..2 {
            let (found, segments) = run(&mut kernel, (&table, &spec, &layout), &input, &pieces);
            prop_assert_eq!(&found, &expected);
            if row_bytes == 1 << 20 {
                prop_assert!(segments <= 1);
            }
        }
    }
}

fn products() -> (Table, Spec, Layout) {
    let table = Table::try_from(TableDraft::products()).unwrap();
    let (keys, values, rows) = (vec![1], vec![None], vec![Some(0), Some(1), Some(2)]);
    let layout = Layout { delimiter: Delimiter::Comma, fields: 3, keys, values, rows };
    (table.clone(), spec_of(&table), layout)
}

#[test]
fn of_each_key_the_last_record_stays_and_all_are_counted() {
    let (table, spec, layout) = products();
    let input = b"a,k,1\nb,l,2\nc,k,3\nd,k,\"4,\"\"\"\n";
    let (found, segments) = run(&mut Kernel::new(&spec), (&table, &spec, &layout), input, &[7]);
    assert_eq!(segments, 1);
    let text = |text: &str| Value::Text(text.into());
    let found: Vec<_> = found.rows.into_values().map(|(_, row, count)| (row, count)).collect();
    let rows: [Row; 2] =
        [[text("d"), text("k"), text("4,\"")].into(), [text("b"), text("l"), text("2")].into()];
    let [first, second] = rows;
    assert_eq!(found, [(first, 3), (second, 1)]);
}

#[test]
fn a_layout_that_lacks_the_rows_is_refused() {
    let (_, spec, layout) = products();
    let mut kernel = Kernel::new(&spec);
    for rows in [Vec::new(), vec![Some(0); 2], vec![Some(3); 3]] {
        assert!(kernel.begin(0, &Layout { rows, ..layout.clone() }).is_err());
    }
}
