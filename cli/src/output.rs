//! What is shown: tables and JSON on stdout; and files that appear whole or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use comfy_table::{Table, presets};
use serde::Serialize;
use tempfile::{NamedTempFile, TempPath};

use tally_common::api::{FullReceipt, IngestCounts, IngestView, JobView, SlaveView, SourceView};
use tally_common::formula::FormulaGuard;
use tally_master::direct::DirectWriter;

use crate::args::OutputFormat;
use crate::commands::keys::Listed;

/// Shows `value` as JSON, or what `table` makes of it.
pub(crate) fn show<T: Serialize>(
    format: OutputFormat,
    value: &T,
    table: impl FnOnce(&T) -> String,
) -> anyhow::Result<()> {
    let text = match format {
        OutputFormat::Json => serde_json::to_string_pretty(value)?,
        OutputFormat::Table => table(value),
    };
    match writeln!(io::stdout().lock(), "{text}") {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        shown => shown.context("stdout"),
    }
}

pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    table
}

/// Keys, a line each.
pub(crate) fn keys(keys: &Vec<Listed>) -> String {
    if keys.is_empty() {
        return "no keys".to_owned();
    }
    let mut table =
        table(&["KEY", "NAME", "STATE", "SCOPES", "JOBS", "BYTES/DAY", "CREATED", "EXPIRES"]);
    // What is not said, the master's flags say.
    let unsaid = || "-".to_owned();
    for key in keys {
        table.add_row([
            key.id.to_string(),
            key.name.clone(),
            key.state.name().to_owned(),
            key.scopes.to_string(),
            key.limits.max_jobs.map_or_else(unsaid, |jobs| jobs.to_string()),
            key.limits.bytes_per_day.map_or_else(unsaid, bytes),
            key.created_at.clone(),
            key.expires_at.clone().unwrap_or_else(|| "never".to_owned()),
        ]);
    }
    table.to_string()
}

/// Jobs, a line each.
pub(crate) fn jobs(jobs: &Vec<JobView>) -> String {
    if jobs.is_empty() {
        return "no jobs".to_owned();
    }
    let mut table =
        table(&["JOB", "NAME", "STATE", "TASKS", "RECORDS", "REJECTED", "RATE", "OPENED"]);
    for job in jobs {
        table.add_row([
            job.id.to_string(),
            job.name.clone(),
            job.state.as_str().to_owned(),
            format!("{}/{}", job.tasks.done, job.tasks.cut),
            job.receipt.records.to_string(),
            job.receipt.rejected.to_string(),
            format!("{}/s", bytes(job.progress.bytes_per_second)),
            job.opened_at.clone(),
        ]);
    }
    table.to_string()
}

/// Sources, a line each.
pub(crate) fn sources(sources: &[SourceView]) -> String {
    if sources.is_empty() {
        return "no sources".to_owned();
    }
    let mut table =
        table(&["SOURCE", "KIND", "TARGET", "INTO", "STATE", "POLLED", "CHANGES", "ERRORS"]);
    for source in sources {
        table.add_row([
            source.name.clone(),
            source.kind.clone(),
            source.target.clone(),
            source.into.clone(),
            source.state.as_str().to_owned(),
            source.last_polled_at.clone().unwrap_or_else(|| "never".to_owned()),
            source.changes.to_string(),
            source.errors.to_string(),
        ]);
    }
    table.to_string()
}

/// One job, a line for each fact.
pub(crate) fn job(job: &JobView) -> String {
    let mut lines = vec![
        ("job", job.id.to_string()),
        ("name", job.name.clone()),
        ("state", job.state.as_str().to_owned()),
        ("opened", job.opened_at.clone()),
    ];
    let mut add = |name, value: &Option<String>| {
        if let Some(value) = value {
            lines.push((name, value.clone()));
        }
    };
    add("ended", &job.ended_at);
    add("error", &job.error);
    add("waiting for", &job.waiting_for);
    let tasks = &job.tasks;
    let (done, cut) = (tasks.done, tasks.cut);
    let (running, queued, retried) = (tasks.running, tasks.queued, tasks.retried);
    lines.push((
        "tasks",
        format!("{done} of {cut} done, {running} running, {queued} queued, {retried} retried"),
    ));
    let progress = &job.progress;
    lines.push((
        "counted",
        format!(
            "{} in {:.1} s ({}/s)",
            bytes(progress.bytes_counted),
            progress.elapsed_ms as f64 / 1000.0,
            bytes(progress.bytes_per_second)
        ),
    ));
    let receipt = &job.receipt;
    lines.push((
        "records",
        format!(
            "{} = {} counted + {} rejected; {} blank lines",
            receipt.records, receipt.counted, receipt.rejected, receipt.blank_lines
        ),
    ));
    if receipt.repaired > 0 {
        lines.push(("repaired", format!("{} of the rejected", receipt.repaired)));
    }
    lines.push(("input", format!("{} bytes, CRC-32C {:08x}", receipt.bytes, receipt.crc32c)));
    if let Some(IngestView { table, mode, counts }) = &job.ingest {
        lines.push(("table", format!("{table} ({})", mode.as_str())));
        lines.push(("rows", ingested(counts)));
    }
    if let Some(result) = &job.result {
        lines.push(("result", format!("{} rows, {}", result.rows, bytes(result.bytes))));
        lines.push(("sha256", result.sha256.clone()));
        for total in &result.totals {
            lines.push(("total", format!("{}: {}", total.name, total.value)));
        }
    }
    for share in &job.slaves {
        let (tasks, records) = (share.tasks, share.records);
        lines.push(("slave", format!("{}: {tasks} tasks, {records} records", share.name)));
    }
    for reject in &job.rejects {
        lines.push((
            "reject",
            format!("line {}: {}: {}", reject.line, reject.reason, reject.record),
        ));
    }
    let lines = lines.iter().map(|(name, value)| format!("{name:<12} {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// What an ingest has come to.
pub(crate) fn ingested(counts: &IngestCounts) -> String {
    let IngestCounts { keys, added, updated, unchanged, deleted, repeated_keys, replaced_records } =
        counts;
    let mut text = format!(
        "{keys} keys: {added} added, {updated} updated, {unchanged} unchanged, {deleted} deleted"
    );
    if *repeated_keys > 0 {
        text += &format!(
            "; {repeated_keys} keys came more than once, the last of their records counts \
             ({replaced_records} replaced)"
        );
    }
    text
}

/// A receipt: a line for each task, and their sum.
pub(crate) fn receipt(receipt: &FullReceipt) -> String {
    let header =
        ["TASK", "FROM", "BYTES", "CRC-32C", "RECORDS", "COUNTED", "REJECTED", "SLAVE", "ATTEMPT"];
    let mut table = table(&header);
    for task in &receipt.tasks {
        let range = [task.number.to_string(), task.byte_offset.to_string(), task.bytes.to_string()];
        let crc = format!("{:08x}", task.crc32c);
        let answer = match &task.answer {
            Some(answer) => [
                answer.records.to_string(),
                answer.counted.to_string(),
                answer.rejected.to_string(),
                answer.slave.clone(),
                answer.attempt.to_string(),
            ],
            None => ["-"; 5].map(str::to_owned),
        };
        table.add_row(range.into_iter().chain([crc]).chain(answer));
    }
    let total = &receipt.total;
    format!(
        "{table}\n{} records = {} counted + {} rejected ({} of these repaired); {} bytes, CRC-32C {:08x}",
        total.records, total.counted, total.rejected, total.repaired, total.bytes, total.crc32c
    )
}

/// Slaves, a line each.
pub(crate) fn slaves(slaves: &Vec<SlaveView>) -> String {
    if slaves.is_empty() {
        return "no slaves".to_owned();
    }
    let header = [
        "NAME",
        "WORKERS",
        "RUNNING",
        "PREFETCHED",
        "DONE",
        "FAILED",
        "COUNTED",
        "RATE",
        "HEARD",
        "VERSION",
    ];
    let mut table = table(&header);
    for slave in slaves {
        table.add_row([
            match (slave.quarantined, slave.draining) {
                (true, _) => format!("{} (quarantined)", slave.name),
                (false, true) => format!("{} (draining)", slave.name),
                (false, false) => slave.name.clone(),
            },
            slave.workers.to_string(),
            slave.running.to_string(),
            slave.prefetched.to_string(),
            slave.completed.to_string(),
            slave.failed.to_string(),
            bytes(slave.bytes),
            format!("{}/s", bytes(slave.bytes_per_second)),
            format!("{:.1} s ago", slave.last_heard_ms as f64 / 1000.0),
            slave.version.clone(),
        ]);
    }
    table.to_string()
}

/// A number of bytes for people.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Whether a path stands for stdin or stdout.
pub(crate) fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Whether something is there that is no file: a pipe or a device such as `/dev/null`, which is written to
/// and must never be replaced.
pub(crate) fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir())
}

/// Bytes that go to a stream at once.
const STREAM_BYTES: usize = 1 << 20;

/// Where a file is written: stdout, a pipe or device, or a file that appears under its name only when it
/// is whole.
pub(crate) enum Target {
    Stdout(BufWriter<io::Stdout>),
    Special(BufWriter<File>),
    File {
        path: PathBuf,
        whole: TempPath,
        file: DirectWriter,
    },
    /// A CSV in which a spreadsheet finds no formulas.
    Safe {
        to: Box<Target>,
        guard: FormulaGuard,
        piece: Vec<u8>,
    },
}

impl Target {
    /// Opens `path`; nothing that is there is touched before [`Target::finish`].
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        if is_dash(path) {
            return Ok(Self::Stdout(BufWriter::with_capacity(STREAM_BYTES, io::stdout())));
        }
        if is_special(path) {
            let file = File::options().write(true).open(path);
            let file = file.with_context(|| format!("{} can not be written", path.display()))?;
            return Ok(Self::Special(BufWriter::with_capacity(STREAM_BYTES, file)));
        }
        if path.is_dir() {
            anyhow::bail!("{} is a directory; name a file to write to", path.display());
        }
        let file = NamedTempFile::new_in(folder(path)).and_then(|file| {
            give_usual_rights(file.as_file())?;
            let whole = file.into_temp_path();
            let file = DirectWriter::create(&whole)?;
            Ok(Self::File { path: path.to_owned(), whole, file })
        });
        file.with_context(|| format!("{} can not be written", path.display()))
    }

    /// The same for a CSV in which a spreadsheet finds no formulas, if that is wanted; `plain` says which columns
    /// hold nothing but numbers and dates.
    pub(crate) fn formula_safe(self, wanted: bool, plain: impl FnOnce() -> Vec<bool>) -> Self {
        if !wanted {
            return self;
        }
        Self::Safe { to: Box::new(self), guard: FormulaGuard::new(plain()), piece: Vec::new() }
    }

    /// The file is whole.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Stdout(mut out) => Ok(out.flush()?),
            Self::Special(mut out) => Ok(out.flush()?),
            Self::File { path, whole, file } => {
                let kept = file.finish().and_then(|()| Ok(whole.persist(&path)?));
                kept.with_context(|| format!("{} can not be written", path.display()))
            }
            Self::Safe { to, .. } => to.finish(),
        }
    }
}

/// Temporary files are for their owner alone; what is kept has the rights that any new file gets.
fn give_usual_rights(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(mask);
    let mode = 0o666 & !mask.bits();
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

impl Write for Target {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(data),
            Self::Special(out) => out.write(data),
            Self::File { file, .. } => file.write(data),
            Self::Safe { to, guard, piece } => {
                piece.clear();
                guard.push(data, piece);
                to.write_all(piece)?;
                Ok(data.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::Special(out) => out.flush(),
            Self::File { file, .. } => file.flush(),
            Self::Safe { to, .. } => to.flush(),
        }
    }
}

/// The folder that a file lies in.
pub(crate) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
