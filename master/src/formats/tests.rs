//! Each form holds what the CSV holds, to the last row.

use std::io::Read;

use tally_common::spec::{AggregateOp, Spec, SpecDraft};
use tally_common::value::{format_date, write_integer, write_text};

use super::*;

/// Texts that are hard to write, a date and numbers up to their ends.
fn example(rows: usize) -> (SpecDraft, Vec<Vec<String>>, Vec<u8>) {
    let keys = ["Song, or \"so\"", "Date", "Number:integer"].map(str::to_owned);
    let sums = [(AggregateOp::Sum, "Plays=Total\nPlays".to_owned())];
    let mut draft = SpecDraft::from_short_forms(&keys, &sums, Some("n")).unwrap();
    draft.aggregates[0].name = "Total \"Plays\"".to_owned();
    let spec = Spec::try_from(draft.clone()).unwrap();
    let texts =
        ["", "plain", "a,b", "\"quoted\"", "line\nbreak", "\r", "tab\t\u{1}", "日本 é", "\\"];
    let integers = [0, -1, i64::MAX, i64::MIN, 42];
    let values = (0..rows).map(|i| {
        let date = format_date(i as i32 % 4000 - 100);
        vec![
            format!("{}{i}", texts[i % texts.len()]),
            String::from_utf8_lossy(&date).into_owned(),
            integers[i % integers.len()].to_string(),
            integers[i / 7 % integers.len()].to_string(),
            i.to_string(),
        ]
    });
    let values: Vec<_> = values.collect();
    let mut csv = Vec::new();
    let header: Vec<_> = spec.output_names().map(str::to_owned).collect();
    for row in std::iter::once(&header).chain(&values) {
        for (i, value) in row.iter().enumerate() {
            csv.extend_from_slice(if i > 0 { b"," } else { b"" });
            write_text(value.as_bytes(), &mut csv);
        }
        csv.push(b'\n');
    }
    let mut digits = Vec::new();
    write_integer(i64::MIN, &mut digits);
    assert_eq!(digits, i64::MIN.to_string().into_bytes());
    (draft, values, csv)
}

fn made(spec: &SpecDraft, csv: &[u8], format: Format, coding: Coding) -> Vec<u8> {
    let mut out = Vec::new();
    convert(csv, spec, format, coding, &mut out).unwrap();
    out
}

/// Sizes around those of windows and batches.
const ROWS: [usize; 4] = [0, 1, 30_000, 140_000];

#[test]
fn csv_is_what_it_was_however_it_is_packed() {
    let (spec, _, csv) = example(30_000);
    assert!(made(&spec, &csv, Format::Csv, Coding::Identity) == csv);
    let unzip = |data: &[u8]| {
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(data).read_to_end(&mut plain).unwrap();
        plain
    };
    assert!(unzip(&made(&spec, &csv, Format::CsvGz, Coding::Identity)) == csv);
    assert!(unzip(&made(&spec, &csv, Format::Csv, Coding::Gzip)) == csv);
    let zstd = made(&spec, &csv, Format::Csv, Coding::Zstd);
    assert!(zstd::decode_all(&zstd[..]).unwrap() == csv);
    let lines = made(&spec, &csv, Format::JsonLines, Coding::Identity);
    assert!(
        zstd::decode_all(&made(&spec, &csv, Format::JsonLines, Coding::Zstd)[..]).unwrap() == lines
    );
}

#[test]
fn json_lines_hold_all_rows() {
    for rows in ROWS {
        let (spec, values, csv) = example(rows);
        let out = made(&spec, &csv, Format::JsonLines, Coding::Identity);
        let lines: Vec<_> = out.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), rows);
        for (line, row) in lines.iter().zip(&values) {
            let object: serde_json::Value = serde_json::from_slice(line).unwrap();
            assert_eq!(object["Song, or \"so\""], row[0].as_str());
            assert_eq!(object["Date"], row[1].as_str());
            assert_eq!(object["Number"], row[2].parse::<i64>().unwrap());
            assert_eq!(object["Total \"Plays\""], row[3].parse::<i64>().unwrap());
            assert_eq!(object["n"], row[4].parse::<i64>().unwrap());
        }
    }
}

#[test]
fn what_is_no_result_is_an_error() {
    let (spec, _, mut csv) = example(10);
    csv.extend_from_slice(b"a,b\n");
    for format in [Format::JsonLines, Format::Parquet] {
        let failed = convert(&csv[..], &spec, format, Coding::Identity, Vec::new());
        assert!(failed.is_err(), "{format:?}");
    }
}

#[cfg(feature = "columnar")]
mod columnar {
    use arrow_array::RecordBatch;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Date32Type, Int64Type};
    use arrow_ipc::reader::StreamReader;
    use arrow_schema::DataType;
    use bytes::Bytes;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    fn check(batches: impl Iterator<Item = RecordBatch>, values: &[Vec<String>]) {
        let mut rows = values.iter();
        for batch in batches {
            let kinds: Vec<_> =
                batch.schema().fields().iter().map(|field| field.data_type().clone()).collect();
            let integer = DataType::Int64;
            let expected =
                [DataType::Utf8, DataType::Date32, integer.clone(), integer.clone(), integer];
            assert_eq!(kinds, expected);
            assert_eq!(batch.schema().field(3).name(), "Total \"Plays\"");
            let texts = batch.column(0).as_string::<i32>();
            let dates = batch.column(1).as_primitive::<Date32Type>();
            let integers = [2, 3, 4].map(|i| batch.column(i).as_primitive::<Int64Type>());
            for i in 0..batch.num_rows() {
                let row = rows.next().unwrap();
                assert_eq!(texts.value(i), row[0]);
                assert_eq!(format_date(dates.value(i)), row[1].as_bytes());
                for (column, value) in integers.iter().zip(&row[2..]) {
                    assert_eq!(column.value(i), value.parse::<i64>().unwrap());
                }
            }
        }
        assert_eq!(rows.next(), None);
    }

    #[test]
    fn arrow_holds_all_rows() {
        for rows in ROWS {
            let (spec, values, csv) = example(rows);
            let out = made(&spec, &csv, Format::Arrow, Coding::Identity);
            let reader = StreamReader::try_new(&out[..], None).unwrap();
            check(reader.map(Result::unwrap), &values);
        }
    }

    #[test]
    fn parquet_holds_all_rows() {
        for rows in ROWS {
            let (spec, values, csv) = example(rows);
            let out = made(&spec, &csv, Format::Parquet, Coding::Identity);
            let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(out)).unwrap();
            check(reader.build().unwrap().map(Result::unwrap), &values);
        }
    }
}
