//! What is written comes back; what is damaged is told.

use proptest::prelude::*;
use uuid::Uuid;

use super::{
    GroupReader, GroupSink, OwnedTail, RunError, RunHeader, RunMeta, RunWriter, TaskTotals,
};
use crate::id::MessageId;
use crate::key::{Tail, TailKind};
use crate::reject::{Reject, RejectReason};

type Groups = Vec<(Vec<u8>, u64, Vec<(OwnedTail, Vec<i128>)>)>;

fn header(tail: TailKind, aggregates: u8, keeps_first: bool) -> RunHeader {
    let message_id = MessageId::from_uuid(Uuid::from_u128(5));
    RunHeader { spec_hash: 99, message_id, tail, aggregates, keeps_first }
}

fn write(
    header: RunHeader,
    segments: &[Groups],
    rejects: &[Reject],
    block_bytes: usize,
) -> Vec<u8> {
    let mut run = RunWriter::with_block_bytes(Vec::new(), header, block_bytes).unwrap();
    let count = rejects.len() as u64;
    let mut rejects = rejects.iter();
    for segment in segments {
        for (head, first, tails) in segment {
            run.start_head(head, *first).unwrap();
            for (tail, values) in tails {
                match tail {
                    OwnedTail::Ordinal(tail) => run.push_ordinal(*tail, values).unwrap(),
                    OwnedTail::Bytes(tail) => run.push_bytes(tail, values).unwrap(),
                }
            }
            if let Some(reject) = rejects.next() {
                run.reject(*reject).unwrap();
            }
        }
        run.end_segment().unwrap();
    }
    for reject in rejects {
        run.reject(*reject).unwrap();
    }
    let totals = TaskTotals { rejects: count, records: 1000, ..TaskTotals::default() };
    run.finish(totals).unwrap().0
}

fn read(run: &[u8]) -> Result<(Vec<Groups>, Vec<Reject>), RunError> {
    let meta = RunMeta::read(run)?;
    let mut segments = Vec::new();
    for blocks in meta.segments() {
        let mut reader = GroupReader::new(meta.header());
        let mut groups: Groups = Vec::new();
        for block in blocks {
            reader.load(block.offset, block.len, |buffer| {
                RunMeta::read_block(run, block.offset, block.len, buffer)
            })?;
            let (mut entries, mut begin) = (0, true);
            while reader.advance()? {
                let group = reader.group();
                let tail = match group.tail {
                    Tail::Ordinal(ordinal) => OwnedTail::Ordinal(ordinal),
                    Tail::Bytes(bytes) => OwnedTail::Bytes(bytes.into()),
                };
                if std::mem::take(&mut begin) {
                    assert_eq!((group.head, &tail), (&*block.head, &block.tail));
                }
                if groups.last().is_none_or(|(head, ..)| head != group.head) {
                    groups.push((group.head.to_vec(), reader.first(), Vec::new()));
                }
                let values = group.values.to_vec();
                groups.last_mut().unwrap().2.push((tail, values));
                entries += 1;
            }
            assert_eq!(entries, block.entries);
        }
        segments.push(groups);
    }
    let rejects = meta.rejects(run).collect::<Result<_, _>>()?;
    Ok((segments, rejects))
}

fn value() -> impl Strategy<Value = i128> {
    // As wide as a run may have them.
    let wide = any::<i128>().prop_map(|value| value >> 28);
    prop_oneof![4 => -500i128..500, 1 => any::<i64>().prop_map(i128::from), 1 => wide]
}

fn segment(tail: TailKind, aggregates: u8, keeps_first: bool) -> impl Strategy<Value = Groups> {
    let tails = match tail {
        TailKind::None => prop::collection::btree_set(Just(OwnedTail::Ordinal(0)), 1..2).boxed(),
        TailKind::Date => prop::collection::btree_set(
            crate::value::DAYS.prop_map(|day| OwnedTail::Ordinal(day.into())),
            1..400,
        )
        .boxed(),
        TailKind::Bytes => {
            let bytes = prop::collection::vec(0u8..3, 0..6);
            prop::collection::btree_set(bytes.prop_map(|b| OwnedTail::Bytes(b.into())), 1..300)
                .boxed()
        }
    };
    let tails = tails.prop_flat_map(move |tails| {
        let n = tails.len();
        (
            Just(tails),
            prop::collection::vec(prop::collection::vec(value(), usize::from(aggregates)), n),
        )
    });
    let head = prop::collection::vec(0u8..4, 0..12);
    let heads = prop::collection::btree_map(head, (any::<u64>(), tails), 1..8);
    heads.prop_map(move |heads| {
        let groups = heads.into_iter().map(|(head, (first, (tails, values)))| {
            let first = if keeps_first { first } else { 0 };
            (head, first, tails.into_iter().zip(values).collect())
        });
        groups.collect()
    })
}

fn run() -> impl Strategy<Value = (RunHeader, Vec<Groups>, Vec<Reject>, usize)> {
    let kinds = prop_oneof![Just(TailKind::None), Just(TailKind::Date), Just(TailKind::Bytes)];
    let reject =
        (any::<u32>(), any::<u32>(), any::<u32>(), 1u8..8).prop_map(|(a, len, column, code)| {
            let reason = RejectReason::from_code(code).unwrap();
            Reject { line: a.into(), offset: u64::from(a) * 7, len, column, reason }
        });
    (kinds, 1u8..4, any::<bool>()).prop_flat_map(move |(tail, aggregates, keeps_first)| {
        let header = header(tail, aggregates, keeps_first);
        let segments = prop::collection::vec(segment(tail, aggregates, keeps_first), 0..4);
        (Just(header), segments, prop::collection::vec(reject.clone(), 40..80), 1usize..3000)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_written_comes_back((header, segments, rejects, block_bytes) in run()) {
        let bytes = write(header, &segments, &rejects, block_bytes);
        let (groups, read_rejects) = read(&bytes).unwrap();
        prop_assert_eq!(groups, segments);
        prop_assert_eq!(read_rejects, rejects);
        let meta = RunMeta::read(&bytes).unwrap();
        prop_assert_eq!(meta.header(), &header);
        prop_assert!(meta.verify_header(99, header.message_id).is_ok());
        prop_assert!(meta.verify_header(98, header.message_id).is_err());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_told(
        (header, segments, rejects, block_bytes) in run(),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut bytes = write(header, &segments, &rejects, block_bytes);
        let at = at.index(bytes.len());
        prop_assert!(read(&bytes[..at]).is_err());
        bytes[at] ^= 1 << bit;
        prop_assert!(read(&bytes).is_err());
    }
}

#[test]
fn keys_that_do_not_ascend_are_refused() {
    let header = header(TailKind::Bytes, 1, false);
    let read = |groups: &[(&str, &str)]| {
        let mut run = RunWriter::new(Vec::new(), header).unwrap();
        for (head, tail) in groups {
            run.start_head(head.as_bytes(), 0).unwrap();
            run.push_bytes(tail.as_bytes(), &[1]).unwrap();
        }
        run.end_segment().unwrap();
        let (bytes, _) = run.finish(TaskTotals::default()).unwrap();
        read(&bytes).map(|_| ())
    };
    read(&[("a", "x"), ("a", "y"), ("ab", "x"), ("b", "")]).unwrap();
    for wrong in [[("b", "x"), ("a", "y")], [("a", "y"), ("a", "x")], [("a", "x"), ("a", "x")]] {
        let error = read(&wrong).unwrap_err();
        assert!(error.to_string().contains("do not ascend"), "{wrong:?}: {error}");
    }
}

#[test]
fn a_value_that_no_records_add_up_to_is_refused() {
    let header = header(TailKind::None, 1, false);
    for (value, holds) in
        [((1 << 100) - 1, true), (1 << 100, false), (-1 << 100, true), (i128::MIN, false)]
    {
        let mut run = RunWriter::new(Vec::new(), header).unwrap();
        run.start_head(b"a", 0).unwrap();
        run.push_ordinal(0, &[value]).unwrap();
        run.end_segment().unwrap();
        let (bytes, _) = run.finish(TaskTotals::default()).unwrap();
        assert_eq!(read(&bytes).is_ok(), holds, "{value}");
    }
}

#[test]
fn dates_that_do_not_exist_are_refused() {
    let header = header(TailKind::Date, 1, false);
    let (first, last) =
        (i64::from(*crate::value::DAYS.start()), i64::from(*crate::value::DAYS.end()));
    for (day, holds) in [(first, true), (first - 1, false), (last, true), (last + 1, false)] {
        let mut run = RunWriter::new(Vec::new(), header).unwrap();
        run.start_head(b"a", 0).unwrap();
        run.push_ordinal(day, &[1]).unwrap();
        run.end_segment().unwrap();
        let (bytes, _) = run.finish(TaskTotals::default()).unwrap();
        assert_eq!(read(&bytes).is_ok(), holds, "{day}");
    }
}
