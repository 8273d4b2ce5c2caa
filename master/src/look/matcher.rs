//! Which rows a look wants, and, where rows are sorted, where the first of them is.

use std::cmp::Ordering;

use thiserror::Error;

use tally_common::api::LookQuery;
use tally_common::dialect::fold;
use tally_common::key::encode_integer;
use tally_common::spec::{KeyKind, Spec};
use tally_common::value::parse_date;

/// Why a query makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QueryError {
    /// It names a column by which the job does not group.
    #[error("the job does not group by {name:?}; it groups by {known}")]
    Column {
        /// The name.
        name: String,
        /// The columns that there are.
        known: String,
    },
    /// It names one twice.
    #[error("{0:?} can have one value only")]
    Twice(String),
    /// The column can not have that value.
    #[error("{column:?} can not be {value:?}: it holds {kind}")]
    Value {
        /// The column.
        column: String,
        /// The value.
        value: String,
        /// What it holds.
        kind: &'static str,
    },
}

/// What is to be done with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Take,
    Skip,
    /// No row that follows is wanted.
    Stop,
}

/// Which rows are wanted.
#[derive(Clone, Debug)]
pub(super) struct Matcher {
    /// For each group-by column the value that it must have.
    equal: Vec<(KeyKind, Option<Vec<u8>>)>,
    /// How many columns, from the first on, must have a value.
    leading: usize,
    prefix: Option<Vec<u8>>,
    sorted: bool,
}

impl Matcher {
    /// Takes every row.
    pub(super) const fn all() -> Self {
        Self { equal: Vec::new(), leading: 0, prefix: None, sorted: false }
    }

    /// What a query wants of the result of a spec.
    pub(super) fn new(spec: &Spec, query: &LookQuery, sorted: bool) -> Result<Self, QueryError> {
        let columns = spec.group_by();
        let mut equal: Vec<_> = columns.iter().map(|column| (column.kind, None)).collect();
        for (name, value) in &query.equal {
            let found = columns.iter().position(|column| fold(&column.name) == fold(name));
            let Some(at) = found else {
                let known: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
                return Err(QueryError::Column { name: name.clone(), known: known.join(", ") });
            };
            let (kind, wanted) = &mut equal[at];
            let bad = |kind| QueryError::Value {
                column: columns[at].name.clone(),
                value: value.clone(),
                kind,
            };
            let value = match kind {
                KeyKind::Text => value.clone(),
                KeyKind::Integer => {
                    value.trim().parse::<i64>().map_err(|_| bad("integers"))?.to_string()
                }
                KeyKind::Date => match parse_date(value.as_bytes()) {
                    Ok(_) => value.clone(),
                    Err(_) => return Err(bad("dates (YYYY-MM-DD)")),
                },
            };
            if wanted.replace(value.into_bytes()).is_some() {
                return Err(QueryError::Twice(name.clone()));
            }
        }
        let leading = equal.iter().take_while(|(_, wanted)| wanted.is_some()).count();
        let prefix = query.prefix.as_ref().filter(|prefix| !prefix.is_empty());
        Ok(Self { equal, leading, prefix: prefix.map(|text| text.clone().into_bytes()), sorted })
    }

    /// Whether every row is wanted.
    pub(super) fn takes_all(&self) -> bool {
        self.prefix.is_none() && self.equal.iter().all(|(_, wanted)| wanted.is_none())
    }

    /// Whether the order of rows tells where those are that begin with the prefix.
    fn seeks_prefix(&self) -> Option<&[u8]> {
        let textual = self.equal.first().is_some_and(|(kind, _)| *kind != KeyKind::Integer);
        self.prefix.as_deref().filter(|_| textual && self.leading == 0)
    }

    /// How a row stands to those that are wanted, as far as the order of rows tells.
    fn stands<'r>(&self, row: impl Iterator<Item = &'r [u8]>) -> Ordering {
        let mut row = row.peekable();
        if let (Some(prefix), Some(first)) = (self.seeks_prefix(), row.peek()) {
            return if first.starts_with(prefix) { Ordering::Equal } else { first.cmp(&prefix) };
        }
        for (field, (kind, wanted)) in row.zip(&self.equal[..self.leading]) {
            let Some(wanted) = wanted else { continue };
            match compare(*kind, field, wanted) {
                Ordering::Equal => {}
                other => return other,
            }
        }
        Ordering::Equal
    }

    /// Whether all rows that are wanted come behind this one.
    pub(super) fn is_before<'r>(&self, row: impl Iterator<Item = &'r [u8]>) -> bool {
        self.sorted && self.stands(row) == Ordering::Less
    }

    pub(super) fn step<'r>(&self, row: impl Iterator<Item = &'r [u8]> + Clone) -> Step {
        if self.sorted && self.stands(row.clone()) == Ordering::Greater {
            return Step::Stop;
        }
        let mut row = row.peekable();
        let begins = self
            .prefix
            .as_ref()
            .is_none_or(|prefix| row.peek().is_some_and(|first| first.starts_with(prefix)));
        let equals = row
            .zip(&self.equal)
            .all(|(field, (_, wanted))| wanted.as_ref().is_none_or(|wanted| wanted == field));
        if begins && equals { Step::Take } else { Step::Skip }
    }

    /// The least head that is wanted, as runs have it.
    pub(super) fn first_head(&self) -> Option<Vec<u8>> {
        let (kind, wanted) = self.equal.first()?;
        if kind == &KeyKind::Text
            && let Some(prefix) = self.seeks_prefix()
        {
            return Some(prefix.to_vec());
        }
        let wanted = wanted.as_ref()?;
        Some(match kind {
            KeyKind::Text => wanted.clone(),
            KeyKind::Integer => encode_integer(number(wanted)).to_vec(),
            KeyKind::Date => encode_integer(parse_date(wanted).ok()?.into()).to_vec(),
        })
    }
}

fn number(field: &[u8]) -> i64 {
    std::str::from_utf8(field).ok().and_then(|text| text.parse().ok()).unwrap_or(i64::MIN)
}

/// Dates of four-digit years sort as their text does.
fn compare(kind: KeyKind, a: &[u8], b: &[u8]) -> Ordering {
    match kind {
        KeyKind::Integer => number(a).cmp(&number(b)),
        KeyKind::Text | KeyKind::Date => a.cmp(b),
    }
}
