//! What keys do to what is shown, and what they ask of the master.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use tally_common::id::JobId;

use super::model::{Model, Screen};

/// Rows that a page key moves by.
const PAGE: isize = 10;

/// The keys, for people.
pub(super) const HELP: [(&str, &str); 8] = [
    ("↑ ↓ or k j", "choose a job"),
    ("Page Up, Page Down", "ten jobs further"),
    ("Enter", "show the job: tasks, rate"),
    ("Esc, ←", "back to all jobs"),
    ("s", "another order"),
    ("c", "cancel the job"),
    ("? or h", "this help"),
    ("q, Ctrl-C", "leave"),
];

/// What is to be done about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing but to show what has changed.
    None,
    /// To leave.
    Quit,
    /// To cancel a job.
    Cancel(JobId),
    /// To ask for the details of a job.
    Details(JobId),
}

/// Takes in a key.
pub(super) fn press(model: &mut Model, key: KeyEvent) -> Action {
    if key.kind == KeyEventKind::Release {
        return Action::None;
    }
    if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
        return Action::Quit;
    }
    model.said = None;
    if let Some(job) = model.cancelling.take() {
        return match key.code {
            KeyCode::Char('y' | 'Y') => Action::Cancel(job),
            _ => Action::None,
        };
    }
    if std::mem::take(&mut model.help) && key.code != KeyCode::Char('q') {
        return Action::None;
    }
    match key.code {
        KeyCode::Char('q') => return Action::Quit,
        KeyCode::Char('?' | 'h') => model.help = true,
        KeyCode::Char('s') => model.sort = model.sort.next(),
        KeyCode::Char('c') => ask_to_cancel(model),
        KeyCode::Esc | KeyCode::Backspace | KeyCode::Left => model.screen = Screen::List,
        KeyCode::Enter | KeyCode::Right => return open(model),
        code => return moved(model, code),
    }
    Action::None
}

fn moved(model: &mut Model, code: KeyCode) -> Action {
    let by = match code {
        KeyCode::Up | KeyCode::Char('k') => -1,
        KeyCode::Down | KeyCode::Char('j') => 1,
        KeyCode::PageUp => -PAGE,
        KeyCode::PageDown => PAGE,
        KeyCode::Home | KeyCode::Char('g') => isize::MIN,
        KeyCode::End | KeyCode::Char('G') => isize::MAX,
        _ => return Action::None,
    };
    let jobs = model.ordered();
    let Some(last) = jobs.len().checked_sub(1) else { return Action::None };
    let row = model.selected_row(&jobs).saturating_add_signed(by).min(last);
    let id = jobs[row].view.id;
    model.selected = Some(id);
    match model.screen {
        Screen::List => Action::None,
        // The next job, as closely looked at as the one before.
        Screen::Job(_) => open(model),
    }
}

fn chosen(model: &Model) -> Option<JobId> {
    let jobs = model.ordered();
    jobs.get(model.selected_row(&jobs)).map(|job| job.view.id)
}

fn open(model: &mut Model) -> Action {
    let Some(id) = chosen(model) else { return Action::None };
    model.selected = Some(id);
    model.screen = Screen::Job(id);
    Action::Details(id)
}

fn ask_to_cancel(model: &mut Model) {
    let Some(id) = chosen(model) else { return };
    model.selected = Some(id);
    match model.jobs.get(&id) {
        Some(job) if job.view.state.ended() => {
            model.said = Some(format!("the job is {} already", job.view.state.as_str()));
        }
        Some(_) => model.cancelling = Some(id),
        None => {}
    }
}
