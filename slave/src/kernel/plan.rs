//! What there is to do: decided once for a job and once for a task, so that nothing is decided for
//! each record.

use tally_common::combine::Aggregates;
use tally_common::dialect::Layout;
use tally_common::id::TaskNumber;
use tally_common::spec::{AggregateOp, KeyKind, Order, Spec};

/// Where a record's tail comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TailMode {
    /// There is none: its code is 0.
    None,
    /// One date: its code is the day number, counted from [`super::parse::FIRST_DAY`].
    Date,
    /// One text: looked up as it stands in the input.
    Text,
    /// Any other columns: encoded one after another, then looked up.
    Mixed,
}

/// What holds for all tasks of a job.
pub(super) struct JobPlan {
    pub(super) kinds: Vec<KeyKind>,
    pub(super) tail: TailMode,
    pub(super) aggregates: Aggregates,
    pub(super) first_seen: bool,
    /// Columns of the table that the records are rows of; 0 where they are none.
    pub(super) rows: usize,
}

impl JobPlan {
    pub(super) fn of(spec: &Spec) -> Self {
        let kinds: Vec<KeyKind> = spec.group_by().iter().map(|key| key.kind).collect();
        let tail = match &kinds[1..] {
            [] => TailMode::None,
            [KeyKind::Date] => TailMode::Date,
            [KeyKind::Text] => TailMode::Text,
            _ => TailMode::Mixed,
        };
        Self {
            kinds,
            tail,
            aggregates: Aggregates::of(spec),
            first_seen: spec.order() == Order::FirstSeen,
            rows: spec.rows().map_or(0, <[_]>::len),
        }
    }
}

/// What holds for all records of a task.
pub(super) struct TaskPlan {
    pub(super) number: TaskNumber,
    pub(super) delimiter: u8,
    pub(super) fields: usize,
    /// For each key, its column.
    pub(super) keys: Vec<usize>,
    /// The columns that hold values, each once, in the order of the aggregates.
    pub(super) values: Vec<usize>,
    /// For each aggregate, which of `values` it takes; one past their end is the constant 1 that a
    /// count sums up.
    pub(super) sources: Vec<usize>,
    /// For each column of the table its column, if the input has it.
    pub(super) rows: Vec<Option<usize>>,
}

impl TaskPlan {
    /// `None` where the layout is not one of the job's spec.
    pub(super) fn of(job: &JobPlan, number: TaskNumber, layout: &Layout) -> Option<Self> {
        let fields = layout.fields as usize;
        let ops = job.aggregates.ops();
        let fits = layout.keys.len() == job.kinds.len() && layout.values.len() == ops.len();
        let fits = fits && layout.rows.len() == job.rows;
        let columns = layout.keys.iter().chain(layout.values.iter().chain(&layout.rows).flatten());
        if fields == 0 || !fits || columns.into_iter().any(|&column| column >= layout.fields) {
            return None;
        }
        let mut values = Vec::new();
        let mut sources = Vec::new();
        for (op, column) in ops.iter().zip(&layout.values) {
            sources.push(match (op, column) {
                (AggregateOp::Count, _) => usize::MAX,
                (_, None) => return None,
                (_, Some(column)) => {
                    let column = *column as usize;
                    values.iter().position(|&known| known == column).unwrap_or_else(|| {
                        values.push(column);
                        values.len() - 1
                    })
                }
            });
        }
        for source in &mut sources {
            *source = (*source).min(values.len());
        }
        let keys = layout.keys.iter().map(|&column| column as usize).collect();
        let rows = layout.rows.iter().map(|column| column.map(|column| column as usize)).collect();
        let delimiter = layout.delimiter.byte();
        Some(Self { number, delimiter, fields, keys, values, sources, rows })
    }
}

impl TaskPlan {
    /// A column and whether it is the record's last.
    #[inline]
    pub(super) fn column(&self, column: usize) -> (usize, bool) {
        (column, column + 1 == self.fields)
    }
}
