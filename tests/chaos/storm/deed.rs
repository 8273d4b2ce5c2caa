//! What the storm does: one deed at a time on a target that stands, and its undoing some time later.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;
use tally_tests::input::Random;
use tally_tests::{Process, Proxy, eventually};

use crate::field::Field;

/// How often it is looked whether something is due, in milliseconds.
const STEP: u64 = 50;

/// Between two deeds, in milliseconds: at most.
const LULL: u64 = 1600;

/// What is struck. A target is struck again only when it stands again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Master,
    Slave(usize),
    /// The way of a slave, and behind these the ways of the clients.
    Link(usize),
}

/// What is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    Kill,
    Stop,
    Freeze,
    /// Everything is cut, and refused.
    Close,
    /// Everything is swallowed.
    Part,
    Deafen,
    Silence,
    Cut,
    LoseAnswers,
    Delay,
    Throttle,
    Corrupt,
}

impl Target {
    fn deeds(self, field: &Field) -> &'static [Deed] {
        use Deed::{Close, Corrupt, Cut, Deafen, Delay, Freeze, Kill, LoseAnswers, Part};
        use Deed::{Silence, Stop, Throttle};
        match self {
            Self::Master | Self::Slave(_) => &[Kill, Stop, Freeze],
            Self::Link(link) if link < field.slaves.len() => {
                &[Close, Part, Deafen, Silence, Cut, LoseAnswers, Delay, Throttle, Corrupt]
            }
            // Nothing but TCP guards what a client sends, so that no bit of it is flipped.
            Self::Link(_) => &[Close, Part, Deafen, Silence, Cut, LoseAnswers, Delay, Throttle],
        }
    }
}

struct Pending {
    due: u64,
    target: Target,
    deed: Deed,
}

/// The storm.
pub(crate) struct Chaos {
    random: Random,
    master_too: bool,
    clients: Vec<Proxy>,
    /// Milliseconds that the storm has waited: its own clock, so that a seed tells all.
    now: u64,
    pending: Vec<Pending>,
    done: BTreeMap<(&'static str, Deed), u32>,
}

impl Chaos {
    pub(crate) fn new(random: Random, master_too: bool, clients: Vec<Proxy>) -> Self {
        let (pending, done) = (Vec::new(), BTreeMap::new());
        Self { random, master_too, clients, now: 0, pending, done }
    }

    /// Does what it does for so many seconds.
    pub(crate) fn rage(&mut self, field: &mut Field, seconds: u64) {
        let mut next = 0;
        while self.now < seconds * 1000 {
            if next <= self.now {
                self.strike(field);
                next = self.now + self.random.below(LULL);
            }
            // The pace of the storm is its own: there is nothing to wait for.
            sleep(Duration::from_millis(STEP));
            self.now += STEP;
            let now = self.now;
            let (due, later) = self.pending.drain(..).partition(|pending| pending.due <= now);
            self.pending = later;
            self.undo(field, due);
        }
    }

    /// Undoes all that it has done, and waits until everybody stands.
    pub(crate) fn calm(&mut self, field: &mut Field) {
        let all = std::mem::take(&mut self.pending);
        self.undo(field, all);
        let joined = field.joined();
        for slave in &mut field.slaves {
            // What came of a damaged link may have had it quarantined, or made it give up.
            let quarantined = joined.iter().any(|joined| {
                joined["name"] == slave.name.as_str() && joined["quarantined"] == true
            });
            if quarantined || slave.process.has_ended() {
                println!("{}: quarantined {quarantined}; started again", slave.name);
                slave.process.kill();
                slave.restart();
            }
        }
        field.wait_for_all();
    }

    /// What it has done, for people.
    pub(crate) fn summary(&self) -> String {
        let count = |((target, deed), n): (&(&str, Deed), &u32)| format!("{target} {deed:?} {n}");
        self.done.iter().map(count).collect::<Vec<_>>().join(", ")
    }

    fn strike(&mut self, field: &mut Field) {
        let links = field.slaves.len() + self.clients.len();
        let mut targets: Vec<Target> = (0..links).map(Target::Link).collect();
        // Processes about as often as networks.
        targets.extend((0..field.slaves.len()).flat_map(|slave| [Target::Slave(slave); 2]));
        if self.master_too {
            targets.push(Target::Master);
        }
        let target = targets[self.random.below(targets.len() as u64) as usize];
        let deeds = target.deeds(field);
        let deed = deeds[self.random.below(deeds.len() as u64) as usize];
        // Short and long ones: less and more than the 3 seconds after which a session is dead.
        let most = if self.random.below(2) == 0 { 1500 } else { 5000 };
        let lasts = 100 + self.random.below(most);
        if self.pending.iter().any(|pending| pending.target == target) {
            return;
        }
        println!("{:>7} ms: {target:?} {deed:?} for {lasts} ms", self.now);
        self.act(field, target, deed);
        *self.done.entry((kind(target), deed)).or_default() += 1;
        self.pending.push(Pending { due: self.now + lasts, target, deed });
    }

    fn act(&mut self, field: &mut Field, target: Target, deed: Deed) {
        match target {
            Target::Master => to_process(field.cluster.master(), deed),
            Target::Slave(slave) => {
                let process = &mut field.slaves[slave].process;
                // It may have been refused for what a damaged link made of its hello.
                if !process.has_ended() {
                    to_process(process, deed);
                }
            }
            Target::Link(link) => {
                let limit = 1 + self.random.below(200_000);
                to_link(self.link(field, link), deed, limit);
            }
        }
    }

    fn link<'a>(&'a self, field: &'a Field, link: usize) -> &'a Proxy {
        let slaves = field.slaves.len();
        if link < slaves { &field.slaves[link].link } else { &self.clients[link - slaves] }
    }

    fn undo(&mut self, field: &mut Field, due: Vec<Pending>) {
        for Pending { target, deed, .. } in due {
            match (target, deed) {
                (Target::Master, Deed::Freeze) => field.cluster.master().signal(Signal::CONT),
                (Target::Master, _) => {
                    field.cluster.master().ended();
                    // Somebody's connection may sit on its port for a moment.
                    eventually("the master to be back", || {
                        field.cluster.start_master_again().then_some(())
                    });
                }
                (Target::Slave(slave), Deed::Freeze) => {
                    let process = &mut field.slaves[slave].process;
                    if !process.has_ended() {
                        process.signal(Signal::CONT);
                    }
                }
                (Target::Slave(slave), _) => {
                    // One that still drains is not waited for: an impatient supervisor's.
                    field.slaves[slave].process.kill();
                    field.slaves[slave].restart();
                }
                (Target::Link(link), _) => self.link(field, link).heal(),
            }
        }
    }
}

fn kind(target: Target) -> &'static str {
    match target {
        Target::Master => "master",
        Target::Slave(_) => "slave",
        Target::Link(_) => "link",
    }
}

fn to_process(process: &mut Process, deed: Deed) {
    match deed {
        Deed::Kill => process.kill(),
        Deed::Stop => process.signal(Signal::TERM),
        _ => process.signal(Signal::STOP),
    }
}

fn to_link(link: &Proxy, deed: Deed, limit: u64) {
    match deed {
        Deed::Close => link.close(),
        Deed::Part => link.part(),
        Deed::Deafen => link.swallow_down(),
        Deed::Silence => link.swallow_up(),
        Deed::LoseAnswers => link.lose_answers_after(limit),
        Deed::Delay => link.delay(Duration::from_millis(1 + limit / 10_000)),
        Deed::Throttle => link.throttle(50_000 + 10 * limit),
        Deed::Corrupt => link.corrupt(20 + limit / 500),
        Deed::Cut | Deed::Kill | Deed::Stop | Deed::Freeze => link.cut(),
    }
}
