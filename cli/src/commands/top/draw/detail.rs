//! One job: what is known of it, how fast it was over time, and where its tasks are.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Stylize};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Paragraph, Sparkline, Widget, Wrap};

use tally_common::api::{History, TaskState, TaskView};
use tally_common::id::JobId;

use super::marks::{bar, grouped, span};
use super::{block, colour};
use crate::commands::top::followed::Followed;
use crate::commands::top::model::Model;
use crate::output::bytes;

/// Lines of the facts, and of the curve of rates, with their borders.
const FACTS: u16 = 11;
const RATES: u16 = 6;

pub(super) fn draw(model: &Model, id: JobId, area: Rect, buffer: &mut Buffer) {
    let Some(job) = model.jobs.get(&id) else { return };
    let rows = [Constraint::Length(FACTS), Constraint::Length(RATES), Constraint::Min(3)];
    let [above, middle, below] = Layout::vertical(rows).areas(area);
    facts(job, model.now_ms(), above, buffer);
    match model.details_of(id) {
        Some(details) => {
            rates(&details.history, middle, buffer);
            tasks(&details.tasks, below, buffer);
        }
        None => {
            Paragraph::new("…").block(block(" rate ".to_owned())).render(middle, buffer);
            Paragraph::new("…").block(block(" tasks ".to_owned())).render(below, buffer);
        }
    }
}

fn facts(job: &Followed, now: Option<u64>, area: Rect, buffer: &mut Buffer) {
    let (view, block) = (&job.view, block(format!(" {} ", job.view.name)));
    let inner = block.inner(area);
    let (tasks, receipt, progress) = (&view.tasks, &view.receipt, &view.progress);
    let mut state = vec![Span::raw(view.state.as_str()).fg(colour(view.state)).bold()];
    state.extend(view.waiting_for.iter().map(|what| format!(", waits for {what}").yellow()));
    state.extend(view.error.iter().map(|error| format!(": {error}").red()));
    let times = match &view.ended_at {
        Some(ended) => format!("opened {}, ended {ended}", view.opened_at),
        None => format!("opened {}", view.opened_at),
    };
    let left = job.left_ms(now).map(|left| format!(", {} left", span(left))).unwrap_or_default();
    let bar = match job.share() {
        Some(share) => {
            let bar = bar(share, usize::from(inner.width).saturating_sub(6));
            format!("{bar} {:>3.0}%", share * 100.0)
        }
        None => "of unknown size".to_owned(),
    };
    let lines = vec![
        Line::from(state),
        Line::from(bar).fg(colour(view.state)),
        Line::from(format!(
            "{} of {} counted, {}/s now, {}/s over {}{left}",
            bytes(progress.bytes_counted),
            job.total().map_or_else(|| "?".to_owned(), bytes),
            bytes(job.rate(now)),
            bytes(progress.bytes_per_second),
            span(progress.elapsed_ms),
        )),
        Line::from(format!(
            "{} records = {} counted + {} rejected",
            grouped(receipt.records),
            grouped(receipt.counted),
            grouped(receipt.rejected),
        )),
        Line::from(format!(
            "{} of {} tasks done, {} running, {} queued, {} retried",
            tasks.done, tasks.cut, tasks.running, tasks.queued, tasks.retried
        )),
        Line::from(match &view.result {
            Some(result) => format!("{} rows, {}", grouped(result.rows), bytes(result.bytes)),
            None => "no result yet".to_owned(),
        }),
        Line::from(times),
        Line::from(format!("{}, priority {}", view.id, view.priority.as_str())).dim(),
        slaves(job),
    ];
    Paragraph::new(Text::from(lines)).block(block).render(area, buffer);
}

/// Who has counted what, most first.
fn slaves(job: &Followed) -> Line<'_> {
    let mut shares: Vec<_> = job.view.slaves.iter().collect();
    shares.sort_by_key(|share| std::cmp::Reverse(share.bytes));
    let shares = shares.iter().map(|share| {
        let (name, tasks) = (&share.name, share.tasks);
        format!("{name}: {tasks} tasks, {}", bytes(share.bytes))
    });
    Line::from(shares.collect::<Vec<_>>().join("; ")).dim()
}

fn rates(history: &History, area: Rect, buffer: &mut Buffer) {
    let pairs = history.samples.windows(2).map(|pair| {
        let ms = pair[1].at_ms.saturating_sub(pair[0].at_ms).max(1);
        pair[1].bytes_counted.saturating_sub(pair[0].bytes_counted).saturating_mul(1000) / ms
    });
    let rates: Vec<u64> = pairs.collect();
    let top = rates.iter().copied().max().unwrap_or(0);
    let length = history.samples.last().map_or(0, |last| last.at_ms);
    let title = format!(" rate over {}, {}/s at most ", span(length), bytes(top));
    let block = block(title);
    let width = usize::from(block.inner(area).width);
    Sparkline::default().block(block).data(stretched(&rates, width)).cyan().render(area, buffer);
}

/// As many values as there is room for, from the first to the last.
fn stretched(values: &[u64], width: usize) -> Vec<u64> {
    let at = |x: usize| values.get(x * values.len() / width.max(1)).copied().unwrap_or(0);
    (0..width).map(at).collect()
}

fn tasks(tasks: &[TaskView], area: Rect, buffer: &mut Buffer) {
    let legend = [(Mark::Done, "done"), (Mark::Running, "running"), (Mark::Part, "in part")]
        .into_iter()
        .chain([(Mark::Failed, "failed once, waits"), (Mark::Queued, "queued")]);
    let mut title = vec![Span::raw(format!(" {} tasks: ", tasks.len())).bold()];
    for (mark, words) in legend {
        title.push(mark.span());
        title.push(Span::raw(format!(" {words} ")));
    }
    let block = block(String::new()).title(Line::from(title));
    let inner = block.inner(area);
    let room = usize::from(inner.width) * usize::from(inner.height);
    let marks: Vec<_> = marks(tasks, room).into_iter().map(Mark::span).collect();
    let lines = marks.chunks(usize::from(inner.width).max(1));
    let lines: Vec<_> = lines.map(|line| Line::from(line.to_vec())).collect();
    Paragraph::new(lines).block(block).wrap(Wrap { trim: false }).render(area, buffer);
}

/// What a cell of the map stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Done,
    Running,
    /// Some of several tasks are done.
    Part,
    Failed,
    Queued,
}

impl Mark {
    /// Of tasks that share a cell: what somebody should look at goes first.
    fn of(tasks: &[TaskView]) -> Self {
        let any = |state| tasks.iter().any(|task| task.state == state);
        if any(TaskState::Waiting) {
            Self::Failed
        } else if any(TaskState::Running) {
            Self::Running
        } else if !any(TaskState::Queued) {
            Self::Done
        } else if any(TaskState::Done) {
            Self::Part
        } else {
            Self::Queued
        }
    }

    /// It can be told apart without colours, too.
    fn span(self) -> Span<'static> {
        match self {
            Self::Done => "█".fg(Color::Green),
            Self::Running => "▓".fg(Color::Yellow),
            Self::Part => "▒".fg(Color::Green),
            Self::Failed => "!".fg(Color::Red),
            Self::Queued => "░".fg(Color::DarkGray),
        }
    }
}

/// A mark for each task, or for several where there is not room for all.
fn marks(tasks: &[TaskView], room: usize) -> Vec<Mark> {
    let cells = tasks.len().min(room);
    let cell = |i: usize| &tasks[i * tasks.len() / cells..(i + 1) * tasks.len() / cells];
    (0..cells).map(|i| Mark::of(cell(i))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(states: &[TaskState]) -> Vec<TaskView> {
        let task = |(number, state): (u32, &TaskState)| TaskView {
            number,
            byte_offset: 0,
            bytes: 1,
            state: *state,
            slaves: Vec::new(),
            attempts: 0,
            failures: 0,
            bytes_counted: 0,
            records: 0,
            rejected: 0,
        };
        (0..).zip(states).map(task).collect()
    }

    #[test]
    fn every_task_is_in_one_cell() {
        use TaskState::{Done, Queued, Running, Waiting};
        let all = tasks(&[Done, Done, Done, Queued, Running, Queued, Waiting, Running, Queued]);
        let each = marks(&all, 100);
        assert_eq!(each.len(), 9);
        assert_eq!((each[0], each[3], each[6]), (Mark::Done, Mark::Queued, Mark::Failed));
        assert_eq!(marks(&all, 4), [Mark::Done, Mark::Part, Mark::Running, Mark::Failed]);
        assert_eq!(marks(&all, 0), []);
        assert_eq!(marks(&[], 10), []);
    }

    #[test]
    fn rates_fill_the_width() {
        assert_eq!(stretched(&[1, 2], 4), [1, 1, 2, 2]);
        assert_eq!(stretched(&[1, 2, 3, 4], 2), [1, 3]);
        assert_eq!(stretched(&[], 2), [0, 0]);
    }
}
