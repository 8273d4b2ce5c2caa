//! Rows written into a buffer whose end is known to be far: whole words at a time, with what is too
//! much written over by what comes next.

use tally_common::value::{format_date, write_integer};

/// Bytes that may be written beyond what counts.
pub(super) const BEYOND: usize = 64;

/// The most bytes that an integer takes.
pub(super) const INTEGER_BYTES: usize = 20;

/// Dates that are kept formatted: the days of several years, by their last bits.
const DATES: usize = 2048;

/// Dates as they stand in rows: `,YYYY-MM-DD,`, and the day, so that one load gets both.
pub(super) struct Dates(Vec<[u8; 16]>);

/// Bytes of a date with its commas.
pub(super) const DATE_BYTES: usize = 12;

impl Dates {
    pub(super) fn new() -> Self {
        // No row has the day of an empty slot.
        let mut empty = [0; 16];
        empty[DATE_BYTES..].copy_from_slice(&i32::MIN.to_le_bytes());
        Self(vec![empty; DATES])
    }

    /// The first [`DATE_BYTES`] bytes are the date's.
    #[inline]
    pub(super) fn text(&mut self, day: i32) -> [u8; 16] {
        let slot = &mut self.0[day as usize % DATES];
        if slot[DATE_BYTES..] != day.to_le_bytes() {
            slot[0] = b',';
            slot[1..11].copy_from_slice(&format_date(day));
            slot[11] = b',';
            slot[DATE_BYTES..].copy_from_slice(&day.to_le_bytes());
        }
        *slot
    }
}

/// Eight decimal digits of a number below 100,000,000, the first one lowest, each in a byte.
#[inline]
fn digits(value: u32) -> u64 {
    let (high, low) = (u64::from(value / 10_000), u64::from(value % 10_000));
    // Two numbers of four digits, four of two, eight of one: each divided in the same word.
    let fours = high | low << 32;
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | (fours - 100 * hundreds) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | (twos - 10 * tens) << 8
}

/// Writes an integer at `at`, and gives where it ends. There are [`BEYOND`] bytes and more.
#[inline]
pub(super) fn put_integer(value: i64, out: &mut [u8], at: usize) -> usize {
    let Ok(small @ 0..100_000_000) = u32::try_from(value) else {
        return put_large(value, out, at);
    };
    let digits = digits(small);
    // The last digit is written even where it is a zero.
    let zeros = (digits | 1 << 56).trailing_zeros() / 8;
    let text = (digits | 0x3030_3030_3030_3030) >> (8 * zeros);
    out[at..at + 8].copy_from_slice(&text.to_le_bytes());
    at + 8 - zeros as usize
}

#[cold]
fn put_large(value: i64, out: &mut [u8], at: usize) -> usize {
    let mut text = Vec::with_capacity(INTEGER_BYTES);
    write_integer(value, &mut text);
    out[at..at + text.len()].copy_from_slice(&text);
    at + text.len()
}

/// Writes a text of `len` bytes that has [`BEYOND`] more behind it.
#[inline]
pub(super) fn put_text(padded: &[u8], len: usize, out: &mut [u8], at: usize) -> usize {
    let (text, out) = (&padded[..len + BEYOND], &mut out[at..]);
    if len <= 32 {
        out[..32].copy_from_slice(&text[..32]);
    } else if len <= 64 {
        out[..64].copy_from_slice(&text[..64]);
    } else {
        out[..len].copy_from_slice(&text[..len]);
    }
    at + len
}

/// Whether a text needs quotes in a CSV.
#[inline]
pub(super) fn needs_quotes(text: &[u8]) -> bool {
    let special = |byte: &u8| matches!(byte, b',' | b'"' | b'\r' | b'\n');
    match text.last_chunk() {
        // The last word may overlap the one before it.
        Some(last) => text.as_chunks().0.iter().chain([last]).any(|word| has_special(*word)),
        None => text.iter().any(special),
    }
}

/// The same for one word.
#[inline]
fn has_special(word: [u8; 8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(word);
    // The lowest byte that is `byte` sets its high bit; others above it may.
    let marks = |byte: u8| {
        let rest = word ^ (ONES * u64::from(byte));
        rest.wrapping_sub(ONES) & !rest
    };
    (marks(b',') | marks(b'"') | marks(b'\r') | marks(b'\n')) & (ONES << 7) != 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integers_are_as_they_are_elsewhere(value: i64, shift in 0u32..64) {
            let mut out = [0; 3 * BEYOND];
            for value in [value >> shift, (value >> shift).unsigned_abs() as i64] {
                let end = put_integer(value, &mut out, 3);
                prop_assert_eq!(out[3..end].to_vec(), value.to_string().into_bytes());
            }
        }

        #[test]
        fn texts_are_quoted_where_they_must(text in "[a-c,\"\r\n]{0,40}|[a-z ]{0,40}") {
            let expected = text.contains([',', '"', '\r', '\n']);
            prop_assert_eq!(needs_quotes(text.as_bytes()), expected);
        }

        #[test]
        fn dates_are_as_they_are_elsewhere(days in prop::collection::vec(
            tally_common::value::DAYS,
            0..100,
        )) {
            let mut dates = Dates::new();
            for day in days {
                let text = dates.text(day);
                prop_assert_eq!((text[0], text[11]), (b',', b','));
                prop_assert_eq!(text[1..11].to_vec(), format_date(day).to_vec());
            }
        }
    }

    #[test]
    fn small_integers_are_as_they_are_elsewhere() {
        let mut out = [0; 2 * BEYOND];
        let edges = (0..9).flat_map(|power| {
            let power = 10i64.pow(power);
            [power - 1, power, power + 1, 5 * power]
        });
        for value in (0..100_000).chain(edges) {
            let end = put_integer(value, &mut out, 0);
            assert_eq!(out[..end], *value.to_string().as_bytes());
        }
    }
}
