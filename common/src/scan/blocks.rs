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
    #[inline(always)]
    fn parity(bits: u64) -> u64 {
        let bits = bits ^ (bits << 1);
        let bits = bits ^ (bits << 2);
        let bits = bits ^ (bits << 4);
        let bits = bits ^ (bits << 8);
        let bits = bits ^ (bits << 16);
        bits ^ (bits << 32)
    }

    /// Appends `base + i` for each bit `i` that is set in `bits`.
    #[inline(always)]
    fn push(out: &mut Vec<u32>, bits: u64, base: u32) {
        push_bits(out, bits, base);
    }

    /// For each bit of `among` in turn, from the lowest: whether it is set in `bits` too. Here a step for
    /// each bit of `bits`, all of which must be among them.
    #[inline(always)]
    fn pick(mut bits: u64, among: u64) -> u64 {
        let mut picked = 0;
        while bits != 0 {
            let below = (1u64 << bits.trailing_zeros()) - 1;
            picked |= 1 << (among & below).count_ones();
            bits &= bits - 1;
        }
        picked
    }
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

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
pub(super) use arm::Neon;

/// What any machine of the kind that this is built for has.
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
type Baseline = Neon;
#[cfg(not(all(target_arch = "aarch64", target_endian = "little")))]
type Baseline = Portable;

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod arm {
    use std::arch::aarch64::{
        uint8x16_t, vandq_u8, vceqq_u8, vdupq_n_u8, vgetq_lane_u64, vld1q_u8, vpaddq_u8,
        vreinterpretq_u64_u8,
    };

    use super::{BLOCK, Blocks, Masks};

    /// NEON, which every 64-bit ARM has.
    pub(crate) struct Neon;

    /// For each byte of eight the bit that it stands for.
    const BITS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];

    impl Blocks for Neon {
        #[inline(always)]
        fn masks(block: &[u8; BLOCK], delimiter: u8) -> Masks {
            // SAFETY: four loads of 16 bytes each lie within the block's 64, and NEON is there on
            // each machine that this is built for.
            unsafe {
                let at = block.as_ptr();
                let quarters = [
                    vld1q_u8(at),
                    vld1q_u8(at.add(16)),
                    vld1q_u8(at.add(32)),
                    vld1q_u8(at.add(48)),
                ];
                Masks {
                    quote: equal(quarters, b'"'),
                    delimiter: equal(quarters, delimiter),
                    lf: equal(quarters, b'\n'),
                    cr: equal(quarters, b'\r'),
                }
            }
        }
    }

    /// A bit for each of 64 bytes that equals `byte`. NEON has no instruction that gathers bits: each
    /// byte is left with the bit that it stands for, and neighbours are added three times, so that
    /// eight bytes become one (Langdale and Lemire, as below, section 4).
    ///
    /// # Safety
    /// The machine must have NEON.
    #[inline(always)]
    unsafe fn equal(quarters: [uint8x16_t; 4], byte: u8) -> u64 {
        // SAFETY: as the caller promises; the load is of the 16 bytes that there are.
        unsafe {
            let (byte, bits) = (vdupq_n_u8(byte), vld1q_u8(BITS.as_ptr()));
            let [a, b, c, d] = quarters.map(|quarter| vandq_u8(vceqq_u8(quarter, byte), bits));
            let pairs = vpaddq_u8(vpaddq_u8(a, b), vpaddq_u8(c, d));
            vgetq_lane_u64::<0>(vreinterpretq_u64_u8(vpaddq_u8(pairs, pairs)))
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, _mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_set1_epi8,
        _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8,
        _mm512_add_epi32, _mm512_castsi512_si128, _mm512_cmpeq_epi8_mask, _mm512_cvtepu8_epi32,
        _mm512_extracti32x4_epi32, _mm512_loadu_si512, _mm512_maskz_compress_epi8,
        _mm512_set1_epi8, _mm512_set1_epi32, _mm512_storeu_si512, _pext_u64,
    };

    use super::{BLOCK, Blocks, Masks};

    /// AVX2 with carry-less multiplication. Used only behind [`super::avx2`].
    pub(crate) struct Avx2;

    /// AVX-512 with byte compression (Ice Lake, Zen 4 and later). Used only behind
    /// [`super::avx512`].
    pub(crate) struct Avx512;

    /// The numbers 0 to 63.
    const PLACES: [u8; BLOCK] = {
        let mut places = [0; BLOCK];
        let mut i = 0;
        while i < BLOCK {
            places[i] = i as u8;
            i += 1;
        }
        places
    };

    impl Blocks for Avx512 {
        #[inline(always)]
        fn masks(block: &[u8; BLOCK], delimiter: u8) -> Masks {
            // SAFETY: the block has the 64 bytes that are loaded; whoever uses this type has seen
            // that the machine has AVX-512BW.
            unsafe {
                let bytes = _mm512_loadu_si512(block.as_ptr().cast());
                let equal = |byte: u8| _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(byte as i8));
                Masks {
                    quote: equal(b'"'),
                    delimiter: equal(delimiter),
                    lf: equal(b'\n'),
                    cr: equal(b'\r'),
                }
            }
        }

        #[inline(always)]
        fn parity(bits: u64) -> u64 {
            Avx2::parity(bits)
        }

        #[inline(always)]
        fn push(out: &mut Vec<u32>, bits: u64, base: u32) {
            let count = bits.count_ones() as usize;
            out.reserve(BLOCK);
            let len = out.len();
            // SAFETY: room for 64 numbers has been reserved, and each store writes a quarter of
            // them; `count` is at most 64 and so many have been written, rounded up to 16. Whoever
            // uses this type has seen that the machine has AVX-512F, BW and VBMI2.
            unsafe {
                let to = out.as_mut_ptr().add(len);
                let places = _mm512_loadu_si512(PLACES.as_ptr().cast());
                let places = _mm512_maskz_compress_epi8(bits, places);
                let base = _mm512_set1_epi32(base as i32);
                let low = _mm512_cvtepu8_epi32(_mm512_castsi512_si128(places));
                _mm512_storeu_si512(to.cast(), _mm512_add_epi32(low, base));
                if count > 16 {
                    let next = _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32::<1>(places));
                    _mm512_storeu_si512(to.add(16).cast(), _mm512_add_epi32(next, base));
                    if count > 32 {
                        let next = _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32::<2>(places));
                        _mm512_storeu_si512(to.add(32).cast(), _mm512_add_epi32(next, base));
                        let next = _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32::<3>(places));
                        _mm512_storeu_si512(to.add(48).cast(), _mm512_add_epi32(next, base));
                    }
                }
                out.set_len(len + count);
            }
        }

        #[inline(always)]
        fn pick(bits: u64, among: u64) -> u64 {
            Avx2::pick(bits, among)
        }
    }

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

        #[inline(always)]
        fn pick(bits: u64, among: u64) -> u64 {
            // SAFETY: whoever uses this type has seen that the machine has BMI2.
            unsafe { _pext_u64(bits, among) }
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

/// Whether [`Avx2`] may be used on this machine. The answer is cached by std.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("pclmulqdq")
        && std::arch::is_x86_feature_detected!("bmi2")
        && std::arch::is_x86_feature_detected!("popcnt")
        && std::arch::is_x86_feature_detected!("lzcnt")
        && std::arch::is_x86_feature_detected!("bmi1")
}

/// Whether [`Avx512`] may be used on this machine.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn avx512() -> bool {
    avx2()
        && std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512vbmi2")
}

/// Defines a function that runs `$body::<B>` with the best blocks that the machine has.
macro_rules! best_blocks {
    ($(#[$doc:meta])* fn $name:ident / $avx2:ident / $avx512:ident =
        $body:ident ($($arg:ident: $type:ty),*) -> $out:ty) => {
        $(#[$doc])*
        #[inline]
        pub(super) fn $name($($arg: $type),*) -> $out {
            #[cfg(target_arch = "x86_64")]
            if avx512() {
                // SAFETY: the features have just been seen to be there.
                return unsafe { $avx512($($arg),*) };
            } else if avx2() {
                // SAFETY: as above.
                return unsafe { $avx2($($arg),*) };
            }
            $body::<Baseline>($($arg),*)
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,popcnt,lzcnt")]
        unsafe fn $avx2($($arg: $type),*) -> $out {
            $body::<Avx2>($($arg),*)
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(
            enable = "avx512f,avx512bw,avx512vbmi2,avx2,pclmulqdq,bmi1,bmi2,popcnt,lzcnt"
        )]
        unsafe fn $avx512($($arg: $type),*) -> $out {
            $body::<Avx512>($($arg),*)
        }
    };
}

use super::cut::{CutState, advance};
use super::split::{FieldIndex, Split, index_records};

best_blocks! {
    /// [`index_records`] with the best blocks.
    fn index_best / index_avx2 / index_avx512 =
        index_records(window: &[u8], delimiter: u8, last: bool, index: &mut FieldIndex) -> Split
}

best_blocks! {
    /// [`advance`] with the best blocks.
    fn advance_best / advance_avx2 / advance_avx512 =
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
            among: u64,
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
            let ones = (0..64).filter(|i| bits >> i & 1 == 1).map(|i| 100 + i);
            let numbers: Vec<u32> = [7].into_iter().chain(ones).collect();
            let picked = (0..64).filter(|i| among >> i & 1 == 1).enumerate().fold(0u64, |mask, (rank, i)| {
                mask | (bits >> i & 1) << rank
            });
            prop_assert_eq!(Portable::pick(among & bits, among), picked);
            prop_assert_eq!(Portable::masks(block, b','), expected);
            prop_assert_eq!(Portable::parity(bits), parity);
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            {
                prop_assert_eq!(Neon::masks(block, b','), expected);
                prop_assert_eq!(Neon::parity(bits), parity);
                prop_assert_eq!(Neon::pick(among & bits, among), picked);
            }
            #[cfg(target_arch = "x86_64")]
            if avx2() {
                prop_assert_eq!(Avx2::masks(block, b','), expected);
                prop_assert_eq!(Avx2::parity(bits), parity);
                prop_assert_eq!(Avx2::pick(among & bits, among), picked);
            }
            #[cfg(target_arch = "x86_64")]
            if avx512() {
                prop_assert_eq!(Avx512::masks(block, b','), expected);
                let mut pushed = vec![7];
                Avx512::push(&mut pushed, bits, 100);
                prop_assert_eq!(&pushed, &numbers);
            }
            let mut pushed = vec![7];
            Portable::push(&mut pushed, bits, 100);
            prop_assert_eq!(&pushed, &numbers);
        }
    }
}
