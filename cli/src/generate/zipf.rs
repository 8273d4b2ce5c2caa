//! Popularity after Zipf's law with exponent 1: the song of rank k is played in proportion to 1/k.
//!
//! Drawing is by Walker's alias table, built by Vose's method: one look-up and one comparison for
//! each row, whatever the number of songs.

/// Columns of equal weight, each shared by at most two ranks.
#[derive(Debug)]
pub(super) struct Zipf {
    columns: Vec<Column>,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    /// How much of the column, in parts of 2^32, is its own rank's.
    own: u32,
    /// Whose the rest is.
    alias: u32,
}

impl Zipf {
    /// Ranks 0 to `count - 1`; `count` is at least 1.
    pub(super) fn new(count: u32) -> Self {
        let total: f64 = (1..=count).rev().map(|rank| 1.0 / f64::from(rank)).sum();
        let scale = f64::from(count) / total;
        let mut weights: Vec<f64> = (1..=count).map(|rank| scale / f64::from(rank)).collect();
        let mut columns: Vec<_> =
            (0..count).map(|rank| Column { own: u32::MAX, alias: rank }).collect();
        let (mut light, mut heavy): (Vec<u32>, Vec<u32>) =
            (0..count).partition(|&rank| weights[rank as usize] < 1.0);
        while let (Some(&giver), Some(taker)) = (heavy.last(), light.pop()) {
            let weight = weights[taker as usize];
            let own = (weight * 4_294_967_296.0) as u32;
            columns[taker as usize] = Column { own, alias: giver };
            weights[giver as usize] -= 1.0 - weight;
            if weights[giver as usize] < 1.0 {
                heavy.pop();
                light.push(giver);
            }
        }
        Self { columns }
    }

    /// The rank that 64 random bits stand for.
    #[inline]
    pub(super) fn rank(&self, random: u64) -> u64 {
        let column = below(random, self.columns.len() as u64);
        let Column { own, alias } = self.columns[column as usize];
        if (random as u32) <= own { column } else { u64::from(alias) }
    }
}

/// A number below `bound`, which is at most 2^32, from the upper half of 64 random bits.
#[inline]
pub(super) fn below(random: u64, bound: u64) -> u64 {
    ((random >> 32) * bound) >> 32
}

#[cfg(test)]
mod tests {
    use rand_xoshiro::Xoshiro256PlusPlus;
    use rand_xoshiro::rand_core::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn ranks_are_drawn_in_proportion() {
        let zipf = Zipf::new(100);
        let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
        let mut drawn = [0_u32; 100];
        for _ in 0..1_000_000 {
            drawn[zipf.rank(random.next_u64()) as usize] += 1;
        }
        let harmonic: f64 = (1..=100).map(|rank| 1.0 / f64::from(rank)).sum();
        for rank in [1, 2, 3, 10, 50, 100] {
            let expected = 1e6 / f64::from(rank as u32) / harmonic;
            let found = f64::from(drawn[rank - 1]);
            // Five standard deviations of a Poisson count.
            assert!((found - expected).abs() < 5.0 * expected.sqrt(), "{rank}: {found} {expected}");
        }
    }

    #[test]
    fn one_rank_is_always_drawn() {
        let zipf = Zipf::new(1);
        assert_eq!([zipf.rank(0), zipf.rank(u64::MAX)], [0, 0]);
    }
}
