//! Sorting pairs of a number and something that goes with it, by the number.

/// What is sorted: by the first, the second goes along.
pub(super) type Pair = (u64, i64);

/// Below this a comparison sort wins.
const FEW: usize = 512;

/// Bits of a digit at most: more, and the places that a pass writes to outgrow the TLB.
const DIGIT_BITS: u32 = 11;

/// Sorts by the numbers, of which only the lowest `bits` may differ; where `spare` is large it is
/// used as the second buffer of the radix sort. Equal numbers may come in any order.
pub(super) fn sort(pairs: &mut Vec<Pair>, spare: &mut Vec<Pair>, bits: u32) {
    if pairs.len() < FEW {
        pairs.sort_unstable();
        return;
    }
    // Whatever it holds, a pass overwrites all of it.
    spare.resize(pairs.len(), (0, 0));
    if passes(pairs, spare, bits) {
        std::mem::swap(pairs, spare);
    }
}

/// [`sort`] for a part of the pairs.
pub(super) fn sort_part(pairs: &mut [Pair], spare: &mut Vec<Pair>, bits: u32) {
    if pairs.len() < FEW {
        pairs.sort_unstable();
        return;
    }
    if spare.len() < pairs.len() {
        spare.resize(pairs.len(), (0, 0));
    }
    let spare = &mut spare[..pairs.len()];
    if passes(pairs, spare, bits) {
        pairs.copy_from_slice(spare);
    }
}

/// Sorts the pairs, to and fro between two buffers of one length; tells whether they end up in the
/// second.
fn passes(pairs: &mut [Pair], spare: &mut [Pair], bits: u32) -> bool {
    let passes = bits.div_ceil(DIGIT_BITS).max(1);
    let width = bits.div_ceil(passes).max(1);
    let mask = (1 << width) - 1;
    // Every digit is counted in the one read.
    let mut counts = vec![0u32; (passes as usize) << width];
    for &(number, _) in pairs.iter() {
        for (pass, counts) in counts.chunks_exact_mut(1 << width).enumerate() {
            counts[(number >> (pass as u32 * width)) as usize & mask] += 1;
        }
    }
    let (mut from, mut to, mut swapped) = (pairs, spare, false);
    for (pass, places) in counts.chunks_exact_mut(1 << width).enumerate() {
        if places.iter().any(|&count| count as usize == from.len()) {
            continue;
        }
        let mut place = 0;
        for count in places.iter_mut() {
            place += std::mem::replace(count, place);
        }
        for &pair in from.iter() {
            let place = &mut places[(pair.0 >> (pass as u32 * width)) as usize & mask];
            to[*place as usize] = pair;
            *place += 1;
        }
        (from, to, swapped) = (to, from, !swapped);
    }
    swapped
}

/// Bits that numbers up to `max` take.
pub(super) fn bits(max: u64) -> u32 {
    u64::BITS - max.leading_zeros()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn sorts(seed: u64, len in 0usize..3000, width in 0u32..=64) {
            let mut state = seed;
            let mut pairs: Vec<Pair> = (0..len)
                .map(|i| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (if width == 0 { 0 } else { state >> (64 - width) }, i as i64)
                })
                .collect();
            let mut expected = pairs.clone();
            expected.sort_unstable();
            let mut spare = vec![(5, 5); 7];
            let mut part = pairs.clone();
            let (from, to) = (len / 5, len - len / 7);
            sort_part(&mut part[from..to], &mut spare, width);
            prop_assert!(part[from..to].is_sorted_by_key(|pair| pair.0));
            part[from..to].sort_unstable();
            let mut alike = pairs.clone();
            alike[from..to].sort_unstable();
            prop_assert_eq!(part, alike);
            sort(&mut pairs, &mut spare, width);
            prop_assert!(pairs.is_sorted_by_key(|pair| pair.0));
            pairs.sort_unstable();
            prop_assert_eq!(pairs, expected);
        }
    }
}
