//! How far a job is: bars on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use tally_common::api::JobView;

/// Shows a job as it goes on.
pub(crate) struct Progress {
    bars: Option<(MultiProgress, ProgressBar, Vec<ProgressBar>)>,
    /// Without a terminal: print a line at each change of state.
    lines: bool,
    last_state: &'static str,
}

impl Progress {
    /// Bars where stderr is a terminal; else nothing, or with `lines` a line at each change of state.
    pub(crate) fn new(lines: bool) -> Self {
        let bars = std::io::stderr().is_terminal().then(|| {
            let all = MultiProgress::new();
            let main = all.add(ProgressBar::new(0));
            main.set_style(style(
                "{msg:<10} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec}",
            ));
            (all, main, Vec::new())
        });
        Self { bars, lines, last_state: "" }
    }

    /// Shows the job as it is now.
    pub(crate) fn show(&mut self, job: &JobView) {
        let state = job.state.as_str();
        let progress = &job.progress;
        let total = progress.bytes_expected.unwrap_or(0).max(progress.bytes_received);
        if let Some((all, main, slaves)) = &mut self.bars {
            main.set_length(total);
            main.set_position(progress.bytes_counted.min(total));
            main.set_message(match &job.waiting_for {
                Some(what) => format!("waiting for {what}"),
                None => state.to_owned(),
            });
            while slaves.len() < job.slaves.len() {
                let bar = all.add(ProgressBar::new(0));
                bar.set_style(style("  {msg}"));
                slaves.push(bar);
            }
            for (bar, share) in slaves.iter().zip(&job.slaves) {
                let (tasks, records) = (share.tasks, share.records);
                bar.set_message(format!("{}: {tasks} tasks, {records} records", share.name));
            }
        } else if self.lines && state != self.last_state {
            let (done, cut) = (job.tasks.done, job.tasks.cut);
            let (records, rate) = (job.receipt.records, progress.records_per_second);
            eprintln!("{state}: {done} of {cut} tasks, {records} records, {rate} records/s");
        }
        self.last_state = state;
    }

    /// Takes the bars away.
    pub(crate) fn clear(&self) {
        if let Some((all, ..)) = &self.bars {
            // A terminal that is gone needs no clearing.
            let _ = all.clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants of this module.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
