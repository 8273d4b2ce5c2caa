//! Combining two partial aggregates of the same group: associative and commutative, never
//! idempotent (the ledger's message ids are what keeps a partial from being combined twice).

use crate::spec::{AggregateOp, Spec};

/// How the values of one group from two places become one.
pub trait Combine {
    /// Folds `from` into `into`; both have the same length, one value for each aggregate.
    fn combine(&self, into: &mut [i128], from: &[i128]);
}

/// `sum`, `count`, `min` and `max`, by position. Values are 128 bits wide so that no sum of 64-bit
/// integers overflows on the way, whatever order it is taken in; only the final total is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregates(Vec<AggregateOp>);

impl Aggregates {
    /// Those of a spec.
    pub fn of(spec: &Spec) -> Self {
        Self(spec.aggregates().iter().map(|aggregate| aggregate.op).collect())
    }

    /// The operations by position.
    pub fn ops(&self) -> &[AggregateOp] {
        &self.0
    }
}

impl Combine for Aggregates {
    #[inline]
    fn combine(&self, into: &mut [i128], from: &[i128]) {
        for ((op, into), from) in self.0.iter().zip(into).zip(from) {
            *into = op.combine(*into, *from);
        }
    }
}

impl AggregateOp {
    /// Two values of one group as one.
    #[inline]
    pub fn combine(self, a: i128, b: i128) -> i128 {
        match self {
            Self::Sum | Self::Count => a + b,
            Self::Min => a.min(b),
            Self::Max => a.max(b),
        }
    }
}
