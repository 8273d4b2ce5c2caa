//! Counts the records of indexed windows, one window after another.

use std::io;

use tally_common::reject::RejectReason;
use tally_common::run::{GroupSink, TaskTotals};
use tally_common::scan::Split;
use tally_common::spec::Spec;

use super::batch::Batch;
use super::bounds::Bounds;
use super::dict::Dictionary;
use super::field::Window;
use super::groups::{Groups, Rows};
use super::order::Ranks;
use super::plan::{JobPlan, TailMode, TaskPlan};
use super::rejects::{Lines, Rejects};
use super::segment::{Names, TailNames};

/// For how many tasks it is believed that keys do not come again.
const FRESH_TASKS: u32 = 8;

/// A dictionary and the order of its keys.
struct Keys {
    dictionary: Dictionary,
    ranks: Ranks,
}

/// See the module.
pub(super) struct Counter {
    pub(super) job: JobPlan,
    bounds: Bounds,
    heads: Keys,
    tails: Keys,
    batch: Batch,
    groups: Groups,
    /// For each head the position of its first counted record in this task; empty where nobody asks.
    first: Vec<u64>,
    /// Heads that were there when the task began, or when keys were last forgotten.
    known: usize,
    /// How many tasks more begin without the keys of the last.
    fresh_tasks: u32,
    totals: TaskTotals,
    rejects: Rejects,
}

impl Keys {
    fn new() -> Self {
        Self { dictionary: Dictionary::new(), ranks: Ranks::default() }
    }
}

impl Counter {
    pub(super) fn new(spec: &Spec, bounds: Bounds) -> Self {
        let job = JobPlan::of(spec);
        let groups = Groups::new(job.aggregates.clone(), &bounds, job.tail == TailMode::Date);
        Self {
            job,
            bounds,
            heads: Keys::new(),
            tails: Keys::new(),
            batch: Batch::new(),
            groups,
            first: Vec::new(),
            known: 0,
            fresh_tasks: 0,
            totals: TaskTotals::default(),
            rejects: Rejects::default(),
        }
    }

    /// Forgets the last task, whether it came to its end or not.
    pub(super) fn begin(&mut self, plan: &TaskPlan) {
        if !self.keys_are_worth_keeping() {
            self.forget_keys();
        }
        self.known = self.heads.dictionary.len();
        self.groups.clear();
        self.batch.begin(plan, self.bounds.batch_rows);
        self.totals = TaskTotals::default();
        self.rejects.clear();
        self.first.clear();
    }

    /// Keys are kept for the next task, as most inputs have the same ones all along. Not where there
    /// are many that the last task had no use for, and not where nearly all are new every time, which
    /// is then believed for a while.
    fn keys_are_worth_keeping(&mut self) -> bool {
        let (used, keys) = (self.groups.most_heads, self.heads.dictionary.len());
        if self.is_large(2) && used < keys / 4 {
            return false;
        }
        let many = used > self.bounds.dictionary_keys / 64;
        if many && self.known >= used && (keys - self.known) / 3 >= used / 4 {
            self.fresh_tasks = FRESH_TASKS;
        }
        let fresh = self.fresh_tasks > 0;
        self.fresh_tasks = self.fresh_tasks.saturating_sub(1);
        !fresh
    }

    /// Bytes of the task so far.
    pub(super) fn position(&self) -> u64 {
        self.totals.bytes
    }

    /// Counts the records of a window.
    pub(super) fn count<S: GroupSink>(
        &mut self,
        plan: &TaskPlan,
        window: Window<'_>,
        split: Split,
        sink: &mut S,
    ) -> io::Result<()> {
        let mut lines = Lines::from(&self.totals);
        let records = window.index.records.len() - usize::from(split.unterminated);
        let mut record = 0;
        while record < records {
            self.make_room(sink)?;
            record = self.take(plan, &window, record, records);
            self.read(plan, &window);
            self.rejects.write(&window, &mut lines, &mut self.totals, sink)?;
            self.note_first(plan, &window);
            let Batch { heads, codes, values, .. } = &self.batch;
            self.groups.add(Rows { heads, codes, values, sources: &plan.sources });
        }
        if split.unterminated {
            self.unterminated(&window, records);
            self.rejects.write(&window, &mut lines, &mut self.totals, sink)?;
        }
        self.totals.bytes += split.consumed as u64;
        self.totals.lines += split.lines;
        if self.groups.adapt() {
            self.flush(sink)?;
        }
        Ok(())
    }

    /// Ends the task.
    pub(super) fn finish<S: GroupSink>(&mut self, sink: &mut S) -> io::Result<TaskTotals> {
        self.flush(sink)?;
        Ok(std::mem::take(&mut self.totals))
    }

    /// Puts records from `record` on into the batch, as many as fit; blank ones and those of another
    /// number of fields are dealt with here. Returns the next record.
    fn take(
        &mut self,
        plan: &TaskPlan,
        window: &Window<'_>,
        mut record: usize,
        records: usize,
    ) -> usize {
        let ends = &window.index.records;
        let rows = &mut self.batch.rows;
        rows.clear();
        let mut base = if record == 0 { 0 } else { ends[record - 1] };
        while record < records && rows.len() < self.bounds.batch_rows {
            let end = ends[record];
            let fields = end - base;
            if fields as usize == plan.fields && fields > 1 {
                rows.push(base);
            } else {
                let start = window.start(base as usize);
                let len = window.record_end(end as usize - 1, start) - start;
                if len == 0 && fields == 1 {
                    self.totals.blank_lines += 1;
                } else if fields as usize == plan.fields {
                    rows.push(base);
                } else {
                    let reason = RejectReason::FieldCount;
                    self.rejects.push(start, len, fields, reason);
                }
            }
            base = end;
            record += 1;
        }
        self.totals.records += rows.len() as u64;
        record
    }

    /// Reads the batch, again without its bad records as long as there are any.
    fn read(&mut self, plan: &TaskPlan, window: &Window<'_>) {
        let (job, batch) = (&self.job, &mut self.batch);
        self.totals.records += self.rejects.len() as u64;
        loop {
            batch.read(job, plan, window);
            if batch.bad.is_empty() {
                batch.look_up_heads(job, window, &mut self.heads.dictionary);
                if matches!(job.tail, TailMode::Text | TailMode::Mixed) {
                    batch.look_up_tails(job, plan, window, &mut self.tails.dictionary);
                }
            }
            if batch.bad.is_empty() {
                return;
            }
            batch.remove_bad(job, plan, window, |base, column, reason| {
                let start = window.start(base as usize);
                let len = window.record_end(base as usize + plan.fields - 1, start) - start;
                self.rejects.push(start, len, column, reason);
            });
        }
    }

    /// The input ends within a quote: its last record is whatever came after that.
    fn unterminated(&mut self, window: &Window<'_>, record: usize) {
        let ends = &window.index.records;
        let base = if record == 0 { 0 } else { ends[record - 1] };
        let start = window.start(base as usize);
        let len = window.bytes.len() - start;
        let reason = RejectReason::UnterminatedQuote;
        self.rejects.push(start, len, ends[record] - base - 1, reason);
        self.totals.records += 1;
    }

    fn note_first(&mut self, plan: &TaskPlan, window: &Window<'_>) {
        if !self.job.first_seen {
            return;
        }
        self.first.resize(self.heads.dictionary.len(), u64::MAX);
        for (&head, &base) in self.batch.heads.iter().zip(&self.batch.rows) {
            let first = &mut self.first[head as usize];
            if *first == u64::MAX {
                let offset = self.totals.bytes + window.start(base as usize) as u64;
                *first = u64::from(plan.number) << 32 | offset;
            }
        }
    }

    /// Sees to it that the log has room for a batch and that the dictionaries are within bounds.
    fn make_room<S: GroupSink>(&mut self, sink: &mut S) -> io::Result<()> {
        if self.is_large(1) {
            self.flush(sink)?;
            self.forget_keys();
        } else if !self.groups.log.fits(self.bounds.batch_rows) {
            self.rank();
            let (groups, names) = self.groups_and_names();
            groups.shrink(names, sink)?;
        }
        Ok(())
    }

    /// Whether the dictionaries have reached one in `parts` of their bounds.
    fn is_large(&self, parts: usize) -> bool {
        let (heads, tails) = (&self.heads.dictionary, &self.tails.dictionary);
        let most = heads.len().max(tails.len()) + self.bounds.batch_rows;
        let memory = heads.memory() + tails.memory();
        (heads.len().max(tails.len()) > 0 && most * parts > self.bounds.dictionary_keys)
            || memory * parts > self.bounds.dictionary_bytes
    }

    fn forget_keys(&mut self) {
        for keys in [&mut self.heads, &mut self.tails] {
            keys.dictionary.clear();
            keys.ranks.clear();
        }
        self.first.clear();
        self.known = 0;
    }

    fn flush<S: GroupSink>(&mut self, sink: &mut S) -> io::Result<()> {
        if self.groups.is_empty() {
            return Ok(());
        }
        self.rank();
        let (groups, names) = self.groups_and_names();
        groups.flush(names, sink)
    }

    fn rank(&mut self) {
        let spare = self.groups.log.spare();
        for keys in [&mut self.heads, &mut self.tails] {
            keys.ranks.update(&keys.dictionary, spare);
        }
    }

    fn groups_and_names(&mut self) -> (&mut Groups, Names<'_>) {
        let tails = match self.job.tail {
            TailMode::None => TailNames::None,
            TailMode::Date => TailNames::Days,
            TailMode::Text | TailMode::Mixed => {
                TailNames::Ids(&self.tails.dictionary, &self.tails.ranks)
            }
        };
        let first = self.job.first_seen.then_some(&self.first[..]);
        let (heads, ranks) = (&self.heads.dictionary, &self.heads.ranks);
        (&mut self.groups, Names { heads, ranks, tails, first })
    }
}
