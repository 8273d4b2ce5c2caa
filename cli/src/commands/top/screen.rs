//! The terminal: drawn on when something has changed, and given back as it was, whatever happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use crossterm::event::{self, Event};
use ratatui::DefaultTerminal;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::draw::draw;
use super::keys::{Action, press};
use super::link::{Link, Request};
use super::model::{Model, Screen};

/// Time between two frames: as often as eyes can follow numbers.
const FRAME: Duration = Duration::from_millis(100);

/// Time between two looks at the details of a job.
const DETAILS: Duration = Duration::from_secs(1);

/// How long the thread that waits for keys does so before it looks whether it is still wanted.
const KEY_WAIT: Duration = Duration::from_millis(100);

/// Shows the model until the user leaves, or `stop` resolves.
pub(super) async fn run(
    mut model: Model,
    mut link: Link,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let mut terminal = Held::take()?;
    let mut keys = Keys::start();
    let (mut frames, mut looks) = (interval(FRAME), interval(DETAILS));
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(stop);
    let mut changed = true;
    loop {
        tokio::select! {
            () = &mut stop => return Ok(()),
            event = keys.0.recv() => {
                // The thread ends before it is told to where the terminal is gone.
                let Some(event) = event else { return Ok(()) };
                if let Event::Key(key) = event
                    && handle(press(&mut model, key), &link)
                {
                    return Ok(());
                }
                terminal.draw(&model)?;
                changed = false;
            }
            news = link.news.recv() => {
                model.hear(news.context("the connection's task has ended")?);
                changed = true;
            }
            _ = frames.tick(), if changed => {
                terminal.draw(&model)?;
                changed = false;
            }
            _ = looks.tick() => if let Screen::Job(id) = model.screen {
                handle(Action::Details(id), &link);
            }
        }
    }
}

/// Passes on what is asked for; whether that is to leave.
fn handle(action: Action, link: &Link) -> bool {
    let request = match action {
        Action::None => return false,
        Action::Quit => return true,
        Action::Cancel(job) => Request::Cancel(job),
        Action::Details(job) => Request::Details(job),
    };
    // So many are under way that this one is not missed: the user sees that nothing happens.
    let _ = link.requests.try_send(request);
    false
}

/// The terminal while it is ours.
struct Held(DefaultTerminal);

impl Held {
    fn take() -> anyhow::Result<Self> {
        // A panic gives the terminal back before it says anything.
        ratatui::try_init().map(Self).context("the terminal can not be drawn on")
    }

    fn draw(&mut self, model: &Model) -> anyhow::Result<()> {
        let draw = |frame: &mut ratatui::Frame<'_>| draw(model, frame.area(), frame.buffer_mut());
        self.0.draw(draw).map(|_| ()).context("the terminal can not be drawn on")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing given back.
        let _ = self.0.show_cursor();
        let _ = ratatui::try_restore();
    }
}

/// What the user does, from a thread of its own: waiting for it can not be done otherwise.
struct Keys(mpsc::Receiver<Event>, Arc<AtomicBool>);

impl Keys {
    fn start() -> Self {
        let (events, keys) = mpsc::channel(16);
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let event = match event::poll(KEY_WAIT) {
                    Ok(true) => event::read(),
                    Ok(false) => continue,
                    Err(error) => Err(error),
                };
                let Ok(event) = event else { return };
                if events.blocking_send(event).is_err() {
                    return;
                }
            }
        });
        Self(keys, over)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Relaxed);
    }
}
