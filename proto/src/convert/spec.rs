//! Specs on the wire.

use tally_common::dialect::Delimiter;
use tally_common::spec::{Aggregate, AggregateOp, KeyColumn, KeyKind, Order, RowColumn, SpecDraft};

use super::{WireError, wrong};
use crate::v1;

/// The wire form of a spec.
pub fn draft_to_wire(draft: &SpecDraft) -> v1::Spec {
    v1::Spec {
        group_by: draft.group_by.iter().map(key_to_wire).collect(),
        aggregates: draft.aggregates.iter().map(aggregate_to_wire).collect(),
        order: match draft.order {
            Order::Sorted => v1::Order::Sorted,
            Order::FirstSeen => v1::Order::FirstSeen,
        } as i32,
        delimiter: draft.delimiter.map_or(0, |delimiter| delimiter.byte().into()),
        max_rejects: draft.max_rejects.to_string(),
        rows: draft.rows.iter().flatten().map(row_to_wire).collect(),
    }
}

/// A spec from the wire, still to be checked as a whole by [`tally_common::spec::Spec`].
///
/// # Errors
/// [`WireError`] where an enum or the delimiter has no meaning.
pub fn draft_from_wire(wire: &v1::Spec) -> Result<SpecDraft, WireError> {
    Ok(SpecDraft {
        group_by: wire.group_by.iter().map(key_from_wire).collect::<Result<_, _>>()?,
        aggregates: wire.aggregates.iter().map(aggregate_from_wire).collect::<Result<_, _>>()?,
        order: match v1::Order::try_from(wire.order) {
            Ok(v1::Order::Unspecified | v1::Order::Sorted) => Order::Sorted,
            Ok(v1::Order::FirstSeen) => Order::FirstSeen,
            Err(_) => return Err(wrong("spec.order", "unknown value")),
        },
        delimiter: match wire.delimiter {
            0 => None,
            byte => Some(delimiter("spec.delimiter", byte)?),
        },
        max_rejects: match wire.max_rejects.as_str() {
            "" => Default::default(),
            text => text.parse()?,
        },
        rows: match &wire.rows[..] {
            [] => None,
            rows => Some(rows.iter().map(row_from_wire).collect::<Result<_, _>>()?),
        },
    })
}

pub(super) fn delimiter(field: &'static str, byte: u32) -> Result<Delimiter, WireError> {
    u8::try_from(byte)
        .ok()
        .and_then(Delimiter::from_byte)
        .ok_or_else(|| wrong(field, format!("byte {byte} is no delimiter")))
}

fn key_to_wire(key: &KeyColumn) -> v1::KeyColumn {
    v1::KeyColumn { name: key.name.clone(), kind: kind_to_wire(key.kind) as i32 }
}

fn key_from_wire(wire: &v1::KeyColumn) -> Result<KeyColumn, WireError> {
    let kind =
        kind_from_wire(wire.kind).ok_or_else(|| wrong("spec.group_by.kind", "unknown value"))?;
    Ok(KeyColumn { name: wire.name.clone(), kind })
}

pub(super) fn kind_to_wire(kind: KeyKind) -> v1::KeyKind {
    match kind {
        KeyKind::Text => v1::KeyKind::Text,
        KeyKind::Integer => v1::KeyKind::Integer,
        KeyKind::Date => v1::KeyKind::Date,
    }
}

/// `None` for a kind that this build does not know.
pub(super) fn kind_from_wire(wire: i32) -> Option<KeyKind> {
    match v1::KeyKind::try_from(wire).ok()? {
        v1::KeyKind::Unspecified | v1::KeyKind::Text => Some(KeyKind::Text),
        v1::KeyKind::Integer => Some(KeyKind::Integer),
        v1::KeyKind::Date => Some(KeyKind::Date),
    }
}

fn row_to_wire(column: &RowColumn) -> v1::RowColumn {
    v1::RowColumn {
        name: column.name.clone(),
        kind: kind_to_wire(column.kind) as i32,
        nullable: column.nullable,
        max_bytes: column.max_bytes,
    }
}

fn row_from_wire(wire: &v1::RowColumn) -> Result<RowColumn, WireError> {
    let kind = kind_from_wire(wire.kind).ok_or_else(|| wrong("spec.rows.kind", "unknown value"))?;
    let (name, nullable, max_bytes) = (wire.name.clone(), wire.nullable, wire.max_bytes);
    Ok(RowColumn { name, kind, nullable, max_bytes })
}

pub(super) fn aggregate_to_wire(aggregate: &Aggregate) -> v1::Aggregate {
    let op = match aggregate.op {
        AggregateOp::Sum => v1::AggregateOp::Sum,
        AggregateOp::Count => v1::AggregateOp::Count,
        AggregateOp::Min => v1::AggregateOp::Min,
        AggregateOp::Max => v1::AggregateOp::Max,
    };
    let column = aggregate.column.clone().unwrap_or_default();
    v1::Aggregate { op: op as i32, column, name: aggregate.name.clone() }
}

pub(super) fn aggregate_from_wire(wire: &v1::Aggregate) -> Result<Aggregate, WireError> {
    let op = match v1::AggregateOp::try_from(wire.op) {
        Ok(v1::AggregateOp::Sum) => AggregateOp::Sum,
        Ok(v1::AggregateOp::Count) => AggregateOp::Count,
        Ok(v1::AggregateOp::Min) => AggregateOp::Min,
        Ok(v1::AggregateOp::Max) => AggregateOp::Max,
        Ok(v1::AggregateOp::Unspecified) | Err(_) => {
            return Err(wrong("spec.aggregates.op", "unknown value"));
        }
    };
    let column = (!wire.column.is_empty()).then(|| wire.column.clone());
    Ok(Aggregate { op, column, name: wire.name.clone() })
}

#[cfg(test)]
mod tests {
    use tally_common::spec::MaxRejects;
    use tally_common::table::TableDraft;

    use super::*;

    #[test]
    fn specs_come_back() {
        for mut draft in [SpecDraft::plays(), SpecDraft::products()] {
            assert_eq!(draft_from_wire(&draft_to_wire(&draft)), Ok(draft.clone()));
            draft.order = Order::FirstSeen;
            draft.delimiter = Some(Delimiter::Tab);
            draft.max_rejects = MaxRejects::PartsPerMillion(5_000);
            assert_eq!(draft_from_wire(&draft_to_wire(&draft)), Ok(draft));
        }
    }

    #[test]
    fn rows_come_back() {
        for mut table in [TableDraft::plays(), TableDraft::products()] {
            table.columns[2].nullable = true;
            let draft = SpecDraft::of_table(&table.try_into().unwrap());
            assert_eq!(draft_from_wire(&draft_to_wire(&draft)), Ok(draft));
        }
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let wire = v1::Spec { order: 17, ..v1::Spec::default() };
        assert_eq!(draft_from_wire(&wire).unwrap_err().field(), "spec.order");
        let wire = v1::Spec { delimiter: 300, ..v1::Spec::default() };
        assert_eq!(draft_from_wire(&wire).unwrap_err().field(), "spec.delimiter");
    }
}
