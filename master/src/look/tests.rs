//! Whatever is looked for, the index finds what reading all of the result would.

use proptest::prelude::*;

use tally_common::dialect::fold;
use tally_common::spec::{Aggregate, AggregateOp, KeyColumn, SpecDraft};

use super::*;

fn spec(order: Order) -> Spec {
    let key = |name: &str, kind| KeyColumn { name: name.into(), kind };
    let group_by = vec![
        key("Song", KeyKind::Text),
        key("Number", KeyKind::Integer),
        key("Date", KeyKind::Date),
    ];
    let sum = Aggregate { op: AggregateOp::Sum, column: Some("n".into()), name: "sum".into() };
    let draft = SpecDraft { group_by, aggregates: vec![sum], order, ..SpecDraft::default() };
    Spec::try_from(draft).unwrap()
}

type Key = (String, i64, i32);

/// The result of such groups, with a mark at every `every`th row.
fn write(path: &Path, keys: &[Key], every: usize) -> Vec<Mark> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(["Song", "Number", "Date", "sum"]).unwrap();
    let mut marks = Vec::new();
    for (i, (song, number, day)) in keys.iter().enumerate() {
        out.flush().unwrap();
        if i % every == 0 {
            let offset = out.get_ref().len() as u64;
            marks.push(Mark { offset, row: i as u64 });
        }
        out.write_record([song, &number.to_string(), &date(*day), &i.to_string()]).unwrap();
    }
    std::fs::write(path, out.into_inner().unwrap()).unwrap();
    marks
}

fn keys() -> impl Strategy<Value = Vec<Key>> {
    let song = prop_oneof!["[ab]{0,2}", "a, \"\n[xy]", "é[a-c]"];
    let key = (song, prop_oneof![-3i64..3, 9i64..12], 18_000i32..18_004);
    prop::collection::btree_set(key, 0..80).prop_map(|keys| keys.into_iter().collect())
}

fn query() -> impl Strategy<Value = LookQuery> {
    let value = |values: &'static [&'static str]| {
        prop::option::of(prop::sample::select(values).prop_map(str::to_owned))
    };
    (
        value(&["", "a", "ab", "a, \"\nx", "zz"]),
        value(&["-1", "0", "10", "99"]),
        value(&["2019-04-14", "2019-04-16", "1999-01-01"]),
        value(&["", "a", "é", "a, "]),
        (1u32..20, 0u64..20),
    )
        .prop_map(|(song, number, date, prefix, (limit, offset))| {
            let named = [("song", song), ("NUMBER ", number), ("Date", date)];
            let equal = named.into_iter().filter_map(|(name, value)| Some((name.into(), value?)));
            LookQuery { limit, offset, equal: equal.collect(), prefix, partial: false }
        })
}

fn naive(keys: &[Key], query: &LookQuery) -> Vec<Vec<String>> {
    let rows = keys.iter().enumerate().map(|(i, (song, number, day))| {
        vec![song.clone(), number.to_string(), date(*day), i.to_string()]
    });
    let wanted = |row: &Vec<String>| {
        query.equal.iter().all(|(name, value)| {
            let at = ["song", "number", "date"].iter().position(|known| *known == fold(name));
            row[at.unwrap()] == *value
        }) && row[0].starts_with(query.prefix.as_deref().unwrap_or(""))
    };
    rows.filter(wanted).skip(query.offset as usize).collect()
}

proptest! {
    #[test]
    fn looks_find_what_reading_all_would(
        mut keys in keys(), query in query(), every in 1usize..30, shuffled: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.csv");
        if shuffled {
            keys.reverse();
        }
        let order = if shuffled { Order::FirstSeen } else { Order::Sorted };
        let marks = write(&path, &keys, every);
        let mut expected = naive(&keys, &query);
        let more = expected.len() > query.limit as usize;
        expected.truncate(query.limit as usize);
        for marks in [&marks[..], &[]] {
            let look = result(&path, &spec(order), marks, &query).unwrap().unwrap();
            prop_assert_eq!(&look.rows, &expected);
            let next = query.offset + expected.len() as u64;
            prop_assert_eq!(look.next_offset, more.then_some(next));
        }
    }
}

#[test]
fn a_query_that_makes_no_sense_is_refused() {
    let refused = |name: &str, value: &str| {
        let equal = vec![(name.to_owned(), value.to_owned())];
        let query = LookQuery { limit: 1, equal, ..LookQuery::default() };
        Matcher::new(&spec(Order::Sorted), &query, true).unwrap_err().to_string()
    };
    assert!(refused("Artist", "x").contains("groups by Song, Number, Date"));
    assert!(refused("number", "x").contains("holds integers"));
    assert!(refused("date", "2020-02-30").contains("holds dates"));
}

#[test]
fn long_times_are_charted_by_month_or_year() {
    let outline = |days: i32| Outline {
        days: (0..days).map(|day| (day, 1)).collect(),
        keys: 1,
        top: vec![(b"a".to_vec(), 7)],
        marks: Vec::new(),
    };
    let shown = |days| summary(&spec(Order::Sorted), &outline(days), 5);
    assert_eq!((shown(1000).span, shown(1000).dates.len()), (Span::Day, 1000));
    let months = shown(1001);
    assert_eq!((months.span, months.dates.len()), (Span::Month, 33));
    assert_eq!((&*months.dates[1].date, &*months.dates[1].value), ("1970-02-01", "28"));
    let years = shown(40_000);
    assert_eq!((years.span, &*years.dates[1].date), (Span::Year, "1971-01-01"));
    assert_eq!(years.top, [KeyTotal { key: "a".into(), value: "7".into() }]);
    assert_eq!(years.date.as_deref(), Some("Date"));
}
