//! A job: its tasks, the queue of those that wait for a slave, and the sums of those that are kept.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tally_common::api::{JobState, Priority};
use tally_common::id::{Attempt, MessageId, SessionId, SlaveId, TaskNumber};
use tally_common::run::TaskTotals;
use tally_common::spec::MaxRejects;

use super::task::{LiveAttempt, Place, Task};
use super::verify::Check;
use super::{Merge, Outcome, OwnerId};

/// Durations of finished attempts that are remembered, for their median.
const REMEMBERED: usize = 101;

/// Where a job's life stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Receiving,
    Running,
    Merging(Merge),
    Ended(Outcome),
}

/// A job. When it has ended its tasks are forgotten and its sums stay.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) phase: Phase,
    /// Its place in the order of opening.
    pub(super) opened: u64,
    pub(super) priority: Priority,
    pub(super) owner: OwnerId,
    pub(super) max_rejects: MaxRejects,
    pub(super) tasks: Vec<Task>,
    /// Tasks that wait for a slave. In order of number, so one that is tried again goes first.
    pub(super) queue: BTreeSet<TaskNumber>,
    /// Tasks cut.
    pub(super) cut: u32,
    pub(super) bytes_cut: u64,
    /// Tasks in [`Place::Kept`].
    pub(super) kept: u32,
    /// Tasks in [`Place::Live`].
    pub(super) live: u32,
    pub(super) totals: TaskTotals,
    pub(super) groups: u64,
    pub(super) retries: u32,
    pub(super) speculated: u32,
    /// Kept tasks whose answer two counts agree on.
    pub(super) verified: u32,
    /// Those that were to have a second count, for which nobody was there.
    pub(super) unverified: u32,
    /// What is merged changes something that can not be taken back, see [`super::Event::Applies`].
    pub(super) applies: bool,
    durations: VecDeque<Duration>,
}

impl Job {
    pub(super) fn new(
        opened: u64,
        priority: Priority,
        owner: OwnerId,
        max_rejects: MaxRejects,
    ) -> Self {
        Self {
            phase: Phase::Receiving,
            opened,
            priority,
            owner,
            max_rejects,
            tasks: Vec::new(),
            queue: BTreeSet::new(),
            cut: 0,
            bytes_cut: 0,
            kept: 0,
            live: 0,
            totals: TaskTotals::default(),
            groups: 0,
            retries: 0,
            speculated: 0,
            verified: 0,
            unverified: 0,
            applies: false,
            durations: VecDeque::new(),
        }
    }

    pub(super) fn ended(&self) -> Option<&Outcome> {
        match &self.phase {
            Phase::Ended(outcome) => Some(outcome),
            _ => None,
        }
    }

    pub(super) fn state(&self) -> JobState {
        match &self.phase {
            Phase::Receiving => JobState::Receiving,
            Phase::Running => JobState::Running,
            Phase::Merging(_) => JobState::Merging,
            Phase::Ended(Outcome::Succeeded) => JobState::Succeeded,
            Phase::Ended(Outcome::Failed(_)) => JobState::Failed,
            Phase::Ended(Outcome::Cancelled) => JobState::Cancelled,
        }
    }

    pub(super) fn add_task(&mut self, message_id: MessageId, bytes: u64) {
        self.tasks.push(Task::new(message_id, bytes));
        self.cut += 1;
        self.bytes_cut += bytes;
    }

    pub(super) fn task(&self, number: TaskNumber) -> Option<&Task> {
        self.tasks.get(number as usize)
    }

    pub(super) fn task_mut(&mut self, number: TaskNumber) -> Option<&mut Task> {
        self.tasks.get_mut(number as usize)
    }

    /// Moves a task to another place, and keeps queue and counters in step. The only place where
    /// [`Task::place`] changes.
    fn place(&mut self, number: TaskNumber, place: Place) {
        let Some(task) = self.tasks.get_mut(number as usize) else { return };
        match std::mem::replace(&mut task.place, place) {
            Place::Queued => {
                self.queue.remove(&number);
            }
            Place::Waiting(_) | Place::Disputed => {}
            Place::Live => self.live -= 1,
            Place::Kept => self.kept -= 1,
        }
        match place {
            Place::Queued => {
                self.queue.insert(number);
            }
            Place::Waiting(_) | Place::Disputed => {}
            Place::Live => self.live += 1,
            Place::Kept => self.kept += 1,
        }
    }

    pub(super) fn enqueue(&mut self, number: TaskNumber) {
        self.place(number, Place::Queued);
    }

    /// The master counts a task itself; gives the attempts that were under way.
    pub(super) fn dispute(&mut self, number: TaskNumber) -> Vec<LiveAttempt> {
        self.place(number, Place::Disputed);
        self.task_mut(number).map(|task| std::mem::take(&mut task.live)).unwrap_or_default()
    }

    pub(super) fn wait(&mut self, number: TaskNumber, until: Duration) {
        self.place(number, Place::Waiting(until));
    }

    /// A slave gets a task; which attempt that is.
    pub(super) fn assign(&mut self, number: TaskNumber, session: SessionId) -> Option<Attempt> {
        self.place(number, Place::Live);
        let task = self.task_mut(number)?;
        task.attempts += 1;
        let attempt = task.attempts;
        task.live.push(LiveAttempt { session, attempt });
        Some(attempt)
    }

    /// Whether a slave has failed a task before.
    pub(super) fn failed_on(&self, number: TaskNumber, slave: SlaveId) -> bool {
        self.task(number).is_some_and(|task| task.failed_on.contains(&slave))
    }

    /// Whether a slave has answered a task, and that waits for another's answer.
    pub(super) fn answered_by(&self, number: TaskNumber, slave: SlaveId) -> bool {
        self.task(number).is_some_and(|task| task.answered_by(slave))
    }

    /// An attempt that was under way has failed; how often the task has now.
    pub(super) fn fail_attempt(
        &mut self,
        number: TaskNumber,
        attempt: Attempt,
        slave: SlaveId,
    ) -> Option<u32> {
        let task = self.task_mut(number)?;
        if !task.drop_attempt(attempt) {
            return None;
        }
        task.failures += 1;
        if !task.failed_on.contains(&slave) {
            task.failed_on.push(slave);
        }
        Some(task.failures)
    }

    /// An attempt that has failed with its session was no failure after all.
    pub(super) fn forgive(&mut self, number: TaskNumber, slave: SlaveId) {
        if let Some(task) = self.task_mut(number) {
            task.failures = task.failures.saturating_sub(1);
            task.failed_on.retain(|failed| *failed != slave);
        }
    }

    /// An attempt was taken back before it began; whether the task has no other.
    pub(super) fn forgo(&mut self, number: TaskNumber, attempt: Attempt) -> bool {
        let task = self.task_mut(number);
        task.is_some_and(|task| task.drop_attempt(attempt) && task.live.is_empty())
    }

    /// A task has its answer; gives the attempts that were under way.
    pub(super) fn keep(
        &mut self,
        number: TaskNumber,
        totals: TaskTotals,
        groups: u64,
    ) -> Vec<LiveAttempt> {
        self.place(number, Place::Kept);
        self.groups += groups;
        add(&mut self.totals, &totals, u64::saturating_add);
        let Some(task) = self.task_mut(number) else { return Vec::new() };
        (task.totals, task.groups) = (totals, groups);
        task.failed_on = Vec::new();
        std::mem::take(&mut task.live)
    }

    /// Says who gave a kept task's answer, and what a second count said of it.
    pub(super) fn vouch(&mut self, number: TaskNumber, by: [Option<SlaveId>; 2], check: Check) {
        let Some(task) = self.task_mut(number) else { return };
        (task.by, task.check) = (by, check);
        match check {
            Check::None => {}
            Check::Agreed => self.verified += 1,
            Check::Alone => self.unverified += 1,
        }
    }

    /// A kept task has lost its answer and waits again; how often it has failed or been lost.
    pub(super) fn lose(&mut self, number: TaskNumber) -> Option<u32> {
        let task = self.task_mut(number).filter(|task| task.place == Place::Kept)?;
        task.failures += 1;
        let failures = task.failures;
        task.by = [None; 2];
        match std::mem::take(&mut task.check) {
            Check::None => {}
            Check::Agreed => self.verified -= 1,
            Check::Alone => self.unverified -= 1,
        }
        let task = self.task_mut(number)?;
        let (totals, groups) = (std::mem::take(&mut task.totals), std::mem::take(&mut task.groups));
        self.groups -= groups;
        add(&mut self.totals, &totals, u64::saturating_sub);
        self.place(number, Place::Queued);
        if matches!(self.phase, Phase::Merging(_)) {
            self.phase = Phase::Running;
        }
        Some(failures)
    }

    /// Remembers how long an attempt took that gave its task's answer.
    pub(super) fn took(&mut self, duration: Duration) {
        if self.durations.len() == REMEMBERED {
            self.durations.pop_front();
        }
        self.durations.push_back(duration);
    }

    /// The median of those, if there are any.
    pub(super) fn median(&self) -> Option<Duration> {
        let mut sorted: Vec<_> = self.durations.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    /// Ends the job and gives its tasks away.
    pub(super) fn end(&mut self, outcome: Outcome) -> Vec<Task> {
        self.phase = Phase::Ended(outcome);
        self.live = 0;
        self.queue = BTreeSet::new();
        self.durations = VecDeque::new();
        std::mem::take(&mut self.tasks)
    }
}

/// Adds or subtracts, field by field.
pub(super) fn add(into: &mut TaskTotals, from: &TaskTotals, op: fn(u64, u64) -> u64) {
    into.records = op(into.records, from.records);
    into.rejects = op(into.rejects, from.rejects);
    into.blank_lines = op(into.blank_lines, from.blank_lines);
    into.lines = op(into.lines, from.lines);
    into.bytes = op(into.bytes, from.bytes);
}
