//! Runs: what a slave hands in, or a disk gives back.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tally_common::key::Tail;
use tally_common::run::{GroupReader, OwnedTail, ReadAt, RunMeta};
use tally_common::spec::{Aggregate, AggregateOp, KeyColumn, KeyKind, Order, Spec, SpecDraft};
use tally_master::merge::{MergeInput, MergeOptions, merge_to_csv};

use crate::choose;

/// A run of any bytes is read or refused, and so it is by the merge. Checksums are made to fit
/// first: what they guard is to hold without them too.
pub fn run(mut data: &[u8]) {
    let order = match choose(&mut data) % 2 {
        0 => Order::Sorted,
        _ => Order::FirstSeen,
    };
    let mut run = data.to_vec();
    // As it is, then with its checksums made to fit.
    let _ = read(&run);
    if seal(&mut run).is_none() || read(&run).is_none() {
        return;
    }
    let Ok(meta) = RunMeta::read(&run) else { return };
    let header = *meta.header();
    let kinds = match header.tail {
        tally_common::key::TailKind::None => vec![KeyKind::Text],
        tally_common::key::TailKind::Date => vec![KeyKind::Text, KeyKind::Date],
        tally_common::key::TailKind::Bytes => vec![KeyKind::Text, KeyKind::Integer, KeyKind::Text],
    };
    let keys = kinds.into_iter().enumerate();
    let group_by = keys.map(|(i, kind)| KeyColumn { name: format!("k{i}"), kind }).collect();
    let aggregates = (0..header.aggregates).map(|i| Aggregate {
        op: [AggregateOp::Sum, AggregateOp::Min, AggregateOp::Max][usize::from(i) % 3],
        column: Some("n".to_owned()),
        name: format!("a{i}"),
    });
    let order = if header.keeps_first { order } else { Order::Sorted };
    let draft =
        SpecDraft { group_by, aggregates: aggregates.collect(), order, ..SpecDraft::default() };
    let Ok(spec) = Spec::try_from(draft) else { return };
    let scratch_dir = std::env::temp_dir();
    let cancelled = AtomicBool::new(false);
    let options = MergeOptions { threads: 1, cancelled: &cancelled, scratch_dir: &scratch_dir };
    let run: Arc<dyn ReadAt + Send + Sync> = Arc::new(run);
    let input = MergeInput { run, meta: Arc::new(meta) };
    let _ = merge_to_csv(&spec, &[input.clone(), input], &mut Vec::new(), &options);
}

/// Reads all that a run holds; `None` where it is refused.
fn read(run: &Vec<u8>) -> Option<()> {
    let meta = RunMeta::read(run).ok()?;
    let mut groups = 0;
    for segment in meta.segments() {
        let mut reader = GroupReader::new(meta.header());
        let mut before: Option<(Vec<u8>, OwnedTail)> = None;
        for block in segment {
            let read =
                |buffer: &mut Vec<u8>| RunMeta::read_block(run, block.offset, block.len, buffer);
            reader.load(block.offset, block.len, read).ok()?;
            while reader.advance().ok()? {
                let group = reader.group();
                let tail = match group.tail {
                    Tail::Ordinal(ordinal) => OwnedTail::Ordinal(ordinal),
                    Tail::Bytes(bytes) => OwnedTail::Bytes(bytes.into()),
                };
                let key = Some((group.head.to_vec(), tail));
                assert!(before < key, "keys ascend");
                before = key;
                groups += 1;
                assert!(groups <= run.len() as u64, "a group takes at least a byte");
            }
        }
    }
    let rejects: Result<Vec<_>, _> = meta.rejects(run).collect();
    assert_eq!(rejects.ok()?.len() as u64, meta.totals().rejects);
    Some(())
}

/// Bytes of header, trailer and checksum, as the format has them.
const HEADER: usize = 44;
const TRAILER: usize = 20;
const CRC: usize = 4;

/// Makes the checksums of a run fit what it holds, as far as it can be made out.
fn seal(run: &mut Vec<u8>) -> Option<()> {
    if run.len() < HEADER + TRAILER {
        return None;
    }
    put_crc(run, 0, HEADER - CRC);
    let trailer = run.len() - TRAILER;
    let footer = u64::from_le_bytes(run[trailer..trailer + 8].try_into().ok()?);
    let footer = usize::try_from(footer).ok().filter(|footer| *footer <= trailer)?;
    put_crc(run, footer, trailer + 8);
    let meta = RunMeta::read(run).ok()?;
    let mut end = HEADER;
    for block in meta.segments().iter().flatten() {
        let start = block.offset as usize;
        // What lies between two blocks of groups is, most often, one block of rejects.
        if start > end + CRC {
            put_crc(run, end, start - CRC);
        }
        put_crc(run, start, start + block.len);
        end = start + block.len + CRC;
    }
    if footer > end + CRC {
        put_crc(run, end, footer - CRC);
    }
    Some(())
}

/// Writes the checksum of `run[from..to]` behind it.
fn put_crc(run: &mut [u8], from: usize, to: usize) {
    let crc = crc32c::crc32c(&run[from..to]);
    run[to..to + CRC].copy_from_slice(&crc.to_le_bytes());
}
