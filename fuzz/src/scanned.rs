//! The scanner against the `csv` crate, in one piece and in many.

use tally_common::dialect::Delimiter;
use tally_common::scan::cut::Cutter;
use tally_common::scan::{FieldIndex, split, unquote};

use crate::{choose, for_csv, pieces};

type Records = Vec<Vec<Vec<u8>>>;

/// Records and fields are those that the `csv` crate finds, wherever the bytes are cut: into windows
/// whose unfinished record goes on in the next, and at the places that a cutter gives.
pub fn scan(mut data: &[u8]) {
    let delimiter = Delimiter::ALL[usize::from(choose(&mut data)) % 4].byte();
    let sizes = [choose(&mut data), choose(&mut data)];
    let expected = oracle(data, delimiter);
    assert_eq!(records(data, delimiter), expected);

    let (mut found, mut carry) = (Records::new(), Vec::new());
    let mut index = FieldIndex::default();
    for piece in pieces(data, sizes) {
        carry.extend_from_slice(piece);
        let consumed = split(&carry, delimiter, false, &mut index).consumed;
        take(&index, &carry, &mut found);
        carry.drain(..consumed);
    }
    found.extend(records(&carry, delimiter));
    assert_eq!(found, expected, "in windows of {sizes:?}");

    let (mut found, mut pending) = (Records::new(), Vec::new());
    let mut cutter = Cutter::new(delimiter);
    for piece in pieces(data, sizes) {
        let cut = cutter.push(piece);
        let (before, after) = piece.split_at(cut.unwrap_or(0));
        pending.extend_from_slice(before);
        if cut.is_some() {
            found.extend(records(&pending, delimiter));
            pending.clear();
        }
        pending.extend_from_slice(after);
        assert_eq!(cutter.pending(), pending.len() as u64);
    }
    found.extend(records(&pending, delimiter));
    assert_eq!(found, expected, "cut in pieces of {sizes:?}");
}

fn records(data: &[u8], delimiter: u8) -> Records {
    let mut index = FieldIndex::default();
    let split = split(data, delimiter, true, &mut index);
    assert_eq!(split.consumed, data.len());
    let mut found = Records::new();
    take(&index, data, &mut found);
    found
}

fn take(index: &FieldIndex, window: &[u8], found: &mut Records) {
    let mut scratch = Vec::new();
    for r in 0..index.len() {
        let record = index.record(r, window);
        if record.is_blank() {
            continue;
        }
        let fields = (0..record.fields()).map(|i| {
            let (from, to) = record.field(i);
            unquote(&window[from..to], &mut scratch).to_vec()
        });
        found.push(fields.collect());
    }
}

fn oracle(data: &[u8], delimiter: u8) -> Records {
    let bytes = for_csv(data);
    let mut reader = csv::ReaderBuilder::new();
    reader.has_headers(false).flexible(true).delimiter(delimiter);
    let records = reader.from_reader(&bytes[..]).into_byte_records();
    let fields = |record: csv::ByteRecord| record.iter().map(<[u8]>::to_vec).collect();
    records.map(|record| fields(record.expect("bytes in memory can be read"))).collect()
}
