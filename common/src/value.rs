//! Reading and writing the values of typed columns: integers, dates and texts.

use crate::reject::RejectReason;

/// Reads a signed 64-bit decimal integer: an optional sign and digits, spaces and tabs around it
/// allowed.
///
/// # Errors
/// [`RejectReason::NotAnInteger`] or [`RejectReason::IntegerRange`].
#[inline]
pub fn parse_integer(field: &[u8]) -> Result<i64, RejectReason> {
    // Up to 18 digits can not overflow: the loop for what nearly every field is needs no checks.
    if !field.is_empty() && field.len() <= 18 {
        let mut value = 0i64;
        let mut wrong = 0u8;
        for &byte in field {
            let digit = byte.wrapping_sub(b'0');
            wrong |= u8::from(digit > 9);
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
        }
        if wrong == 0 {
            return Ok(value);
        }
    }
    parse_integer_slow(field)
}

#[cold]
fn parse_integer_slow(field: &[u8]) -> Result<i64, RejectReason> {
    let field = trim(field);
    let (negative, digits) = match field {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(RejectReason::NotAnInteger);
    }
    let mut value = 0i64;
    for &byte in digits {
        let digit = i64::from(byte - b'0');
        let next = value.checked_mul(10).and_then(|value| {
            if negative { value.checked_sub(digit) } else { value.checked_add(digit) }
        });
        value = next.ok_or(RejectReason::IntegerRange)?;
    }
    Ok(value)
}

fn trim(mut field: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = field {
        field = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = field {
        field = rest;
    }
    field
}

/// Reads a date `YYYY-MM-DD` (spaces and tabs around it allowed) as days since 1970-01-01.
///
/// # Errors
/// [`RejectReason::NotADate`] or [`RejectReason::NoSuchDate`].
#[inline]
pub fn parse_date(field: &[u8]) -> Result<i32, RejectReason> {
    let Ok(text): Result<&[u8; 10], _> = field.try_into() else {
        return parse_date_slow(field);
    };
    let digit = |i: usize| u32::from(text[i].wrapping_sub(b'0'));
    let digits = [0, 1, 2, 3, 5, 6, 8, 9];
    let wrong = digits.iter().fold(false, |wrong, &i| wrong | (digit(i) > 9));
    if wrong | (text[4] != b'-') | (text[7] != b'-') {
        return Err(RejectReason::NotADate);
    }
    let year = digit(0) * 1000 + digit(1) * 100 + digit(2) * 10 + digit(3);
    let month = digit(5) * 10 + digit(6);
    let day = digit(8) * 10 + digit(9);
    if month == 0 || month > 12 || day == 0 || day > days_in_month(year, month) {
        return Err(RejectReason::NoSuchDate);
    }
    Ok(days_from_civil(year, month, day))
}

#[cold]
fn parse_date_slow(field: &[u8]) -> Result<i32, RejectReason> {
    let trimmed = trim(field);
    if trimmed.len() == 10 && trimmed.len() < field.len() {
        return parse_date(trimmed);
    }
    Err(RejectReason::NotADate)
}

#[inline]
fn days_in_month(year: u32, month: u32) -> u32 {
    const DAYS: [u8; 13] = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    u32::from(DAYS[month as usize]) + u32::from(month == 2 && leap)
}

/// Days since 1970-01-01 of a proleptic Gregorian date, after Howard Hinnant's "chrono-Compatible
/// Low-Level Date Algorithms": years begin in March, so that the leap day comes last.
#[inline]
fn days_from_civil(year: u32, month: u32, day: u32) -> i32 {
    // Shifted by one era of 400 years, so that the year before year 0 stays unsigned.
    let year = year + 400 - u32::from(month <= 2);
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    (era * 146_097 + day_of_era) as i32 - 719_468 - 146_097
}

/// The first and the last day number that [`parse_date`] gives: 0000-01-01 and 9999-12-31.
pub const DAYS: std::ops::RangeInclusive<i32> = -719_528..=2_932_896;

/// The `YYYY-MM-DD` of a day number that [`parse_date`] gave; of any other, that of the nearest.
#[inline]
pub fn format_date(days: i32) -> [u8; 10] {
    let days = days.clamp(*DAYS.start(), *DAYS.end());
    let days = (days + 719_468 + 146_097) as u32;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let of_year = day_of_era - (365 * of_era + of_era / 4 - of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + of_era + u32::from(month <= 2) - 400;
    let digit = |n: u32| b'0' + (n % 10) as u8;
    [
        digit(year / 1000),
        digit(year / 100),
        digit(year / 10),
        digit(year),
        b'-',
        digit(month / 10),
        digit(month),
        b'-',
        digit(day / 10),
        digit(day),
    ]
}

/// Appends `value` in decimal.
#[inline]
pub fn write_integer(value: i64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a text as a CSV field, in quotes where RFC 4180 wants them. An empty one gets none: whoever
/// writes a row of one empty field has to see to it that it does not become a blank line.
pub fn write_text(text: &[u8], out: &mut Vec<u8>) {
    let plain = !text.iter().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n'));
    if plain {
        return out.extend_from_slice(text);
    }
    out.push(b'"');
    for part in text.split_inclusive(|byte| *byte == b'"') {
        out.extend_from_slice(part);
        if part.ends_with(b"\"") {
            out.push(b'"');
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_day_of_ten_thousand_years_comes_back() {
        let (first, last) =
            (parse_date(b"0000-01-01").unwrap(), parse_date(b"9999-12-31").unwrap());
        assert_eq!(parse_date(b"1970-01-01"), Ok(0));
        assert_eq!(last - first + 1, 3_652_425);
        assert_eq!(first..=last, DAYS);
        assert_eq!(
            [&format_date(i32::MIN), &format_date(i32::MAX)],
            [b"0000-01-01", b"9999-12-31"]
        );
        for day in first..=last {
            assert_eq!(parse_date(&format_date(day)), Ok(day));
        }
    }

    #[test]
    fn impossible_dates_are_told_from_malformed_ones() {
        for text in
            ["2021-02-29", "1900-02-29", "2021-13-01", "2021-00-10", "2021-04-31", "2021-01-00"]
        {
            assert_eq!(parse_date(text.as_bytes()), Err(RejectReason::NoSuchDate), "{text}");
        }
        for text in [
            "",
            "2021-1-1",
            "2021/01/01",
            "20210101",
            "2021-01-01T",
            "x021-01-01",
            "2021-01-0\u{660}",
        ] {
            assert_eq!(parse_date(text.as_bytes()), Err(RejectReason::NotADate), "{text}");
        }
        assert_eq!(parse_date(b"2000-02-29"), Ok(11_016));
        assert_eq!(parse_date(b" 2000-02-29\t"), Ok(11_016));
    }

    #[test]
    fn integers_at_the_edges() {
        assert_eq!(parse_integer(b"9223372036854775807"), Ok(i64::MAX));
        assert_eq!(parse_integer(b"-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(parse_integer(b"+00000000000000000000012"), Ok(12));
        assert_eq!(parse_integer(b" 7 "), Ok(7));
        for text in ["9223372036854775808", "-9223372036854775809", "99999999999999999999"] {
            assert_eq!(parse_integer(text.as_bytes()), Err(RejectReason::IntegerRange), "{text}");
        }
        for text in ["", " ", "-", "1.0", "1e3", "1,000", "1 000", "0x1", "--1", "NaN", "\u{661}"] {
            assert_eq!(parse_integer(text.as_bytes()), Err(RejectReason::NotAnInteger), "{text}");
        }
    }

    proptest! {
        #[test]
        fn integers_come_back(value: i64) {
            let mut text = Vec::new();
            write_integer(value, &mut text);
            prop_assert_eq!(String::from_utf8(text.clone()), Ok(value.to_string()));
            prop_assert_eq!(parse_integer(&text), Ok(value));
        }
    }
}
