//! Tables on the wire: how they are declared, and how they are shown.

use tally_common::api::{Recount, RecountedAggregate, TableView};
use tally_common::table::{AggregateDraft, TableColumn, TableDraft, TableError};

use super::spec::{aggregate_from_wire, aggregate_to_wire, kind_from_wire, kind_to_wire};
use super::{WireError, wrong};
use crate::v1;

/// The wire form of a declaration.
pub fn table_draft_to_wire(draft: &TableDraft) -> v1::CreateTableRequest {
    v1::CreateTableRequest {
        name: draft.name.clone(),
        key: draft.key.clone(),
        columns: draft.columns.iter().map(column_to_wire).collect(),
        aggregates: draft.aggregates.iter().map(totals_to_wire).collect(),
        preset: String::new(),
    }
}

/// A declaration from the wire, still to be checked as a whole by [`tally_common::table::Table`].
///
/// # Errors
/// [`WireError`] for a preset that there is not or that is not alone, and enums without a meaning.
pub fn table_draft_from_wire(wire: v1::CreateTableRequest) -> Result<TableDraft, WireError> {
    if !wire.preset.is_empty() {
        let preset = wire.preset.clone();
        let alone = v1::CreateTableRequest { preset: preset.clone(), ..Default::default() };
        if wire != alone {
            return Err(wrong("preset", "is given in place of all else"));
        }
        return TableDraft::preset(&preset)
            .map_err(|error: TableError| wrong("preset", error.to_string()));
    }
    Ok(TableDraft {
        name: wire.name,
        key: wire.key,
        columns: wire.columns.into_iter().map(column_from_wire).collect::<Result<_, _>>()?,
        aggregates: wire.aggregates.into_iter().map(totals_from_wire).collect::<Result<_, _>>()?,
    })
}

/// The wire form of a table.
pub fn table_to_wire(table: &TableView) -> v1::Table {
    v1::Table {
        name: table.name.clone(),
        key: table.key.clone(),
        columns: table.columns.iter().map(column_to_wire).collect(),
        aggregates: table.aggregates.iter().map(totals_to_wire).collect(),
        rows: table.rows,
        version: table.version,
        created_at: table.created_at.clone(),
    }
}

/// A table from the wire.
///
/// # Errors
/// [`WireError`] for enums without a meaning.
pub fn table_from_wire(wire: v1::Table) -> Result<TableView, WireError> {
    Ok(TableView {
        name: wire.name,
        key: wire.key,
        columns: wire.columns.into_iter().map(column_from_wire).collect::<Result<_, _>>()?,
        aggregates: wire.aggregates.into_iter().map(totals_from_wire).collect::<Result<_, _>>()?,
        rows: wire.rows,
        version: wire.version,
        created_at: wire.created_at,
    })
}

/// The wire form of a recount.
pub fn recount_to_wire(recount: Recount) -> v1::RecountReply {
    let aggregate =
        |RecountedAggregate { name, groups, wrong }| v1::RecountedAggregate { name, groups, wrong };
    v1::RecountReply {
        rows: recount.rows,
        version: recount.version,
        aggregates: recount.aggregates.into_iter().map(aggregate).collect(),
        right: recount.right,
    }
}

/// A recount from the wire.
pub fn recount_from_wire(wire: v1::RecountReply) -> Recount {
    let aggregate =
        |v1::RecountedAggregate { name, groups, wrong }| RecountedAggregate { name, groups, wrong };
    Recount {
        rows: wire.rows,
        version: wire.version,
        aggregates: wire.aggregates.into_iter().map(aggregate).collect(),
        right: wire.right,
    }
}

fn column_to_wire(column: &TableColumn) -> v1::TableColumn {
    let kind = kind_to_wire(column.kind) as i32;
    v1::TableColumn { name: column.name.clone(), kind, nullable: column.nullable }
}

fn column_from_wire(wire: v1::TableColumn) -> Result<TableColumn, WireError> {
    let kind = kind_from_wire(wire.kind).ok_or_else(|| wrong("columns.kind", "unknown value"))?;
    Ok(TableColumn { nullable: wire.nullable, ..TableColumn::new(&wire.name, kind) })
}

fn totals_to_wire(totals: &AggregateDraft) -> v1::TableAggregate {
    v1::TableAggregate {
        name: totals.name.clone(),
        group_by: totals.group_by.clone(),
        values: totals.values.iter().map(aggregate_to_wire).collect(),
    }
}

fn totals_from_wire(wire: v1::TableAggregate) -> Result<AggregateDraft, WireError> {
    Ok(AggregateDraft {
        name: wire.name,
        group_by: wire.group_by,
        values: wire.values.iter().map(aggregate_from_wire).collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use tally_common::spec::{Aggregate, AggregateOp, KeyKind};

    use super::*;

    fn draft() -> TableDraft {
        let mut draft = TableDraft::plays();
        draft
            .columns
            .push(TableColumn { nullable: true, ..TableColumn::new("Shop", KeyKind::Integer) });
        let value = |op, column: Option<&str>, name: &str| Aggregate {
            op,
            column: column.map(str::to_owned),
            name: name.to_owned(),
        };
        draft.aggregates.push(AggregateDraft {
            name: String::new(),
            group_by: "Shop".to_owned(),
            values: vec![
                value(AggregateOp::Count, None, "n"),
                value(AggregateOp::Min, Some("Shop"), "least"),
                value(AggregateOp::Max, Some("Date"), "last"),
            ],
        });
        draft
    }

    #[test]
    fn declarations_come_back() {
        for draft in [TableDraft::products(), draft()] {
            assert_eq!(table_draft_from_wire(table_draft_to_wire(&draft)), Ok(draft));
        }
        let preset = v1::CreateTableRequest { preset: "plays".to_owned(), ..Default::default() };
        assert_eq!(table_draft_from_wire(preset.clone()), Ok(TableDraft::plays()));
        let named = v1::CreateTableRequest { name: "x".to_owned(), ..preset.clone() };
        let unknown = v1::CreateTableRequest { preset: "x".to_owned(), ..preset };
        for wrong in [named, unknown] {
            assert_eq!(table_draft_from_wire(wrong).unwrap_err().field(), "preset");
        }
    }

    #[test]
    fn tables_come_back() {
        let TableDraft { name, key, columns, aggregates } = draft();
        let created_at = "2026-01-01T00:00:00Z".to_owned();
        let table =
            TableView { name, key, columns, aggregates, rows: 3, version: 1 << 50, created_at };
        assert_eq!(table_from_wire(table_to_wire(&table)), Ok(table));
        let column = v1::TableColumn { kind: 9, ..Default::default() };
        let wire = v1::Table { columns: vec![column], ..Default::default() };
        assert_eq!(table_from_wire(wire).unwrap_err().field(), "columns.kind");
    }

    #[test]
    fn recounts_come_back() {
        let aggregates = vec![RecountedAggregate { name: "a".to_owned(), groups: 7, wrong: 1 }];
        let recount = Recount { rows: 9, version: 11, aggregates, right: false };
        assert_eq!(recount_from_wire(recount_to_wire(recount.clone())), recount);
    }
}
