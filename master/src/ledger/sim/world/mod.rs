//! The world around the ledger: inputs, slaves, a network that delays, repeats and reorders, a disk
//! that loses runs, users, and time that leaps.

mod happen;
mod mail;
mod store;

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
use store::Store;

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
    /// What is durable.
    store: Store,
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
            ledger: Ledger::new(policy(mistake)),
            oracle: Oracle::default(),
            mistake,
            now: Duration::ZERO,
            mail: BTreeMap::new(),
            sessions: Vec::new(),
            gone: Vec::new(),
            jobs: Vec::new(),
            tasks: BTreeMap::new(),
            next: 0,
            store: Store::default(),
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
            match self.random.below(25) {
                // The machine slept, or a debugger did.
                0 => self.now += self.random.millis(3000, 100_000),
                1..=4 => self.wait(300, 6000),
                5 if self.random.one_in(3) => self.restart(),
                _ => self.now += self.random.millis(0, 300),
            }
            self.happen();
            self.time_passes();
        }
    }

    /// Lets time go by while everything goes on.
    fn wait(&mut self, from: u64, to: u64) {
        let until = self.now + self.random.millis(from, to);
        while self.now < until {
            self.now += self.random.millis(50, 400);
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
        for _ in 0..4000 {
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
        if !self.calm && !matches!(event, Event::Beat { .. } | Event::Tick) {
            match self.random.below(300) {
                // It died before what follows from the event was durable: as if that had not been.
                0 => {
                    self.send_again(&event);
                    return self.restart();
                }
                1 => return self.crash_behind_the_commit(event),
                _ => {}
            }
        }
        self.apply_whole(event, right);
    }

    /// What the ledger, or one that makes a mistake, says to an event.
    fn commands(&mut self, event: &Event) -> Vec<Command> {
        let commands = match self.mistake {
            None => self.ledger.apply(event.clone(), self.now),
            Some(mistake) => mistake.apply(&mut self.ledger, event, self.now),
        };
        if let Some(story) = &mut self.story {
            let _ = writeln!(story, "{:?} {event:?}: {commands:?}", self.now);
        }
        self.store.commit(event, &commands);
        commands
    }

    fn apply_whole(&mut self, event: Event, right: bool) {
        self.oracle.before(&event, right, self.now);
        let commands = self.commands(&event);
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
            // From here on it is the store that shows the job.
            Command::JobEnded { job, .. } if self.random.one_in(2) => {
                self.apply(Event::Forget { job });
            }
            _ => {}
        }
    }
}

/// The policy, or one that a mistake has led to.
fn policy(mistake: Option<Mistake>) -> Policy {
    let pause = match mistake {
        Some(Mistake::HoldsPausesAgainstSlaves) => Duration::MAX,
        _ => Policy::default().pause,
    };
    Policy { pause, ..Policy::default() }
}
