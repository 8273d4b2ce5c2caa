//! Runs the kernel over a file of `tally generate` in one thread and prints how fast it went:
//! `cargo run --release -p tally-slave --example kernel -- FILE [TASK MIB]`.
//!
//! The file is read before, tasks are cut at line ends, and groups are only counted: what is measured
//! is the kernel alone, and how much of that is indexing. Time is the thread's on a processor, from
//! Linux's `/proc`, so that what else the machine does counts less.

use std::io;

use tally_common::dialect::{Delimiter, Layout};
use tally_common::limits::FRAME_BYTES;
use tally_common::reject::Reject;
use tally_common::run::GroupSink;
use tally_common::scan::{FieldIndex, split};
use tally_common::spec::{Aggregate, AggregateOp, KeyColumn, KeyKind, Spec, SpecDraft};
use tally_slave::kernel::{Bounds, Kernel};

/// Counts, and adds up what it gets, so that two versions can be compared.
#[derive(Default)]
struct Tallied {
    groups: u64,
    heads: u64,
    segments: u64,
    rejects: u64,
    sum: i128,
}

impl GroupSink for Tallied {
    fn start_head(&mut self, _: &[u8], _: u64) -> io::Result<()> {
        self.heads += 1;
        Ok(())
    }

    fn push_ordinal(&mut self, tail: i64, values: &[i128]) -> io::Result<()> {
        self.groups += 1;
        self.sum += values[0] * i128::from(tail);
        Ok(())
    }

    fn push_bytes(&mut self, _: &[u8], values: &[i128]) -> io::Result<()> {
        self.groups += 1;
        self.sum += values[0];
        Ok(())
    }

    fn end_segment(&mut self) -> io::Result<()> {
        self.segments += 1;
        Ok(())
    }

    fn reject(&mut self, _: Reject) -> io::Result<()> {
        self.rejects += 1;
        Ok(())
    }
}

fn processor_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: u64 = text.split(' ').next().unwrap_or("").parse()?;
    Ok(nanoseconds as f64 / 1e9)
}

fn plays_query() -> Result<(Spec, Layout), Box<dyn std::error::Error>> {
    let (delimiter, keys, values) = (Delimiter::Comma, vec![0, 1], vec![Some(2)]);
    let layout = Layout { delimiter, fields: 3, keys, values, rows: Vec::new() };
    Ok((Spec::try_from(SpecDraft::plays())?, layout))
}

/// Two text columns of twelve, two sums and a count.
fn wide_query() -> Result<(Spec, Layout), Box<dyn std::error::Error>> {
    let key = |name: &str| KeyColumn { name: name.into(), kind: KeyKind::Text };
    let aggregate = |op, name: &str| Aggregate { op, column: Some(name.into()), name: name.into() };
    let count = Aggregate { op: AggregateOp::Count, column: None, name: "Records".into() };
    let (plays, seconds) = ("Number of Plays", "Seconds");
    let spec = Spec::try_from(SpecDraft {
        group_by: vec![key("Song"), key("Country")],
        aggregates: vec![
            aggregate(AggregateOp::Sum, plays),
            aggregate(AggregateOp::Sum, seconds),
            count,
        ],
        ..SpecDraft::default()
    })?;
    let (delimiter, keys, values) = (Delimiter::Comma, vec![2, 7], vec![Some(4), Some(6), None]);
    Ok((spec, Layout { delimiter, fields: 12, keys, values, rows: Vec::new() }))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("which file?")?;
    let task_bytes = args.next().map_or(Ok(128), |mib| mib.parse::<usize>())? << 20;
    let input = std::fs::read(path)?;
    let header = memchr::memchr(b'\n', &input).map_or(input.len(), |end| end + 1);
    let body = &input[header..];

    let wide = input[..header].iter().filter(|&&byte| byte == b',').count() > 2;
    let (spec, layout) = if wide { wide_query()? } else { plays_query()? };
    let mut kernel = Kernel::new(&spec);
    let mut found = Tallied::default();
    let start = processor_seconds()?;
    let mut rest = body;
    for number in 0.. {
        let cut = rest.len().min(task_bytes);
        let cut = memchr::memchr(b'\n', &rest[cut..]).map_or(rest.len(), |end| cut + end + 1);
        let (task, after) = rest.split_at(cut);
        kernel.begin(number, &layout)?;
        for frame in task.chunks(FRAME_BYTES) {
            kernel.feed(frame, &mut found)?;
        }
        kernel.finish(&mut found)?;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let whole = processor_seconds()? - start;

    let start = processor_seconds()?;
    let (mut index, mut rest) = (FieldIndex::default(), body);
    while !rest.is_empty() {
        let window = &rest[..rest.len().min(Bounds::default().window_bytes)];
        rest = &rest[split(window, b',', window.len() == rest.len(), &mut index).consumed..];
    }
    let indexing = processor_seconds()? - start;

    let gigabytes = body.len() as f64 / 1e9;
    println!(
        "{:.3} GB/s; {:.3} without indexing, which took {indexing:.3} of {whole:.3} s",
        gigabytes / whole,
        gigabytes / (whole - indexing),
    );
    println!(
        "{} groups, {} heads, {} segments, {} rejects, checksum {}",
        found.groups, found.heads, found.segments, found.rejects, found.sum
    );
    Ok(())
}
