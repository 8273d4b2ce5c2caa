//! Pages of ended jobs.

use sqlx::{QueryBuilder, Row as _, Sqlite};

use tally_common::api::{JobQuery, JobSort, JobView};

use super::read::{from_json, get, job_id};
use super::{Store, StoreError};
use crate::jobs::{Place, SortKey};

/// An ended job and where it stands in the order that was asked for.
pub(crate) type Placed = (Place, JobView);

impl Store {
    /// The ended jobs that a query wants, behind `after`, at most `limit` of them.
    pub(crate) async fn page(
        &self,
        query: &JobQuery,
        after: Option<&Place>,
        limit: u32,
    ) -> Result<Vec<Placed>, StoreError> {
        // Each is a column or an expression of them that never is null: text or a number.
        let key = match query.sort {
            JobSort::Opened => "id",
            JobSort::Ended => "ended_ms",
            JobSort::Name => "name",
            JobSort::Size => "coalesce(bytes, received_bytes)",
        };
        let mut sql = QueryBuilder::<Sqlite>::new("select id, view, ");
        sql.push(key).push(" as place from jobs where view is not null");
        conditions(query, &mut sql);
        let (than, order) = if query.ascending { (">", "asc") } else { ("<", "desc") };
        if let Some(after) = after {
            sql.push(" and (").push(key).push(", id) ").push(than).push(" (");
            match &after.key {
                SortKey::Text(text) => sql.push_bind(text.clone()),
                SortKey::Number(number) => {
                    sql.push_bind(i64::try_from(*number).unwrap_or(i64::MAX))
                }
            };
            sql.push(", ").push_bind(after.id.to_string()).push(")");
        }
        sql.push(" order by place ").push(order).push(", id ").push(order);
        sql.push(" limit ").push_bind(limit);
        let rows = sql.build().fetch_all(&self.0).await?;
        let placed = rows.iter().map(|row| {
            let id = job_id(get(row, "id")?)?;
            let key = match query.sort {
                JobSort::Opened | JobSort::Name => SortKey::Text(row.try_get("place")?),
                JobSort::Ended | JobSort::Size => {
                    SortKey::Number(row.try_get::<i64, _>("place")?.unsigned_abs())
                }
            };
            Ok((Place { key, id }, from_json("a job", get(row, "view")?)?))
        });
        placed.collect()
    }
}

fn conditions(query: &JobQuery, sql: &mut QueryBuilder<Sqlite>) {
    one_of("state", query.states.iter().map(|state| state.as_str()), sql);
    one_of("priority", query.priorities.iter().map(|priority| priority.as_str()), sql);
    if let Some(name) = &query.name {
        sql.push(" and instr(lower(name), ").push_bind(name.to_ascii_lowercase()).push(") > 0");
    }
    let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    if let Some(from) = query.opened_from {
        sql.push(" and opened_ms >= ").push_bind(ms(from));
    }
    if let Some(before) = query.opened_before {
        sql.push(" and opened_ms < ").push_bind(ms(before));
    }
}

fn one_of<'a>(
    column: &'static str,
    values: impl Iterator<Item = &'a str>,
    sql: &mut QueryBuilder<Sqlite>,
) {
    let mut values = values.peekable();
    if values.peek().is_none() {
        return;
    }
    sql.push(" and ").push(column).push(" in (");
    let mut list = sql.separated(", ");
    for value in values {
        list.push_bind(value.to_owned());
    }
    sql.push(")");
}
