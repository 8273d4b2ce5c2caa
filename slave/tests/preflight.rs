//! What a preflight says of a whole input is what the kernel then finds in it.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails, as it should")]

use std::collections::BTreeSet;
use std::io;

use proptest::prelude::*;
use tally_common::dialect::read_header;
use tally_common::preflight::{Sample, Surroundings, look};
use tally_common::reject::Reject;
use tally_common::run::GroupSink;
use tally_common::spec::{AggregateOp, Spec, SpecDraft};
use tally_slave::kernel::Kernel;

/// What the kernel gave.
#[derive(Default)]
struct Given {
    head: Vec<u8>,
    groups: BTreeSet<(Vec<u8>, i64, Vec<u8>)>,
    rejects: Vec<Reject>,
}

impl GroupSink for Given {
    fn start_head(&mut self, head: &[u8], _: u64) -> io::Result<()> {
        self.head = head.to_vec();
        Ok(())
    }

    fn push_ordinal(&mut self, tail: i64, _: &[i128]) -> io::Result<()> {
        self.groups.insert((self.head.clone(), tail, Vec::new()));
        Ok(())
    }

    fn push_bytes(&mut self, tail: &[u8], _: &[i128]) -> io::Result<()> {
        self.groups.insert((self.head.clone(), 0, tail.to_vec()));
        Ok(())
    }

    fn end_segment(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reject(&mut self, reject: Reject) -> io::Result<()> {
        self.rejects.push(reject);
        Ok(())
    }
}

fn check(input: &[u8], spec: &Spec) -> Result<(), TestCaseError> {
    let sample = Sample { bytes: input, whole: true, size: None, compression: "none" };
    let report = look(&sample, spec, &Surroundings::default());
    let Ok(Some(header)) = read_header(input, true, spec) else {
        prop_assert!(!report.ok);
        return Ok(());
    };
    let (mut kernel, mut given) = (Kernel::new(spec), Given::default());
    kernel.begin(0, &header.layout).unwrap();
    kernel.feed(&input[header.body as usize..], &mut given).unwrap();
    let totals = kernel.finish(&mut given).unwrap();
    let seen = report.sample;
    prop_assert_eq!(seen.records, totals.records);
    prop_assert_eq!(seen.rejected, totals.rejects);
    prop_assert_eq!(seen.groups, given.groups.len() as u64);
    for (shown, reject) in seen.rejects.iter().zip(&given.rejects) {
        prop_assert_eq!(shown.line, header.lines + reject.line + 1);
        prop_assert_eq!(shown.byte_offset, header.body + reject.offset);
        prop_assert!(shown.reason.starts_with(&reject.reason.to_string()), "{:?}", shown);
    }
    prop_assert_eq!(report.ok, spec.max_rejects().allows(totals.rejects, totals.records));
    Ok(())
}

/// Fields that are right, nearly right, and wrong.
fn row() -> impl Strategy<Value = Vec<u8>> {
    let song = prop_oneof![
        Just(&b"a"[..]),
        Just(&b"\"a\""[..]),
        Just(&b"\"b,\"\"b\n\""[..]),
        Just(&b"c\"c"[..]),
        Just(&b"\xff"[..]),
        Just(&b""[..])
    ];
    let date = prop_oneof![
        4 => Just(&b"2020-01-01"[..]),
        1 => Just(&b" 2020-01-01"[..]),
        1 => Just(&b"2020-02-30"[..]),
        1 => Just(&b"\"2020-01-02\""[..]),
        1 => Just(&b"1/1/20"[..])
    ];
    let plays = prop_oneof![
        4 => Just(&b"7"[..]),
        1 => Just(&b" +7"[..]),
        1 => Just(&b"\"1\""[..]),
        1 => Just(&b"99999999999999999999"[..]),
        1 => Just(&b"1.5"[..]),
        1 => Just(&b"\"1\n,2"[..])
    ];
    let end = prop_oneof![
        6 => Just(&b"\n"[..]),
        1 => Just(&b"\r\n"[..]),
        1 => Just(&b"\r"[..]),
        1 => Just(&b"\n\n"[..]),
        1 => Just(&b",\n"[..])
    ];
    (song, date, plays, end)
        .prop_map(|(song, date, plays, end)| [song, b",", date, b",", plays, end].concat())
}

proptest! {
    #[test]
    fn a_preflight_and_the_kernel_agree(rows in prop::collection::vec(row(), 0..60)) {
        let input = [b"Song,Date,Number of Plays\n".to_vec(), rows.concat()].concat();
        check(&input, &Spec::try_from(SpecDraft::plays()).unwrap())?;
        let keys = ["Number of Plays:integer", "Date:date", "Song"].map(str::to_owned);
        let max = [(AggregateOp::Max, "number of plays=Most".to_owned())];
        let other = SpecDraft::from_short_forms(&keys, &max, Some("n")).unwrap();
        check(&input, &Spec::try_from(other).unwrap())?;
    }

    #[test]
    fn one_column_is_no_exception(text in "[a\",\r\n]{0,30}") {
        let input = format!("name\n{text}");
        check(input.as_bytes(), &Spec::try_from(SpecDraft::products()).unwrap())?;
    }
}
