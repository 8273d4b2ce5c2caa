//! The world around the ledger: inputs, slaves, a network that delays, repeats and reorders, a disk
//! that loses runs, users, and time that leaps.

mod happen;
mod mail;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use tally_common::id::{JobId, MessageId, SessionId, SlaveId};
use uuid::Uuid;

use super::mistake::Mistake;
use super::oracle::{Oracle, Seen};
use super::random::Random;
use crate::ledger::{Command, Event, Ledger, Policy};
use mail::Mail;

/// What a task does to slaves.
#[derive(Clone, Copy, PartialEq)]
enum Nature {
    Harmless,
    /// No slave can count it.
    Failing,
    /// It kills its slave.
    Deadly,
}

#[derive(Clone, Copy)]
struct Task {
    bytes: u64,
    rejects: u64,
    nature: Nature,
}

pub(super) struct World {
    random: Random,
    ledger: Ledger,
    oracle: Oracle,
    mistake: Option<Mistake>,
    now: Duration,
    mail: BTreeMap<(Duration, u64), Mail>,
    /// Sessions that have not ended, and whether their slave beats.
    sessions: Vec<(SessionId, SlaveId, bool)>,
    /// Slaves without a session, which may come back.
    gone: Vec<SlaveId>,
    jobs: Vec<JobId>,
    tasks: BTreeMap<MessageId, Task>,
    next: u64,
    /// Nothing goes wrong any more but what the tasks do by their nature.
    calm: bool,
    /// All that the ledger has heard and said, where it is asked for: telling takes longer than
    /// happening.
    story: Option<String>,
}

impl World {
    pub(super) fn new(seed: u64, mistake: Option<Mistake>, told: bool) -> Self {
        Self {
            random: Random(seed),
            ledger: Ledger::new(Policy::default()),
            oracle: Oracle::default(),
            mistake,
            now: Duration::ZERO,
            mail: BTreeMap::new(),
            sessions: Vec::new(),
            gone: Vec::new(),
            jobs: Vec::new(),
            tasks: BTreeMap::new(),
            next: 0,
            calm: false,
            story: told.then(String::new),
        }
    }

    pub(super) fn story(&self) -> &str {
        self.story.as_deref().unwrap_or_default()
    }

    pub(super) fn seen(&self) -> Seen {
        self.oracle.seen.clone()
    }

    /// Anything happens.
    pub(super) fn storm(&mut self) {
        for _ in 0..20 + self.random.below(60) {
            self.now += match self.random.below(25) {
                // The machine slept, or a debugger did.
                0 => self.random.millis(3000, 100_000),
                1..=4 => self.random.millis(300, 2500),
                _ => self.random.millis(0, 300),
            };
            self.happen();
            self.time_passes();
        }
    }

    /// Faults stop; whatever is open must end.
    pub(super) fn calm(&mut self) {
        self.calm = true;
        for job in self.jobs.clone() {
            self.apply(Event::InputComplete { job });
        }
        let draining = self.ledger.sessions().filter(|(_, session)| session.draining);
        for session in draining.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.leave(session);
        }
        for _ in 0..2000 {
            if self.oracle.all_ended() {
                return;
            }
            self.now += Duration::from_millis(400);
            while self.sessions.iter().filter(|(.., beats)| *beats).count() < 2 {
                self.join();
            }
            self.time_passes();
        }
        panic!("a job never ends: {:?}", self.oracle.outcomes());
    }

    /// When all jobs are gone nothing of them is left.
    pub(super) fn clear(&mut self) {
        for job in self.jobs.clone() {
            self.apply(Event::Delete { job });
        }
        self.now += Duration::from_secs(60);
        self.apply(Event::Tick);
        assert_eq!(self.ledger.jobs().count(), 0);
        assert!(self.ledger.tasks.is_empty() && self.ledger.retries.is_empty());
        assert!(self.ledger.rota.is_empty() && self.ledger.opened.is_empty());
    }

    fn uuid(&mut self) -> Uuid {
        self.next += 1;
        Uuid::from_u128(u128::from(self.next))
    }

    /// Beats, a tick, and whatever mail is due.
    fn time_passes(&mut self) {
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

    fn apply(&mut self, event: Event) {
        self.apply_as(event, true);
    }

    fn apply_as(&mut self, event: Event, right: bool) {
        self.oracle.before(&event, right, self.now);
        let commands = match self.mistake {
            None => self.ledger.apply(event.clone(), self.now),
            Some(mistake) => mistake.apply(&mut self.ledger, &event, self.now),
        };
        if let Some(story) = &mut self.story {
            let _ = writeln!(story, "{:?} {event:?}: {commands:?}", self.now);
        }
        self.oracle.after(&event, &commands, &self.ledger, self.now);
        for command in commands {
            self.obey(command);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Assign { session, message_id, attempt, .. } => {
                self.count(session, message_id, attempt);
            }
            Command::CancelAttempt { session, message_id, attempt } => {
                // It may come too late.
                let in_time = self.random.one_in(2);
                let attempt = (session, message_id, attempt);
                self.mail.retain(|_, mail| !in_time || mail.partial_of() != Some(attempt));
            }
            Command::StartMerge { job, .. } => {
                let tasks = self.ledger.job(&job).map_or(0, |job| job.tasks);
                let mail = match self.random.below(12) {
                    0 if !self.calm && tasks > 0 => {
                        let number = self.random.below(tasks.into()) as u32;
                        Mail::RunLost { job, number }
                    }
                    1 if !self.calm => Mail::MergeFailed { job },
                    _ => Mail::Merged { job },
                };
                self.send(1, 2000, mail);
            }
            Command::EndSession { session, .. } => self.forget(session),
            _ => {}
        }
    }
}
