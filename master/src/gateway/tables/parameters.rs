//! What the queries of rows, aggregates and changes may say.

use tally_common::api::{AggregateQuery, Comparison, RowsQuery};
use tally_common::table::Table;

use super::super::problem::Problem;

/// Rows, groups or changes on a page, where the client does not say.
const PAGE: u32 = 100;

/// Most of them on a page.
pub(super) const MAX_PAGE: u32 = 10_000;

/// How a condition is written behind its column.
const COMPARISONS: [(&str, Comparison); 4] = [
    (".equal", Comparison::Equal),
    (".prefix", Comparison::Prefix),
    (".from", Comparison::From),
    (".before", Comparison::Before),
];

/// The parameters of a query, decoded.
pub(super) fn pairs(
    query: Option<&str>,
) -> impl Iterator<Item = (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
}

/// Reads the query of a page of rows. What is no parameter is a column; one that the table has not is an
/// error, since a typo would otherwise silently give other rows. A column that is named as a parameter is
/// asked for as `COLUMN.equal`.
pub(super) fn rows(table: &Table, query: Option<&str>) -> Result<RowsQuery, Problem> {
    let mut wanted = RowsQuery { limit: PAGE, ..RowsQuery::default() };
    for (key, value) in pairs(query) {
        match key.as_ref() {
            "search" => wanted.search = Some(value.into_owned()).filter(|text| !text.is_empty()),
            "sort" => wanted.sort = Some(value.into_owned()),
            "order" => wanted.descending = descending(&value)?,
            "limit" => wanted.limit = limit(&value)?,
            "cursor" => wanted.cursor = Some(value.into_owned()),
            // How it is written, which is not asked here.
            "format" => {}
            _ => {
                let (column, comparison) = condition(table, &key)?;
                wanted.conditions.push((column, comparison, value.into_owned()));
            }
        }
    }
    Ok(wanted)
}

/// A column and a comparison; a name that is a column as it stands is that column.
fn condition(table: &Table, key: &str) -> Result<(String, Comparison), Problem> {
    let name = |at: usize| table.columns()[at].name.clone();
    if let Some(at) = table.column(key) {
        return Ok((name(at), Comparison::Equal));
    }
    let found = COMPARISONS.iter().find_map(|(suffix, comparison)| {
        let at = table.column(key.strip_suffix(suffix)?)?;
        Some((name(at), *comparison))
    });
    found.ok_or_else(|| {
        let known: Vec<_> = table.columns().iter().map(|column| column.name.as_str()).collect();
        Problem::bad_request(format!(
            "{key:?} is neither a parameter (search, sort, order, limit, cursor, format) nor a column of the \
             table, which has {}; conditions are COLUMN, COLUMN.prefix, COLUMN.from and COLUMN.before",
            known.join(", ")
        ))
    })
}

/// Reads the query of a page of groups.
pub(super) fn groups(query: Option<&str>) -> Result<AggregateQuery, Problem> {
    let mut wanted = AggregateQuery { limit: PAGE, ..AggregateQuery::default() };
    for (key, value) in pairs(query) {
        match key.as_ref() {
            "group" => wanted.group = Some(value.into_owned()),
            "prefix" => wanted.prefix = Some(value.into_owned()).filter(|text| !text.is_empty()),
            "sort" => wanted.sort = Some(value.into_owned()),
            "order" => wanted.descending = descending(&value)?,
            "limit" => wanted.limit = limit(&value)?,
            "cursor" => wanted.cursor = Some(value.into_owned()),
            "format" => {}
            _ => {
                let detail = format!(
                    "there is no parameter {key:?}: group, prefix, sort, order, limit, cursor and format are"
                );
                return Err(Problem::bad_request(detail));
            }
        }
    }
    Ok(wanted)
}

/// Which changes are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChangesQuery {
    pub(super) after: Option<u64>,
    /// A page of so many, and no stream.
    pub(super) limit: Option<u32>,
}

/// Reads the query of changes; `last` is where a listener says that it wants to go on.
pub(super) fn changes(query: Option<&str>, last: Option<&str>) -> Result<ChangesQuery, Problem> {
    let mut wanted = ChangesQuery { after: None, limit: None };
    for (key, value) in pairs(query) {
        match key.as_ref() {
            "after" => wanted.after = Some(version("after", &value)?),
            "limit" => wanted.limit = Some(limit(&value)?),
            "last_event_id" => {}
            _ => {
                let detail =
                    format!("there is no parameter {key:?}: after, limit and last_event_id are");
                return Err(Problem::bad_request(detail));
            }
        }
    }
    // What a browser says when it comes back is newer than what its page said.
    if let Some(last) = last.filter(|last| !last.is_empty()) {
        wanted.after = Some(version("Last-Event-ID", last)?);
    }
    Ok(wanted)
}

fn version(name: &str, value: &str) -> Result<u64, Problem> {
    // Numbers that the store can hold.
    let version = value.parse().ok().filter(|version| *version <= i64::MAX as u64);
    version.ok_or_else(|| Problem::bad_request(format!("{name}: the number of a change")))
}

fn limit(value: &str) -> Result<u32, Problem> {
    let limit = value.parse().ok().filter(|limit| (1..=MAX_PAGE).contains(limit));
    limit.ok_or_else(|| Problem::bad_request(format!("limit: a number from 1 to {MAX_PAGE}")))
}

fn descending(value: &str) -> Result<bool, Problem> {
    match value {
        "asc" => Ok(false),
        "desc" => Ok(true),
        _ => Err(Problem::bad_request("order: asc or desc")),
    }
}

#[cfg(test)]
mod tests {
    use tally_common::spec::KeyKind;
    use tally_common::table::{TableColumn, TableDraft};

    use super::*;

    #[test]
    fn columns_are_conditions() {
        let mut draft = TableDraft::plays();
        draft.columns.push(TableColumn::new("limit", KeyKind::Text));
        draft.columns.push(TableColumn::new("a.from", KeyKind::Text));
        let table = draft.try_into().unwrap();
        let query = "song=A%26B&Date.from=2026-01-01&date.before=2026-02-01&SONG.prefix=x\
            &a.from=1&a.from.from=2&limit.equal=3&limit=7&search=q&sort=Date&order=desc&cursor=c&format=csv";
        let wanted = rows(&table, Some(query)).unwrap();
        let condition = |column: &str, comparison, value: &str| {
            (column.to_owned(), comparison, value.to_owned())
        };
        let conditions = [
            condition("Song", Comparison::Equal, "A&B"),
            condition("Date", Comparison::From, "2026-01-01"),
            condition("Date", Comparison::Before, "2026-02-01"),
            condition("Song", Comparison::Prefix, "x"),
            condition("a.from", Comparison::Equal, "1"),
            condition("a.from", Comparison::From, "2"),
            condition("limit", Comparison::Equal, "3"),
        ];
        assert_eq!(wanted.conditions, conditions);
        assert_eq!((wanted.limit, wanted.descending), (7, true));
        assert_eq!(wanted.search.as_deref(), Some("q"));
        assert_eq!(rows(&table, None).unwrap().limit, PAGE);
        for bad in ["colour=red", "Song.like=x", "limit=0", "limit=10001", "order=up", "limit=-1"] {
            assert!(rows(&table, Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn groups_and_changes_have_parameters() {
        let wanted = groups(Some("group=&prefix=a&sort=n&order=asc&limit=10000&cursor=c")).unwrap();
        assert_eq!((wanted.group.as_deref(), wanted.limit), (Some(""), 10_000));
        assert!(groups(Some("song=x")).is_err());
        let wanted = changes(Some("after=7&limit=5"), None).unwrap();
        assert_eq!(wanted, ChangesQuery { after: Some(7), limit: Some(5) });
        assert_eq!(changes(Some("after=7"), Some("9")).unwrap().after, Some(9));
        assert_eq!(changes(None, None).unwrap(), ChangesQuery { after: None, limit: None });
        for (query, last) in
            [("after=-1", None), ("after=9223372036854775808", None), ("x=1", None)]
        {
            assert!(changes(Some(query), last).is_err(), "{query}");
        }
        assert!(changes(None, Some("end")).is_err());
    }
}
