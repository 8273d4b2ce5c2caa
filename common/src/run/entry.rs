//! The groups of one head, gathered column by column until they are written.

use super::columns::{self, MAX_ENTRY, STRIDE, Width};
use super::varint::{Encoder, common_prefix, zigzag};
use crate::key::TailKind;
use crate::limits::MAX_AGGREGATES;

/// Groups of one head that are to become an entry (see [`super::GroupReader`] for its form).
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Groups, how many there may be, and whether for another reason there may be no more.
    len: usize,
    limit: usize,
    full: bool,
    /// Bytes of tails that there may be.
    tail_bytes: usize,
    first: i64,
    last: i64,
    /// How far each ordinal but the first lies behind what follows the one before, and all their bits.
    distances: Vec<i64>,
    distance_bits: u32,
    /// Tails that are bytes, encoded; the first and the last one.
    tails: Encoder,
    first_tail: Vec<u8>,
    tail: Vec<u8>,
    /// The values, column by column, and their bits that differ from their signs.
    values: Vec<i64>,
    bits: [u64; MAX_AGGREGATES],
    /// The values of a group that do not fit, which is alone in its entry.
    wide: Vec<i128>,
}

impl Entry {
    /// One for so many aggregates, and for blocks of so many bytes.
    pub(super) fn new(aggregates: usize, block_bytes: usize) -> Self {
        Self {
            len: 0,
            limit: block_bytes.clamp(1, MAX_ENTRY),
            full: false,
            tail_bytes: block_bytes,
            first: 0,
            last: 0,
            distances: vec![0; STRIDE],
            distance_bits: 0,
            tails: Encoder::default(),
            first_tail: Vec::new(),
            tail: Vec::new(),
            values: vec![0; aggregates * STRIDE],
            bits: [0; MAX_AGGREGATES],
            wide: Vec::new(),
        }
    }

    /// Groups that were pushed.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether it has to be written before a group with these values is pushed.
    #[inline]
    pub(super) fn is_full_for(&self, values: &[i128]) -> bool {
        self.len >= self.limit || self.full || (self.len > 0 && !fit(values))
    }

    pub(super) fn first_ordinal(&self) -> i64 {
        self.first
    }

    pub(super) fn first_tail(&self) -> &[u8] {
        &self.first_tail
    }

    /// Adds a group to an entry that is not full.
    #[inline]
    pub(super) fn push_ordinal(&mut self, tail: i64, values: &[i128]) {
        if self.len == 0 {
            self.first = tail;
        } else {
            debug_assert!(self.last < tail, "tails ascend");
            // Whatever it is, a distance that is none is refused by who reads it.
            let distance = tail.wrapping_sub(self.last).wrapping_sub(1) as u32;
            self.distances[self.len - 1] = i64::from(distance);
            self.distance_bits |= distance;
        }
        self.last = tail;
        self.push_values(values);
    }

    /// Adds a group to an entry that is not full.
    pub(super) fn push_bytes(&mut self, tail: &[u8], values: &[i128]) {
        let shared = if self.len == 0 { 0 } else { common_prefix(&self.tail, tail) };
        self.tails.put(shared as u64);
        self.tails.put((tail.len() - shared) as u64);
        self.tails.put_bytes(&tail[shared..]);
        self.tail.truncate(shared);
        self.tail.extend_from_slice(&tail[shared..]);
        if self.len == 0 {
            self.first_tail.clone_from(&self.tail);
        }
        self.full = self.tails.len() >= self.tail_bytes;
        self.push_values(values);
    }

    #[inline]
    fn push_values(&mut self, values: &[i128]) {
        debug_assert_eq!(values.len() * STRIDE, self.values.len());
        let columns = self.values.chunks_exact_mut(STRIDE).zip(&mut self.bits);
        for (value, (column, bits)) in values.iter().zip(columns) {
            let narrow = *value as i64;
            column[self.len] = narrow;
            *bits |= (narrow ^ (narrow >> 63)) as u64;
        }
        self.len += 1;
        if !fit(values) {
            self.wide.extend_from_slice(values);
            self.full = true;
        }
    }

    /// Appends its groups to a block, from the number of them on, and forgets them. Ordinals are
    /// relative to `base`.
    #[inline]
    pub(super) fn write(&mut self, kind: TailKind, base: i64, block: &mut Encoder) {
        let wide = !self.wide.is_empty();
        let width = |bits: u64| if wide { Width::WIDE } else { Width::signed(bits) };
        let tails = Width::unsigned(self.distance_bits);
        block.put_u8(self.len as u8);
        block.put_u8(tails.code() | width(self.bits[0]).code() << 4);
        let columns = self.values.len() / STRIDE;
        for bits in &self.bits[1..columns] {
            block.put_u8(width(*bits).code());
        }
        match kind {
            TailKind::None => {}
            TailKind::Date => {
                block.put(zigzag(self.first.wrapping_sub(base)));
                columns::put(&self.distances[..self.len - 1], tails, block);
            }
            TailKind::Bytes => {
                block.put(self.tails.len() as u64);
                block.put_bytes(self.tails.as_slice());
                self.tails.clear();
            }
        }
        for (values, bits) in self.values.chunks_exact(STRIDE).zip(&mut self.bits) {
            if !wide {
                columns::put(&values[..self.len], Width::signed(*bits), block);
            }
            *bits = 0;
        }
        for value in self.wide.drain(..) {
            block.put_bytes(&value.to_le_bytes());
        }
        (self.len, self.full, self.distance_bits) = (0, false, 0);
    }
}

/// Whether values fit 64 bits.
#[inline]
fn fit(values: &[i128]) -> bool {
    values.iter().all(|value| i64::try_from(*value).is_ok())
}
