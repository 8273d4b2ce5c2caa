//! The world around the ledger: inputs, slaves, a network that delays, repeats and reorders, a disk
//! that loses runs, users, a master that stops at any moment, and clocks that leap.

mod happen;
mod mail;
mod restart;
mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use tally_common::id::{JobId, MessageId, SessionId, SlaveId};
use tally_common::run::TaskTotals;
use tally_common::spec::MaxRejects;
use uuid::Uuid;

use super::mistake::Mistake;
use super::oracle::{Oracle, QUARANTINE, Seen};
use super::random::Random;
use super::store::Store;
use crate::ledger::{Command, Digest, Event, Ledger, OwnerId, Policy, Sample};
use mail::Mail;
use restart::Crash;

/// What a task does to slaves.
#[derive(Clone, Copy, PartialEq)]
enum Nature {
    Harmless,
    /// No slave can count it.
    Failing,
    /// It fails quickly, or takes long.
    Hard,
    /// It kills its slave.
    Deadly,
}

#[derive(Clone, Copy)]
struct Task {
    bytes: u64,
    rejects: u64,
    nature: Nature,
}

impl Task {
    /// What its records come to.
    fn totals(&self) -> TaskTotals {
        let Self { bytes, rejects, .. } = *self;
        TaskTotals { bytes, records: bytes, rejects, ..Default::default() }
    }
}

pub(super) struct World {
    random: Random,
    policy: Policy,
    ledger: Ledger,
    oracle: Oracle,
    store: Store,
    mistake: Option<Mistake>,
    now: Duration,
    /// How far the master's clock is ahead of time.
    ahead: Duration,
    /// Restarts so far, and the first id that was given out after the last.
    restarts: u64,
    life_began: u64,
    mail: BTreeMap<(Duration, u64), Mail>,
    /// Sessions that have not ended, and whether their slave beats.
    sessions: Vec<(SessionId, SlaveId, bool)>,
    /// Slaves without a session, which may come back.
    gone: Vec<SlaveId>,
    /// Slaves that count wrongly more often than not.
    bad: BTreeSet<SlaveId>,
    /// Every task is counted twice, and some slaves lie.
    twice: bool,
    liars: BTreeSet<SlaveId>,
    /// Those that are not let in any more.
    aside: BTreeSet<SlaveId>,
    /// Liars do nothing else, and nothing else goes wrong.
    steady: bool,
    jobs: Vec<JobId>,
    /// What was asked for with each job that was ever opened, and by whom.
    specs: BTreeMap<JobId, (MaxRejects, OwnerId)>,
    tasks: BTreeMap<MessageId, Task>,
    /// Runs on the master's disk that hold.
    runs: BTreeMap<MessageId, TaskTotals>,
    next: u64,
    /// Nothing goes wrong any more but what the tasks do by their nature.
    calm: bool,
    /// All that the ledger has heard and said, where it is asked for: telling takes longer than
    /// happening.
    story: Option<String>,
}

impl World {
    pub(super) fn new(seed: u64, mistake: Option<Mistake>, told: bool) -> Self {
        let mut random = Random(seed);
        let max_attempts = 2 + random.below(3) as u32;
        let twice = seed % 4 == 3;
        let sample = Sample::new(if twice { 100.0 } else { 0.0 }, [seed as u8; 32]);
        let policy = Policy { max_attempts, quarantine: QUARANTINE, sample, ..Policy::default() };
        Self {
            random,
            ledger: Ledger::new(policy.clone()),
            policy,
            oracle: Oracle::new(max_attempts, twice),
            store: Store::default(),
            mistake,
            now: Duration::ZERO,
            ahead: Duration::from_secs(60),
            restarts: 0,
            life_began: 0,
            mail: BTreeMap::new(),
            sessions: Vec::new(),
            gone: Vec::new(),
            bad: BTreeSet::new(),
            twice,
            liars: BTreeSet::new(),
            aside: BTreeSet::new(),
            steady: false,
            jobs: Vec::new(),
            specs: BTreeMap::new(),
            tasks: BTreeMap::new(),
            runs: BTreeMap::new(),
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

    /// Three honest slaves and two that lie about all that they count, and nothing else goes wrong.
    pub(super) fn honest_majority(&mut self) {
        (self.steady, self.calm) = (true, true);
        for n in 0..5 {
            self.join();
            if let Some((_, slave, _)) = self.sessions.last().filter(|_| n % 2 == 1) {
                self.liars.insert(*slave);
            }
        }
        for _ in 0..2 {
            self.open();
        }
        for job in self.jobs.clone() {
            for _ in 0..8 {
                self.cut(job);
                self.time_passes();
            }
        }
        self.calm();
        assert_eq!(self.oracle.seen.lies_believed, 0, "a lie is believed");
    }

    /// Anything happens.
    pub(super) fn storm(&mut self) {
        for _ in 0..20 + self.random.below(60) {
            match self.random.below(80) {
                0..=1 => self.wait(3000, 70_000),
                2..=9 => self.wait(300, 2500),
                10..=11 => self.leap(),
                _ => self.wait(0, 300),
            }
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
                return self.audit();
            }
            self.now += Duration::from_millis(400);
            while self.sessions.iter().filter(|(.., beats)| *beats).count() < 2 {
                self.join();
            }
            self.time_passes();
        }
        panic!("a job never ends: {:?}", self.oracle.outcomes());
    }

    /// Receipts add up: what is stored of a job that has succeeded is what its input holds.
    fn audit(&self) {
        for job in self.store.jobs() {
            assert_eq!(job.ended, self.oracle.outcome(job.id), "{} has two ends", job.id);
            if job.ended == Some(crate::ledger::Outcome::Succeeded) {
                for (message_id, kept) in job.answers() {
                    assert_eq!(kept, Some(self.tasks[&message_id].totals()), "{message_id}");
                }
            }
        }
    }

    /// When all jobs are gone nothing of them is left.
    pub(super) fn clear(&mut self) {
        for job in self.jobs.clone() {
            self.delete(job);
        }
        self.wait(60_000, 60_001);
        assert_eq!(self.ledger.jobs().count(), 0);
        assert_eq!(self.store.jobs().count(), 0);
        assert!(self.ledger.tasks.is_empty() && self.ledger.retries.is_empty());
        assert!(self.ledger.doubtful.is_empty());
        assert!(self.ledger.rota.is_empty() && self.ledger.opened.is_empty());
    }

    fn uuid(&mut self) -> Uuid {
        self.next += 1;
        Uuid::from_u128(u128::from(self.next))
    }

    fn apply(&mut self, event: Event) {
        self.apply_as(event, true);
    }

    /// An event as the master takes it: the ledger decides, runs that are to be kept get their names,
    /// the facts are committed, and the commands are carried out. It may stop at any point of that.
    fn apply_as(&mut self, event: Event, right: bool) {
        let crash = self.crash(&event);
        let now = self.now + self.ahead;
        let commands = match self.mistake {
            None => self.ledger.apply(event.clone(), now),
            Some(mistake) => mistake.apply(&mut self.ledger, &event, now, self.life_began),
        };
        if let Some(story) = &mut self.story {
            let _ = writeln!(story, "{now:?} {event:?}: {commands:?} {crash:?}");
        }
        self.keep_runs(&event, &commands);
        if crash == Some(Crash::BeforeCommit) {
            return self.lose(&event, &commands);
        }
        self.oracle.before(&event, right, now);
        self.oracle.after(&event, &commands, &self.ledger);
        self.commit(&commands);
        let until = match crash {
            None => commands.len(),
            Some(_) => self.random.below(commands.len() as u64 + 1) as usize,
        };
        for command in commands.into_iter().take(until) {
            self.obey(command);
        }
        if crash.is_some() {
            self.crashed(&event);
        }
    }

    fn commit(&mut self, commands: &[Command]) {
        for command in commands {
            if let Command::Persist(fact) = command {
                self.store.write(fact);
            }
        }
    }

    /// What happens to the files, which is not undone by a crash.
    fn keep_runs(&mut self, event: &Event, commands: &[Command]) {
        for command in commands {
            if let Command::KeepRun { message_id, .. } = command {
                self.runs.insert(*message_id, self.tasks[message_id].totals());
            }
        }
        if let Event::RunLost { job, number } = *event {
            self.runs.remove(&MessageId::of_task(job, number));
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
            Command::StartMerge { job, .. } => self.merge(job),
            Command::EndSession { session, .. } => self.forget(session),
            Command::Recount { job, number } => {
                let well = self.calm || !self.random.one_in(8);
                self.send(10, 3000, Mail::Recounted { job, number, well });
            }
            Command::SetAside { slave, .. } => {
                self.aside.insert(slave);
            }
            _ => {}
        }
    }
}

/// The lie that an answer with a digest tells.
fn lie_of(digest: Digest) -> u64 {
    let mut lie = [0; 8];
    lie.copy_from_slice(&digest.0[..8]);
    u64::from_le_bytes(lie)
}

impl Drop for World {
    /// Tells the story of a seed that fails.
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.story());
        }
    }
}
