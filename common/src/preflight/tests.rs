//! Reports on small inputs, and that a part never shows more than the whole.

use proptest::prelude::*;

use super::*;
use crate::spec::SpecDraft;

fn plays() -> Spec {
    Spec::try_from(SpecDraft::plays()).unwrap()
}

fn whole(bytes: &[u8]) -> Sample<'_> {
    Sample { bytes, whole: true, size: None, compression: "none" }
}

fn see(text: &str) -> Preflight {
    look(&whole(text.as_bytes()), &plays(), &Surroundings::default())
}

const HEADER: &str = "Song,Date,Number of Plays\n";

#[test]
fn a_good_input_is_described() {
    let report =
        see(&format!("{HEADER}a,2020-01-01,1\n\"b,\"\"c\",2020-01-02,20\na,2020-01-01,3\n"));
    assert!(report.ok);
    assert_eq!(report.problems, Vec::<String>::new());
    let shown = (&*report.encoding, &*report.delimiter, &*report.line_end);
    assert_eq!(shown, ("utf-8", "comma", "lf"));
    assert_eq!((report.sample.records, report.sample.groups, report.sample.rejected), (3, 2, 0));
    let [song, date, plays] = &report.columns[..] else { panic!("{:?}", report.columns) };
    assert_eq!((&*song.kind, song.role.as_deref(), song.distinct), ("text", Some("group by"), 2));
    assert_eq!(song.examples, ["a", "b,\"c"]);
    assert_eq!((&*date.kind, date.distinct), ("date", 2));
    assert_eq!((&*plays.kind, plays.role.as_deref()), ("integer", Some("sum")));
    let prediction = report.prediction.unwrap();
    assert_eq!((prediction.records, prediction.groups), (3, 2));
    let result =
        "Song,Date,Total Number of Plays for Date\na,2020-01-01,4\n\"b,\"\"c\",2020-01-02,20\n";
    assert!(prediction.result_bytes.abs_diff(result.len() as u64) <= 2);
    assert!(prediction.disk_bytes > prediction.bytes + prediction.result_bytes);
}

#[test]
fn columns_that_are_missing_are_named_and_others_suggested() {
    let report = see("Shop;Day;Price;Article id\nA;2020-01-01;5;1\nB;2020-01-02;7;2\n");
    assert!(!report.ok);
    assert!(report.problems[0].contains("no column \"Song\""), "{:?}", report.problems);
    assert!(report.problems[0].contains("\"Shop\", \"Day\", \"Price\""), "{:?}", report.problems);
    assert_eq!(report.delimiter, "semicolon");
    let suggestion = report.suggestion.unwrap();
    let keys: Vec<_> = suggestion.group_by.iter().map(|key| (&*key.name, key.kind)).collect();
    assert_eq!(keys, [("Shop", KeyKind::Text), ("Day", KeyKind::Date)]);
    let [sum] = &suggestion.aggregates[..] else { panic!("{suggestion:?}") };
    assert_eq!(sum.column.as_deref(), Some("Price"));
    let text = "Shop;Day;Price;Article id\nA;2020-01-01;5;1\nB;2020-01-02;7;2\n";
    let spec = Spec::try_from(suggestion).unwrap();
    assert!(look(&whole(text.as_bytes()), &spec, &Surroundings::default()).ok);
}

#[test]
fn names_that_are_only_written_otherwise_are_found() {
    let report = see("song,date,number_of_plays\na,2020-01-01,1\n");
    let suggestion = report.suggestion.unwrap();
    assert_eq!(suggestion.aggregates[0].column.as_deref(), Some("number_of_plays"));
    assert_eq!(suggestion.aggregates[0].name, "Total Number of Plays for Date");
}

#[test]
fn what_can_not_be_counted_is_said() {
    for (text, word) in [
        ("", "empty"),
        ("a,2020-01-01,1\nb,2020-01-02,2\n", "lack a header"),
        ("Song,Date,Song,Number of Plays\n", "twice"),
        ("PK\u{3}\u{4}\0\0\u{8}", "no text"),
        ("S\0o\0n\0g\0,\0", "UTF-16"),
    ] {
        let report = see(text);
        assert!(!report.ok && report.prediction.is_none(), "{text:?}");
        assert!(report.problems[0].contains(word), "{text:?}: {:?}", report.problems);
        assert_eq!(report.suggestion, None, "{text:?}");
    }
    assert!(see(HEADER).ok);
}

#[test]
fn rejects_are_as_the_spec_allows_them() {
    let text =
        format!("{HEADER}a,2020-01-01,1\nb,2020-02-30,2\n\nc,2020-01-01\nd,2020-01-01,x\n\"e");
    let report = see(&text);
    assert!(!report.ok);
    assert_eq!((report.sample.records, report.sample.rejected), (5, 4));
    let lines: Vec<_> = report.sample.rejects.iter().map(|reject| reject.line).collect();
    assert_eq!(lines, [3, 5, 6, 7]);
    assert!(report.problems[0].contains("4 of 5 records"), "{:?}", report.problems);
    let lenient = SpecDraft { max_rejects: MaxRejects::Count(4), ..SpecDraft::plays() };
    let lenient = Spec::try_from(lenient).unwrap();
    assert!(look(&whole(text.as_bytes()), &lenient, &Surroundings::default()).ok);
}

#[test]
fn only_whole_records_of_a_sample_count() {
    let text = format!("{HEADER}a,2020-01-01,1\nb,2020-01-02,2\nc,2020-0");
    let sample = Sample { whole: false, size: Some(15_000_026), ..whole(text.as_bytes()) };
    let around = Surroundings {
        bytes_per_second: Some(1e6),
        workers: 2,
        disk_room: Some(1),
        ..Surroundings::default()
    };
    let report = look(&sample, &plays(), &around);
    assert!(report.ok, "{:?}", report.problems);
    assert_eq!((report.sample.records, report.sample.rejected), (2, 0));
    let prediction = report.prediction.unwrap();
    assert_eq!(prediction.records, 1_000_000);
    assert!((2..=1_000_000).contains(&prediction.groups));
    assert!(prediction.seconds.is_some_and(|seconds| (14.9..15.1).contains(&seconds)));
    assert!(report.problems[0].contains("room"), "{:?}", report.problems);
    // Of what is not known how long it is, nothing is predicted.
    assert_eq!(look(&Sample { size: None, ..sample }, &plays(), &around).prediction, None);
}

proptest! {
    /// Any sample of an input gives a report, and as much of the input as it has.
    #[test]
    fn a_part_never_shows_more_than_the_whole(
        rows in prop::collection::vec("[ab\",\n\r]{0,6},2020-01-0[0-9],[0-9x]{1,3}(\n|\r\n)", 0..40),
        keep in 0.0f64..1.0,
        noise in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let text = format!("{HEADER}{}", rows.concat());
        let all = see(&text);
        let kept = &text.as_bytes()[..(text.len() as f64 * keep) as usize];
        let size = Some(text.len() as u64);
        let part = Sample { whole: false, size, ..whole(kept) };
        let part = look(&part, &plays(), &Surroundings::default());
        prop_assert!(part.sample.records <= all.sample.records);
        prop_assert!(part.sample.groups <= all.sample.groups);
        prop_assert!(part.sample.rejected <= all.sample.rejected);
        prop_assert!(all.sample.groups + all.sample.rejected <= all.sample.records);
        let whatever = look(&whole(&noise), &plays(), &Surroundings::default());
        prop_assert_eq!(whatever.sample.bytes, noise.len() as u64);
    }
}
