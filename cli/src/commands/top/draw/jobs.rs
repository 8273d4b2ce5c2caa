//! The jobs, a row each.

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table, Widget};

use super::marks::{bar, grouped, span};
use super::{block, colour, right};
use crate::commands::top::followed::Followed;
use crate::commands::top::model::Model;
use crate::output::bytes;

/// Lines that are there besides the rows: the borders, and the header.
pub(super) const FRAME_LINES: u16 = 3;

/// Characters of a bar.
const BAR: usize = 14;

/// A column: its title, its width, from which width of the screen on it is shown, and whether it holds
/// numbers.
const COLUMNS: [(&str, Constraint, u16, bool); 8] = [
    ("NAME", Constraint::Fill(1), 0, false),
    ("STATE", Constraint::Length(9), 0, false),
    ("COUNTED", Constraint::Length(BAR as u16 + 5), 60, false),
    ("RATE", Constraint::Length(11), 0, true),
    ("LEFT", Constraint::Length(11), 72, true),
    ("RECORDS", Constraint::Length(14), 100, true),
    ("REJECTED", Constraint::Length(8), 120, true),
    ("TASKS", Constraint::Length(11), 86, true),
];

/// Draws the jobs; with `select` the chosen one is marked, and in sight.
pub(super) fn draw(model: &Model, select: bool, area: Rect, buffer: &mut Buffer) {
    let jobs = model.ordered();
    let title = match select {
        true => format!(" jobs, {} ", model.sort.as_str()),
        false => " jobs ".to_owned(),
    };
    let block = block(title);
    if jobs.is_empty() {
        return Paragraph::new("no jobs").dim().block(block).render(area, buffer);
    }
    let shown = |column: &&(&str, Constraint, u16, bool)| column.2 <= area.width;
    let widths = COLUMNS.iter().filter(shown).map(|column| column.1);
    let titles = COLUMNS.iter().filter(shown).map(|column| match column.3 {
        true => right(column.0.into()),
        false => Cell::new(column.0),
    });
    let now = model.now_ms();
    let chosen = model.selected_row(&jobs);
    // There may be thousands, of which the screen shows a few.
    let seen = window(jobs.len(), chosen, usize::from(area.height.saturating_sub(FRAME_LINES)));
    let rows = seen.clone().map(|row| {
        let job = jobs[row];
        let style = match select && row == chosen {
            true => Style::new().add_modifier(Modifier::REVERSED),
            false => Style::new(),
        };
        let cells = COLUMNS.iter().zip(cells(job, now)).filter(|(column, _)| shown(column));
        Row::new(cells.map(|(_, cell)| cell)).style(style)
    });
    let block = match seen.len() < jobs.len() {
        true => {
            let place = format!(" {} to {} of {} ", seen.start + 1, seen.end, jobs.len());
            block.title(Line::from(place).right_aligned())
        }
        false => block,
    };
    let table = Table::new(rows, widths).header(Row::new(titles).dim()).block(block);
    Widget::render(table, area, buffer);
}

/// Which of so many rows are seen: as many as there is room for, with the chosen one in the middle where
/// it can be.
fn window(rows: usize, chosen: usize, room: usize) -> Range<usize> {
    let start = chosen.saturating_sub(room / 2).min(rows.saturating_sub(room));
    start..(start + room).min(rows)
}

fn cells(job: &Followed, now: Option<u64>) -> [Cell<'_>; 8] {
    let (view, colour) = (&job.view, colour(job.view.state));
    let share = match job.share() {
        Some(share) => Span::raw(format!("{} {:>3.0}%", bar(share, BAR), share * 100.0)).fg(colour),
        None => Span::raw(bytes(view.progress.bytes_counted)),
    };
    let left = match (job.left_ms(now), view.state.ended()) {
        (Some(left), _) => span(left),
        (None, true) => String::new(),
        (None, false) => "?".to_owned(),
    };
    [
        Cell::new(view.name.as_str()),
        Cell::new(Span::raw(view.state.as_str()).fg(colour)),
        Cell::new(share),
        right(format!("{}/s", bytes(job.rate(now))).into()),
        right(left.into()),
        right(grouped(view.receipt.records).into()),
        right(match view.receipt.rejected {
            0 => "0".into(),
            rejected => grouped(rejected).red(),
        }),
        right(format!("{}/{}", view.tasks.done, view.tasks.cut).into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_row_is_always_seen() {
        assert_eq!(window(3, 0, 10), 0..3);
        assert_eq!(window(100, 0, 10), 0..10);
        assert_eq!(window(100, 50, 10), 45..55);
        assert_eq!(window(100, 99, 10), 90..100);
        assert_eq!(window(0, 0, 10), 0..0);
        for (rows, room) in [(100, 10), (7, 7), (9, 4), (5, 1)] {
            assert!((0..rows).all(|chosen| window(rows, chosen, room).contains(&chosen)));
        }
        assert!(window(5, 3, 0).is_empty());
    }
}
