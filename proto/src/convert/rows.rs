//! Rows and groups of tables: what is asked for, and pages.

use tally_common::api::{AggregatePage, AggregateQuery, Comparison, RowView, RowsPage, RowsQuery};

use super::value::{
    key_from_wire, key_to_wire, row_from_wire, row_to_wire, value_to_wire, values_from_wire,
};
use super::{WireError, wrong};
use crate::v1;

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// The wire form of a question for rows.
pub fn rows_query_to_wire(table: &str, query: &RowsQuery) -> v1::RowsRequest {
    let condition = |(column, comparison, value): &(String, Comparison, String)| {
        let comparison = match comparison {
            Comparison::Equal => v1::Comparison::Equal,
            Comparison::Prefix => v1::Comparison::Prefix,
            Comparison::From => v1::Comparison::From,
            Comparison::Before => v1::Comparison::Before,
        };
        let (column, value) = (column.clone(), value.clone());
        v1::Condition { column, comparison: comparison as i32, value }
    };
    v1::RowsRequest {
        table: table.to_owned(),
        conditions: query.conditions.iter().map(condition).collect(),
        search: query.search.clone().unwrap_or_default(),
        sort: query.sort.clone().unwrap_or_default(),
        descending: query.descending,
        limit: query.limit,
        cursor: query.cursor.clone().unwrap_or_default(),
    }
}

/// A question for rows from the wire, with its table; a limit of 0 stays one.
///
/// # Errors
/// [`WireError`] for a comparison without a meaning.
pub fn rows_query_from_wire(wire: v1::RowsRequest) -> Result<(String, RowsQuery), WireError> {
    let condition = |wire: v1::Condition| {
        let comparison = match v1::Comparison::try_from(wire.comparison) {
            Ok(v1::Comparison::Unspecified | v1::Comparison::Equal) => Comparison::Equal,
            Ok(v1::Comparison::Prefix) => Comparison::Prefix,
            Ok(v1::Comparison::From) => Comparison::From,
            Ok(v1::Comparison::Before) => Comparison::Before,
            Err(_) => return Err(wrong("conditions.comparison", "unknown value")),
        };
        Ok((wire.column, comparison, wire.value))
    };
    let query = RowsQuery {
        conditions: wire.conditions.into_iter().map(condition).collect::<Result<_, _>>()?,
        search: some(wire.search),
        sort: some(wire.sort),
        descending: wire.descending,
        limit: wire.limit,
        cursor: some(wire.cursor),
    };
    Ok((wire.table, query))
}

/// The wire form of a row.
pub fn table_row_to_wire(row: &RowView) -> v1::TableRow {
    v1::TableRow {
        key: key_to_wire(&row.key),
        version: row.version,
        changed_at: row.changed_at.clone(),
        row: row_to_wire(&row.row),
    }
}

/// A row from the wire.
///
/// # Errors
/// [`WireError`] for values that are no JSON.
pub fn table_row_from_wire(wire: v1::TableRow) -> Result<RowView, WireError> {
    let (key, row) = (key_from_wire(wire.key)?, row_from_wire(wire.row)?);
    Ok(RowView { key, version: wire.version, changed_at: wire.changed_at, row })
}

/// The wire form of a page of rows.
pub fn rows_to_wire(page: &RowsPage) -> v1::RowsReply {
    v1::RowsReply {
        rows: page.rows.iter().map(table_row_to_wire).collect(),
        next: page.next.clone().unwrap_or_default(),
        table_rows: page.table_rows,
        version: page.version,
    }
}

/// A page of rows from the wire.
///
/// # Errors
/// As [`table_row_from_wire`].
pub fn rows_from_wire(wire: v1::RowsReply) -> Result<RowsPage, WireError> {
    let rows = wire.rows.into_iter().map(table_row_from_wire).collect::<Result<_, _>>()?;
    let (table_rows, version) = (wire.table_rows, wire.version);
    Ok(RowsPage { rows, next: some(wire.next), table_rows, version })
}

/// The wire form of a question for groups.
pub fn groups_query_to_wire(
    table: &str,
    aggregate: &str,
    query: &AggregateQuery,
) -> v1::AggregateRequest {
    v1::AggregateRequest {
        table: table.to_owned(),
        aggregate: aggregate.to_owned(),
        group: query.group.clone(),
        prefix: query.prefix.clone().unwrap_or_default(),
        sort: query.sort.clone().unwrap_or_default(),
        descending: query.descending,
        limit: query.limit,
        cursor: query.cursor.clone().unwrap_or_default(),
    }
}

/// A question for groups from the wire, with its table and aggregate; a limit of 0 stays one.
pub fn groups_query_from_wire(wire: v1::AggregateRequest) -> (String, String, AggregateQuery) {
    let query = AggregateQuery {
        group: wire.group,
        prefix: some(wire.prefix),
        sort: some(wire.sort),
        descending: wire.descending,
        limit: wire.limit,
        cursor: some(wire.cursor),
    };
    (wire.table, wire.aggregate, query)
}

/// The wire form of a page of groups.
pub fn groups_to_wire(page: AggregatePage) -> v1::AggregateReply {
    let group = |row: &Vec<_>| v1::Group { values: row.iter().map(value_to_wire).collect() };
    v1::AggregateReply {
        columns: page.columns,
        groups: page.rows.iter().map(group).collect(),
        next: page.next.unwrap_or_default(),
        all_groups: page.groups,
        version: page.version,
    }
}

/// A page of groups from the wire.
///
/// # Errors
/// [`WireError`] for a group that has not a value for every column.
pub fn groups_from_wire(wire: v1::AggregateReply) -> Result<AggregatePage, WireError> {
    if wire.groups.iter().any(|group| group.values.len() != wire.columns.len()) {
        return Err(wrong("groups", "a group has not a value for every column"));
    }
    let rows = wire.groups.into_iter().map(|group| values_from_wire(group.values));
    Ok(AggregatePage {
        columns: wire.columns,
        rows: rows.collect::<Result<_, _>>()?,
        next: some(wire.next),
        groups: wire.all_groups,
        version: wire.version,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn questions_come_back() {
        let conditions =
            [Comparison::Equal, Comparison::Prefix, Comparison::From, Comparison::Before]
                .map(|comparison| ("Song".to_owned(), comparison, "ähm".to_owned()));
        let query = RowsQuery {
            conditions: conditions.into(),
            search: Some("x".to_owned()),
            sort: Some("_version".to_owned()),
            descending: true,
            limit: 3,
            cursor: Some("here".to_owned()),
        };
        for query in [query, RowsQuery::default()] {
            let back = rows_query_from_wire(rows_query_to_wire("plays", &query));
            assert_eq!(back, Ok(("plays".to_owned(), query)));
        }
        let query = AggregateQuery {
            group: Some(String::new()),
            prefix: Some("a".to_owned()),
            sort: Some("n".to_owned()),
            descending: true,
            limit: 9,
            cursor: Some("there".to_owned()),
        };
        for query in [query, AggregateQuery::default()] {
            let back = groups_query_from_wire(groups_query_to_wire("t", "a", &query));
            assert_eq!(back, ("t".to_owned(), "a".to_owned(), query));
        }
    }

    #[test]
    fn pages_come_back() {
        let row = RowView {
            key: json!(["x", 1]),
            version: 7,
            changed_at: "2026-01-01T00:00:00Z".to_owned(),
            row: json!({"a": "x", "b": 1, "c": null}).as_object().cloned().unwrap(),
        };
        let page = RowsPage { rows: vec![row], next: None, table_rows: 8, version: 9 };
        assert_eq!(rows_from_wire(rows_to_wire(&page)), Ok(page));
        let page = AggregatePage {
            columns: vec!["Song".to_owned(), "n".to_owned()],
            rows: vec![vec![json!("x"), json!(-3)], vec![json!(null), json!(0)]],
            next: Some("n".to_owned()),
            groups: 2,
            version: 1,
        };
        assert_eq!(groups_from_wire(groups_to_wire(page.clone())), Ok(page));
        let groups = vec![v1::Group::default()];
        let short =
            v1::AggregateReply { columns: vec![String::new()], groups, ..Default::default() };
        assert_eq!(groups_from_wire(short).unwrap_err().field(), "groups");
    }
}
