//! Whose turn it is: jobs with waiting tasks. Higher priorities go first; within a priority owners take turns,
//! and each of an owner's turns goes to his jobs in turn. So one with a thousand jobs gets no more than one
//! with a single job.

use std::collections::{BTreeMap, HashMap};

use tally_common::api::Priority;
use tally_common::id::JobId;

use super::OwnerId;

/// Jobs among which turns are given out: those of one owner, of one priority.
type Line = (Priority, OwnerId);

/// Jobs with waiting tasks; the first of the first line is served next. No call walks all of them: there may
/// be thousands, and each event comes by here.
#[derive(Debug, Default)]
pub(super) struct Rota {
    /// The lines in which somebody waits, by priority, then by when they took their turn.
    turns: BTreeMap<(Priority, u64), OwnerId>,
    lines: HashMap<Line, Waiting>,
    places: HashMap<JobId, Place>,
    /// Turns ever taken.
    taken: u64,
}

/// The jobs of a line, of which there is at least one, by when they took their turn.
#[derive(Debug)]
struct Waiting {
    turn: u64,
    jobs: BTreeMap<u64, JobId>,
}

/// Where a job waits.
#[derive(Clone, Copy, Debug)]
struct Place {
    line: Line,
    turn: u64,
}

impl Rota {
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// All jobs, in the order in which they would be served next.
    pub(super) fn iter(&self) -> impl Iterator<Item = JobId> {
        let lines = self
            .turns
            .iter()
            .filter_map(|((priority, _), owner)| self.lines.get(&(*priority, *owner)));
        lines.flat_map(|line| line.jobs.values().copied())
    }

    /// Puts a job at the end of its line, and that at the end of its priority, unless they are there already.
    pub(super) fn add(&mut self, line: Line, job: JobId) {
        if self.places.contains_key(&job) {
            return;
        }
        let turn = self.next_turn();
        self.places.insert(job, Place { line, turn });
        let waiting = self.lines.entry(line).or_insert_with(|| {
            self.turns.insert((line.0, turn), line.1);
            Waiting { turn, jobs: BTreeMap::new() }
        });
        waiting.jobs.insert(turn, job);
    }

    /// Takes a job off.
    pub(super) fn remove(&mut self, job: JobId) {
        let Some(Place { line, turn }) = self.places.remove(&job) else { return };
        let Some(waiting) = self.lines.get_mut(&line) else { return };
        waiting.jobs.remove(&turn);
        if waiting.jobs.is_empty() {
            self.turns.remove(&(line.0, waiting.turn));
            self.lines.remove(&line);
        }
    }

    /// A job has had its turn, and so has its owner.
    pub(super) fn served(&mut self, job: JobId) {
        let turn = self.next_turn();
        let Some(place) = self.places.get_mut(&job) else { return };
        let Some(waiting) = self.lines.get_mut(&place.line) else { return };
        waiting.jobs.remove(&std::mem::replace(&mut place.turn, turn));
        waiting.jobs.insert(turn, job);
        let (priority, owner) = place.line;
        self.turns.remove(&(priority, std::mem::replace(&mut waiting.turn, turn)));
        self.turns.insert((priority, turn), owner);
    }

    fn next_turn(&mut self) -> u64 {
        self.taken += 1;
        self.taken
    }

    /// Panics where a job does not stand in its own line, or a line has not its one turn.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self, line_of: impl Fn(JobId) -> Option<Line>) {
        assert_eq!(self.turns.len(), self.lines.len(), "a line has two turns, or none");
        let mut jobs = 0;
        for (line, waiting) in &self.lines {
            assert_eq!(self.turns.get(&(line.0, waiting.turn)), Some(&line.1), "{line:?}");
            assert!(!waiting.jobs.is_empty(), "nobody waits in {line:?}");
            for (turn, job) in &waiting.jobs {
                let place = self.places.get(job);
                assert_eq!(place.map(|place| (place.line, place.turn)), Some((*line, *turn)));
                assert_eq!(line_of(*job), Some(*line), "a job in another's line");
            }
            jobs += waiting.jobs.len();
        }
        assert_eq!(jobs, self.places.len(), "a job waits nowhere");
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn job(n: u128) -> JobId {
        JobId::from_uuid(Uuid::from_u128(n))
    }

    /// Whom so many turns go to.
    fn turns(rota: &mut Rota, count: usize) -> Vec<u128> {
        let mut served = Vec::new();
        for _ in 0..count {
            let next = rota.iter().next().unwrap();
            rota.served(next);
            served.push(next.uuid().as_u128());
        }
        served
    }

    #[test]
    fn owners_take_turns_and_then_their_jobs() {
        let mut rota = Rota::default();
        let line = |owner| (Priority::Default, OwnerId(owner));
        for n in 1..=3 {
            rota.add(line(1), job(n));
        }
        rota.add(line(2), job(10));
        rota.add(line(OwnerId::NOBODY.0), job(20));
        rota.add(line(2), job(1));
        assert_eq!(turns(&mut rota, 9), [1, 10, 20, 2, 10, 20, 3, 10, 20]);
        let all: Vec<_> = rota.iter().map(|job| job.uuid().as_u128()).collect();
        assert_eq!(all, [1, 2, 3, 10, 20]);
        rota.remove(job(10));
        rota.remove(job(10));
        assert_eq!(turns(&mut rota, 4), [1, 20, 2, 20]);
        for n in [1, 2, 3, 20] {
            rota.remove(job(n));
        }
        rota.check(|_| None);
        assert!(rota.is_empty() && rota.lines.is_empty());
    }

    #[test]
    fn an_owner_has_a_line_in_each_priority() {
        let mut rota = Rota::default();
        rota.add((Priority::Low, OwnerId(1)), job(1));
        rota.add((Priority::High, OwnerId(1)), job(2));
        rota.add((Priority::High, OwnerId(2)), job(3));
        assert_eq!(turns(&mut rota, 4), [2, 3, 2, 3]);
        rota.remove(job(2));
        rota.remove(job(3));
        assert_eq!(turns(&mut rota, 2), [1, 1]);
    }
}
