//! Columns: numbers of one head entry one after another, all of the same width, so that many are
//! written and read at once and none has to be read before the next one.

use super::varint::Encoder;

/// Groups that one head entry holds at most: their number is a byte.
pub(super) const MAX_ENTRY: usize = u8::MAX as usize;

/// Where the next column begins in memory, in numbers: more than an entry holds, because columns are
/// read four numbers at a time.
pub(super) const STRIDE: usize = 256;

/// Numbers that are read at a time.
const STEP: usize = 4;

/// Bytes that must follow a column to be read: what is read beyond it, and a word.
pub(super) const BEYOND: usize = (STEP - 1) * 8 + 8;

/// Up to so many numbers, eight bytes are moved for each whatever its width: a loop for each width
/// costs more than it saves.
const FEW: usize = 16;

/// The width of a column: the logarithm of its numbers' bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Width(u8);

impl Width {
    /// Of numbers of 128 bits.
    pub(super) const WIDE: Self = Self(4);

    /// The narrowest for signed numbers; `bits` has all their bits that differ from their sign.
    #[inline]
    pub(super) fn signed(bits: u64) -> Self {
        Self::of_bits(65 - bits.leading_zeros())
    }

    /// The narrowest for unsigned numbers; `bits` has all their bits.
    #[inline]
    pub(super) fn unsigned(bits: u32) -> Self {
        Self::of_bits((32 - bits.leading_zeros()).max(1))
    }

    #[inline]
    fn of_bits(bits: u32) -> Self {
        Self(bits.div_ceil(8).next_power_of_two().trailing_zeros() as u8)
    }

    /// As it is written.
    #[inline]
    pub(super) fn code(self) -> u8 {
        self.0
    }

    /// That of a code, if there is one.
    #[inline]
    pub(super) fn of_code(code: u8) -> Option<Self> {
        (code <= Self::WIDE.0).then_some(Self(code))
    }

    /// Bytes of a number.
    #[inline]
    pub(super) fn bytes(self) -> usize {
        1 << self.0
    }

    /// Bits of a word that a number of up to eight bytes does not fill.
    #[inline]
    fn spare_bits(self) -> u32 {
        64 - 8 * (self.bytes() as u32).min(8)
    }
}

/// Appends a column of numbers that fit its width of up to eight bytes.
#[inline]
pub(super) fn put(values: &[i64], width: Width, into: &mut Encoder) {
    let bytes = width.bytes();
    let room = into.room(values.len() * bytes, 8);
    if values.len() <= FEW {
        for (i, value) in values.iter().enumerate() {
            room[i * bytes..i * bytes + 8].copy_from_slice(&value.to_le_bytes());
        }
        return;
    }
    let narrow = values.iter();
    match bytes {
        1 => room.iter_mut().zip(narrow).for_each(|(to, value)| *to = *value as u8),
        2 => room.as_chunks_mut().0.iter_mut().zip(narrow).for_each(|(to, value)| {
            *to = (*value as u16).to_le_bytes();
        }),
        4 => room.as_chunks_mut().0.iter_mut().zip(narrow).for_each(|(to, value)| {
            *to = (*value as u32).to_le_bytes();
        }),
        _ => room.as_chunks_mut().0.iter_mut().zip(narrow).for_each(|(to, value)| {
            *to = value.to_le_bytes();
        }),
    }
}

/// Reads a column of `count` signed numbers of up to eight bytes from the start of `bytes`, which has
/// [`BEYOND`] more. `into` is [`STRIDE`] long.
#[inline]
pub(super) fn get_signed(bytes: &[u8], count: usize, width: Width, into: &mut [i64]) {
    if count <= FEW {
        let spare = width.spare_bits();
        return few(bytes, count, width, |i, word| into[i] = (word << spare) as i64 >> spare);
    }
    let into = into[..count].iter_mut();
    match width.bytes() {
        1 => into.zip(bytes).for_each(|(to, byte)| *to = i64::from(*byte as i8)),
        2 => into.zip(bytes.as_chunks().0).for_each(|(to, bytes)| {
            *to = i64::from(i16::from_le_bytes(*bytes));
        }),
        4 => into.zip(bytes.as_chunks().0).for_each(|(to, bytes)| {
            *to = i64::from(i32::from_le_bytes(*bytes));
        }),
        _ => into.zip(bytes.as_chunks().0).for_each(|(to, bytes)| *to = i64::from_le_bytes(*bytes)),
    }
}

/// Reads a column of `count` unsigned numbers of up to four bytes in the same way, each of them how
/// far an ordinal lies beyond the one before and the one after that; `into[0]` is the first of them.
/// The last ordinal comes back, or where it would be if it fitted.
#[inline]
pub(super) fn get_ascending(bytes: &[u8], count: usize, width: Width, into: &mut [i32]) -> i64 {
    let mut ordinal = i64::from(into[0]);
    let mut last = ordinal;
    if count <= FEW {
        let mask = u64::MAX >> width.spare_bits();
        few(bytes, count, width, |i, word| {
            ordinal += (word & mask) as i64 + 1;
            into[i + 1] = ordinal as i32;
            if i + 1 == count {
                last = ordinal;
            }
        });
        return last;
    }
    let mut next = |to: &mut i32, delta: u32| {
        ordinal += i64::from(delta) + 1;
        *to = ordinal as i32;
    };
    let into = into[1..=count].iter_mut();
    match width.bytes() {
        1 => into.zip(bytes).for_each(|(to, byte)| next(to, u32::from(*byte))),
        2 => into.zip(bytes.as_chunks().0).for_each(|(to, bytes)| {
            next(to, u32::from(u16::from_le_bytes(*bytes)));
        }),
        _ => into.zip(bytes.as_chunks().0).for_each(|(to, bytes)| {
            next(to, u32::from_le_bytes(*bytes));
        }),
    }
    ordinal
}

/// Calls `each` with the word at each number, and some beyond.
#[inline]
fn few(bytes: &[u8], count: usize, width: Width, mut each: impl FnMut(usize, u64)) {
    let rounded = count.next_multiple_of(STEP);
    let bytes = &bytes[..rounded * width.bytes() + 8];
    for from in (0..rounded).step_by(STEP) {
        for i in from..from + STEP {
            let at = i * width.bytes();
            if let Some(word) = bytes[at..].first_chunk() {
                each(i, u64::from_le_bytes(*word));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn signed_columns_come_back(
            values in prop::collection::vec(any::<i64>(), 0..=MAX_ENTRY),
            shift in 0u32..64,
        ) {
            let values: Vec<i64> = values.iter().map(|value| value >> shift).collect();
            let bits = values.iter().fold(0, |bits, value| bits | (value ^ (value >> 63)) as u64);
            let width = Width::signed(bits);
            let mut encoder = Encoder::default();
            put(&values, width, &mut encoder);
            prop_assert_eq!(encoder.len(), values.len() * width.bytes());
            let mut bytes = encoder.as_slice().to_vec();
            bytes.resize(bytes.len() + BEYOND, 0xee);
            let mut found = vec![0; STRIDE];
            get_signed(&bytes, values.len(), width, &mut found);
            prop_assert_eq!(&found[..values.len()], values);
        }

        #[test]
        fn ascending_columns_come_back(
            first in -1000i32..1000,
            deltas in prop::collection::vec(any::<u32>(), 0..MAX_ENTRY),
            shift in 10u32..32,
        ) {
            let deltas: Vec<i64> = deltas.iter().map(|delta| (delta >> shift).into()).collect();
            let width = Width::unsigned(deltas.iter().fold(0, |bits, delta| bits | *delta as u32));
            let mut encoder = Encoder::default();
            put(&deltas, width, &mut encoder);
            let mut bytes = encoder.as_slice().to_vec();
            bytes.resize(bytes.len() + BEYOND, 0xee);
            let mut found = vec![0; STRIDE + STEP];
            found[0] = first;
            let last = get_ascending(&bytes, deltas.len(), width, &mut found);
            let mut ordinal = i64::from(first);
            for (i, delta) in deltas.iter().enumerate() {
                ordinal += delta + 1;
                prop_assert_eq!(i64::from(found[i + 1]), ordinal);
            }
            prop_assert_eq!(last, ordinal);
        }
    }

    #[test]
    fn widths_are_the_narrowest() {
        let signed = |value: i64| Width::signed((value ^ (value >> 63)) as u64).bytes();
        let widths = [0, -1, 127, -128, 128, 32_767, -32_769, 1 << 31, i64::MAX, i64::MIN];
        assert_eq!(widths.map(signed), [1, 1, 1, 1, 2, 2, 4, 8, 8, 8]);
        let unsigned = [0, 255, 256, 65_535, 65_536, u32::MAX];
        assert_eq!(unsigned.map(|value| Width::unsigned(value).bytes()), [1, 1, 2, 2, 4, 4]);
        assert_eq!([Width::of_code(3), Width::of_code(5)], [Some(Width(3)), None]);
    }
}
