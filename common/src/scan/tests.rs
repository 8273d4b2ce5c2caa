//! Every path against the byte-wise reference, and against the `csv` crate.

use proptest::prelude::*;

use super::blocks::Portable;
use super::cut::{Cutter, push_portable};
use super::split::{index_records, split_reference};
use super::{FieldIndex, Split, split, unquote};

/// Bytes that matter, and few others, so that they meet in every combination.
fn nasty() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        3 => Just(b'a'),
        2 => Just(b','),
        1 => Just(b';'),
        3 => Just(b'"'),
        1 => Just(b'\r'),
        2 => Just(b'\n'),
        1 => Just(b' '),
        1 => Just(0u8),
        1 => Just(0xc3u8),
    ];
    prop::collection::vec(byte, 0..400)
}

/// What people send: most fields plain, some quoted, few odd.
fn usual() -> impl Strategy<Value = Vec<u8>> {
    let field = prop_oneof![
        6 => "[a-z]{0,12}".prop_map(String::into_bytes),
        2 => "\"[a-z,\n ]{0,70}\"".prop_map(String::into_bytes),
        1 => "\"([a-z]|\"\"){0,9}\"".prop_map(String::into_bytes),
        1 => "[a-z]{1,3}\"[a-z]?".prop_map(String::into_bytes),
    ];
    let end = prop_oneof![4 => Just(&b","[..]), 2 => Just(&b"\n"[..]), 1 => Just(&b"\r\n"[..])];
    let fields = prop::collection::vec((field, end), 0..60);
    fields.prop_map(|fields| {
        fields.into_iter().flat_map(|(field, end)| [&field[..], end].concat()).collect()
    })
}

fn inputs() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![nasty(), usual()]
}

type Fields = Vec<Vec<Vec<u8>>>;

/// The values of all records that are indexed, blank lines left out.
fn values(index: &FieldIndex, window: &[u8]) -> Fields {
    let mut scratch = Vec::new();
    let records = (0..index.len()).map(|r| index.record(r, window));
    records
        .filter(|record| !record.is_blank())
        .map(|record| {
            let fields = (0..record.fields()).map(|i| record.field(i));
            fields.map(|(from, to)| unquote(&window[from..to], &mut scratch).to_vec()).collect()
        })
        .collect()
}

fn by_csv(input: &[u8], delimiter: u8) -> Fields {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(input);
    let records = reader.byte_records().map(|record| record.unwrap());
    records.map(|record| record.iter().map(<[u8]>::to_vec).collect()).collect()
}

fn same(
    a: (&FieldIndex, Split),
    b: (&FieldIndex, Split),
) -> Result<(), proptest::test_runner::TestCaseError> {
    prop_assert_eq!(&a.0.separators, &b.0.separators);
    prop_assert_eq!(&a.0.records, &b.0.records);
    prop_assert_eq!(a.0.quotes, b.0.quotes);
    prop_assert_eq!(a.1, b.1);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn all_paths_agree(input in inputs(), delimiter in prop_oneof![Just(b','), Just(b';')], last: bool) {
        let (mut reference, mut fast, mut portable) = Default::default();
        let expected = split_reference(&input, delimiter, last, &mut reference);
        let split = split(&input, delimiter, last, &mut fast);
        same((&fast, split), (&reference, expected))?;
        let split = index_records::<Portable>(&input, delimiter, last, &mut portable);
        same((&portable, split), (&reference, expected))?;
    }

    #[test]
    fn the_csv_crate_agrees(input in inputs(), delimiter in prop_oneof![Just(b','), Just(b';')]) {
        // The csv crate takes a byte order mark off; so does whoever reads the header here.
        let mut index = FieldIndex::default();
        split(&input, delimiter, true, &mut index);
        prop_assert_eq!(values(&index, &input), by_csv(&input, delimiter));
    }

    #[test]
    fn windows_of_any_size_give_the_same_records(input in inputs(), sizes in prop::collection::vec(1usize..90, 1..9)) {
        let mut whole = FieldIndex::default();
        let in_one = split(&input, b',', true, &mut whole);
        let (mut records, mut lines, mut start, mut end) = (Vec::new(), 0, 0, 0);
        let mut sizes = sizes.iter().cycle();
        while start < input.len() {
            end = input.len().min(end + sizes.next().unwrap());
            let mut index = FieldIndex::default();
            let window = &input[start..end];
            let split = split(window, b',', end == input.len(), &mut index);
            records.extend(values(&index, window));
            lines += split.lines;
            start += split.consumed;
        }
        prop_assert_eq!(records, values(&whole, &input));
        prop_assert_eq!(lines, in_one.lines);
    }

    #[test]
    fn cuts_are_record_ends(input in inputs(), sizes in prop::collection::vec(1usize..200, 1..9)) {
        let mut whole = FieldIndex::default();
        let consumed = split(&input, b',', false, &mut whole).consumed;
        let ends: Vec<usize> = whole
            .records
            .iter()
            .map(|end| whole.separators[*end as usize - 1] as usize + 1)
            .collect();
        let (mut cutter, mut portable) = (Cutter::new(b','), Cutter::new(b','));
        let (mut sizes, mut start, mut last) = (sizes.iter().cycle(), 0, 0);
        while start < input.len() {
            let end = input.len().min(start + sizes.next().unwrap());
            let cut = cutter.push(&input[start..end]);
            prop_assert_eq!(cut, push_portable(&mut portable, &input[start..end]));
            // The last end within the chunk; one right at a CR is known only with the next byte.
            let settled = |at: &usize| *at < end || input[*at - 1] == b'\n';
            let held = |at: usize| at > 0 && input[at - 1] == b'\r';
            let expected = ends.iter().copied().rfind(|at| {
                (*at > start || (*at == start && held(start))) && *at <= end && settled(at)
            });
            prop_assert_eq!(cut.map(|cut| start + cut), expected);
            last = expected.unwrap_or(last);
            prop_assert_eq!(cutter.pending(), (end - last) as u64);
            start = end;
        }
        prop_assert!(last <= consumed);
    }
}

#[test]
fn quotes_in_odd_places() {
    let fields = |input: &str| {
        let mut index = FieldIndex::default();
        split(input.as_bytes(), b',', true, &mut index);
        values(&index, input.as_bytes())
            .into_iter()
            .map(|record| {
                record.into_iter().map(|field| String::from_utf8(field).unwrap()).collect()
            })
            .collect::<Vec<Vec<_>>>()
    };
    assert_eq!(fields("a\"b,c\"\nd"), [vec!["a\"b", "c\""], vec!["d"]]);
    assert_eq!(fields("\"a\"b\"c,d"), [vec!["ab\"c", "d"]]);
    assert_eq!(fields("\"a\"\"b\",\"\",\"\"\"\""), [vec!["a\"b", "", "\""]]);
    assert_eq!(fields("\"a,\r\nb\"\r\n\r\nc\rd"), [vec!["a,\r\nb"], vec!["c"], vec!["d"]]);
}

#[test]
fn an_open_quote_at_the_end_is_told() {
    let mut index = FieldIndex::default();
    assert!(split(b"a,\"b\n", b',', true, &mut index).unterminated);
    assert!(!split(b"a,\"b\"", b',', true, &mut index).unterminated);
    assert!(!split(b"a,b\"", b',', true, &mut index).unterminated);
}
