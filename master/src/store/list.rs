//! Pages of ended jobs.

use std::fmt::Write as _;

use tally_common::api::{JobQuery, JobSort, JobView};
use tally_common::spec::KeyKind;

use super::line::{Columns, lines};
use super::read::{from_json, job_id};
use super::{Dialect, Param, Store, StoreError};
use crate::jobs::{Place, SortKey};

/// An ended job and where it stands in the order that was asked for.
pub(crate) type Placed = (Place, JobView);

/// A page by a number, and one by a text.
const BY_NUMBER: Columns = &[("id", KeyKind::Text), ("view", KeyKind::Text), PLACE_NUMBER];
const BY_TEXT: Columns =
    &[("id", KeyKind::Text), ("view", KeyKind::Text), ("place", KeyKind::Text)];
const PLACE_NUMBER: (&str, KeyKind) = ("place", KeyKind::Integer);

impl Store {
    /// The ended jobs that a query wants, behind `after`, at most `limit` of them.
    pub(crate) async fn page(
        &self,
        query: &JobQuery,
        after: Option<&Place>,
        limit: u32,
    ) -> Result<Vec<Placed>, StoreError> {
        // Each is a column or an expression of them that never is null: text or a number.
        let (key, columns) = match query.sort {
            JobSort::Opened => ("id", BY_TEXT),
            JobSort::Ended => ("ended_ms", BY_NUMBER),
            JobSort::Name => ("name", BY_TEXT),
            JobSort::Size => ("coalesce(bytes, received_bytes)", BY_NUMBER),
        };
        let sql = format!("select id, view, {key} as place from jobs where view is not null");
        let mut sql = Sql { text: sql, params: Vec::new() };
        conditions(query, self.db().dialect(), &mut sql);
        let (than, order) = if query.ascending { (">", "asc") } else { ("<", "desc") };
        if let Some(after) = after {
            let key_of_after = sql.given(match &after.key {
                SortKey::Text(text) => Param::text(text),
                SortKey::Number(number) => Param::int(*number),
            });
            let id = sql.given(Param::text(&after.id.to_string()));
            sql.push(format_args!(" and ({key}, id) {than} ({key_of_after}, {id})"));
        }
        let limit = sql.given(Param::int(limit.into()));
        sql.push(format_args!(" order by place {order}, id {order} limit {limit}"));
        let placed = lines(self, sql.text, &sql.params, columns).await?.into_iter().map(|line| {
            let id = job_id(line.text("id")?)?;
            let key = match query.sort {
                JobSort::Opened | JobSort::Name => SortKey::Text(line.text("place")?.to_owned()),
                JobSort::Ended | JobSort::Size => SortKey::Number(line.number("place")?),
            };
            Ok((Place { key, id }, from_json("a job", line.text("view")?)?))
        });
        placed.collect()
    }
}

/// A statement in the making, and what it is given.
struct Sql {
    text: String,
    params: Vec<Param>,
}

impl Sql {
    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = self.text.write_fmt(text);
    }

    /// Takes a parameter, and gives the name by which the statement has it.
    fn given(&mut self, param: Param) -> String {
        self.params.push(param);
        format!("${}", self.params.len())
    }
}

fn conditions(query: &JobQuery, dialect: Dialect, sql: &mut Sql) {
    one_of("state", query.states.iter().map(|state| state.as_str()), sql);
    one_of("priority", query.priorities.iter().map(|priority| priority.as_str()), sql);
    if let Some(name) = &query.name {
        let name = sql.given(Param::text(&name.to_ascii_lowercase()));
        let find = if dialect == Dialect::Sqlite { "instr" } else { "strpos" };
        sql.push(format_args!(" and {find}(lower(name), {name}) > 0"));
    }
    if let Some(from) = query.opened_from {
        let from = sql.given(Param::int(from));
        sql.push(format_args!(" and opened_ms >= {from}"));
    }
    if let Some(before) = query.opened_before {
        let before = sql.given(Param::int(before));
        sql.push(format_args!(" and opened_ms < {before}"));
    }
}

fn one_of<'a>(column: &str, values: impl Iterator<Item = &'a str>, sql: &mut Sql) {
    let values: Vec<String> = values.map(|value| sql.given(Param::text(value))).collect();
    if !values.is_empty() {
        sql.push(format_args!(" and {column} in ({})", values.join(", ")));
    }
}
