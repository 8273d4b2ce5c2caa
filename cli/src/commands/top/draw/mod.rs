//! Frames: what the model looks like. No decision is made here, and nothing is remembered.

mod detail;
mod header;
mod jobs;
mod marks;
mod popup;
mod slaves;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Cell, Widget};

use tally_common::api::JobState;

use super::model::{Model, Screen};

/// Lines of the header.
const HEADER: u16 = 4;

/// Most lines that the slaves take of a plain frame: a row for each of many.
const MAX_LINES: u16 = 2000;

/// Draws a frame.
pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(HEADER), Constraint::Min(0), Constraint::Length(1)])
            .areas(area);
    header::draw(model, head, buffer);
    match model.screen {
        Screen::List => {
            let wanted = model.slaves.len() as u16 + slaves::FRAME_LINES;
            let slaves = Constraint::Length(wanted.min(body.height * 2 / 5));
            let [above, below] = Layout::vertical([Constraint::Min(3), slaves]).areas(body);
            jobs::draw(model, true, above, buffer);
            slaves::draw(model, below, buffer);
        }
        Screen::Job(id) => detail::draw(model, id, body, buffer),
    }
    footer(model, foot, buffer);
    popup::draw(model, area, buffer);
    if !model.colours {
        for cell in &mut buffer.content {
            (cell.fg, cell.bg) = (Color::Reset, Color::Reset);
        }
    }
}

/// The frame as lines of text, as high as it has to be to show all there is.
pub(super) fn plain(model: &Model, width: u16) -> String {
    let (jobs, slaves) = (model.jobs.len() as u16, model.slaves.len() as u16);
    let (jobs, slaves) = (jobs.max(1) + jobs::FRAME_LINES, slaves.max(1) + slaves::FRAME_LINES);
    let height = (HEADER + jobs + slaves).min(MAX_LINES);
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    let rows = [HEADER, jobs, slaves].map(Constraint::Length);
    let [head, above, below] = Layout::vertical(rows).areas(area);
    header::draw(model, head, &mut buffer);
    jobs::draw(model, false, above, &mut buffer);
    slaves::draw(model, below, &mut buffer);
    text(&buffer)
}

/// What a buffer holds, line by line, without styles.
pub(super) fn text(buffer: &Buffer) -> String {
    let area = buffer.area;
    let mut lines = Vec::new();
    for y in area.top()..area.bottom() {
        let (mut line, mut x) = (String::new(), area.left());
        while x < area.right() {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            // A wide character takes the cells behind it, too.
            x += (Span::raw(symbol).width() as u16).max(1);
        }
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n")
}

fn footer(model: &Model, area: Rect, buffer: &mut Buffer) {
    if let Some(said) = &model.said {
        return Line::from(said.as_str()).yellow().render(area, buffer);
    }
    let keys = match model.screen {
        Screen::List => "q leave  ↑↓ choose  Enter show  c cancel  s sort  ? help",
        Screen::Job(_) => "q leave  Esc back  ↑↓ other job  c cancel  ? help",
    };
    Line::from(keys).dim().render(area, buffer);
}

/// A block with a title.
fn block(title: String) -> Block<'static> {
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(Style::new().fg(Color::DarkGray))
        .title(Span::raw(title).bold())
}

/// A cell of a column of numbers.
fn right(content: Span<'_>) -> Cell<'_> {
    Cell::new(Line::from(content).right_aligned())
}

/// The colour of a state.
const fn colour(state: JobState) -> Color {
    match state {
        JobState::Receiving => Color::Cyan,
        JobState::Running => Color::Blue,
        JobState::Merging => Color::Magenta,
        JobState::Succeeded => Color::Green,
        JobState::Failed => Color::Red,
        JobState::Cancelled => Color::DarkGray,
    }
}
