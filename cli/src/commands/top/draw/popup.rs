//! What stands before everything else: the help, and a question.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::Stylize;
use ratatui::text::{Line, Text};
use ratatui::widgets::{Clear, Paragraph, Widget};

use super::block;
use crate::commands::top::keys::HELP;
use crate::commands::top::model::Model;

/// Characters of the column with the keys.
const KEYS: usize = 20;

pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    if let Some(job) = model.cancelling.and_then(|id| model.jobs.get(&id)) {
        let lines = vec![
            Line::from(format!("Cancel {}?", job.view.name)).bold(),
            Line::from("What has been counted of it is lost."),
            Line::from("y cancels it, any other key does not."),
        ];
        popup(" cancel ", Text::from(lines), area, buffer);
    } else if model.help {
        let lines = HELP.iter().map(|(keys, what)| Line::from(format!("{keys:<KEYS$}{what}")));
        popup(" keys ", Text::from_iter(lines), area, buffer);
    }
}

fn popup(title: &str, text: Text<'_>, area: Rect, buffer: &mut Buffer) {
    let (width, height) = (text.width() as u16 + 4, text.height() as u16 + 2);
    let place = area.centered(Constraint::Length(width), Constraint::Length(height));
    Clear.render(place, buffer);
    Paragraph::new(text).block(block(title.to_owned())).render(place, buffer);
}
