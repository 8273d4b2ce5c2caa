//! Writing a task's groups as one sorted segment: heads by rank, for each its dense cells and its part
//! of the sorted log, merged by tail.

use std::io;

use tally_common::combine::{Aggregates, Combine};
use tally_common::limits::MAX_AGGREGATES;
use tally_common::run::GroupSink;

use super::dense::{ABSENT, Dense};
use super::dict::Dictionary;
use super::groups::Groups;
use super::log::{KeySpace, Log};
use super::order::Ranks;
use super::parse::FIRST_DAY;
use super::radix::Pair;

/// Heads whose keys are fetched together when a segment is written.
const KEYS_AHEAD: usize = 64;

/// What the tails' codes stand for.
#[derive(Clone, Copy)]
pub(super) enum TailNames<'a> {
    None,
    /// Days since [`FIRST_DAY`].
    Days,
    /// Ids.
    Ids(&'a Dictionary, &'a Ranks),
}

/// What the heads' ids stand for, and the tails' codes.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) heads: &'a Dictionary,
    pub(super) ranks: &'a Ranks,
    pub(super) tails: TailNames<'a>,
    /// For each head the position of its first record, where that is asked for.
    pub(super) first: Option<&'a [u64]>,
}

impl TailNames<'_> {
    /// Where a code stands among the tails.
    fn place(self, code: u32) -> u32 {
        match self {
            Self::None | Self::Days => code,
            Self::Ids(_, ranks) => ranks.ranks()[code as usize],
        }
    }

    fn code(self, place: u32) -> u32 {
        match self {
            Self::None | Self::Days => place,
            Self::Ids(_, ranks) => ranks.order()[place as usize],
        }
    }
}

impl Groups {
    /// Sorts and combines a full log. What is left may go on in it if that is little; else it is
    /// written.
    pub(super) fn shrink<S: GroupSink>(
        &mut self,
        names: Names<'_>,
        sink: &mut S,
    ) -> io::Result<()> {
        let space = self.sort(names);
        if self.log.is_half_empty() {
            self.log.resume(space, names.ranks.order(), |place| names.tails.code(place));
            return Ok(());
        }
        self.write(space, names, sink)
    }

    /// Writes all groups as one segment and forgets them.
    pub(super) fn flush<S: GroupSink>(&mut self, names: Names<'_>, sink: &mut S) -> io::Result<()> {
        let space = self.sort(names);
        self.write(space, names, sink)
    }

    fn sort(&mut self, names: Names<'_>) -> KeySpace {
        let max_head = names.heads.len().saturating_sub(1) as u32;
        self.log.sort(names.ranks.ranks(), |code| names.tails.place(code), max_head)
    }

    fn write<S: GroupSink>(
        &mut self,
        space: KeySpace,
        names: Names<'_>,
        sink: &mut S,
    ) -> io::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let columns = self.columns(names.tails);
        let mut present: Vec<(u32, u32)> = Vec::new();
        let mut heads = 0;
        let mut pairs = &self.log.pairs[..];
        let mut keys = Vec::new();
        for (rank, &head) in names.ranks.order().iter().enumerate() {
            if rank % KEYS_AHEAD == 0 {
                let ahead = &names.ranks.order()[rank..];
                names.heads.collect(&ahead[..ahead.len().min(KEYS_AHEAD)], &mut keys);
            }
            let logged = pairs.iter().take_while(|pair| space.head(pair.0) == rank as u32).count();
            let (mine, rest) = pairs.split_at(logged);
            pairs = rest;
            present.clear();
            if head < self.dense.heads {
                list(&self.dense, head, columns.as_deref(), &mut present);
            }
            if mine.is_empty() && present.is_empty() {
                continue;
            }
            let first = names.first.map_or(0, |first| first[head as usize]);
            heads += 1;
            sink.start_head(keys[rank % KEYS_AHEAD].bytes(names.heads), first)?;
            let mut writer = Writer { tails: names.tails, sink };
            if present.is_empty() && self.aggregates.ops().len() == 1 {
                writer.logged(&self.aggregates, space, mine)?;
                continue;
            }
            let sources = Sources { dense: &self.dense, log: &self.log, head, space };
            writer.both(&self.aggregates, sources, mine, &present)?;
            if !present.is_empty() {
                self.dense.empty(head, present.iter().map(|&(_, offset)| offset));
            }
        }
        self.log.clear();
        self.dense.flushed();
        self.dirty = false;
        self.most_heads = self.most_heads.max(heads);
        sink.end_segment()
    }

    /// For tails that are ids: the window's as (place, offset), by place.
    fn columns(&self, tails: TailNames<'_>) -> Option<Vec<(u32, u32)>> {
        let TailNames::Ids(_, ranks) = tails else { return None };
        let places = (0..).zip(ranks.order()).map(|(place, &id)| (place, id));
        Some(places.filter(|&(_, id)| id >> self.dense.shift == 0).collect())
    }
}

/// Lists a head's dense cells in use as (place, offset), by place.
fn list(dense: &Dense, head: u32, columns: Option<&[(u32, u32)]>, present: &mut Vec<(u32, u32)>) {
    match columns {
        None => dense.present(head, |offset| present.push((dense.base + offset, offset))),
        Some(columns) => {
            let used = |&&(_, offset): &&(u32, u32)| dense.cell(head, offset)[0] != ABSENT;
            present.extend(columns.iter().filter(used));
        }
    }
}

/// Where a head's groups come from.
#[derive(Clone, Copy)]
struct Sources<'a> {
    dense: &'a Dense,
    log: &'a Log,
    head: u32,
    space: KeySpace,
}

/// Writes the groups of one head.
struct Writer<'a, S> {
    tails: TailNames<'a>,
    sink: &'a mut S,
}

impl<S: GroupSink> Writer<'_, S> {
    #[inline]
    fn group(&mut self, place: u32, values: &[i128]) -> io::Result<()> {
        match self.tails {
            TailNames::None => self.sink.push_ordinal(0, values),
            TailNames::Days => {
                self.sink.push_ordinal(i64::from(place) + i64::from(FIRST_DAY), values)
            }
            TailNames::Ids(tails, ranks) => {
                self.sink.push_bytes(tails.key(ranks.order()[place as usize]), values)
            }
        }
    }

    /// The common case of many heads: all of a head's groups are in the log, with one value each.
    fn logged(
        &mut self,
        aggregates: &Aggregates,
        space: KeySpace,
        pairs: &[Pair],
    ) -> io::Result<()> {
        let mut rest = pairs;
        while let [(key, value), after @ ..] = rest {
            let mut total = [i128::from(*value)];
            rest = after;
            while let [(next, value), after @ ..] = rest
                && next == key
            {
                aggregates.combine(&mut total, &[i128::from(*value)]);
                rest = after;
            }
            self.group(space.tail(*key), &total)?;
        }
        Ok(())
    }

    fn both(
        &mut self,
        aggregates: &Aggregates,
        sources: Sources<'_>,
        mut pairs: &[Pair],
        mut cells: &[(u32, u32)],
    ) -> io::Result<()> {
        let k = aggregates.ops().len();
        let (mut total, mut next) = ([0i128; MAX_AGGREGATES], [0i128; MAX_AGGREGATES]);
        let Sources { dense, log, head, space } = sources;
        loop {
            let logged = pairs.first().map(|pair| space.tail(pair.0));
            let place = match (cells.first(), logged) {
                (Some(&(place, _)), Some(logged)) => place.min(logged),
                (Some(&(place, _)), None) => place,
                (None, Some(logged)) => logged,
                (None, None) => return Ok(()),
            };
            let mut begun = false;
            let mut take = |values: &[i64]| {
                let into = if begun { &mut next } else { &mut total };
                for (into, &value) in into.iter_mut().zip(values) {
                    *into = i128::from(value);
                }
                if begun {
                    aggregates.combine(&mut total[..k], &next[..k]);
                }
                begun = true;
            };
            if let [(at, offset), rest @ ..] = cells
                && *at == place
            {
                take(dense.cell(head, *offset));
                cells = rest;
            }
            while let [pair, rest @ ..] = pairs
                && space.tail(pair.0) == place
            {
                take(log.values(pair));
                pairs = rest;
            }
            self.group(place, &total[..k])?;
        }
    }
}
