//! How time goes by: evenly, in a leap, or not at all.

use std::time::Duration;

use super::World;
use crate::ledger::Event;

/// Time between two ticks at most, where nobody sleeps.
const AWAKE: Duration = Duration::from_millis(900);

impl World {
    /// Some milliseconds go by while everybody is awake.
    pub(super) fn wait(&mut self, from: u64, to: u64) {
        let end = self.now + self.random.millis(from, to);
        while self.now < end {
            self.now = (self.now + AWAKE).min(end);
            self.time_passes();
        }
    }

    /// The master or its machine sleeps, or its clock is put forward or back.
    pub(super) fn leap(&mut self) {
        match self.random.below(4) {
            0..=1 => self.now += self.random.millis(1001, 100_000),
            2 => self.ahead += self.random.millis(0, 60_000),
            _ => {
                self.ahead = self.ahead.saturating_sub(self.random.millis(0, 5000));
                self.oracle.seen.clocks_put_back += 1;
            }
        }
        self.time_passes();
    }

    /// Beats, a tick, and whatever mail is due.
    pub(super) fn time_passes(&mut self) {
        for (session, _, beats) in self.sessions.clone() {
            if beats {
                self.apply(Event::Beat { session });
            }
        }
        self.apply(Event::Tick);
        while let Some(due) = self.mail.first_entry().filter(|due| due.key().0 <= self.now) {
            let mail = due.remove();
            self.arrive(mail);
        }
    }
}
