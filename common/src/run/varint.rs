//! Variable-length integers (LEB128, seven bits a byte, low bits first), written and read eight
//! bytes at a time where that suffices.
//!
//! Reading never panics, whatever the bytes: a number that does not end or does not fit is `None`.

/// Zero bytes that a block should have after its end, so that everything in it is read by loads of
/// whole words. Numbers in shorter buffers are read correctly, but slowly.
pub(super) const PADDING: usize = 32;

/// Most bytes that one number takes: 64 bits, seven a byte.
const MAX_BYTES: usize = 10;

/// Numbers below this take at most eight bytes.
const FAST_LIMIT: u64 = 1 << 56;

/// Maps small magnitudes of either sign to small numbers.
#[inline]
pub(super) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Undoes [`zigzag`].
#[inline]
pub(super) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// A growing buffer of numbers and bytes, which writes numbers without a branch for each byte.
#[derive(Clone, Debug, Default)]
pub(super) struct Encoder {
    /// Longer than what was written: `at` is where the next byte goes.
    bytes: Vec<u8>,
    at: usize,
}

impl Encoder {
    /// What was written.
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.at]
    }

    /// Bytes written.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.at
    }

    /// Forgets what was written, keeps the memory.
    pub(super) fn clear(&mut self) {
        self.at = 0;
    }

    /// One byte.
    #[inline]
    pub(super) fn put_u8(&mut self, byte: u8) {
        self.reserve(1);
        self.bytes[self.at] = byte;
        self.at += 1;
    }

    /// Bytes as they are, without a length.
    #[inline]
    pub(super) fn put_bytes(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    /// The next `len` bytes, to be filled in, and behind them `beyond` more that do not count.
    #[inline]
    pub(super) fn room(&mut self, len: usize, beyond: usize) -> &mut [u8] {
        self.reserve(len + beyond);
        let from = self.at;
        self.at += len;
        &mut self.bytes[from..from + len + beyond]
    }

    /// An unsigned number.
    #[inline]
    pub(super) fn put(&mut self, value: u64) {
        if value < FAST_LIMIT {
            self.reserve(8);
            let (word, len) = spread(value);
            self.bytes[self.at..self.at + 8].copy_from_slice(&word.to_le_bytes());
            self.at += len;
        } else {
            self.put_slow(value);
        }
    }

    #[cold]
    fn put_slow(&mut self, mut rest: u64) {
        self.reserve(MAX_BYTES);
        loop {
            let last = rest < 0x80;
            self.bytes[self.at] = rest as u8 & 0x7f | if last { 0 } else { 0x80 };
            self.at += 1;
            if last {
                return;
            }
            rest >>= 7;
        }
    }

    #[inline]
    fn reserve(&mut self, more: usize) {
        if self.bytes.len() - self.at < more {
            self.grow(more);
        }
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let wanted = (self.at + more).max(2 * self.bytes.len()).max(256);
        self.bytes.resize(wanted, 0);
    }
}

/// The bytes of a number below [`FAST_LIMIT`] as a little-endian word, and how many they are.
#[inline]
fn spread(value: u64) -> (u64, usize) {
    let halves = value & 0x0fff_ffff | (value << 4) & 0x0fff_ffff_0000_0000;
    let quarters = halves & 0x3fff_0000_3fff | (halves << 2) & 0x3fff_0000_3fff_0000;
    let bytes = quarters & 0x007f_007f_007f_007f | (quarters << 1) & 0x7f00_7f00_7f00_7f00;
    let last = (63 - (bytes | 1).leading_zeros()) / 8;
    let more = 0x8080_8080_8080_8080 & ((1u64 << (8 * last)) - 1);
    (bytes | more, last as usize + 1)
}

/// Undoes [`spread`] for the bytes up to the first without a continuation bit.
#[inline]
fn gather(word: u64, stop: u64) -> u64 {
    let bytes = word & (stop ^ (stop - 1)) & 0x7f7f_7f7f_7f7f_7f7f;
    let quarters = bytes & 0x007f_007f_007f_007f | (bytes & 0x7f00_7f00_7f00_7f00) >> 1;
    let halves = quarters & 0x3fff_0000_3fff | (quarters & 0x3fff_0000_3fff_0000) >> 2;
    halves & 0x0fff_ffff | (halves & 0x0fff_ffff_0000_0000) >> 4
}

/// Reads an unsigned number at `*at` and moves past it.
#[inline]
pub(super) fn get(bytes: &[u8], at: &mut usize) -> Option<u64> {
    if let Some((value, len)) = get_fast(bytes, *at) {
        *at += len;
        return Some(value);
    }
    get_slow(bytes, at)
}

#[inline]
fn get_fast(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let word = bytes.get(at..at.checked_add(8)?)?;
    let word = u64::from_le_bytes(word.try_into().ok()?);
    let stop = !word & 0x8080_8080_8080_8080;
    if stop == 0 {
        return None;
    }
    Some((gather(word, stop), stop.trailing_zeros() as usize / 8 + 1))
}

#[cold]
fn get_slow(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for (i, &byte) in bytes.get(*at..)?.iter().take(MAX_BYTES).enumerate() {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * i as u32;
        // The tenth byte has room for one bit.
        if bits << shift >> shift != bits {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            *at += i + 1;
            return Some(value);
        }
    }
    None
}

/// Length of the common prefix.
#[inline]
pub(super) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let (words_a, words_b) = (a.chunks_exact(8), b.chunks_exact(8));
    let equal = words_a.zip(words_b).take_while(|(a, b)| a == b).count() * 8;
    let rest = a[equal..].iter().zip(&b[equal..]);
    equal + rest.take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0u32..64).prop_map(|(value, shift)| value >> shift)
    }

    proptest! {
        #[test]
        fn numbers_come_back(values in prop::collection::vec(numbers(), 0..40), padded: bool) {
            let mut encoder = Encoder::default();
            values.iter().for_each(|&value| encoder.put(value));
            let mut bytes = encoder.as_slice().to_vec();
            let end = bytes.len();
            bytes.resize(end + if padded { PADDING } else { 0 }, 0);
            let mut at = 0;
            for value in values {
                prop_assert_eq!(get(&bytes, &mut at), Some(value));
            }
            prop_assert_eq!(at, end);
        }

        #[test]
        fn zigzag_is_undone(value: i64, shift in 0u32..64) {
            let value = value >> shift;
            prop_assert_eq!(unzigzag(zigzag(value)), value);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, start in 0usize..40) {
            let mut at = start;
            let fits = get(&bytes, &mut at).is_some();
            prop_assert!(!fits || at <= bytes.len());
        }
    }

    #[test]
    fn a_number_without_an_end_is_none() {
        assert_eq!(get(&[0xff; 30], &mut 0), None);
        assert_eq!(get(&[0x80; 5], &mut 0), None);
    }
}
