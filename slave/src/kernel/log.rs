//! Groups that have no dense cell: each record appended as it comes, sorted and combined when the
//! log is full or the task ends.

use tally_common::combine::Aggregates;
use tally_common::spec::AggregateOp;

use super::radix::{self, Pair};

/// See the module.
pub(super) struct Log {
    /// The key, `head id << 32 | tail code` (see [`KeySpace`] for while they are sorted), with the
    /// value; with the number of its row in `rows` where groups have more than one value.
    pub(super) pairs: Vec<Pair>,
    rows: Vec<i64>,
    ops: Vec<AggregateOp>,
    spare: Vec<Pair>,
    max_pairs: usize,
}

/// How keys are written while they are sorted: as small numbers in the order of the groups.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeySpace {
    /// Bits of a tail; above them is the head's rank.
    pub(super) tail_bits: u32,
    /// The tail that is written as 0.
    pub(super) low: u32,
}

impl KeySpace {
    #[inline]
    pub(super) fn head(self, key: u64) -> u32 {
        (key >> self.tail_bits) as u32
    }

    #[inline]
    pub(super) fn tail(self, key: u64) -> u32 {
        (key & ((1 << self.tail_bits) - 1)) as u32 + self.low
    }
}

/// `from` and `with` as one, where that fits 64 bits.
#[inline]
fn fold(op: AggregateOp, from: i64, with: i64) -> Option<i64> {
    match op {
        AggregateOp::Sum | AggregateOp::Count => from.checked_add(with),
        AggregateOp::Min => Some(from.min(with)),
        AggregateOp::Max => Some(from.max(with)),
    }
}

impl Log {
    pub(super) fn new(aggregates: &Aggregates, bytes: usize) -> Self {
        let ops = aggregates.ops().to_vec();
        let entry =
            size_of::<Pair>() + if ops.len() > 1 { ops.len() * size_of::<i64>() } else { 0 };
        let max_pairs = bytes / entry;
        Self { pairs: Vec::new(), rows: Vec::new(), ops, spare: Vec::new(), max_pairs }
    }

    pub(super) fn clear(&mut self) {
        self.pairs.clear();
        self.rows.clear();
    }

    /// A buffer for other sorts while this one is idle.
    pub(super) fn spare(&mut self) -> &mut Vec<Pair> {
        &mut self.spare
    }

    /// Whether so many more records still fit.
    pub(super) fn fits(&self, records: usize) -> bool {
        self.pairs.is_empty() || self.pairs.len() + records <= self.max_pairs
    }

    /// Whether combining has made enough room for it to pay to go on.
    pub(super) fn is_half_empty(&self) -> bool {
        self.pairs.len() <= self.max_pairs / 2
    }

    #[inline]
    pub(super) fn push(&mut self, head: u32, code: u32, values: &[i64]) {
        let key = u64::from(head) << 32 | u64::from(code);
        if let [value] = values {
            self.pairs.push((key, *value));
        } else {
            self.pairs.push((key, (self.rows.len() / self.ops.len()) as i64));
            self.rows.extend_from_slice(values);
        }
    }

    /// A pair's values.
    #[inline]
    pub(super) fn values<'a>(&'a self, pair: &'a Pair) -> &'a [i64] {
        if self.ops.len() == 1 {
            std::slice::from_ref(&pair.1)
        } else {
            &self.rows[pair.1 as usize * self.ops.len()..][..self.ops.len()]
        }
    }

    /// Sorts by the groups' order and combines what is equal, as far as 64 bits hold it; `map` gives
    /// a head's rank and a tail's place.
    pub(super) fn sort(
        &mut self,
        heads: &[u32],
        tail: impl Fn(u32) -> u32,
        max_head: u32,
    ) -> KeySpace {
        let (mut low, mut high) = (u32::MAX, 0);
        for pair in &mut self.pairs {
            let place = tail(pair.0 as u32);
            (low, high) = (low.min(place), high.max(place));
            pair.0 = u64::from(heads[(pair.0 >> 32) as usize]) << 32 | u64::from(place);
        }
        let tail_bits = radix::bits(u64::from(high.saturating_sub(low)));
        let space = KeySpace { tail_bits, low };
        for pair in &mut self.pairs {
            pair.0 = (pair.0 >> 32) << tail_bits | u64::from(pair.0 as u32 - low);
        }
        let bits = tail_bits + radix::bits(u64::from(max_head));
        radix::sort(&mut self.pairs, &mut self.spare, bits);
        self.combine();
        space
    }

    fn combine(&mut self) {
        if let [op] = self.ops[..] {
            self.pairs.dedup_by(|next, kept| {
                let folded = (next.0 == kept.0).then(|| fold(op, kept.1, next.1)).flatten();
                kept.1 = folded.unwrap_or(kept.1);
                folded.is_some()
            });
            return;
        }
        let (ops, rows) = (&self.ops, &mut self.rows);
        let k = ops.len();
        self.pairs.dedup_by(|next, kept| {
            let (into, from) = (kept.1 as usize * k, next.1 as usize * k);
            let fits = next.0 == kept.0
                && (0..k).all(|i| fold(ops[i], rows[into + i], rows[from + i]).is_some());
            if fits {
                for i in 0..k {
                    rows[into + i] =
                        fold(ops[i], rows[into + i], rows[from + i]).unwrap_or(rows[into + i]);
                }
            }
            fits
        });
    }

    /// Goes back to ids, to take more records: `order` and `tail` undo what [`Log::sort`] did.
    pub(super) fn resume(&mut self, space: KeySpace, order: &[u32], tail: impl Fn(u32) -> u32) {
        let k = self.ops.len();
        let mut rows = Vec::with_capacity(if k > 1 { self.pairs.len() * k } else { 0 });
        for pair in &mut self.pairs {
            let head = order[space.head(pair.0) as usize];
            pair.0 = u64::from(head) << 32 | u64::from(tail(space.tail(pair.0)));
            if k > 1 {
                let row = rows.len() / k;
                rows.extend_from_slice(&self.rows[pair.1 as usize * k..][..k]);
                pair.1 = row as i64;
            }
        }
        self.rows = rows;
    }
}
