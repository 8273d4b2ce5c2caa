//! Looking at the beginning of an input before it is counted: what it is, whether a spec fits it, and
//! what counting all of it will take. Pure: whoever calls it reads the bytes, and knows the cluster.

mod estimate;
mod predict;
mod records;
mod suggest;
#[cfg(test)]
mod tests;
mod text;

use crate::api::{ColumnReport, Preflight, PreflightSample};
use crate::dialect::{Delimiter, Header, HeaderError, Names, read_header, read_names};
use crate::spec::{KeyKind, MaxRejects, Spec};
use estimate::Seen;
use predict::Groups;
use records::{Plan, Records};
use text::Encoding;

/// Bytes of an input that are looked at, before and after they are decompressed: enough for hundreds
/// of thousands of records, and little enough for a master that serves many.
pub const SAMPLE_BYTES: usize = 16 << 20;

/// The beginning of an input.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Its bytes, decompressed.
    pub bytes: &'a [u8],
    /// They are all of it.
    pub whole: bool,
    /// Bytes of the whole input, decompressed, where they are known or can be guessed.
    pub size: Option<u64>,
    /// How it was compressed: `none`, `gzip` or `zstd`.
    pub compression: &'static str,
}

/// Where the input is to be counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings {
    /// Bytes that are counted a second; `None` where nobody counts.
    pub bytes_per_second: Option<f64>,
    /// Groups that are merged and written a second; `None` where that takes no time to speak of.
    pub groups_per_second: Option<f64>,
    /// Threads that count.
    pub workers: u32,
    /// Bytes that the master's disk has room for.
    pub disk_room: Option<u64>,
}

/// Looks at a sample of an input that is to be counted by `spec`.
pub fn look(sample: &Sample<'_>, spec: &Spec, around: &Surroundings) -> Preflight {
    let bytes = sample.bytes;
    let encoding = Encoding::of(bytes);
    let mut report = Preflight {
        ok: false,
        problems: Vec::new(),
        compression: sample.compression.to_owned(),
        encoding: encoding.as_str().to_owned(),
        delimiter: spec.delimiter().unwrap_or(Delimiter::Comma).to_string(),
        line_end: text::line_end(bytes).to_owned(),
        columns: Vec::new(),
        sample: PreflightSample {
            bytes: bytes.len() as u64,
            whole: sample.whole,
            ..PreflightSample::default()
        },
        spec: spec.draft().clone(),
        suggestion: None,
        prediction: None,
    };
    if encoding == Encoding::Binary {
        let problem = "this is no text: a CSV file is needed, plain or compressed by gzip or zstd";
        report.problems.push(problem.to_owned());
        return report;
    }
    let header = match read_header(bytes, sample.whole, spec) {
        Ok(Some(header)) => Ok(header),
        Ok(None) => {
            report.problems.push("the header does not end within the sample".to_owned());
            return report;
        }
        Err(error) => Err(error),
    };
    let Ok(Some(names)) = read_names(bytes, sample.whole, spec) else {
        report.problems.extend(header.err().map(|error| error.to_string()));
        return report;
    };
    report.delimiter = names.delimiter.to_string();
    let plan = plan(&names, header.as_ref().ok(), spec);
    let mut found = Records::of(bytes, sample.whole, &plan);
    report.sample.records = found.records;
    report.sample.rejected = found.rejected;
    report.sample.rejects = std::mem::take(&mut found.rejects);
    match header {
        Ok(_) => {
            let groups = Groups::of(&mut found, &plan, spec);
            report.sample.groups = groups.seen.all();
            report.prediction = groups.predict(sample, &found, &plan, around);
            report.ok = judge(&mut report, spec, sample);
        }
        Err(error) => {
            let no_header = matches!(&error, HeaderError::Missing { looks_like_data: true, .. });
            report.problems.push(error.to_string());
            if !no_header {
                report.suggestion = suggest::suggest(spec, &names.names, &found.columns);
            }
        }
    }
    note_oddities(&mut report, encoding);
    report.columns = columns(found, &names, spec);
    report
}

fn plan<'a>(names: &'a Names, header: Option<&Header>, spec: &Spec) -> Plan<'a> {
    let kinds = spec.group_by().iter().map(|key| key.kind);
    let keys = header.map(|header| {
        header.layout.keys.iter().map(|column| *column as usize).zip(kinds).collect()
    });
    let values = header.map(|header| {
        let columns = header.layout.values.iter();
        columns.map(|column| column.map(|column| column as usize)).collect()
    });
    Plan {
        delimiter: names.delimiter.byte(),
        names: &names.names,
        body: names.body as usize,
        lines: names.lines,
        keys: keys.unwrap_or_default(),
        values: values.unwrap_or_default(),
    }
}

/// Whether the spec holds, given that its columns are there; says what is wrong with the records.
fn judge(report: &mut Preflight, spec: &Spec, sample: &Sample<'_>) -> bool {
    let seen = &report.sample;
    if seen.records == 0 {
        let (problem, ok) = match sample.whole {
            true => ("there are no records: the result will have no rows", true),
            false => ("no record ends within the sample; is a quote in it never closed?", false),
        };
        report.problems.push(problem.to_owned());
        return ok;
    }
    let mut ok = true;
    if seen.rejected > 0 {
        let max = spec.max_rejects();
        let expected = report.prediction.map_or(seen.rejected, |all| all.rejected);
        ok = match max {
            MaxRejects::Count(_) => max.allows(expected.max(seen.rejected), seen.records),
            MaxRejects::PartsPerMillion(_) => max.allows(seen.rejected, seen.records),
        };
        let first = seen.rejects.first().map(|first| {
            let column = first.column.as_ref().map(|name| format!(" in {name:?}"));
            let (line, reason) = (first.line, &first.reason);
            format!(", the first in line {line}{}: {reason}", column.unwrap_or_default())
        });
        let verdict = if ok {
            "; they will be listed and left out".to_owned()
        } else {
            format!("; more than {max} fail the job: correct them, or allow more (max_rejects)")
        };
        let (rejected, records) = (seen.rejected, seen.records);
        report.problems.push(format!(
            "{rejected} of {records} records can not be counted{}{verdict}",
            first.unwrap_or_default()
        ));
    }
    let disk = report.prediction.and_then(|all| Some((all.disk_bytes, all.disk_room?)));
    if let Some((needed, room)) = disk
        && needed > room
    {
        report.problems.push(format!(
            "the master's disk may not have enough room: about {needed} bytes are needed, {room} may \
             be used; delete jobs that are not needed any more"
        ));
    }
    ok
}

fn note_oddities(report: &mut Preflight, encoding: Encoding) {
    if encoding == Encoding::Latin1 {
        report.problems.push(
            "some text is not valid UTF-8, perhaps Latin-1; records with it in a text column of the spec \
             are rejected: convert the file (for example: iconv -f LATIN1 -t UTF-8)"
                .to_owned(),
        );
    }
    if report.line_end == "mixed" {
        report.problems.push(
            "lines end in different ways (LF, CRLF, CR); each of them ends a record outside quotes"
                .to_owned(),
        );
    }
}

fn columns(found: Records, names: &Names, spec: &Spec) -> Vec<ColumnReport> {
    let reports = found.columns.into_iter().zip(&names.names).map(|(mut column, name)| {
        let kind = match column.kind() {
            Some(KeyKind::Integer) => "integer",
            Some(KeyKind::Date) => "date",
            Some(KeyKind::Text) | None => "text",
        };
        ColumnReport {
            name: name.clone(),
            kind: kind.to_owned(),
            role: role(name, spec),
            distinct: Seen::of(&mut column.marks, |mark| mark, |_| {}).all(),
            empty: column.empty,
            examples: column.examples,
        }
    });
    reports.collect()
}

/// What a spec does with a column.
fn role(name: &str, spec: &Spec) -> Option<String> {
    use crate::dialect::fold;
    use crate::spec::AggregateOp;
    let name = fold(name);
    let key = spec.group_by().iter().any(|key| fold(&key.name) == name);
    let ops = spec.aggregates().iter().filter_map(|aggregate| {
        let column = aggregate.column.as_deref()?;
        (fold(column) == name).then_some(match aggregate.op {
            AggregateOp::Sum => "sum",
            AggregateOp::Count => "count",
            AggregateOp::Min => "min",
            AggregateOp::Max => "max",
        })
    });
    let roles: Vec<_> = key.then_some("group by").into_iter().chain(ops).collect();
    (!roles.is_empty()).then(|| roles.join(", "))
}
