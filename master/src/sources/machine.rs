//! What is to be done next about a source: a state machine without IO, clock or chance.
//!
//! `apply(event, now, jitter) → action`. What has changed is written to the store ([`Machine::changes`])
//! before the action is carried out. One thing is done at a time: an item's job has ended before the next
//! item is looked at, so that a table gets one state of its source after the other.

mod words;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use sha2::{Digest, Sha256};

use tally_common::api::SourcePhase;
use tally_common::backoff::Backoff;
use tally_common::id::JobId;

use super::state::{Item, SourceRow, Stat, Status};
use words::Doing;
pub(crate) use words::{Action, Changes, Content, End, Event, Way};

/// Most items of a source that are remembered: each is a row, and a few hundred bytes of memory.
pub(crate) const MAX_ITEMS: usize = 10_000;

/// How often one content is submitted: what fails for want of a slave or of space may succeed later, a bad
/// file will not.
const MAX_TRIES: u32 = 3;

/// Longest wait after errors, where the interval itself is not longer.
const MAX_BACKOFF: Duration = Duration::from_secs(600);

/// How often counters alone are written: they are worth no write to the disk at each look.
const SAVE_COUNTERS_MS: u64 = 60_000;

/// The name of the only item of a URL.
const ONLY: &str = "";

/// A source.
#[derive(Debug)]
pub(crate) struct Machine {
    name: String,
    way: Way,
    interval: Duration,
    backoff: Backoff,
    row: SourceRow,
    items: BTreeMap<String, Item>,
    /// Items that are still to be fetched in this round.
    queue: VecDeque<String>,
    /// The files as they were listed last: one that has not changed since is not being written.
    seen: HashMap<String, Stat>,
    doing: Doing,
    /// This round has failed as a whole.
    failed: bool,
    next_poll_ms: Option<u64>,
    /// To be written: these items, or at least the row.
    touched: BTreeSet<String>,
    removed: Vec<String>,
    save: bool,
    saved_ms: u64,
}

impl Machine {
    /// A source and what is remembered of it.
    pub(crate) fn new(
        name: &str,
        way: Way,
        interval: Duration,
        row: SourceRow,
        items: BTreeMap<String, Item>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            way,
            interval,
            backoff: Backoff::new(interval * 2, MAX_BACKOFF.max(interval * 2)),
            row,
            items,
            queue: VecDeque::new(),
            seen: HashMap::new(),
            doing: Doing::Resting,
            failed: false,
            next_poll_ms: None,
            touched: BTreeSet::new(),
            removed: Vec::new(),
            save: true,
            saved_ms: 0,
        }
    }

    /// Takes in what has happened at `now_ms` (milliseconds since 1970), and says what to do. `jitter` is
    /// any number.
    pub(crate) fn apply(&mut self, event: Event, now_ms: u64, jitter: u64) -> Action {
        let clock = (now_ms, jitter);
        match (event, self.doing.clone()) {
            (Event::Started | Event::Due, _) => self.start(clock),
            (Event::Asked, _) => {
                self.forgive();
                self.start(clock)
            }
            (Event::Sensed(changed), _) => self.sensed(changed, clock),
            (Event::Listed(files), _) => self.listed(files, clock),
            (Event::Unmodified, Doing::Fetching(item)) => {
                self.change(&item, |item| item.due = false);
                self.next(clock)
            }
            (Event::Fetched(content), Doing::Fetching(item)) => self.fetched(item, content, clock),
            (Event::Found(Some(job)), Doing::Finding(item))
            | (Event::Submitted(job), Doing::Submitting(item)) => self.submitted(item, job, clock),
            (Event::Found(None), Doing::Finding(item)) => {
                self.change(&item, |item| (item.status, item.due) = (Status::New, true));
                self.begin(clock)
            }
            (Event::Ended(job, end), Doing::Submitting(item)) => {
                self.count_submission(&item, job, clock);
                self.ended(&item, end, clock)
            }
            (Event::Ended(_, end), Doing::Awaiting(item)) => self.ended(&item, end, clock),
            (Event::Failed(why), doing) => self.fail(doing, why, clock),
            // Unsteady files wait for the next round; what does not fit what is under way can not come.
            _ => self.next(clock),
        }
    }

    /// What has to be written before the action is carried out; `None` where nothing is worth it.
    pub(crate) fn changes(&mut self, now_ms: u64) -> Option<Changes> {
        let counters = now_ms.saturating_sub(self.saved_ms) >= SAVE_COUNTERS_MS;
        if !self.save && self.touched.is_empty() && self.removed.is_empty() && !counters {
            return None;
        }
        self.save = false;
        self.saved_ms = now_ms;
        let names = std::mem::take(&mut self.touched).into_iter();
        let items = names.filter_map(|name| Some((name.clone(), self.items.get(&name)?.clone())));
        let items = items.collect();
        Some(Changes { row: self.row.clone(), items, removed: std::mem::take(&mut self.removed) })
    }

    /// What is remembered of the whole.
    pub(crate) fn row(&self) -> &SourceRow {
        &self.row
    }

    /// How many items are known.
    pub(crate) fn items(&self) -> usize {
        self.items.len()
    }

    /// When it is looked at next, while nothing is under way: milliseconds since 1970.
    pub(crate) fn next_poll_ms(&self) -> Option<u64> {
        self.next_poll_ms
    }

    /// What is under way, in a word.
    pub(crate) fn phase(&self) -> SourcePhase {
        match self.doing {
            Doing::Resting if self.row.failures > 0 || self.retries() => SourcePhase::BackingOff,
            Doing::Resting => SourcePhase::Waiting,
            Doing::Looking => SourcePhase::Polling,
            Doing::Fetching(_) => SourcePhase::Fetching,
            Doing::Finding(_) | Doing::Submitting(_) | Doing::Awaiting(_) => SourcePhase::Ingesting,
        }
    }

    /// Whether it waits only to submit the same once more.
    fn retries(&self) -> bool {
        self.items.get(ONLY).is_some_and(|item| item.due && item.tries > 0)
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut Item)) {
        let item = self.items.entry(name.to_owned()).or_default();
        let before = item.clone();
        change(item);
        if *item != before {
            self.touched.insert(name.to_owned());
        }
    }

    /// Names a submission: the same one after a crash, and never that of another one, also where the
    /// content has been there before.
    fn key(&self, item: &str) -> String {
        let sha256 = self.items.get(item).and_then(|item| item.sha256.as_deref());
        let mut hash = Sha256::new();
        for part in [&self.name, item, sha256.unwrap_or_default()] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.update(self.row.submissions.to_be_bytes());
        format!("source-{}", super::hex(&hash.finalize()))
    }

    fn start(&mut self, clock: (u64, u64)) -> Action {
        let under_way = |item: &Item| matches!(item.status, Status::Submitting | Status::Open);
        let found = self.items.iter().find(|(_, item)| under_way(item));
        match found.map(|(name, item)| (name.clone(), item.status, item.job)) {
            Some((name, Status::Open, Some(job))) => {
                self.doing = Doing::Awaiting(name);
                Action::Await(job)
            }
            Some((name, ..)) => {
                let key = self.key(&name);
                self.doing = Doing::Finding(name);
                Action::Find { key }
            }
            None => self.begin(clock),
        }
    }

    /// Somebody has looked into it: what was given up is tried again.
    fn forgive(&mut self) {
        let names: Vec<String> = self.items.keys().cloned().collect();
        for name in names {
            self.change(&name, |item| {
                item.retry_ms = 0;
                if item.status == Status::GaveUp {
                    (item.status, item.due, item.tries) = (Status::New, true, 0);
                }
            });
        }
    }

    fn begin(&mut self, (now_ms, _): (u64, u64)) -> Action {
        self.row.polls += 1;
        self.row.last_polled_ms = Some(now_ms);
        (self.failed, self.next_poll_ms) = (false, None);
        self.queue.clear();
        self.doing = Doing::Looking;
        let only = self.items.get(ONLY);
        match self.way {
            Way::List => Action::List,
            // It may have forgotten that it has said so.
            Way::Sense if only.is_some_and(|item| item.due) => self.fetch(ONLY.to_owned()),
            Way::Sense => Action::Sense { etag: only.and_then(|item| item.etag.clone()) },
            Way::Fetch => self.fetch(ONLY.to_owned()),
        }
    }

    fn sensed(&mut self, changed: bool, clock: (u64, u64)) -> Action {
        // What has never been had is new, whatever the source has told others.
        let never = self.items.get(ONLY).is_none_or(|item| item.sha256.is_none());
        if !changed && !never {
            return self.rest(clock);
        }
        self.change(ONLY, |item| item.due = true);
        self.fetch(ONLY.to_owned())
    }

    fn listed(&mut self, files: Vec<(String, Stat)>, clock: (u64, u64)) -> Action {
        for (name, stat) in &files {
            let known = self.items.get(name);
            let changed = known.is_none_or(|item| item.due || item.stat != Some(*stat));
            let waits = known.is_some_and(|item| item.retry_ms > clock.0);
            if changed && !waits && self.seen.get(name) == Some(stat) {
                self.queue.push_back(name.clone());
            }
        }
        self.seen = files.into_iter().collect();
        self.leave_gone();
        if self.items.len() + self.queue.len() > MAX_ITEMS {
            let gone = self.items.keys().filter(|name| !self.seen.contains_key(*name));
            self.removed = gone.cloned().collect();
            self.items.retain(|name, _| self.seen.contains_key(name));
        }
        self.next(clock)
    }

    /// A file that has gone is no problem any more, and nothing more is expected of it.
    fn leave_gone(&mut self) {
        let gone = |name: &String, item: &Item| {
            (item.due || item.error.is_some()) && !self.seen.contains_key(name)
        };
        let gone = self.items.iter().filter(|(name, item)| gone(name, item));
        let gone: Vec<String> = gone.map(|(name, _)| name.clone()).collect();
        for name in gone {
            self.change(&name, |item| (item.due, item.error) = (false, None));
        }
    }

    fn fetch(&mut self, name: String) -> Action {
        let item = self.items.get(&name).cloned().unwrap_or_default();
        // What has not been dealt with is wanted even if it is as it was.
        let known = item.status.is_final();
        let (etag, last_modified) = (item.etag, item.last_modified);
        self.doing = Doing::Fetching(name.clone());
        Action::Fetch {
            item: name,
            etag: etag.filter(|_| known),
            last_modified: last_modified.filter(|_| known),
        }
    }

    fn fetched(&mut self, name: String, content: Content, clock: (u64, u64)) -> Action {
        let Content { sha256, etag, last_modified, stat } = content;
        let mut is_new = true;
        self.change(&name, |item| {
            let same = item.sha256.as_ref() == Some(&sha256);
            (item.etag, item.last_modified, item.stat) = (etag, last_modified, stat);
            is_new = !(same && item.status.is_final());
            item.due = is_new;
            if item.status == Status::Done {
                item.error = None;
            }
            if is_new {
                let tries = if same { item.tries } else { 0 };
                (item.sha256, item.status, item.tries) = (Some(sha256), Status::Submitting, tries);
            }
        });
        if !is_new {
            return self.next(clock);
        }
        let key = self.key(&name);
        self.doing = Doing::Submitting(name.clone());
        Action::Submit { item: name, key }
    }

    fn submitted(&mut self, name: String, job: JobId, clock: (u64, u64)) -> Action {
        self.count_submission(&name, Some(job), clock);
        self.change(&name, |item| item.status = Status::Open);
        self.doing = Doing::Awaiting(name);
        Action::Await(job)
    }

    fn count_submission(&mut self, name: &str, job: Option<JobId>, (now_ms, _): (u64, u64)) {
        self.row.submissions += 1;
        if self.items.get(name).is_some_and(|item| item.tries == 0) {
            self.row.changes += 1;
            self.row.last_changed_ms = Some(now_ms);
        }
        self.row.last_job = job.or(self.row.last_job);
        // It could be fetched: what was wrong with that is over.
        self.row.last_error = self.problem();
        self.change(name, |item| item.job = job);
        self.save = true;
    }

    fn ended(&mut self, name: &str, end: End, clock: (u64, u64)) -> Action {
        let backoff = self.backoff;
        let (now_ms, jitter) = clock;
        self.row.errors += u64::from(matches!(end, End::Failed(_)));
        self.change(name, |item| match end {
            End::Succeeded => {
                (item.status, item.due, item.tries) = (Status::Done, false, 0);
                (item.retry_ms, item.error) = (0, None);
            }
            End::Cancelled => {
                (item.status, item.due) = (Status::GaveUp, false);
                let what = "its job was cancelled or deleted; it is left alone until it changes";
                item.error = Some(what.to_owned());
            }
            End::Failed(why) => {
                item.tries += 1;
                let left = MAX_TRIES.saturating_sub(item.tries);
                item.due = left > 0;
                item.status = if left > 0 { Status::New } else { Status::GaveUp };
                let wait = backoff.wait(item.tries.saturating_sub(1), jitter);
                item.retry_ms = if left > 0 { now_ms.saturating_add(millis(wait)) } else { 0 };
                item.error = Some(match left {
                    0 => format!("{why} (tried {MAX_TRIES} times; left alone until it changes)"),
                    _ => format!("{why} (to be tried again)"),
                });
            }
        });
        self.next(clock)
    }

    fn fail(&mut self, doing: Doing, why: String, clock: (u64, u64)) -> Action {
        self.row.errors += 1;
        self.save = true;
        // What was wrong with a file is remembered of it, and the others go on. What is being submitted, or
        // was, stays so: the next round begins with looking for its job.
        if let (Doing::Fetching(name), Way::List) = (doing, self.way) {
            self.change(&name, |item| item.error = Some(why));
            return self.next(clock);
        }
        self.failed = true;
        self.row.last_error = Some(why);
        self.rest(clock)
    }

    fn next(&mut self, clock: (u64, u64)) -> Action {
        match self.queue.pop_front() {
            Some(item) => self.fetch(item),
            None => self.rest(clock),
        }
    }

    fn rest(&mut self, (now_ms, jitter): (u64, u64)) -> Action {
        let before = (self.row.failures, self.row.last_error.clone());
        if self.failed {
            self.row.failures = self.row.failures.saturating_add(1);
        } else {
            self.row.failures = 0;
            self.row.last_error = self.problem();
        }
        self.save |= before != (self.row.failures, self.row.last_error.clone());
        self.doing = Doing::Resting;
        let mut wait = match self.row.failures {
            0 => self.interval * (80 + (jitter % 41) as u32) / 100,
            failures => self.backoff.wait(failures - 1, jitter),
        };
        if let (Way::Fetch | Way::Sense, Some(item)) = (self.way, self.items.get(ONLY)) {
            wait = wait.max(Duration::from_millis(item.retry_ms.saturating_sub(now_ms)));
        }
        self.next_poll_ms = Some(now_ms.saturating_add(millis(wait)));
        Action::Rest(wait)
    }

    /// What is wrong with the first item that something is wrong with.
    fn problem(&self) -> Option<String> {
        let (name, why) =
            self.items.iter().find_map(|(name, item)| Some((name, item.error.as_ref()?)))?;
        Some(if name.is_empty() { why.clone() } else { format!("{name}: {why}") })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
