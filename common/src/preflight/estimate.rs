//! From a sample to the whole: how many different values there will be, and what they take.

/// How many different values there are in `total` draws, from what `drawn` of them showed: `once` values
/// that came once, and `more` that came more often.
///
/// The estimator GEE of M. Charikar, S. Chaudhuri, R. Motwani and V. Narasayya, "Towards Estimation
/// Error Guarantees for Distinct Values" (PODS 2000): values that came more often are frequent, and so
/// all of those have been seen; of those that came once there are the square root of `total / drawn`
/// times as many, which is off by no more than that factor whatever the data. It wants a random
/// sample, and the beginning of a file is none: an estimate, then, and no more.
pub(super) fn distinct(once: u64, more: u64, drawn: u64, total: u64) -> u64 {
    let seen = once + more;
    if drawn == 0 || total <= drawn {
        return seen;
    }
    let scale = (total as f64 / drawn as f64).sqrt();
    ((scale * once as f64) as u64 + more).clamp(seen, total.max(seen))
}

/// `part` of a whole of which `sample` parts in `of` have been seen.
pub(super) fn scale(part: u64, sample: u64, of: u64) -> u64 {
    if sample == 0 {
        return 0;
    }
    // Rounded; a u128 holds any product of two u64.
    let scaled = (u128::from(part) * u128::from(of) + u128::from(sample / 2)) / u128::from(sample);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// Characters of a number in decimal.
pub(super) fn digits(value: f64) -> f64 {
    let sign = if value <= -0.5 { 1.0 } else { 0.0 };
    let size = value.abs().max(1.0);
    size.log10().floor() + 1.0 + sign
}

/// Values by how often they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Values that came once.
    pub(super) once: u64,
    /// Values that came more often.
    pub(super) more: u64,
}

impl Seen {
    /// Of marks, which values are told apart by; sorts them. `each` is given one mark of each value.
    pub(super) fn of(
        marks: &mut [u64],
        same: impl Fn(u64) -> u64,
        mut each: impl FnMut(u64),
    ) -> Self {
        marks.sort_unstable();
        let mut seen = Self::default();
        for alike in marks.chunk_by(|a, b| same(*a) == same(*b)) {
            each(alike[0]);
            if alike.len() == 1 {
                seen.once += 1;
            } else {
                seen.more += 1;
            }
        }
        seen
    }

    pub(super) fn all(self) -> u64 {
        self.once + self.more
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_that_never_repeat_are_expected_to_go_on() {
        // All different in a hundredth: between a tenth and all of the whole.
        assert_eq!(distinct(1000, 0, 1000, 100_000), 10_000);
        // Every one came again: there are no more.
        assert_eq!(distinct(0, 50, 1000, 100_000), 50);
        assert_eq!(distinct(3, 4, 100, 100), 7);
        assert_eq!(distinct(0, 0, 0, 100), 0);
    }

    #[test]
    fn numbers_have_digits() {
        for (value, length) in [(0.0, 1.0), (9.0, 1.0), (10.0, 2.0), (-10.0, 3.0), (12345.0, 5.0)] {
            assert_eq!(digits(value), length, "{value}");
        }
    }

    proptest! {
        #[test]
        fn an_estimate_lies_between_what_was_seen_and_all(
            once in 0u64..1 << 40,
            more in 0u64..1 << 40,
            again in 0u64..1 << 40,
            rest in 0u64..1 << 50,
        ) {
            let drawn = once + 2 * more + again;
            let total = drawn + rest;
            let found = distinct(once, more, drawn, total);
            prop_assert!(found >= once + more);
            prop_assert!(found <= total);
            // More of the same file never makes it fewer.
            prop_assert!(distinct(once, more, drawn, total + rest) >= found);
        }

        #[test]
        fn marks_are_counted_as_a_map_counts_them(values in prop::collection::vec(0u64..30, 0..200)) {
            let mut map = std::collections::HashMap::new();
            for value in &values {
                *map.entry(*value).or_insert(0u64) += 1;
            }
            let once = map.values().filter(|count| **count == 1).count() as u64;
            let mut marks = values.clone();
            let seen = Seen::of(&mut marks, |mark| mark, |_| {});
            prop_assert_eq!(seen, Seen { once, more: map.len() as u64 - once });
        }
    }
}
