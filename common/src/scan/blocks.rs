//! 64 bytes at a time as bit masks; bit `i` stands for byte `i`. The only module with unsafe code in
//! the crate.
#![allow(unsafe_code)]

/// Bytes in a block.
pub(super) const BLOCK: usize = 64;

/// Where the bytes of interest are in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Masks {
    pub(super) quote: u64,
    pub(super) delimiter: u64,
    pub(super) lf: u64,
    pub(super) cr: u64,
}

/// A way to make masks.
pub(super) trait Blocks {
    /// The masks of a block.
    fn masks(block: &[u8; BLOCK], delimiter: u8) -> Masks;

    /// For each bit the parity of the bits up to it, itself included.
    fn parity(bits: u64) -> u64;
}

/// Plain 64-bit arithmetic: any machine.
pub(super) struct Portable;

impl Blocks for Portable {
    #[inline(always)]
    fn masks(block: &[u8; BLOCK], delimiter: u8) -> Masks {
        let mut masks = Masks { quote: 0, delimiter: 0, lf: 0, cr: 0 };
        let (words, _) = block.as_chunks::<8>();
        for (i, word) in words.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            let shift = 8 * i;
            masks.quote |= equal(word, b'"') << shift;
            masks.delimiter |= equal(word, delimiter) << shift;
            masks.lf |= equal(word, b'\n') << shift;
            masks.cr |= equal(word, b'\r') << shift;
        }
        masks
    }

    #[inline(always)]
    fn parity(bits: u64) -> u64 {
        let bits = bits ^ (bits << 1);
        let bits = bits ^ (bits << 2);
        let bits = bits ^ (bits << 4);
        let bits = bits ^ (bits << 8);
        let bits = bits ^ (bits << 16);
        bits ^ (bits << 32)
    }
}

/// A bit for each of eight bytes that equals `byte`.
#[inline(always)]
fn equal(word: u64, byte: u8) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let differs = word ^ (u64::from(byte) * 0x0101_0101_0101_0101);
    // No carry passes from one byte to the next, so the high bits are exact.
    let zero = !(((differs & LOW) + LOW) | differs | LOW);
    // The multiplication gathers the eight high bits in the topmost byte.
    (zero >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::Avx2;

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_set1_epi8,
        _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8,
    };

    use super::{BLOCK, Blocks, Masks};

    /// AVX2 with carry-less multiplication. Used only behind [`super::available`].
    pub(crate) struct Avx2;

    impl Blocks for Avx2 {
        #[inline(always)]
        fn masks(block: &[u8; BLOCK], delimiter: u8) -> Masks {
            // SAFETY: the block has 64 bytes, so both unaligned loads of 32 lie within it; whoever
            // uses this type has seen that the machine has AVX2.
            unsafe {
                let low = _mm256_loadu_si256(block.as_ptr().cast());
                let high = _mm256_loadu_si256(block.as_ptr().add(32).cast());
                Masks {
                    quote: equal(low, high, b'"'),
                    delimiter: equal(low, high, delimiter),
                    lf: equal(low, high, b'\n'),
                    cr: equal(low, high, b'\r'),
                }
            }
        }

        #[inline(always)]
        fn parity(bits: u64) -> u64 {
            // A carry-less product with all ones is the running parity (Langdale and Lemire,
            // "Parsing Gigabytes of JSON per Second", 2019).
            // SAFETY: whoever uses this type has seen that the machine has PCLMULQDQ.
            unsafe {
                let product =
                    _mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, bits as i64), _mm_set1_epi8(-1));
                _mm_cvtsi128_si64(product) as u64
            }
        }
    }

    /// # Safety
    /// The machine must have AVX2.
    #[inline(always)]
    unsafe fn equal(low: __m256i, high: __m256i, byte: u8) -> u64 {
        // SAFETY: as the caller promises.
        unsafe {
            let byte = _mm256_set1_epi8(byte as i8);
            let low = _mm256_movemask_epi8(_mm256_cmpeq_epi8(low, byte)) as u32;
            let high = _mm256_movemask_epi8(_mm256_cmpeq_epi8(high, byte)) as u32;
            u64::from(low) | (u64::from(high) << 32)
        }
    }
}

/// Whether the fast path may be taken on this machine. The answer is cached by std.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn available() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("pclmulqdq")
        && std::arch::is_x86_feature_detected!("bmi2")
        && std::arch::is_x86_feature_detected!("popcnt")
        && std::arch::is_x86_feature_detected!("lzcnt")
        && std::arch::is_x86_feature_detected!("bmi1")
}

/// Defines a function that runs `$body::<B>` with the best blocks that the machine has.
macro_rules! best_blocks {
    ($(#[$doc:meta])* fn $name:ident / $avx2:ident = $body:ident ($($arg:ident: $type:ty),*) -> $out:ty) => {
        $(#[$doc])*
        #[inline]
        pub(super) fn $name($($arg: $type),*) -> $out {
            #[cfg(target_arch = "x86_64")]
            if available() {
                // SAFETY: the features have just been seen to be there.
                return unsafe { $avx2($($arg),*) };
            }
            $body::<Portable>($($arg),*)
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,popcnt,lzcnt")]
        unsafe fn $avx2($($arg: $type),*) -> $out {
            $body::<Avx2>($($arg),*)
        }
    };
}

use super::cut::{CutState, advance};
use super::split::{FieldIndex, Split, index_records};

best_blocks! {
    /// [`index_records`] with the best blocks.
    fn index_best / index_avx2 =
        index_records(window: &[u8], delimiter: u8, last: bool, index: &mut FieldIndex) -> Split
}

best_blocks! {
    /// [`advance`] with the best blocks.
    fn advance_best / advance_avx2 =
        advance(state: CutState, chunk: &[u8], delimiter: u8) -> (CutState, Option<usize>)
}

/// Appends `base + i` for each bit `i`.
#[inline(always)]
pub(super) fn push_bits(out: &mut Vec<u32>, mut bits: u64, base: u32) {
    let count = bits.count_ones() as usize;
    // Eight at a time, whether needed or not: one branch for most blocks.
    out.reserve(BLOCK + 8);
    let len = out.len();
    let mut to = out.as_mut_ptr().wrapping_add(len);
    let mut left = count;
    loop {
        for i in 0..8 {
            // SAFETY: room for 72 more was reserved, and at most 64 bits are set, so that at most
            // eight groups of eight are written.
            unsafe { to.add(i).write(base.wrapping_add(bits.trailing_zeros())) };
            bits &= bits.wrapping_sub(1);
        }
        if left <= 8 {
            break;
        }
        left -= 8;
        to = to.wrapping_add(8);
    }
    // SAFETY: `count` numbers from `len` on have been written, within what was reserved.
    unsafe { out.set_len(len + count) };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn masks_and_parities_agree(
            bytes in prop::collection::vec(
                prop_oneof![Just(b'"'), Just(b','), Just(b'\n'), Just(b'\r'), any::<u8>()], BLOCK),
            bits: u64,
        ) {
            let block: &[u8; BLOCK] = bytes.as_slice().try_into().unwrap();
            let naive = |wanted: u8| {
                (0..BLOCK).fold(0, |mask, i| mask | (u64::from(block[i] == wanted) << i))
            };
            let expected = Masks {
                quote: naive(b'"'),
                delimiter: naive(b','),
                lf: naive(b'\n'),
                cr: naive(b'\r'),
            };
            let parity = (0..64).fold(0u64, |parity, i| {
                let ones = (bits << (63 - i)).count_ones();
                parity | (u64::from(ones % 2) << i)
            });
            prop_assert_eq!(Portable::masks(block, b','), expected);
            prop_assert_eq!(Portable::parity(bits), parity);
            #[cfg(target_arch = "x86_64")]
            if available() {
                prop_assert_eq!(Avx2::masks(block, b','), expected);
                prop_assert_eq!(Avx2::parity(bits), parity);
            }
            let mut pushed = vec![7];
            push_bits(&mut pushed, bits, 100);
            let ones = (0..64).filter(|i| bits >> i & 1 == 1).map(|i| 100 + i);
            prop_assert_eq!(pushed, [7].into_iter().chain(ones).collect::<Vec<u32>>());
        }
    }
}
