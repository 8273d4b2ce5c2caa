//! `tally preflight`: looks at the beginning of a file, here and now, without a master.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use comfy_table::{Table, presets};

use tally_common::api::{Prediction, Preflight};
use tally_common::preflight::Surroundings;
use tally_master::sample::Sampler;

use crate::args::{OutputFormat, PreflightArgs};
use crate::exit::Kind;
use crate::output::{bytes, is_dash, show};

/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;

/// Longest example that the table has room for, in characters.
const EXAMPLE_CHARS: usize = 24;

pub(crate) fn run(args: &PreflightArgs, format: OutputFormat) -> anyhow::Result<()> {
    let spec = args.spec.spec()?;
    let shown = args.file.display();
    let unreadable =
        |error: io::Error| Kind::JobFailed.error(format!("{shown} can not be read: {error}"));
    let (mut from, size) = open(&args.file).map_err(unreadable)?;
    let mut sampler = Sampler::default();
    let mut buffer = vec![0; READ_BYTES];
    let ended = loop {
        match from.read(&mut buffer) {
            Ok(0) => break true,
            Ok(n) if sampler.feed(&buffer[..n]) => {}
            Ok(_) => break false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    };
    let report = sampler.look(ended, size, &spec, &Surroundings::default());
    show(format, &report, table)?;
    match report.problems.first() {
        Some(first) if !report.ok => Err(Kind::JobFailed.error(format!("{shown}: {first}"))),
        _ => Ok(()),
    }
}

/// What is to be read, and its length, where it has one.
fn open(path: &Path) -> io::Result<(Box<dyn Read>, Option<u64>)> {
    if is_dash(path) {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(path)?;
    let found = file.metadata()?;
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let size = found.is_file().then_some(found.len());
    Ok((Box::new(file), size))
}

/// The report for people: what it is, its columns, what is to be expected, what is wrong.
fn table(report: &Preflight) -> String {
    let sample = &report.sample;
    let all = if sample.whole { "all of it" } else { "its beginning" };
    let mut lines = vec![
        ("verdict", if report.ok { "can be counted" } else { "can not be counted so" }.to_owned()),
        (
            "text",
            format!(
                "{}, fields end with {}, lines with {}, compression {}",
                report.encoding, report.delimiter, report.line_end, report.compression
            ),
        ),
        (
            "looked at",
            format!(
                "{all}: {}, {} records, {} groups, {} rejected",
                bytes(sample.bytes),
                sample.records,
                sample.groups,
                sample.rejected
            ),
        ),
    ];
    lines.extend(report.prediction.iter().flat_map(expectation));
    for reject in &sample.rejects {
        lines.push((
            "reject",
            format!("line {}: {}: {}", reject.line, reject.reason, reject.record),
        ));
    }
    for problem in &report.problems {
        lines.push(("problem", problem.clone()));
    }
    if let Some(suggestion) = &report.suggestion {
        lines.push(("try", flags(suggestion)));
    }
    let lines = lines.iter().map(|(name, value)| format!("{name:<12} {value}"));
    let lines = lines.collect::<Vec<_>>().join("\n");
    if report.columns.is_empty() { lines } else { format!("{lines}\n\n{}", columns(report)) }
}

fn expectation(all: &Prediction) -> [(&'static str, String); 2] {
    [
        (
            "expected",
            format!("{} records, {} groups, {} rejected", all.records, all.groups, all.rejected),
        ),
        (
            "takes",
            format!(
                "input {}, result {}, at most {} of the master's disk",
                bytes(all.bytes),
                bytes(all.result_bytes),
                bytes(all.disk_bytes)
            ),
        ),
    ]
}

fn columns(report: &Preflight) -> String {
    let mut table = Table::new();
    let header = ["COLUMN", "KIND", "USED FOR", "DIFFERENT", "EMPTY", "EXAMPLES"];
    table.load_style(presets::NOTHING).set_header(header);
    for column in &report.columns {
        let examples = column.examples.iter().map(|example| {
            let plain = example.chars().map(|c| if c.is_control() { ' ' } else { c });
            plain.take(EXAMPLE_CHARS).collect::<String>()
        });
        table.add_row([
            column.name.clone(),
            column.kind.clone(),
            column.role.clone().unwrap_or_default(),
            column.distinct.to_string(),
            column.empty.to_string(),
            examples.collect::<Vec<_>>().join(" | "),
        ]);
    }
    table.to_string()
}

/// A spec as the flags that make it.
fn flags(spec: &tally_common::spec::SpecDraft) -> String {
    use tally_common::spec::{AggregateOp, KeyKind};
    let quote = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let keys = spec.group_by.iter().map(|key| {
        let kind = match key.kind {
            KeyKind::Text => "text",
            KeyKind::Integer => "integer",
            KeyKind::Date => "date",
        };
        format!("{}:{kind}", key.name)
    });
    let mut flags = vec![format!("--group-by {}", quote(&keys.collect::<Vec<_>>().join(",")))];
    for aggregate in &spec.aggregates {
        let flag = match aggregate.op {
            AggregateOp::Sum => "--sum",
            AggregateOp::Count => "--count",
            AggregateOp::Min => "--min",
            AggregateOp::Max => "--max",
        };
        let value = match &aggregate.column {
            Some(column) => format!("{column}={}", aggregate.name),
            None => aggregate.name.clone(),
        };
        flags.push(format!("{flag} {}", quote(&value)));
    }
    flags.join(" ")
}
