//! A spec that would fit an input, where the one that was tried does not.

use super::records::Column;
use crate::dialect::fold;
use crate::limits::{MAX_AGGREGATES, MAX_GROUP_COLUMNS};
use crate::spec::{Aggregate, AggregateOp, KeyColumn, KeyKind, Spec, SpecDraft};

/// Records from which on a column of nothing but different values is taken for one of names or numbers
/// of records, which nobody groups by or sums.
const ENOUGH_RECORDS: u64 = 100;

/// A spec for columns of these names and values, as near to what was asked for as there is one: the same
/// with columns that are only written in another way, else groups by texts and dates with sums of
/// integers.
pub(super) fn suggest(tried: &Spec, names: &[String], columns: &[Column]) -> Option<SpecDraft> {
    let draft = renamed(tried, names).or_else(|| by_kind(tried, names, columns))?;
    // What can not be named in a spec is no suggestion.
    Spec::try_from(draft).ok().map(|spec| spec.draft().clone())
}

/// A name without what people write in different ways.
fn bare(name: &str) -> String {
    fold(name).chars().filter(|c| c.is_alphanumeric()).collect()
}

fn renamed(tried: &Spec, names: &[String]) -> Option<SpecDraft> {
    let find = |name: &str| {
        let mut alike = names.iter().filter(|found| bare(found) == bare(name));
        let found = alike.next()?;
        alike.next().is_none().then(|| found.clone())
    };
    let mut draft = tried.draft().clone();
    for key in &mut draft.group_by {
        key.name = find(&key.name)?;
    }
    for aggregate in &mut draft.aggregates {
        if let Some(column) = &mut aggregate.column {
            *column = find(column)?;
        }
    }
    (draft != *tried.draft()).then_some(draft)
}

fn by_kind(tried: &Spec, names: &[String], columns: &[Column]) -> Option<SpecDraft> {
    let mut group_by = Vec::new();
    let mut sums = Vec::new();
    for (name, column) in names.iter().zip(columns) {
        let twice = names.iter().filter(|other| fold(other) == fold(name)).count() > 1;
        let mut marks = column.marks.clone();
        marks.sort_unstable();
        marks.dedup();
        let looked = column.marks.len() as u64;
        let unique = looked >= ENOUGH_RECORDS && marks.len() as u64 * 20 > looked * 19;
        if twice || name.is_empty() {
            continue;
        }
        match column.kind() {
            Some(KeyKind::Integer) if !unique && !is_number_of_record(name) => sums.push(name),
            Some(kind @ KeyKind::Date) => group_by.push(KeyColumn { name: name.clone(), kind }),
            Some(kind @ KeyKind::Text) if !unique => {
                group_by.push(KeyColumn { name: name.clone(), kind });
            }
            _ => {}
        }
    }
    group_by.truncate(MAX_GROUP_COLUMNS);
    let last = group_by.last()?.name.clone();
    let sum = |name: &String| Aggregate {
        op: AggregateOp::Sum,
        column: Some(name.clone()),
        name: format!("Total {name} for {last}"),
    };
    let mut aggregates: Vec<_> = sums.into_iter().take(MAX_AGGREGATES).map(sum).collect();
    if aggregates.is_empty() {
        let (op, name) = (AggregateOp::Count, "Count".to_owned());
        aggregates.push(Aggregate { op, column: None, name });
    }
    Some(SpecDraft { group_by, aggregates, ..tried.draft().clone() })
}

/// Whether a column's name says that it numbers something.
fn is_number_of_record(name: &str) -> bool {
    let name = fold(name);
    name == "id" || name.ends_with("_id") || name.ends_with(" id")
}
