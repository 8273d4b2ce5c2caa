//! Groups as readers and merges hand them on.

use crate::key::Tail;

/// A group, borrowed from its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    /// Its head.
    pub head: &'a [u8],
    /// Its tail.
    pub tail: Tail<'a>,
    /// Its values, one for each aggregate.
    pub values: &'a [i128],
}

/// Groups of one head with ordinals as tails, column by column.
#[derive(Debug)]
pub struct Batch<'a, V> {
    /// Their tails.
    pub tails: &'a [i32],
    values: &'a [V],
    stride: usize,
    count: usize,
}

impl<V> Clone for Batch<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Batch<'_, V> {}

/// The groups that a reader has at hand.
#[derive(Clone, Copy, Debug)]
pub enum Groups<'a> {
    /// All values are narrow: they lie from `-NARROW` to below [`NARROW`].
    Narrow(Batch<'a, i64>),
    /// Some are not.
    Wide(Batch<'a, i128>),
}

/// Narrow values have a smaller magnitude, or are its negative: so that 256 of them can be added up in
/// 64 bits.
pub const NARROW: i64 = 1 << 55;

impl<'a, V> Batch<'a, V> {
    /// Groups with the values of `count` aggregates, of which those of `a` begin at `a * stride`.
    #[inline]
    pub fn new(tails: &'a [i32], values: &'a [V], stride: usize, count: usize) -> Self {
        Self { tails, values, stride, count }
    }

    /// The values of all aggregates.
    #[inline]
    pub fn columns(&self) -> impl Iterator<Item = &'a [V]> + use<'a, V> {
        let this = *self;
        (0..self.count).map(move |aggregate| this.column(aggregate))
    }

    /// The values of an aggregate.
    #[inline]
    pub fn column(&self, aggregate: usize) -> &'a [V] {
        &self.values[aggregate * self.stride..][..self.tails.len()]
    }
}
