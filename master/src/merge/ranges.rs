//! Key ranges: how the key space of all segments is divided among threads.

use std::cmp::Ordering;

use tally_common::key::Tail;
use tally_common::run::{BlockInfo, OwnedTail};

use super::MergeInput;

/// Encoded bytes that a range aims for, for each segment: several blocks, because a range begins and
/// ends in the middle of one, which is then decoded twice.
const BYTES_PER_SEGMENT: u64 = 512 << 10;

/// And over all segments at least and at most: what a thread's output is a few times of.
const MIN_RANGE_BYTES: u64 = 1 << 20;
const MAX_RANGE_BYTES: u64 = 2 << 20;

/// A sorted part of a run.
#[derive(Clone)]
pub(super) struct Segment {
    /// Index of its run among the merge's inputs, for errors.
    pub(super) number: usize,
    pub(super) input: MergeInput,
    /// Index of the segment in the run.
    pub(super) segment: usize,
}

impl Segment {
    pub(super) fn blocks(&self) -> &[BlockInfo] {
        &self.input.meta.segments()[self.segment]
    }
}

/// All segments of all inputs.
pub(super) fn segments(inputs: &[MergeInput]) -> Vec<Segment> {
    let each = inputs.iter().enumerate().flat_map(|(number, input)| {
        let count = input.meta.segments().len();
        (0..count).map(move |segment| Segment { number, input: input.clone(), segment })
    });
    each.collect()
}

/// A key at which ranges meet. Without a tail it stands before all groups of the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) head: Box<[u8]>,
    pub(super) tail: Option<OwnedTail>,
}

impl Bound {
    /// How a group stands to the bound.
    pub(super) fn compare(&self, head: &[u8], tail: Tail<'_>) -> Ordering {
        head.cmp(&self.head).then_with(|| match &self.tail {
            Some(bound) => tail.cmp(&bound.as_tail()),
            None => Ordering::Greater,
        })
    }
}

/// A range of keys: from `from` (included) to `to` (not included).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: Option<Bound>,
    pub(super) to: Option<Bound>,
}

/// Encoded bytes that a range of so many segments should have.
pub(super) fn target(segments: usize) -> u64 {
    (segments as u64 * BYTES_PER_SEGMENT).clamp(MIN_RANGE_BYTES, MAX_RANGE_BYTES)
}

/// Divides the keys of all segments into ranges of about `target` encoded bytes, in order. With
/// `within_heads` the groups of one head may fall into several ranges.
pub(super) fn plan(segments: &[Segment], target: u64, within_heads: bool) -> Vec<Range> {
    let mut blocks: Vec<&BlockInfo> = segments.iter().flat_map(Segment::blocks).collect();
    blocks.sort_unstable_by(|a, b| (&a.head, &a.tail).cmp(&(&b.head, &b.tail)));
    let (mut ranges, mut from, mut bytes) = (Vec::new(), None::<Bound>, 0);
    for (i, block) in blocks.iter().enumerate() {
        let new_head = i > 0 && blocks[i - 1].head != block.head;
        let new_key = new_head || (i > 0 && blocks[i - 1].tail != block.tail);
        if bytes >= target && if within_heads { new_key } else { new_head } {
            let tail = within_heads.then(|| block.tail.clone());
            let bound = Bound { head: block.head.clone(), tail };
            ranges.push(Range { from: from.replace(bound.clone()), to: Some(bound) });
            bytes = 0;
        }
        bytes += block.len as u64;
    }
    if !blocks.is_empty() {
        ranges.push(Range { from, to: None });
    }
    ranges
}
