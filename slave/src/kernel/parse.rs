//! Integers and dates of fields, without a loop over their bytes. What is not of the common form is
//! left to [`tally_common::value`], which alone says what is valid.

use tally_common::reject::RejectReason;
use tally_common::value::{DAYS, parse_date};

/// The day number of 0000-01-01, the first that there is: dates are coded as days since.
pub(super) const FIRST_DAY: i32 = *DAYS.start();

const ONES: u64 = 0x0101_0101_0101_0101;

#[inline(always)]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The integer that `buffer[start..end]` holds, if it is one of one to eight digits. Any other is
/// left to [`tally_common::value::parse_integer`].
#[inline(always)]
pub(super) fn integer(buffer: &[u8], start: usize, end: usize) -> Option<i64> {
    let len = end.wrapping_sub(start);
    if len.wrapping_sub(1) >= 8 {
        return None;
    }
    // Load the eight bytes that end with the field and clear those before it, which makes them
    // leading zeros.
    let word = word(buffer, end.checked_sub(8)?)?;
    let before = 64 - 8 * len as u32;
    let digits = ((word ^ (ONES * u64::from(b'0'))) >> before) << before;
    let beyond_nine = (digits.wrapping_add(ONES * (0x80 - 10)) | digits) & (ONES * 0x80);
    (beyond_nine == 0).then(|| eight_digits(digits))
}

/// The number whose digits are the bytes of `digits`, the lowest byte first: neighbours are joined
/// to pairs, pairs to fours, fours to eight.
#[inline(always)]
fn eight_digits(digits: u64) -> i64 {
    let pairs = digits.wrapping_mul((10 << 8) | 1) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul((100 << 16) | 1) >> 16;
    let eight = (fours & 0x0000_ffff_0000_ffff).wrapping_mul((10_000 << 32) | 1) >> 32;
    eight as i64
}

/// Reads dates; remembers the months it has met, so that a date costs a look at its month.
pub(super) struct Dates {
    months: Box<[Month; 1 << MONTH_BITS]>,
}

#[derive(Clone, Copy, Default)]
struct Month {
    /// `YYYY-MM-` as loaded.
    text: u64,
    /// The code of its first day.
    first: u32,
    /// How many days it has; 0 where no month has been remembered yet.
    days: u32,
}

const MONTH_BITS: u32 = 9;

impl Dates {
    pub(super) fn new() -> Self {
        Self { months: Box::new([Month::default(); 1 << MONTH_BITS]) }
    }

    /// The code of the date that `buffer[start..end]` holds, days since [`FIRST_DAY`], if its month
    /// has been met. Any other is left to [`Dates::meet`].
    #[inline(always)]
    pub(super) fn code(&self, buffer: &[u8], start: usize, end: usize) -> Option<u32> {
        let field: &[u8; 10] = buffer.get(start..end)?.try_into().ok()?;
        let text = u64::from_le_bytes(*field.first_chunk()?);
        let month = self.months[Self::slot(text)];
        let (tens, units) = (field[8].wrapping_sub(b'0'), field[9].wrapping_sub(b'0'));
        let day = (u32::from(tens) * 10 + u32::from(units)).wrapping_sub(1);
        let met = (month.text == text) & (tens <= 9) & (units <= 9) & (day < month.days);
        met.then(|| month.first + day)
    }

    #[inline(always)]
    fn slot(text: u64) -> usize {
        (text.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - MONTH_BITS)) as usize
    }

    /// The code of any date; remembers its month.
    #[cold]
    pub(super) fn meet(&mut self, field: &[u8]) -> Result<u32, RejectReason> {
        let code = date_code(field)?;
        // Spaces around a date are allowed: such a one is not remembered.
        if let Ok(mut date) = <[u8; 10]>::try_from(field)
            && let Some(text) = word(&date, 0)
        {
            date[8..].copy_from_slice(b"01");
            let first = date_code(&date)?;
            let exists = |day: &u32| {
                date[8] = b'0' + (day / 10) as u8;
                date[9] = b'0' + (day % 10) as u8;
                parse_date(&date).is_ok()
            };
            let days = (28..=31).rev().find(exists).unwrap_or(28);
            self.months[Self::slot(text)] = Month { text, first, days };
        }
        Ok(code)
    }
}

fn date_code(field: &[u8]) -> Result<u32, RejectReason> {
    Ok((parse_date(field)? - FIRST_DAY) as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tally_common::value::{format_date, parse_integer};

    use super::*;

    fn code(dates: &mut Dates, field: &[u8]) -> Result<u32, RejectReason> {
        dates.code(field, 0, field.len()).map_or_else(|| dates.meet(field), Ok)
    }

    #[test]
    fn days_are_coded_from_the_first_one() {
        assert_eq!(parse_date(b"0000-01-01"), Ok(FIRST_DAY));
        let mut dates = Dates::new();
        for number in (0..3_652_425).step_by(13) {
            let text = format_date(number as i32 + FIRST_DAY);
            assert_eq!(code(&mut dates, &text), Ok(number));
        }
    }

    #[test]
    fn a_remembered_month_does_not_make_bad_days_good() {
        let mut dates = Dates::new();
        for _ in 0..2 {
            assert!(code(&mut dates, b"2021-02-28").is_ok());
            assert_eq!(code(&mut dates, b"2021-02-29"), Err(RejectReason::NoSuchDate));
            assert_eq!(code(&mut dates, b"2021-02-00"), Err(RejectReason::NoSuchDate));
            assert_eq!(code(&mut dates, b"2021-02-0x"), Err(RejectReason::NotADate));
            assert_eq!(code(&mut dates, b"2021-02-\x3a1"), Err(RejectReason::NotADate));
            assert_eq!(code(&mut dates, b" 2021-02-03"), code(&mut dates, b"2021-02-03"));
        }
    }

    proptest! {
        #[test]
        fn integers_agree_with_the_reference(
            before in "[0-9,]{0,9}",
            field in "[-+ ]?[0-9]{0,9}[0-9:/x ]?[0-9]{0,11}",
        ) {
            let text = format!("{before}{field}");
            let read = integer(text.as_bytes(), before.len(), text.len());
            let short = (1..=8).contains(&field.len()) && text.len() >= 8;
            if short && field.bytes().all(|byte| byte.is_ascii_digit()) {
                prop_assert!(read.is_some());
            }
            if let Some(read) = read {
                prop_assert_eq!(Ok(read), parse_integer(field.as_bytes()));
            }
        }
    }
}
