//! What a job computes: group-by columns, aggregates, order, dialect and bad-row policy.
//!
//! A [`SpecDraft`] is what people write (JSON, flags); a [`Spec`] is one that has been checked, and
//! the only one that the rest of Tally takes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::dialect::{Delimiter, fold};
use crate::limits::{
    MAX_AGGREGATES, MAX_FIELD_BYTES, MAX_GROUP_COLUMNS, MAX_NAME_BYTES, MAX_TABLE_COLUMNS,
    MAX_TABLE_KEY_COLUMNS,
};
use crate::table::{Table, TableColumn};

/// How the values of a group-by column are read, compared and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum KeyKind {
    /// UTF-8 text, ordered by its bytes. The empty string is a value like any other.
    Text,
    /// A signed 64-bit integer, ordered by value.
    Integer,
    /// A calendar date `YYYY-MM-DD`, ordered by time.
    Date,
}

/// A column that groups.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyColumn {
    /// Its name in the header; matched after trimming and case folding.
    pub name: String,
    /// How its values are read.
    pub kind: KeyKind,
}

/// What is computed of a column within a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum AggregateOp {
    /// The exact sum of an integer column.
    Sum,
    /// The number of records; takes no column.
    Count,
    /// The smallest value of an integer column.
    Min,
    /// The largest value of an integer column.
    Max,
}

/// One output column beside the keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Aggregate {
    /// What is computed.
    pub op: AggregateOp,
    /// Of which column; `None` only for [`AggregateOp::Count`].
    pub column: Option<String>,
    /// The output column's name.
    pub name: String,
}

/// The order of the result's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Order {
    /// By the group-by columns, left to right, ascending.
    #[default]
    Sorted,
    /// The first group-by column's values in order of their first appearance in the input; the
    /// other columns ascending within each.
    FirstSeen,
}

/// How many records may be rejected before the job fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MaxRejects {
    /// At most so many records.
    Count(u64),
    /// At most so many records in a million (`1%` is 10,000).
    PartsPerMillion(u32),
}

impl Default for MaxRejects {
    fn default() -> Self {
        Self::Count(0)
    }
}

impl MaxRejects {
    /// Whether `rejects` of `records` (which include them) are few enough.
    pub fn allows(self, rejects: u64, records: u64) -> bool {
        match self {
            Self::Count(max) => rejects <= max,
            Self::PartsPerMillion(ppm) => {
                u128::from(rejects) * 1_000_000 <= u128::from(records) * u128::from(ppm)
            }
        }
    }
}

impl fmt::Display for MaxRejects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(n) => n.fmt(f),
            Self::PartsPerMillion(ppm) => {
                let (whole, part) = (ppm / 10_000, ppm % 10_000);
                if part == 0 {
                    write!(f, "{whole}%")
                } else {
                    let digits = format!("{part:04}");
                    write!(f, "{whole}.{}%", digits.trim_end_matches('0'))
                }
            }
        }
    }
}

impl FromStr for MaxRejects {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let bad = || SpecError::MaxRejects(text.to_owned());
        let Some(percent) = text.strip_suffix('%') else {
            return text.parse().map(Self::Count).map_err(|_| bad());
        };
        let (whole, part) = percent.split_once('.').unwrap_or((percent, ""));
        if part.len() > 4 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        let whole: u32 = whole.parse().map_err(|_| bad())?;
        let part: u32 = format!("{part:0<4}").parse().map_err(|_| bad())?;
        if whole > 100 || (whole == 100 && part > 0) {
            return Err(bad());
        }
        Ok(Self::PartsPerMillion(whole * 10_000 + part))
    }
}

impl Serialize for MaxRejects {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MaxRejects {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(n) => Ok(Self::Count(n)),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

/// Why a spec was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SpecError {
    /// No group-by column.
    #[error("a spec needs at least one group-by column")]
    NoGroupBy,
    /// Too many columns of one sort.
    #[error("a spec may have at most {max} {what}, this one has {found}")]
    TooMany {
        /// Which sort.
        what: &'static str,
        /// How many there may be.
        max: usize,
        /// How many there are.
        found: usize,
    },
    /// A column or output name that is empty, too long or has a control character.
    #[error(
        "{0:?} can not be a column name: it must have 1 to {max} bytes and no control characters",
        max = MAX_NAME_BYTES
    )]
    BadName(String),
    /// The same column groups twice.
    #[error("the column {0:?} is named twice in group-by")]
    DuplicateKey(String),
    /// Two output columns of the same name.
    #[error("two output columns are named {0:?}; give one another name (COLUMN=NAME)")]
    DuplicateOutput(String),
    /// `sum`, `min` or `max` without a column.
    #[error("the aggregate {0:?} needs a column")]
    MissingColumn(String),
    /// `count` with a column.
    #[error("count takes no column, {0:?} was given")]
    CountColumn(String),
    /// Neither a count nor a percentage.
    #[error("{0:?} is neither a number of rejects nor a percentage such as 0.5%")]
    MaxRejects(String),
    /// Neither `text`, `integer` nor `date`.
    #[error("{0:?} is not a column kind: text, integer and date are")]
    BadKind(String),
    /// A preset that does not exist.
    #[error("there is no preset {0:?}: plays and products are")]
    NoPreset(String),
    /// Rows that no table has.
    #[error("the rows of the spec make no sense: {0}")]
    Rows(String),
    /// Rows in a spec that did not come from the master.
    #[error(
        "rows are written by the master alone, by the definition of a table: name the table instead"
    )]
    ForeignRows,
}

/// A column of the rows that a job takes into a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RowColumn {
    /// Its name in the header; matched after trimming and case folding.
    pub name: String,
    /// What it holds.
    pub kind: KeyKind,
    /// It may hold nothing: an empty field that is no text, or a column that the header has not.
    #[serde(default)]
    pub nullable: bool,
    /// Most bytes that a text in it may have.
    pub max_bytes: u32,
}

/// A spec as people write it, not yet checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SpecDraft {
    /// Columns that group, in output order.
    pub group_by: Vec<KeyColumn>,
    /// Output columns beside the keys; a lone count when empty.
    #[serde(default)]
    pub aggregates: Vec<Aggregate>,
    /// Order of the result.
    #[serde(default)]
    pub order: Order,
    /// The input's delimiter; sniffed from the header when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<Delimiter>,
    /// Bad-row policy.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "0.5%"))]
    pub max_rejects: MaxRejects,
    /// All columns of the table, where the records are rows of one and are not totalled: the last record of
    /// each key is kept whole. The group-by columns are then the table's key. Written by the master, by the
    /// table's definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<Vec<RowColumn>>,
}

impl SpecDraft {
    /// The preset `plays`: Song, Date; sum of Number of Plays as `Total Number of Plays for Date`.
    pub fn plays() -> Self {
        Self {
            group_by: vec![
                KeyColumn { name: "Song".into(), kind: KeyKind::Text },
                KeyColumn { name: "Date".into(), kind: KeyKind::Date },
            ],
            aggregates: vec![Aggregate {
                op: AggregateOp::Sum,
                column: Some("Number of Plays".into()),
                name: "Total Number of Plays for Date".into(),
            }],
            ..Self::default()
        }
    }

    /// The preset `products`: name; count as `no_of_products`.
    pub fn products() -> Self {
        Self {
            group_by: vec![KeyColumn { name: "name".into(), kind: KeyKind::Text }],
            aggregates: vec![Aggregate {
                op: AggregateOp::Count,
                column: None,
                name: "no_of_products".into(),
            }],
            ..Self::default()
        }
    }

    /// What takes a file's records into a table: its key groups, the records of a key are counted, and the
    /// last one is kept.
    pub fn of_table(table: &Table) -> Self {
        let key = |column: &TableColumn| KeyColumn { name: column.name.clone(), kind: column.kind };
        let rows = table.columns().iter().map(|column| RowColumn {
            name: column.name.clone(),
            kind: column.kind,
            nullable: column.nullable,
            // Far below 4 GiB by its constants.
            max_bytes: column.most_bytes() as u32,
        });
        // No column of a table begins with an underscore.
        let taken = table.key_columns().any(|column| fold(&column.name) == "records");
        let name = if taken { "_records" } else { "records" };
        let (op, name) = (AggregateOp::Count, name.to_owned());
        Self {
            group_by: table.key_columns().map(key).collect(),
            aggregates: vec![Aggregate { op, column: None, name }],
            rows: Some(rows.collect()),
            ..Self::default()
        }
    }

    /// A preset by its name.
    ///
    /// # Errors
    /// [`SpecError::NoPreset`] for any name but `plays` and `products`.
    pub fn preset(name: &str) -> Result<Self, SpecError> {
        match name {
            "plays" => Ok(Self::plays()),
            "products" => Ok(Self::products()),
            _ => Err(SpecError::NoPreset(name.to_owned())),
        }
    }

    /// Builds a draft from the short forms that flags and query parameters use: keys as
    /// `NAME[:text|integer|date]`, `sum`, `min` and `max` as `COLUMN[=OUTPUT NAME]`, `count` as an
    /// output name. A key named `Date` is a date unless it says otherwise; every other key is text.
    /// An output name that is not given is `Total COLUMN for LAST KEY` (`Minimum …`, `Maximum …`).
    ///
    /// # Errors
    /// [`SpecError::BadKind`] for an unknown kind.
    pub fn from_short_forms(
        keys: &[String],
        columns: &[(AggregateOp, String)],
        count: Option<&str>,
    ) -> Result<Self, SpecError> {
        let group_by = keys.iter().map(|key| parse_key(key)).collect::<Result<Vec<_>, _>>()?;
        let last = group_by.last().map(|key| key.name.clone()).unwrap_or_default();
        let mut aggregates: Vec<Aggregate> = columns
            .iter()
            .map(|(op, text)| {
                let (column, name) = match text.split_once('=') {
                    Some((column, name)) => (column.trim(), name.trim().to_owned()),
                    None => (text.trim(), format!("{} {} for {last}", op.title(), text.trim())),
                };
                Aggregate { op: *op, column: Some(column.to_owned()), name }
            })
            .collect();
        if let Some(name) = count {
            let name = if name.is_empty() { "Count" } else { name };
            aggregates.push(Aggregate { op: AggregateOp::Count, column: None, name: name.into() });
        }
        Ok(Self { group_by, aggregates, ..Self::default() })
    }
}

fn parse_key(text: &str) -> Result<KeyColumn, SpecError> {
    let (name, kind) = match text.rsplit_once(':') {
        None if fold(text) == "date" => (text, KeyKind::Date),
        None => (text, KeyKind::Text),
        Some((name, "text")) => (name, KeyKind::Text),
        Some((name, "integer")) => (name, KeyKind::Integer),
        Some((name, "date")) => (name, KeyKind::Date),
        Some((_, kind)) => return Err(SpecError::BadKind(kind.to_owned())),
    };
    Ok(KeyColumn { name: name.trim().to_owned(), kind })
}

impl AggregateOp {
    fn title(self) -> &'static str {
        match self {
            Self::Sum => "Total",
            Self::Count => "Count",
            Self::Min => "Minimum",
            Self::Max => "Maximum",
        }
    }
}

/// A checked spec: it has a group-by column and an aggregate, its names are sane and distinct.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Spec(SpecDraft);

impl Spec {
    /// Columns that group, at least one.
    pub fn group_by(&self) -> &[KeyColumn] {
        &self.0.group_by
    }

    /// Output columns beside the keys, at least one.
    pub fn aggregates(&self) -> &[Aggregate] {
        &self.0.aggregates
    }

    /// Order of the result.
    pub fn order(&self) -> Order {
        self.0.order
    }

    /// The delimiter, where it is given and not to be sniffed.
    pub fn delimiter(&self) -> Option<Delimiter> {
        self.0.delimiter
    }

    /// Bad-row policy.
    pub fn max_rejects(&self) -> MaxRejects {
        self.0.max_rejects
    }

    /// The result's header: the keys' names, then the aggregates'.
    pub fn output_names(&self) -> impl Iterator<Item = &str> {
        let keys = self.0.group_by.iter().map(|key| key.name.as_str());
        keys.chain(self.0.aggregates.iter().map(|aggregate| aggregate.name.as_str()))
    }

    /// All columns of the table that the records are rows of, if they are.
    pub fn rows(&self) -> Option<&[RowColumn]> {
        self.0.rows.as_deref()
    }

    /// A draft that somebody else than the master has written.
    ///
    /// # Errors
    /// [`SpecError::ForeignRows`] where it says what only the master may say.
    pub fn refuse_rows(draft: &SpecDraft) -> Result<(), SpecError> {
        if draft.rows.is_some() { Err(SpecError::ForeignRows) } else { Ok(()) }
    }

    /// The draft that this spec was checked from.
    pub fn draft(&self) -> &SpecDraft {
        &self.0
    }

    /// A 64-bit fingerprint of all that shapes a partial (keys, aggregates, order): master and
    /// slave compare it, so that a partial can never be merged into a job of another spec.
    pub fn hash(&self) -> u64 {
        let shape = (&self.0.group_by, &self.0.aggregates, &self.0.order);
        // Structs of strings and enums always serialise.
        let text = match &self.0.rows {
            None => serde_json::to_vec(&shape).unwrap_or_default(),
            Some(rows) => serde_json::to_vec(&(shape, rows)).unwrap_or_default(),
        };
        let digest = Uuid::new_v5(&Uuid::NAMESPACE_OID, &text);
        digest.as_u64_pair().0
    }
}

impl TryFrom<SpecDraft> for Spec {
    type Error = SpecError;

    fn try_from(mut draft: SpecDraft) -> Result<Self, SpecError> {
        if draft.group_by.is_empty() {
            return Err(SpecError::NoGroupBy);
        }
        if draft.aggregates.is_empty() {
            let (op, name) = (AggregateOp::Count, "Count".to_owned());
            draft.aggregates.push(Aggregate { op, column: None, name });
        }
        limit("group-by columns", MAX_GROUP_COLUMNS, draft.group_by.len())?;
        limit("aggregates", MAX_AGGREGATES, draft.aggregates.len())?;
        let mut keys = Vec::new();
        let mut outputs = Vec::new();
        for key in &draft.group_by {
            check_name(&key.name)?;
            distinct(&mut keys, fold(&key.name), || SpecError::DuplicateKey(key.name.clone()))?;
            outputs.push(key.name.clone());
        }
        for aggregate in &draft.aggregates {
            check_name(&aggregate.name)?;
            match (&aggregate.op, &aggregate.column) {
                (AggregateOp::Count, Some(column)) => {
                    return Err(SpecError::CountColumn(column.clone()));
                }
                (AggregateOp::Count, None) => {}
                (_, Some(column)) => check_name(column)?,
                (_, None) => return Err(SpecError::MissingColumn(aggregate.name.clone())),
            }
            let name = aggregate.name.clone();
            distinct(&mut outputs, name.clone(), || SpecError::DuplicateOutput(name))?;
        }
        if let Some(rows) = &draft.rows {
            check_rows(&draft, rows)?;
        }
        Ok(Self(draft))
    }
}

/// What a table's rows must be: distinct columns, the key among them, and their records counted.
fn check_rows(draft: &SpecDraft, rows: &[RowColumn]) -> Result<(), SpecError> {
    let wrong = |problem: &str| Err(SpecError::Rows(problem.to_owned()));
    if rows.is_empty() {
        return wrong("there are none");
    }
    limit("columns of rows", MAX_TABLE_COLUMNS, rows.len())?;
    limit("key columns of rows", MAX_TABLE_KEY_COLUMNS, draft.group_by.len())?;
    let mut names = Vec::new();
    for column in rows {
        check_name(&column.name)?;
        let twice = || SpecError::Rows(format!("{:?} is named twice", column.name));
        distinct(&mut names, fold(&column.name), twice)?;
        if column.max_bytes as usize > MAX_FIELD_BYTES {
            return wrong("a text may have more bytes than a table takes");
        }
    }
    for key in &draft.group_by {
        let column = rows.iter().find(|column| fold(&column.name) == fold(&key.name));
        if column.is_none_or(|column| column.kind != key.kind || column.nullable) {
            return wrong("a key column is not among them as it should be");
        }
    }
    match &draft.aggregates[..] {
        [only] if only.op == AggregateOp::Count && draft.order == Order::Sorted => Ok(()),
        _ => wrong("their records are counted, and in order of the key"),
    }
}

fn limit(what: &'static str, max: usize, found: usize) -> Result<(), SpecError> {
    if found > max { Err(SpecError::TooMany { what, max, found }) } else { Ok(()) }
}

fn check_name(name: &str) -> Result<(), SpecError> {
    let sane = !name.trim().is_empty()
        && name.len() <= MAX_NAME_BYTES
        && !name.chars().any(char::is_control);
    if sane { Ok(()) } else { Err(SpecError::BadName(name.to_owned())) }
}

fn distinct(
    seen: &mut Vec<String>,
    name: String,
    error: impl FnOnce() -> SpecError,
) -> Result<(), SpecError> {
    if seen.contains(&name) {
        return Err(error());
    }
    seen.push(name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_hold() {
        let plays = Spec::try_from(SpecDraft::plays()).unwrap();
        let names: Vec<_> = plays.output_names().collect();
        assert_eq!(names, ["Song", "Date", "Total Number of Plays for Date"]);
        assert!(Spec::try_from(SpecDraft::products()).is_ok());
    }

    #[test]
    fn short_forms_of_the_classic_job_are_the_preset() {
        let keys = ["Song".to_owned(), "Date".to_owned()];
        let sums = [(AggregateOp::Sum, "Number of Plays".to_owned())];
        let draft = SpecDraft::from_short_forms(&keys, &sums, None).unwrap();
        assert_eq!(draft, SpecDraft::plays());
    }

    #[test]
    fn hash_ignores_the_policy_but_not_the_shape() {
        let plays = Spec::try_from(SpecDraft::plays()).unwrap();
        let lenient = SpecDraft { max_rejects: MaxRejects::Count(5), ..SpecDraft::plays() };
        assert_eq!(plays.hash(), Spec::try_from(lenient).unwrap().hash());
        let first_seen = SpecDraft { order: Order::FirstSeen, ..SpecDraft::plays() };
        assert_ne!(plays.hash(), Spec::try_from(first_seen).unwrap().hash());
    }

    #[test]
    fn wrong_specs_are_refused() {
        assert_eq!(Spec::try_from(SpecDraft::default()), Err(SpecError::NoGroupBy));
        let mut twice = SpecDraft::plays();
        twice.group_by.push(KeyColumn { name: " song".into(), kind: KeyKind::Text });
        assert_eq!(Spec::try_from(twice), Err(SpecError::DuplicateKey(" song".into())));
        let mut same = SpecDraft::plays();
        same.aggregates[0].name = "Date".into();
        assert_eq!(Spec::try_from(same), Err(SpecError::DuplicateOutput("Date".into())));
    }

    #[test]
    fn rows_are_those_of_a_table() {
        let table = Table::try_from(crate::table::TableDraft::plays()).unwrap();
        let draft = SpecDraft::of_table(&table);
        let spec = Spec::try_from(draft.clone()).unwrap();
        assert_eq!(spec.output_names().collect::<Vec<_>>(), ["Song", "Date", "records"]);
        assert_eq!(Spec::refuse_rows(&draft), Err(SpecError::ForeignRows));
        let wrong = |change: fn(&mut SpecDraft, &mut Vec<RowColumn>)| {
            let (mut draft, mut rows) = (draft.clone(), draft.rows.clone().unwrap());
            change(&mut draft, &mut rows);
            draft.rows = Some(rows);
            assert!(matches!(Spec::try_from(draft), Err(SpecError::Rows(_))));
        };
        wrong(|_, rows| rows.clear());
        wrong(|_, rows| rows[0].nullable = true);
        wrong(|_, rows| rows[0].kind = KeyKind::Date);
        wrong(|_, rows| rows[2].name = " song".into());
        wrong(|_, rows| rows[2].max_bytes = u32::MAX);
        wrong(|_, rows| drop(rows.remove(1)));
        wrong(|draft, _| draft.order = Order::FirstSeen);
        wrong(|draft, _| {
            draft.aggregates[0].op = AggregateOp::Sum;
            draft.aggregates[0].column = Some("Number of Plays".into());
        });
    }

    #[test]
    fn max_rejects_reads_and_writes() {
        for text in ["0", "17", "1%", "0.5%", "100%", "0.0001%"] {
            assert_eq!(text.parse::<MaxRejects>().unwrap().to_string(), text);
        }
        for text in ["", "%", "-1", "101%", "1.00001%", "x"] {
            assert!(text.parse::<MaxRejects>().is_err(), "{text}");
        }
        assert!(MaxRejects::PartsPerMillion(10_000).allows(1, 100));
        assert!(!MaxRejects::PartsPerMillion(10_000).allows(2, 100));
    }
}
