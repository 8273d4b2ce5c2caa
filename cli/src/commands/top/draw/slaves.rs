//! The slaves, a row each.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Stylize};
use ratatui::text::Span;
use ratatui::widgets::{Cell, Paragraph, Row, Table, Widget};

use tally_common::api::SlaveView;

use super::marks::curve;
use super::{block, right};
use crate::commands::top::model::Model;
use crate::output::bytes;

/// Lines that are there besides the rows: the borders, and the header.
pub(super) const FRAME_LINES: u16 = 3;

/// Seconds of a curve: one each.
const SECONDS: usize = 30;

/// How long ago a slave was heard of before that is worth a colour, in milliseconds: two heartbeats.
const SILENT_MS: u64 = 2_000;

/// A column: its title, its width, from which width of the screen on it is shown, and whether it holds
/// numbers.
const COLUMNS: [(&str, Constraint, u16, bool); 8] = [
    ("NAME", Constraint::Fill(1), 0, false),
    ("BUSY", Constraint::Length(9), 0, true),
    ("RATE", Constraint::Length(11), 0, true),
    ("LAST 30 s", Constraint::Length(SECONDS as u16), 90, false),
    ("COUNTED", Constraint::Length(9), 66, true),
    ("DONE", Constraint::Length(7), 76, true),
    ("FAILED", Constraint::Length(6), 84, true),
    ("HEARD", Constraint::Length(6), 56, true),
];

pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let block = block(" slaves ".to_owned());
    if model.slaves.is_empty() {
        let words = "no slaves: jobs wait (start one with: tally slave)";
        return Paragraph::new(words).yellow().block(block).render(area, buffer);
    }
    let shown = |column: &&(&str, Constraint, u16, bool)| column.2 <= area.width;
    let widths = COLUMNS.iter().filter(shown).map(|column| column.1);
    let titles = COLUMNS.iter().filter(shown).map(|column| match column.3 {
        true => right(column.0.into()),
        false => Cell::new(column.0),
    });
    let rows = model.slaves.iter().map(|slave| {
        let cells = COLUMNS.iter().zip(cells(slave)).filter(|(column, _)| shown(column));
        Row::new(cells.map(|(_, cell)| cell))
    });
    let table = Table::new(rows, widths).header(Row::new(titles).dim()).block(block);
    Widget::render(table, area, buffer);
}

fn cells(slave: &SlaveView) -> [Cell<'_>; 8] {
    let name = match (slave.quarantined, slave.draining) {
        (true, _) => Span::raw(format!("{} (quarantined)", slave.name)).red(),
        (false, true) => Span::raw(format!("{} (draining)", slave.name)).yellow(),
        (false, false) => Span::raw(slave.name.as_str()),
    };
    let heard = format!("{:.1} s", slave.last_heard_ms as f64 / 1000.0);
    let silent = slave.last_heard_ms > SILENT_MS;
    [
        Cell::new(name),
        right(format!("{}/{}", slave.running, slave.workers).into()),
        right(format!("{}/s", bytes(slave.bytes_per_second)).into()),
        Cell::new(Span::raw(curve(&slave.history, SECONDS)).cyan()),
        right(bytes(slave.bytes).into()),
        right(slave.completed.to_string().into()),
        right(slave.failed.to_string().into()),
        right(Span::raw(heard).fg(if silent { Color::Yellow } else { Color::Reset })),
    ]
}
