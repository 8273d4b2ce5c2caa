//! Pages: some rows of a table or groups of an aggregate, in some order, from some place on.

use tally_common::api::Comparison;
use tally_common::spec::KeyKind;
use tally_common::table::Value;

use super::quoted;
use crate::store::{Dialect, Param, StoreError, Tx};

/// A column that a page shows, sorts by or has a condition on.
#[derive(Clone, Debug)]
pub(crate) struct Sort {
    /// Its name, not quoted.
    pub(crate) name: String,
    pub(crate) kind: KeyKind,
    pub(crate) nullable: bool,
}

/// A page that is wanted.
#[derive(Clone, Debug)]
pub(crate) struct PageOf {
    /// The SQL table, as SQL has it.
    pub(crate) from: String,
    /// The columns to show.
    pub(crate) columns: Vec<Sort>,
    /// The columns to sort by; the last ones make every row's place its own.
    pub(crate) order: Vec<Sort>,
    pub(crate) descending: bool,
    /// A column, how it is compared, and with what.
    pub(crate) conditions: Vec<(Sort, Comparison, Value)>,
    /// Texts in which something is searched, and what; in lower case.
    pub(crate) search: Option<(Vec<String>, String)>,
    /// The values of `order` in the last row of the page before.
    pub(crate) after: Option<Vec<Value>>,
    pub(crate) limit: u32,
}

/// A row of a page, and its values of the page's order.
pub(crate) type PageRow = (Vec<Value>, Vec<Value>);

/// The least text that is greater than all that begin with `prefix`, in the order of UTF-8; `None` where
/// there is none.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = ((last as u32 + 1)..=char::MAX as u32).find_map(char::from_u32);
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

impl PageOf {
    /// Reads the page: its rows, and one more where there are more.
    pub(crate) async fn read(&self, tx: &mut Tx) -> Result<Vec<PageRow>, StoreError> {
        let dialect = tx.dialect();
        let mut params = Vec::new();
        let conditions = self.conditions(dialect, &mut params);
        let wanted =
            if conditions.is_empty() { "true".to_owned() } else { conditions.join(" and ") };
        let direction = if self.descending { "desc" } else { "asc" };
        let order: Vec<String> = self
            .order
            .iter()
            .flat_map(|sort| place(dialect, sort))
            .map(|(place, _)| format!("{place} {direction}"))
            .collect();
        let all = self.columns.iter().chain(&self.order);
        let selected: Vec<String> = all
            .clone()
            .map(|sort| dialect.read(sort.kind, &format!("t.{}", quoted(&sort.name))))
            .collect();
        let kinds: Vec<KeyKind> = all.map(|sort| sort.kind).collect();
        let sql = format!(
            "select {} from {} t where {wanted} order by {} limit {}",
            selected.join(", "),
            self.from,
            order.join(", "),
            u64::from(self.limit) + 1
        );
        let rows = tx.query(sql, &params, &kinds).await?;
        let split = |mut row: Vec<Value>| {
            let order = row.split_off(self.columns.len());
            (row, order)
        };
        Ok(rows.into_iter().map(split).collect())
    }

    fn conditions(&self, dialect: Dialect, params: &mut Vec<Param>) -> Vec<String> {
        let mut given = |kind: KeyKind, value: Value| {
            params.push(Param::Value(kind, value));
            dialect.written(kind, &format!("${}", params.len()))
        };
        let mut conditions = Vec::new();
        for (column, comparison, value) in &self.conditions {
            let name = format!("t.{}", quoted(&column.name));
            let upper = match (comparison, value) {
                (Comparison::Prefix, Value::Text(prefix)) => after_prefix(prefix),
                _ => None,
            };
            let value = given(column.kind, value.clone());
            conditions.push(match comparison {
                Comparison::Equal => format!("{name} = {value}"),
                Comparison::Prefix | Comparison::From => format!("{name} >= {value}"),
                Comparison::Before => format!("{name} < {value}"),
            });
            if let Some(upper) = upper {
                let upper = given(column.kind, Value::Text(upper.into()));
                conditions.push(format!("{name} < {upper}"));
            }
        }
        if let Some((columns, text)) = &self.search {
            let find = if dialect == Dialect::Sqlite { "instr" } else { "strpos" };
            let any: Vec<String> = columns
                .iter()
                .map(|name| {
                    let text = given(KeyKind::Text, Value::Text(text.as_str().into()));
                    format!("{find}(lower(t.{}), {text}) > 0", quoted(name))
                })
                .collect();
            let any = if any.is_empty() { "false".to_owned() } else { any.join(" or ") };
            conditions.push(format!("({any})"));
        }
        if let Some(after) = &self.after {
            let than = if self.descending { "<" } else { ">" };
            let (mut places, mut values) = (Vec::new(), Vec::new());
            for (sort, value) in self.order.iter().zip(after) {
                for (place, of_null) in place(dialect, sort) {
                    places.push(place);
                    values.push(if of_null {
                        given(KeyKind::Integer, Value::Integer((*value != Value::Null).into()))
                    } else {
                        let value =
                            if *value == Value::Null { least(sort.kind) } else { value.clone() };
                        given(sort.kind, value)
                    });
                }
            }
            conditions.push(format!("({}) {than} ({})", places.join(", "), values.join(", ")));
        }
        conditions
    }
}

/// What stands for nothing, so that it can be compared.
fn least(kind: KeyKind) -> Value {
    match kind {
        KeyKind::Integer => Value::Integer(0),
        KeyKind::Date => Value::Date(0),
        KeyKind::Text => Value::Text("".into()),
    }
}

/// What a column is sorted by: the column, or, where it may hold nothing, first whether it does (marked),
/// for a comparison with nothing has no answer.
fn place(dialect: Dialect, sort: &Sort) -> Vec<(String, bool)> {
    let name = format!("t.{}", quoted(&sort.name));
    if !sort.nullable {
        return vec![(name, false)];
    }
    let least = match (dialect, sort.kind) {
        (_, KeyKind::Integer) => "0",
        (_, KeyKind::Text) => "''",
        (Dialect::Sqlite, KeyKind::Date) => "'1970-01-01'",
        (Dialect::Postgres, KeyKind::Date) => "date '1970-01-01'",
    };
    let there = format!("(case when {name} is null then 0 else 1 end)");
    vec![(there, true), (format!("coalesce({name}, {least})"), false)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_the_next_one_begins() {
        assert_eq!(after_prefix("ab").as_deref(), Some("ac"));
        assert_eq!(after_prefix("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(after_prefix("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(after_prefix("\u{10ffff}"), None);
        assert_eq!(after_prefix(""), None);
    }
}
