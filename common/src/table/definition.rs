//! What a table is: its name, its columns, its key, its aggregates.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::value::{Key, Row, Value, ValueError};
use crate::dialect::fold;
use crate::limits::{
    MAX_TABLE_AGGREGATES, MAX_TABLE_COLUMNS, MAX_TABLE_KEY_COLUMNS, MAX_TABLE_NAME_BYTES,
};
use crate::spec::{Aggregate, AggregateOp, KeyKind};

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TableColumn {
    /// Its name, also in SQL. In a file's header it is found after trimming and case folding.
    pub name: String,
    /// What it holds.
    pub kind: KeyKind,
    /// It may hold nothing (`null`; an empty field of a file, unless it is a text column).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nullable: bool,
    /// It is part of the key. Derived from the table.
    #[serde(skip)]
    pub is_key: bool,
    /// It is part of the key, or an aggregate groups by it. Derived from the table.
    #[serde(skip)]
    pub indexed: bool,
}

impl TableColumn {
    /// A column that is always filled.
    pub fn new(name: &str, kind: KeyKind) -> Self {
        Self { name: name.to_owned(), kind, nullable: false, is_key: false, indexed: false }
    }
}

/// Totals of a table's rows by the values of one column, always current.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AggregateDraft {
    /// Its name, also in SQL: a table of its own. `TABLE_by_COLUMN` where it is not given.
    #[serde(default)]
    pub name: String,
    /// The column that groups.
    pub group_by: String,
    /// What is computed of each group.
    pub values: Vec<Aggregate>,
}

/// A table as people write it, not yet checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TableDraft {
    /// Its name: lower-case letters, digits and `_`, beginning with a letter.
    pub name: String,
    /// The key columns, in order.
    pub key: Vec<String>,
    /// All columns, in order, those of the key included.
    pub columns: Vec<TableColumn>,
    /// Totals that are kept with the rows.
    #[serde(default)]
    pub aggregates: Vec<AggregateDraft>,
}

/// A checked aggregate: columns are indices into the table's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableAggregate {
    /// Its name.
    pub name: String,
    /// Index of the column that groups.
    pub group_by: usize,
    /// What is computed: the operation, the index of its column (`None` for a count) and its name.
    pub values: Vec<(AggregateOp, Option<usize>, String)>,
}

impl TableAggregate {
    /// Whether all that it computes are counts, which can be moved by a difference without looking at what
    /// they are: no count of rows leaves the 64-bit integers.
    pub fn counts_only(&self) -> bool {
        self.values.iter().all(|(op, ..)| *op == AggregateOp::Count)
    }

    /// Whether it has a least or greatest value, which is not to be had from what it was when a row goes.
    pub fn has_extremes(&self) -> bool {
        self.values.iter().any(|(op, ..)| matches!(op, AggregateOp::Min | AggregateOp::Max))
    }
}

/// A checked table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    draft: TableDraft,
    key: Vec<usize>,
    aggregates: Vec<TableAggregate>,
}

/// Why a table was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TableError {
    /// A name that SQL or a path can not have.
    #[error(
        "{0:?} can not be the name of a table or an aggregate: it must have 1 to {max} lower-case letters, \
         digits or _, and begin with a letter", max = MAX_TABLE_NAME_BYTES
    )]
    BadName(String),
    /// A name that Tally has taken.
    #[error("{0:?} is a name that the store uses itself; take another one")]
    Reserved(String),
    /// A column name that is empty, too long, has a control character or begins with `_`.
    #[error(
        "{0:?} can not be a column of a table: it must have 1 to {max} bytes, no control characters, and \
         not begin with _", max = MAX_TABLE_NAME_BYTES
    )]
    BadColumn(String),
    /// Two columns, or two aggregates, of the same name.
    #[error("{0:?} is named twice")]
    Twice(String),
    /// There is no such column.
    #[error("there is no column {0:?} in the table")]
    NoColumn(String),
    /// No key.
    #[error("a table needs at least one key column")]
    NoKey,
    /// A key column that may be null.
    #[error("the key column {0:?} can not be nullable")]
    NullableKey(String),
    /// Too many of something.
    #[error("a table may have at most {max} {what}, this one has {found}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: usize,
        /// How many there are.
        found: usize,
    },
    /// An aggregate without values.
    #[error("the aggregate {0:?} computes nothing")]
    NoValues(String),
    /// An aggregate's value does not fit its column.
    #[error("{0}")]
    Value(String),
    /// A preset that does not exist.
    #[error("there is no preset {0:?}: products and plays are")]
    NoPreset(String),
    /// A file whose header says nothing.
    #[error("{0}")]
    Header(String),
}

/// Names that the store uses for itself.
const RESERVED: [&str; 14] = [
    "gone",
    "ingests",
    "inputs",
    "jobs",
    "keys",
    "messages",
    "operations",
    "row_history",
    "sources",
    "sqlite_sequence",
    "source_items",
    "tables",
    "tally_lock",
    "tasks",
];

impl TableDraft {
    /// The preset `products`: name, sku (the key), description; the aggregate `products_by_name`.
    pub fn products() -> Self {
        let count =
            Aggregate { op: AggregateOp::Count, column: None, name: "no_of_products".into() };
        Self {
            name: "products".into(),
            key: vec!["sku".into()],
            columns: ["name", "sku", "description"]
                .map(|name| TableColumn::new(name, KeyKind::Text))
                .into(),
            aggregates: vec![AggregateDraft {
                name: "products_by_name".into(),
                group_by: "name".into(),
                values: vec![count],
            }],
        }
    }

    /// The preset `plays`: Number of Plays by Song and Date (both the key); the aggregates
    /// `plays_by_song` and `plays_by_date`.
    pub fn plays() -> Self {
        let plays = "Number of Plays";
        let total = |name: &str, group_by: &str| AggregateDraft {
            name: name.into(),
            group_by: group_by.into(),
            values: vec![Aggregate {
                op: AggregateOp::Sum,
                column: Some(plays.into()),
                name: "Total Number of Plays".into(),
            }],
        };
        Self {
            name: "plays".into(),
            key: vec!["Song".into(), "Date".into()],
            columns: vec![
                TableColumn::new("Song", KeyKind::Text),
                TableColumn::new("Date", KeyKind::Date),
                TableColumn::new(plays, KeyKind::Integer),
            ],
            aggregates: vec![total("plays_by_song", "Song"), total("plays_by_date", "Date")],
        }
    }

    /// A preset by its name.
    ///
    /// # Errors
    /// [`TableError::NoPreset`] for any name but `products` and `plays`.
    pub fn preset(name: &str) -> Result<Self, TableError> {
        match name {
            "products" => Ok(Self::products()),
            "plays" => Ok(Self::plays()),
            _ => Err(TableError::NoPreset(name.to_owned())),
        }
    }
}

impl Table {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.draft.name
    }

    /// All columns, in order.
    pub fn columns(&self) -> &[TableColumn] {
        &self.draft.columns
    }

    /// Indices of the key columns, in the key's order; at least one.
    pub fn key(&self) -> &[usize] {
        &self.key
    }

    /// The key columns, in the key's order.
    pub fn key_columns(&self) -> impl Iterator<Item = &TableColumn> {
        self.key.iter().map(|&at| &self.draft.columns[at])
    }

    /// Its aggregates.
    pub fn aggregates(&self) -> &[TableAggregate] {
        &self.aggregates
    }

    /// The draft that this table was checked from, with all names filled in.
    pub fn draft(&self) -> &TableDraft {
        &self.draft
    }

    /// The index of a column by its name, after trimming and case folding.
    pub fn column(&self, name: &str) -> Option<usize> {
        let name = fold(name);
        self.draft.columns.iter().position(|column| fold(&column.name) == name)
    }

    /// An aggregate by its name.
    pub fn aggregate(&self, name: &str) -> Option<&TableAggregate> {
        self.aggregates.iter().find(|aggregate| aggregate.name == name)
    }

    /// The key of a row.
    pub fn key_of(&self, row: &[Value]) -> Key {
        Key(self.key.iter().map(|&at| row[at].clone()).collect())
    }

    /// Reads a key as JSON has it: the value itself, or an array where the key has several columns.
    ///
    /// # Errors
    /// [`ValueError`].
    pub fn key_from_json(&self, json: &serde_json::Value) -> Result<Key, ValueError> {
        let one = std::slice::from_ref(json);
        let values = match json {
            serde_json::Value::Array(values) => values.as_slice(),
            _ => one,
        };
        if values.len() != self.key.len() {
            return Err(ValueError::KeyLength { expected: self.key.len(), found: values.len() });
        }
        let values = self.key_columns().zip(values);
        let values = values.map(|(column, json)| Value::from_json(column, json));
        Ok(Key(values.collect::<Result<_, _>>()?))
    }

    /// Reads a key as a path or a flag has it: the text of its only column, or a JSON array.
    ///
    /// # Errors
    /// [`ValueError`].
    pub fn key_from_text(&self, text: &str) -> Result<Key, ValueError> {
        if self.key.len() > 1 {
            let json = serde_json::from_str(text)
                .map_err(|_| ValueError::KeyLength { expected: self.key.len(), found: 1 })?;
            return self.key_from_json(&json);
        }
        self.key_from_json(&serde_json::Value::String(text.to_owned()))
    }

    /// A row as a JSON object.
    pub fn row_to_json(&self, row: &[Value]) -> serde_json::Map<String, serde_json::Value> {
        let named = self.draft.columns.iter().zip(row);
        named.map(|(column, value)| (column.name.clone(), value.to_json())).collect()
    }

    /// Reads a row that is a JSON object with all columns that must have a value.
    ///
    /// # Errors
    /// [`ValueError`].
    pub fn row_from_json(
        &self,
        json: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<Row, ValueError> {
        let null = serde_json::Value::Null;
        let values = self
            .draft
            .columns
            .iter()
            .map(|column| Value::from_json(column, json.get(&column.name).unwrap_or(&null)));
        values.collect()
    }
}

impl TryFrom<TableDraft> for Table {
    type Error = TableError;

    fn try_from(mut draft: TableDraft) -> Result<Self, TableError> {
        check_name(&draft.name)?;
        limit("columns", MAX_TABLE_COLUMNS, draft.columns.len())?;
        limit("key columns", MAX_TABLE_KEY_COLUMNS, draft.key.len())?;
        limit("aggregates", MAX_TABLE_AGGREGATES, draft.aggregates.len())?;
        let mut folded = Vec::new();
        for column in &mut draft.columns {
            column.name = column.name.trim().to_owned();
            check_column(&column.name)?;
            distinct(&mut folded, fold(&column.name))?;
            (column.is_key, column.indexed) = (false, false);
        }
        let find = |name: &str| {
            let found = folded.iter().position(|known| *known == fold(name));
            found.ok_or_else(|| TableError::NoColumn(name.to_owned()))
        };
        let mut key = Vec::new();
        for name in &draft.key {
            let at = find(name)?;
            if key.contains(&at) {
                return Err(TableError::Twice(name.clone()));
            }
            key.push(at);
        }
        if key.is_empty() {
            return Err(TableError::NoKey);
        }
        let mut names = vec![draft.name.clone()];
        let mut aggregates = Vec::new();
        for aggregate in &mut draft.aggregates {
            let group_by = find(&aggregate.group_by)?;
            if aggregate.name.is_empty() {
                aggregate.name = format!("{}_by_{}", draft.name, plain(&aggregate.group_by));
            }
            check_name(&aggregate.name)?;
            distinct(&mut names, aggregate.name.clone())?;
            aggregates.push(check_aggregate(aggregate, group_by, &draft.columns, find)?);
        }
        for &at in &key {
            let column = &mut draft.columns[at];
            if column.nullable {
                return Err(TableError::NullableKey(column.name.clone()));
            }
            (column.is_key, column.indexed) = (true, true);
        }
        for aggregate in &aggregates {
            draft.columns[aggregate.group_by].indexed = true;
        }
        Ok(Self { draft, key, aggregates })
    }
}

/// A column's name as part of a table's.
fn plain(column: &str) -> String {
    let lower = fold(column);
    lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn check_aggregate(
    draft: &AggregateDraft,
    group_by: usize,
    columns: &[TableColumn],
    find: impl Fn(&str) -> Result<usize, TableError>,
) -> Result<TableAggregate, TableError> {
    if columns[group_by].nullable {
        let column = &columns[group_by].name;
        return Err(TableError::Value(format!(
            "{:?} groups by {column:?}, which may hold nothing: declare that column without nullable",
            draft.name
        )));
    }
    let mut names = vec![fold(&columns[group_by].name)];
    let mut values = Vec::new();
    for Aggregate { op, column, name } in &draft.values {
        check_column(name)?;
        distinct(&mut names, fold(name))?;
        let column = column.as_deref().map(&find).transpose()?;
        match (op, column) {
            (AggregateOp::Count, None) => {}
            (AggregateOp::Count, Some(_)) => {
                return Err(TableError::Value(format!(
                    "{name:?} is a count, which takes no column"
                )));
            }
            (_, None) => return Err(TableError::Value(format!("{name:?} needs a column"))),
            (AggregateOp::Sum, Some(at)) if columns[at].kind != KeyKind::Integer => {
                let column = &columns[at].name;
                return Err(TableError::Value(format!(
                    "{name:?} is the sum of {column:?}, which holds no integers"
                )));
            }
            _ => {}
        }
        values.push((*op, column, name.clone()));
    }
    if values.is_empty() {
        return Err(TableError::NoValues(draft.name.clone()));
    }
    Ok(TableAggregate { name: draft.name.clone(), group_by, values })
}

fn limit(what: &'static str, max: usize, found: usize) -> Result<(), TableError> {
    if found > max { Err(TableError::TooMany { what, max, found }) } else { Ok(()) }
}

fn distinct(known: &mut Vec<String>, name: String) -> Result<(), TableError> {
    if known.contains(&name) {
        return Err(TableError::Twice(name));
    }
    known.push(name);
    Ok(())
}

fn check_name(name: &str) -> Result<(), TableError> {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let begins = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    if !plain || !begins || name.len() > MAX_TABLE_NAME_BYTES {
        return Err(TableError::BadName(name.to_owned()));
    }
    let taken = RESERVED.contains(&name) || name.starts_with("pg_") || name.starts_with("sqlite_");
    if taken { Err(TableError::Reserved(name.to_owned())) } else { Ok(()) }
}

fn check_column(name: &str) -> Result<(), TableError> {
    let sane = !name.is_empty() && name.len() <= MAX_TABLE_NAME_BYTES && !name.starts_with('_');
    if sane && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(TableError::BadColumn(name.to_owned()))
}
