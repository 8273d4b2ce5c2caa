//! What every kind of file must hold to: the same bytes for the same plan, and rows that the `csv`
//! crate reads as they were meant.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::*;

const KINDS: [Kind; 5] = [Kind::Low, Kind::High, Kind::Unique, Kind::Quoted, Kind::Wide];

fn make(plan: &Plan) -> Vec<u8> {
    let mut bytes = Vec::new();
    let made = generate(plan, &mut bytes).unwrap();
    assert_eq!(made.bytes, bytes.len() as u64);
    bytes
}

fn records(bytes: &[u8]) -> Vec<csv::StringRecord> {
    csv::Reader::from_reader(bytes).into_records().map(Result::unwrap).collect()
}

/// A change here changes every file that was ever made: benchmarks before and after it do not
/// compare.
#[test]
fn the_first_megabyte_of_each_kind_never_changes() {
    let expected = [
        "4a3193cc-836b-5a2f-8743-8c90e18502d9",
        "db656f8e-2677-5ac8-a824-6ef503a729ee",
        "7138b7ca-8364-51c0-9ff4-4878974bd8a1",
        "d5e09ccf-2d18-5d1e-bb49-1cf5bb53a88a",
        "b6b48050-f616-5863-afc1-ca29609318be",
    ];
    for (kind, expected) in KINDS.into_iter().zip(expected) {
        let bytes = make(&Plan::new(kind, 1_000_000));
        let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, &bytes[..1_000_000]);
        assert_eq!(hash.to_string(), expected, "{kind:?}");
    }
}

#[test]
fn another_seed_gives_another_file_and_a_longer_file_begins_the_same() {
    for kind in KINDS {
        let plan = Plan::new(kind, 100_000);
        let bytes = make(&plan);
        assert_eq!(bytes, make(&plan));
        assert_ne!(bytes, make(&Plan { seed: 2, ..plan.clone() }));
        let longer = make(&Plan { bytes: 2_500_000, ..plan });
        assert_eq!(bytes, longer[..bytes.len()]);
    }
}

#[test]
fn a_file_ends_with_the_first_row_that_reaches_the_size() {
    for kind in KINDS {
        let header = kind.header().len() as u64;
        for size in [0, 1, header, header + 1, 1_000, 1 << 20, (1 << 20) + 77] {
            let mut bytes = Vec::new();
            let made = generate(&Plan::new(kind, size), &mut bytes).unwrap();
            let rows = records(&bytes);
            assert_eq!(rows.len() as u64, made.rows);
            assert!(bytes.len() as u64 >= size && bytes.ends_with(b"\n"));
            let last = rows.last().map_or(0, |row| row.position().unwrap().byte());
            assert!(last < size.max(1), "{kind:?}: the last row of {size} was not needed");
        }
    }
}

#[test]
fn every_row_is_whole() {
    for kind in KINDS {
        let plan = Plan { quoted: 0.3, utf8: 0.3, ..Plan::new(kind, 500_000) };
        let bytes = make(&plan);
        let mut reader = csv::Reader::from_reader(&bytes[..]);
        let header = reader.headers().unwrap().clone();
        let column = |name| header.iter().position(|column| column == name).unwrap();
        let (song, date, plays) = (column("Song"), column("Date"), column("Number of Plays"));
        let days: HashSet<_> = calendar::days(plan.days).collect();
        for row in reader.records().map(Result::unwrap) {
            assert!(row[song].len() >= 8 && row[song].chars().last().unwrap().is_ascii_digit());
            assert!(days.contains(&row[date]), "{row:?}");
            assert!(row[plays].parse::<u32>().unwrap() < 100_000);
        }
    }
}

#[test]
fn rows_are_about_38_bytes_long() {
    for kind in [Kind::Low, Kind::High, Kind::Unique] {
        let bytes = make(&Plan::new(kind, 3_000_000));
        let length = bytes.len() / records(&bytes).len();
        assert!((36..=41).contains(&length), "{kind:?}: {length}");
    }
}

#[test]
fn songs_are_as_popular_as_each_kind_says() {
    // Rows, distinct songs, and how many rows in a thousand the most popular song has.
    let songs = |kind| {
        let rows = records(&make(&Plan { songs: 1_000, ..Plan::new(kind, 3_000_000) }));
        let mut plays = HashMap::new();
        for row in &rows {
            *plays.entry(row[0].to_owned()).or_insert(0) += 1;
        }
        (rows.len(), plays.len(), plays.values().max().unwrap() * 1_000 / rows.len())
    };
    let (rows, distinct, _) = songs(Kind::Unique);
    assert_eq!(rows, distinct);
    let (_, distinct, top) = songs(Kind::High);
    assert!(distinct == 1_000 && top <= 2, "{distinct} {top}");
    // 1 in 7.485, the harmonic number of 1,000.
    let (_, distinct, top) = songs(Kind::Low);
    assert!(distinct == 1_000 && (128..=139).contains(&top), "{distinct} {top}");
}

#[test]
fn quoted_files_quote_every_field_and_hold_what_needs_it() {
    let bytes = make(&Plan::new(Kind::Quoted, 500_000));
    let songs: HashSet<_> = records(&bytes).iter().map(|row| row[0].to_owned()).collect();
    for special in [',', '"', '\n', ';', '|'] {
        assert!(songs.iter().any(|song| song.contains(special)), "{special:?}");
    }
    let mut again =
        csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(vec![]);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&bytes[..]);
    for row in reader.byte_records() {
        again.write_byte_record(&row.unwrap()).unwrap();
    }
    assert!(again.into_inner().unwrap() == bytes);
}

#[test]
fn sizes_are_read() {
    let good = [
        ("1GB", 1_000_000_000),
        ("64MiB", 64 << 20),
        ("1000000", 1_000_000),
        ("2 kb", 2_000),
        ("3KiB", 3_072),
        ("0", 0),
        ("5tib", 5 << 40),
    ];
    for (text, size) in good {
        assert_eq!(parse_size(text), Ok(size), "{text}");
    }
    for text in ["", "GB", "-1", "1.5GB", "1XB", "1G B", "99999999999TB", "18446744073709551616"] {
        assert!(parse_size(text).is_err(), "{text}");
    }
}

#[test]
fn plans_out_of_bounds_are_refused() {
    let plan = Plan::new(Kind::Low, 1_000);
    let bad = [
        Plan { songs: 0, ..plan.clone() },
        Plan { songs: MAX_SONGS + 1, ..plan.clone() },
        Plan { days: 0, ..plan.clone() },
        Plan { days: MAX_DAYS + 1, ..plan.clone() },
        Plan { quoted: f64::NAN, ..plan.clone() },
        Plan { utf8: 1.1, ..plan },
    ];
    for plan in bad {
        let error = generate(&plan, &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{plan:?}");
    }
}
