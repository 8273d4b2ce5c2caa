//! The sorted order of a dictionary's keys, kept up as it grows: only new keys are ever sorted.

use super::dict::Dictionary;
use super::radix::{self, Pair};

/// See the module.
#[derive(Default)]
pub(super) struct Ranks {
    /// Ids by their keys' bytes, ascending.
    order: Vec<u32>,
    /// For each id its index in `order`.
    ranks: Vec<u32>,
    /// What is being sorted.
    pairs: Vec<Pair>,
}

impl Ranks {
    /// Ids in the order of their keys.
    pub(super) fn order(&self) -> &[u32] {
        &self.order
    }

    /// For each id, how many keys are less than its.
    pub(super) fn ranks(&self) -> &[u32] {
        &self.ranks
    }

    /// Forgets all ids.
    pub(super) fn clear(&mut self) {
        self.order.clear();
        self.ranks.clear();
    }

    /// Takes in what the dictionary has had inserted since the last time.
    pub(super) fn update(&mut self, dictionary: &Dictionary, spare: &mut Vec<Pair>) {
        let (old, all) = (self.order.len(), dictionary.len());
        if old == all {
            return;
        }
        self.pairs.clear();
        self.pairs.extend((old as u32..all as u32).map(|id| (0, i64::from(id))));
        sort_after(dictionary, dictionary.common(), &mut self.pairs, spare);
        let new = self.pairs.iter().map(|pair| pair.1 as u32);
        if old == 0 {
            self.order.extend(new);
        } else {
            self.order = merge(dictionary, &self.order, new);
        }
        self.ranks.resize(all, 0);
        for (rank, &id) in self.order.iter().enumerate() {
            self.ranks[id as usize] = rank as u32;
        }
    }
}

/// Sorts ids whose keys are the same in their first `depth` bytes: by the eight bytes after these,
/// and those that are still the same in the same way again. Keys are so never compared with one
/// another, which would fetch both from memory each time.
fn sort_after(dictionary: &Dictionary, depth: usize, pairs: &mut [Pair], spare: &mut Vec<Pair>) {
    let mut longest = 0;
    for (number, id) in pairs.iter_mut() {
        let key = dictionary.key(*id as u32);
        *number = prefix(&key[depth.min(key.len())..]);
        longest = longest.max(key.len());
    }
    // Bits that are the same in all do not sort anything: squeezed out, what remains is often half.
    let differing = pairs.iter().fold(0, |bits, pair| bits | (pair.0 ^ pairs[0].0));
    let fields = Fields::of(differing);
    for pair in pairs.iter_mut() {
        pair.0 = fields.squeeze(pair.0);
    }
    radix::sort_part(pairs, spare, differing.count_ones());
    for equal in pairs.chunk_by_mut(|a, b| a.0 == b.0).filter(|equal| equal.len() > 1) {
        if longest > depth + WORD {
            sort_after(dictionary, depth + WORD, equal, spare);
        } else {
            // What one has more than another is zeros.
            equal.sort_unstable_by_key(|&(_, id)| dictionary.key(id as u32).len());
        }
    }
}

/// Bytes that are compared at once.
const WORD: usize = 8;

/// The first eight bytes as a number that sorts as they do, zeros after the end.
#[inline]
fn prefix(key: &[u8]) -> u64 {
    if let Some(chunk) = key.first_chunk() {
        return u64::from_be_bytes(*chunk);
    }
    let mut padded = [0; 8];
    padded[..key.len()].copy_from_slice(key);
    u64::from_be_bytes(padded)
}

/// The runs of set bits of a mask, lowest first: each as its own mask and how far to move it down.
struct Fields(Vec<(u64, u32)>);

impl Fields {
    fn of(mut mask: u64) -> Self {
        let mut fields = Vec::new();
        let mut used = 0;
        while mask != 0 {
            let from = mask.trailing_zeros();
            let len = (mask >> from).trailing_ones();
            let field = (u64::MAX >> (64 - len)) << from;
            fields.push((field, from - used));
            used += len;
            mask &= !field;
        }
        Self(fields)
    }

    #[inline]
    fn squeeze(&self, number: u64) -> u64 {
        self.0.iter().fold(0, |squeezed, &(field, down)| squeezed | (number & field) >> down)
    }
}

/// Merges two sorted lists of ids. A few new ones among many old ones are searched for, and what is
/// between them is copied unseen.
fn merge(
    dictionary: &Dictionary,
    old: &[u32],
    new: impl ExactSizeIterator<Item = u32>,
) -> Vec<u32> {
    let mut merged = Vec::with_capacity(old.len() + new.len());
    let mut rest = old;
    for id in new {
        let key = dictionary.key(id);
        // How far to look at least grows with each step: near ones are found in few.
        let mut reach = 1;
        while reach < rest.len() && dictionary.key(rest[reach]) < key {
            reach *= 2;
        }
        let near = &rest[..(reach + 1).min(rest.len())];
        let before = near.partition_point(|&old| dictionary.key(old) < key);
        let (less, greater) = rest.split_at(before);
        merged.extend_from_slice(less);
        merged.push(id);
        rest = greater;
    }
    merged.extend_from_slice(rest);
    merged
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::dict::Sight;
    use super::*;

    fn check(keys: &BTreeSet<Vec<u8>>, shuffled: &[Vec<u8>], step: usize) {
        let mut dictionary = Dictionary::new();
        let (mut ranks, mut spare) = (Ranks::default(), Vec::new());
        for chunk in shuffled.chunks(step) {
            for key in chunk {
                let sight = Sight::of(key, 0, key.len());
                if dictionary.confirm(&sight, key).is_none() {
                    dictionary.insert(&sight, key);
                }
            }
            ranks.update(&dictionary, &mut spare);
            let sorted: Vec<&[u8]> = ranks.order().iter().map(|&id| dictionary.key(id)).collect();
            assert!(sorted.is_sorted());
        }
        let all: Vec<&[u8]> = ranks.order().iter().map(|&id| dictionary.key(id)).collect();
        assert!(all.into_iter().eq(keys.iter().map(Vec::as_slice)));
        for (rank, &id) in ranks.order().iter().enumerate() {
            assert_eq!(ranks.ranks()[id as usize] as usize, rank);
        }
    }

    proptest! {
        #[test]
        fn orders_as_bytes_do(
            common in prop::collection::vec(any::<u8>(), 0..10),
            tails in prop::collection::vec(prop::collection::vec(0u8..3, 0..14), 1..700),
            step in 1usize..800,
        ) {
            let shuffled: Vec<Vec<u8>> =
                tails.iter().map(|tail| [common.as_slice(), tail].concat()).collect();
            check(&shuffled.iter().cloned().collect(), &shuffled, step);
        }
    }

    #[test]
    fn any_bits_may_differ() {
        let keys: Vec<Vec<u8>> = (0..5000u64)
            .map(|i| {
                i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[..(i % 9) as usize].to_vec()
            })
            .collect();
        check(&keys.iter().cloned().collect(), &keys, 1700);
    }
}
