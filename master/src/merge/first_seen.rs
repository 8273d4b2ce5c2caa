//! First-seen order: an external sort of heads by where they first appeared. The groups of each head
//! go into runs whose heads begin with that position; merging these gives the order wanted.

use std::io;

use tally_common::key::TailKind;
use tally_common::reject::Reject;
use tally_common::run::{GroupSink, RunHeader};
use tally_common::spec::Spec;

use super::ranges::Segment;
use super::{MergeError, MergeInput, MergeOptions, cascade, kway, parallel, ranges};

/// Bytes of position before a head.
pub(super) const PREFIX: usize = 8;

/// Sorts the groups of `segments` into segments whose heads begin with their first position, in
/// `sort_bytes` of memory.
pub(super) fn sort(
    spec: &Spec,
    segments: &[Segment],
    options: &MergeOptions<'_>,
    sort_bytes: usize,
) -> Result<Vec<Segment>, MergeError> {
    let Some(one) = segments.first() else { return Ok(Vec::new()) };
    let header = RunHeader { keeps_first: false, ..*one.input.meta.header() };
    // A range for each thread, so that few runs come out.
    let bytes: u64 = segments.iter().flat_map(Segment::blocks).map(|block| block.len as u64).sum();
    let target = bytes / options.threads.max(1) as u64 + 1;
    let ranges = ranges::plan(segments, target, false);
    let mut inputs = Vec::new();
    parallel::in_order(
        ranges.len(),
        options,
        |i| {
            let mut sorter = Sorter {
                header,
                options,
                limit: sort_bytes / options.threads.max(1),
                heads: Vec::new(),
                keys: Vec::new(),
                groups: Vec::new(),
                tails: Vec::new(),
                values: Vec::new(),
                runs: Vec::new(),
            };
            kway::merge(spec, segments, &ranges[i], options.cancelled, &mut sorter)?;
            sorter.spill()?;
            Ok(sorter.runs)
        },
        |runs| {
            inputs.extend(runs);
            Ok(())
        },
    )?;
    Ok(ranges::segments(&inputs))
}

/// Gathers heads with their groups in memory.
struct Sorter<'a> {
    header: RunHeader,
    options: &'a MergeOptions<'a>,
    limit: usize,
    heads: Vec<Head>,
    /// Position and head of each, one after another.
    keys: Vec<u8>,
    groups: Vec<Group>,
    /// Tails that are bytes, one after another.
    tails: Vec<u8>,
    values: Vec<i128>,
    runs: Vec<MergeInput>,
}

struct Head {
    first: u64,
    key: (usize, usize),
    /// Index of its first group; it has all up to the next head's.
    groups: usize,
}

/// An ordinal, or the end of the tail's bytes.
#[derive(Clone, Copy)]
struct Group(i64);

impl Sorter<'_> {
    fn bytes(&self) -> usize {
        self.keys.len()
            + self.tails.len()
            + self.heads.len() * size_of::<Head>()
            + self.groups.len() * size_of::<Group>()
            + self.values.len() * size_of::<i128>()
    }

    fn new_head(&mut self, first: u64, head: &[u8]) {
        let from = self.keys.len();
        self.keys.extend_from_slice(&first.to_be_bytes());
        self.keys.extend_from_slice(head);
        let key = (from, self.keys.len());
        self.heads.push(Head { first, key, groups: self.groups.len() });
    }

    fn push(&mut self, group: Group, values: &[i128]) -> io::Result<()> {
        self.groups.push(group);
        self.values.extend_from_slice(values);
        if self.bytes() < self.limit {
            return Ok(());
        }
        // A head that is under way goes on in the next run, under the same key.
        let open =
            self.heads.last().map(|head| (head.first, self.keys[head.key.0..head.key.1].to_vec()));
        self.spill().map_err(io::Error::other)?;
        if let Some((first, key)) = open {
            self.new_head(first, &key[PREFIX..]);
        }
        Ok(())
    }

    /// Writes what has been gathered as a run.
    fn spill(&mut self) -> Result<(), MergeError> {
        if self.groups.is_empty() {
            return Ok(());
        }
        let width = usize::from(self.header.aggregates);
        let mut order: Vec<usize> = (0..self.heads.len()).collect();
        let key = |i: usize| &self.keys[self.heads[i].key.0..self.heads[i].key.1];
        // The position comes first in the key. Two heads have the same one only by a run that lies.
        order.sort_unstable_by(|&a, &b| {
            let first = self.heads[a].first.cmp(&self.heads[b].first);
            first.then_with(|| key(a).cmp(key(b)))
        });
        let run = cascade::write_run(self.header, self.options.scratch_dir, |run| {
            for i in order {
                let head = &self.heads[i];
                let end = self.heads.get(i + 1).map_or(self.groups.len(), |next| next.groups);
                run.start_head(&self.keys[head.key.0..head.key.1], 0)?;
                for g in head.groups..end {
                    let values = &self.values[g * width..(g + 1) * width];
                    let Group(tail) = self.groups[g];
                    if self.header.tail == TailKind::Bytes {
                        let from = if g == 0 { 0 } else { self.groups[g - 1].0 };
                        run.push_bytes(&self.tails[from as usize..tail as usize], values)?;
                    } else {
                        run.push_ordinal(tail, values)?;
                    }
                }
            }
            Ok(run.end_segment()?)
        })?;
        self.runs.push(run);
        self.heads.clear();
        self.keys.clear();
        self.groups.clear();
        self.tails.clear();
        self.values.clear();
        Ok(())
    }
}

impl GroupSink for Sorter<'_> {
    fn start_head(&mut self, head: &[u8], first: u64) -> io::Result<()> {
        self.new_head(first, head);
        Ok(())
    }

    fn push_ordinal(&mut self, tail: i64, values: &[i128]) -> io::Result<()> {
        self.push(Group(tail), values)
    }

    fn push_bytes(&mut self, tail: &[u8], values: &[i128]) -> io::Result<()> {
        self.tails.extend_from_slice(tail);
        self.push(Group(self.tails.len() as i64), values)
    }

    fn end_segment(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reject(&mut self, _: Reject) -> io::Result<()> {
        Ok(())
    }
}
