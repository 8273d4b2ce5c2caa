//! Whatever way groups are spread over runs and segments, and whatever the number of threads, the
//! result is that of one ordered map.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use uuid::Uuid;

use tally_common::id::MessageId;
use tally_common::key::encode_integer;
use tally_common::run::{GroupSink, ReadAt, RunHeader, RunMeta, RunWriter, TaskTotals};
use tally_common::spec::{Aggregate, AggregateOp, KeyColumn, KeyKind, Order, Spec, SpecDraft};

use super::{MergeError, MergeInput, MergeOptions, MergeSummary, Outline, merge_with};

/// The shapes that keys have: no tail, a date, bytes.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Song,
    SongDate,
    SongNumberArtist,
}

fn spec(shape: Shape, order: Order) -> Spec {
    let key = |name: &str, kind| KeyColumn { name: name.into(), kind };
    let group_by = match shape {
        Shape::Song => vec![key("Song", KeyKind::Text)],
        Shape::SongDate => vec![key("Song", KeyKind::Text), key("Date", KeyKind::Date)],
        Shape::SongNumberArtist => vec![
            key("Song", KeyKind::Text),
            key("Number", KeyKind::Integer),
            key("Artist", KeyKind::Text),
        ],
    };
    let aggregate = |op, name: &str| Aggregate { op, column: Some("n".into()), name: name.into() };
    let aggregates = vec![
        aggregate(AggregateOp::Sum, "sum"),
        aggregate(AggregateOp::Min, "min"),
        aggregate(AggregateOp::Max, "max"),
    ];
    Spec::try_from(SpecDraft { group_by, aggregates, order, ..SpecDraft::default() }).unwrap()
}

/// One value of one group at one position of the input.
#[derive(Clone, Debug)]
struct Item {
    song: String,
    tail: u8,
    value: i64,
    /// Which segment of which run it is in.
    segment: usize,
}

/// Days close to each other and far from each other, up to a lifetime.
fn day(tail: u8) -> i32 {
    18_000 + 17 * i32::from(tail) * i32::from(tail)
}

/// A tail as runs have it.
fn tail_key(shape: Shape, tail: u8) -> Result<i64, Vec<u8>> {
    match shape {
        Shape::Song => Ok(0),
        Shape::SongDate => Ok(day(tail).into()),
        Shape::SongNumberArtist => {
            let mut key = encode_integer(i64::from(tail) - 100).to_vec();
            key.extend_from_slice(format!("a,{}", tail % 3).as_bytes());
            Err(key)
        }
    }
}

/// A tail as the result has it.
fn tail_text(shape: Shape, tail: u8) -> String {
    match shape {
        Shape::Song => String::new(),
        Shape::SongDate => {
            let date = tally_common::value::format_date(day(tail));
            format!(",{}", String::from_utf8(date.to_vec()).unwrap())
        }
        Shape::SongNumberArtist => format!(",{},\"a,{}\"", i64::from(tail) - 100, tail % 3),
    }
}

type Group = (i128, i64, i64);

/// Writes the items into runs of `per_run` segments each.
fn runs(
    spec: &Spec,
    shape: Shape,
    items: &[Item],
    per_run: usize,
    block: usize,
) -> Vec<MergeInput> {
    let mut segments: BTreeMap<usize, BTreeMap<(&str, u8), Group>> = BTreeMap::new();
    let mut firsts: BTreeMap<(usize, &str), u64> = BTreeMap::new();
    for (at, item) in (0..).zip(items) {
        let (n, tail) = (item.value, if matches!(shape, Shape::Song) { 0 } else { item.tail });
        let group = segments.entry(item.segment).or_default().entry((&item.song, tail));
        group
            .and_modify(|(sum, min, max)| {
                *sum += i128::from(n);
                *min = (*min).min(n);
                *max = (*max).max(n);
            })
            .or_insert((i128::from(n), n, n));
        firsts.entry((item.segment, &item.song)).or_insert(at);
    }
    let segments: Vec<_> = segments.into_iter().collect();
    let written = segments.chunks(per_run).map(|segments| {
        let header = RunHeader::of(spec, MessageId::from_uuid(Uuid::nil()));
        let mut run = RunWriter::with_block_bytes(Vec::new(), header, block).unwrap();
        for (number, groups) in segments {
            let mut last = None;
            for ((song, tail), (sum, min, max)) in groups {
                if last != Some(song) {
                    run.start_head(song.as_bytes(), firsts[&(*number, *song)]).unwrap();
                    last = Some(song);
                }
                let values = [*sum, i128::from(*min), i128::from(*max)];
                match tail_key(shape, *tail) {
                    Ok(ordinal) => run.push_ordinal(ordinal, &values).unwrap(),
                    Err(bytes) => run.push_bytes(&bytes, &values).unwrap(),
                }
            }
            run.end_segment().unwrap();
        }
        let bytes = run.finish(TaskTotals::default()).unwrap().0;
        let meta = Arc::new(RunMeta::read(&bytes).unwrap());
        let run: Arc<dyn ReadAt + Send + Sync> = Arc::new(bytes);
        MergeInput { run, meta }
    });
    written.collect()
}

/// What must come out.
fn expected(spec: &Spec, shape: Shape, items: &[Item]) -> String {
    let mut groups: BTreeMap<(u64, &str, u8), Group> = BTreeMap::new();
    for item in items {
        let first = items.iter().position(|other| other.song == item.song).unwrap() as u64;
        let first = if spec.order() == Order::FirstSeen { first } else { 0 };
        let tail = if matches!(shape, Shape::Song) { 0 } else { item.tail };
        let group = groups.entry((first, &item.song, tail)).or_insert((0, i64::MAX, i64::MIN));
        group.0 += i128::from(item.value);
        group.1 = group.1.min(item.value);
        group.2 = group.2.max(item.value);
    }
    let mut text = spec.output_names().collect::<Vec<_>>().join(",");
    text.push('\n');
    for ((_, song, tail), (sum, min, max)) in groups {
        let quoted = if song.contains([',', '"']) {
            format!("\"{}\"", song.replace('"', "\"\""))
        } else {
            song.to_owned()
        };
        text.push_str(&format!("{quoted}{},{sum},{min},{max}\n", tail_text(shape, tail)));
    }
    text
}

fn merge(
    spec: &Spec,
    inputs: &[MergeInput],
    threads: usize,
    fan_in: usize,
    sort_bytes: usize,
) -> Result<(String, MergeSummary), MergeError> {
    let scratch = tempfile::tempdir().unwrap();
    let cancelled = AtomicBool::new(false);
    let options = MergeOptions { threads, cancelled: &cancelled, scratch_dir: scratch.path() };
    let mut out = Vec::new();
    let summary = merge_with(spec, inputs, &mut out, &options, fan_in, sort_bytes)?;
    Ok((String::from_utf8(out).unwrap(), summary))
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    let song = prop_oneof![
        4 => "[ab]{0,3}",
        2 => "prefix [0-9]{1,2}",
        1 => Just("a, \"b\"".to_owned()),
        1 => Just("é漢".to_owned()),
    ];
    // Some are not narrow, but not as many as would overflow.
    let value = prop_oneof![
        60 => -1000i64..1000,
        1 => (1i64 << 55)..(1 << 55) + 9,
        1 => -(1i64 << 55) - 9..-(1 << 55) + 9,
    ];
    let item = (song, 0u8..40, value, 0usize..14);
    let item = item.prop_map(|(song, tail, value, segment)| Item { song, tail, value, segment });
    prop::collection::vec(item, 0..600)
}

/// Holds an outline against the result and what it was made from.
fn check_outline(
    outline: &Outline,
    text: &str,
    shape: Shape,
    items: &[Item],
) -> Result<(), TestCaseError> {
    let starts: Vec<usize> =
        text.match_indices('\n').map(|(at, _)| at + 1).filter(|at| *at < text.len()).collect();
    for mark in &outline.marks {
        prop_assert_eq!(starts.get(mark.row as usize), Some(&(mark.offset as usize)));
    }
    prop_assert_eq!(outline.marks.is_empty(), items.is_empty());
    let (mut keys, mut days) = (BTreeMap::new(), BTreeMap::new());
    for item in items {
        *keys.entry(item.song.as_bytes()).or_insert(0) += i128::from(item.value);
        *days.entry(day(item.tail)).or_insert(0) += i128::from(item.value);
    }
    prop_assert_eq!(outline.keys, keys.len() as u64);
    let mut top: Vec<_> = keys.into_iter().map(|(key, sum)| (key.to_vec(), sum)).collect();
    top.sort_by_key(|(_, sum)| std::cmp::Reverse(*sum));
    top.truncate(100);
    prop_assert_eq!(&outline.top, &top);
    if matches!(shape, Shape::SongDate) {
        prop_assert_eq!(&outline.days, &days);
    } else {
        prop_assert!(outline.days.is_empty());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_spread_gives_the_same_result(
        items in items(),
        shape in prop_oneof![Just(Shape::Song), Just(Shape::SongDate), Just(Shape::SongNumberArtist)],
        first_seen: bool,
        (per_run, block, threads) in (1usize..4, 1usize..400, 1usize..4),
        (fan_in, sort_bytes) in (2usize..20, 100usize..20_000),
    ) {
        let order = if first_seen { Order::FirstSeen } else { Order::Sorted };
        let spec = spec(shape, order);
        let inputs = runs(&spec, shape, &items, per_run, block);
        let (text, summary) = merge(&spec, &inputs, threads, fan_in, sort_bytes).unwrap();
        let expected = expected(&spec, shape, &items);
        prop_assert_eq!(summary.rows, expected.lines().count() as u64 - 1);
        prop_assert_eq!(summary.bytes, expected.len() as u64);
        let total: i64 = items.iter().map(|item| item.value).sum();
        prop_assert_eq!(summary.totals[0], i128::from(total));
        check_outline(&summary.outline, &text, shape, &items)?;
        prop_assert_eq!(text, expected);
    }

    #[test]
    fn ranges_cover_all_keys_once(items in items(), block in 1usize..100, target in 1u64..500) {
        let spec = spec(Shape::SongDate, Order::Sorted);
        let inputs = runs(&spec, Shape::SongDate, &items, 2, block);
        let segments = super::ranges::segments(&inputs);
        for within_heads in [true, false] {
            let ranges = super::ranges::plan(&segments, target, within_heads);
            prop_assert_eq!(ranges.is_empty(), items.is_empty());
            for pair in ranges.windows(2) {
                prop_assert_eq!(&pair[0].to, &pair[1].from);
                prop_assert!(pair[0].to.is_some());
            }
            if let (Some(first), Some(last)) = (ranges.first(), ranges.last()) {
                prop_assert!(first.from.is_none() && last.to.is_none());
            }
        }
    }
}

#[test]
fn an_overflow_names_the_first_group_that_does_not_fit() {
    let spec = spec(Shape::SongNumberArtist, Order::Sorted);
    let item =
        |song: &str, tail, segment| Item { song: song.into(), tail, value: i64::MAX, segment };
    let items =
        [item("b", 9, 0), item("b", 9, 1), item("a", 7, 1), item("a", 7, 2), item("a", 6, 2)];
    let inputs = runs(&spec, Shape::SongNumberArtist, &items, 1, 10);
    let error = merge(&spec, &inputs, 2, 10, 1000).unwrap_err().to_string();
    let expected = "\"sum\" of the group Song \"a\", Number -93, Artist \"a,1\" is \
                    18446744073709551614, which does not fit 64 bits";
    assert_eq!(error, expected);
}

#[test]
fn a_damaged_run_is_named() {
    let spec = spec(Shape::SongDate, Order::Sorted);
    let item = |segment| Item { song: "a".into(), tail: 1, value: 1, segment };
    let mut inputs = runs(&spec, Shape::SongDate, &[item(0), item(1)], 1, 10);
    let mut bytes = vec![0; inputs[1].run.size() as usize];
    inputs[1].run.read_exact_at(&mut bytes, 0).unwrap();
    let at = inputs[1].meta.segments()[0][0].offset as usize;
    bytes[at] ^= 1;
    inputs[1].run = Arc::new(bytes);
    let error = merge(&spec, &inputs, 2, 10, 1000).unwrap_err();
    assert!(matches!(error, MergeError::Run { input: 1, .. }), "{error}");
}

#[test]
fn a_cancelled_merge_ends() {
    let spec = spec(Shape::SongDate, Order::Sorted);
    let item = Item { song: "a".into(), tail: 1, value: 1, segment: 0 };
    let inputs = runs(&spec, Shape::SongDate, &[item], 1, 10);
    let cancelled = AtomicBool::new(true);
    let scratch = tempfile::tempdir().unwrap();
    let options = MergeOptions { threads: 2, cancelled: &cancelled, scratch_dir: scratch.path() };
    let merged = super::merge_to_csv(&spec, &inputs, &mut Vec::new(), &options);
    assert!(matches!(merged, Err(MergeError::Cancelled)));
}
