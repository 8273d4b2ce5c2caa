//! The first lines: the master, what it does, and what it has.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Stylize;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::Widget;

use tally_common::api::{ClusterView, parse_timestamp};

use super::marks::{curve, span};
use crate::commands::top::model::Model;
use crate::output::bytes;

/// Seconds of the curve.
const SECONDS: usize = 60;

pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let mut lines = vec![title(model)];
    match &model.cluster {
        Some(cluster) => lines.extend([work(cluster), waiting(cluster), machine(cluster)]),
        None => lines.push(Line::from("nothing is known yet").dim()),
    }
    Text::from(lines).render(area, buffer);
}

fn title(model: &Model) -> Line<'_> {
    let mut line = Line::from(vec!["tally".bold(), "  ".into(), model.url.as_str().into()]);
    if let Some(cluster) = &model.cluster {
        line.push_span(format!("  version {}", cluster.version));
        let times = parse_timestamp(&cluster.started_at).zip(parse_timestamp(&cluster.now));
        if let Some((started, now)) = times {
            line.push_span(format!("  up {}", span(now.saturating_sub(started))));
        }
    }
    match &model.down {
        Some(why) => {
            line.push_span("  ");
            line.push_span(format!("NO CONNECTION, trying again: {why}").red().bold());
        }
        None => line.push_span("  connected".green()),
    }
    line
}

fn work(cluster: &ClusterView) -> Line<'_> {
    let counts = &cluster.counts;
    let rate = format!("{}/s", bytes(cluster.bytes_per_second));
    Line::from(vec![
        format!("{rate:>11} ").bold(),
        Span::raw(curve(&cluster.history, SECONDS)).cyan(),
        format!("  {} slaves, {} workers", counts.slaves, counts.workers).into(),
    ])
}

fn waiting(cluster: &ClusterView) -> Line<'_> {
    let counts = &cluster.counts;
    let queue = cluster.queue.iter();
    let queue = queue.map(|queue| format!("{} {}", queue.priority.as_str(), queue.tasks));
    let queue = queue.collect::<Vec<_>>().join(", ");
    Line::from(format!(
        "jobs: {} receiving, {} running, {} merging   tasks: {} running, {} queued ({queue})",
        counts.receiving, counts.running, counts.merging, counts.tasks_running, counts.tasks_queued,
    ))
}

fn machine(cluster: &ClusterView) -> Line<'_> {
    let (disk, memory) = (&cluster.disk, &cluster.memory);
    let (free, total) = (bytes(disk.free), bytes(disk.total));
    let disk_text = format!("disk: {free} free of {total}");
    let disk_text = match disk.full {
        true => format!("{disk_text}, FULL").red().bold(),
        false => disk_text.into(),
    };
    let (resident, peak) = (bytes(memory.resident), bytes(memory.peak));
    let memory = format!("   memory: {resident}, {peak} at most, of {}", bytes(memory.total));
    Line::from(vec![disk_text, memory.into()])
}
