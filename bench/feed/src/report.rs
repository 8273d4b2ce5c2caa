//! The figures, as Markdown.

use std::fmt::Write;
use std::time::Duration;

use crate::Row;

impl Row {
    fn seconds(&self) -> f64 {
        self.fed.time.as_secs_f64().max(1e-9)
    }

    fn tasks_per_second(&self) -> f64 {
        self.fed.tasks as f64 / self.seconds()
    }

    fn bytes_per_second(&self) -> f64 {
        self.fed.bytes as f64 / self.seconds()
    }

    /// Tasks a second that the slaves could do if none ever waited.
    fn could(&self, delay: Duration) -> f64 {
        self.slaves as f64 / delay.as_secs_f64().max(1e-9)
    }
}

const HEAD: &str = "\
| slaves | tasks | s | tasks/s | MB/s | streams at once | wait p50, ms | p99, ms | master: CPU s per 1000 tasks \
| per GB | cores | peak RSS, MB | simulated slaves: cores |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
";

/// A table of measurements of one load.
pub fn table(rows: &[Row]) -> String {
    let mut out = HEAD.to_owned();
    for row in rows {
        let (fed, seconds) = (&row.fed, row.seconds());
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let master = row.master.map_or("| – | – | – | –".to_owned(), |master| {
            format!(
                "| {:.2} | {:.2} | {:.2} | {:.0}",
                master.cpu / (fed.tasks as f64 / 1e3),
                master.cpu / (fed.bytes as f64 / 1e9),
                master.cpu / seconds,
                master.peak as f64 / 1e6,
            )
        });
        let _ = writeln!(
            out,
            "| {} | {} | {seconds:.2} | {:.0} | {:.0} | {} | {:.1} | {:.1} {master} | {:.2} |",
            row.slaves,
            fed.tasks,
            row.tasks_per_second(),
            row.bytes_per_second() / 1e6,
            fed.peak_streams,
            ms(fed.median_wait),
            ms(fed.p99_wait),
            row.simulated.cpu / seconds,
        );
    }
    out
}

/// Of what the best rate is, what counts as having reached it.
const REACHED: f64 = 0.9;

/// Of the slaves' own rate, what counts as having fed them all.
const FED: f64 = 0.9;

/// Of all processors, what counts as having used them up.
const USED_UP: f64 = 0.85;

/// Where the master saturates, in words.
pub fn saturation(rows: &[Row], delay: Duration, cores: usize) -> String {
    let best = rows.iter().map(Row::tasks_per_second).fold(0.0, f64::max);
    let Some(row) = rows.iter().find(|row| row.tasks_per_second() >= REACHED * best) else {
        return String::new();
    };
    let rate = row.tasks_per_second();
    if rate >= FED * row.could(delay) {
        return format!(
            "It does not saturate: {} slaves are fed as fast as they count.",
            row.slaves
        );
    }
    let mut out = format!(
        "It saturates with {} slaves, or fewer, at {rate:.0} tasks/s and {:.0} MB/s, where the slaves could \
         do {:.0} tasks/s.",
        row.slaves,
        row.bytes_per_second() / 1e6,
        row.could(delay),
    );
    if let Some(master) = row.master {
        let seconds = row.seconds();
        let (own, simulated) = (master.cpu / seconds, row.simulated.cpu / seconds);
        let why = if own + simulated >= USED_UP * cores as f64 {
            "The processors are used up"
        } else {
            "Processors are left: what it waits for is the disk, or one thing after another"
        };
        let _ = write!(
            out,
            " {why}: of {cores}, the master has {own:.2} and the simulated slaves have {simulated:.2}."
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fed, Usage};

    fn row(slaves: usize, tasks: u64, cpu: f64) -> Row {
        let time = Duration::from_secs(1);
        let fed = Fed { time, tasks, bytes: tasks * 1000, ..Fed::default() };
        let usage = Usage { cpu, peak: 1 << 20 };
        let results = Vec::new();
        Row { slaves, tasks, fed, master: Some(usage), simulated: usage, results }
    }

    #[test]
    fn saturation_is_found_where_more_slaves_bring_no_more() {
        let rows = [row(1, 95, 0.1), row(10, 900, 0.5), row(100, 2000, 1.0), row(1000, 2100, 1.0)];
        let delay = Duration::from_millis(10);
        let said = saturation(&rows, delay, 2);
        assert!(said.starts_with("It saturates with 100 slaves"), "{said}");
        assert!(said.contains("used up"), "{said}");
        assert!(saturation(&rows, delay, 4).contains("Processors are left"));
        assert!(saturation(&rows[..2], delay, 2).starts_with("It does not saturate"));
        assert_eq!(table(&rows).lines().count(), 6);
    }
}
