//! Consecutive days as text, without a date library: the generator needs no more than "tomorrow".

/// The days from 2020-02-01 on, as `YYYY-MM-DD`.
pub(super) fn days(count: u32) -> impl Iterator<Item = String> {
    let first = (2020, 2, 1);
    let days = std::iter::successors(Some(first), |&day| Some(after(day)));
    days.take(count as usize).map(|(year, month, day)| format!("{year:04}-{month:02}-{day:02}"))
}

fn after((year, month, day): (u32, u32, u32)) -> (u32, u32, u32) {
    if day < length(year, month) {
        (year, month, day + 1)
    } else if month < 12 {
        (year, month + 1, 1)
    } else {
        (year + 1, 1, 1)
    }
}

fn length(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_and_years_end_where_they_should() {
        let days: Vec<_> = days(36_525).collect();
        assert_eq!(days[0], "2020-02-01");
        assert_eq!(days[28..30], ["2020-02-29", "2020-03-01"]);
        assert_eq!(days[334..336], ["2020-12-31", "2021-01-01"]);
        assert_eq!(days[393..395], ["2021-02-28", "2021-03-01"]);
        assert!(days.is_sorted() && !days.contains(&"2100-02-29".to_owned()));
    }
}
