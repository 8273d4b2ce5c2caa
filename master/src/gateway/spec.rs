//! Specs as requests bring them: query parameters, or a JSON part.

use serde::Deserialize;

use tally_common::api::{IngestMode, Priority};
use tally_common::dialect::Delimiter;
use tally_common::spec::{AggregateOp, MaxRejects, Order, Spec, SpecDraft};

use super::problem::Problem;
use crate::jobs::NewIngest;

/// What the query of a submission may say.
#[derive(Clone, Debug, Default)]
pub(super) struct Params {
    name: Option<String>,
    priority: Priority,
    preset: Option<String>,
    group_by: Vec<String>,
    columns: Vec<(AggregateOp, String)>,
    count: Option<String>,
    order: Option<Order>,
    delimiter: Option<String>,
    max_rejects: Option<String>,
    keep_input: bool,
    table: Option<String>,
    mode: Option<IngestMode>,
    key: Vec<String>,
}

impl Params {
    /// Reads a query string. A parameter may be given more than once where it makes sense; one that
    /// is not known is an error, since a typo would otherwise silently give other totals.
    pub(super) fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let mut params = Self::default();
        for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            params.set(&key, value.into_owned())?;
        }
        Ok(params)
    }

    /// Takes one parameter.
    pub(super) fn set(&mut self, key: &str, value: String) -> Result<(), Problem> {
        match key {
            "name" => self.name = Some(value),
            "priority" => self.priority = word(key, &value)?,
            "preset" => self.preset = Some(value),
            "group_by" => self.group_by.extend(value.split(',').map(str::to_owned)),
            "sum" => self.columns.push((AggregateOp::Sum, value)),
            "min" => self.columns.push((AggregateOp::Min, value)),
            "max" => self.columns.push((AggregateOp::Max, value)),
            "count" => self.count = Some(value),
            "order" => self.order = Some(word(key, &value)?),
            "delimiter" => self.delimiter = Some(value),
            "max_rejects" => self.max_rejects = Some(value),
            "keep_input" => {
                self.keep_input = value
                    .parse()
                    .map_err(|_| Problem::bad_request("the parameter keep_input: true or false"))?;
            }
            "table" if self.table.as_ref().is_some_and(|table| *table != value) => {
                return Err(Problem::bad_request("a file goes into one table, two are named"));
            }
            "table" => self.table = Some(value),
            "mode" => self.mode = Some(word(key, &value)?),
            "key" => self.key.extend(value.split(',').map(|name| name.trim().to_owned())),
            _ => {
                let detail = format!("there is no parameter {key:?}; docs/http.md lists them");
                return Err(Problem::bad_request(detail));
            }
        }
        Ok(())
    }

    /// The table that the file is to fill, if it is.
    pub(super) fn table(&self) -> Option<&str> {
        self.table.as_deref()
    }

    /// The ingest that the parameters describe, with the name of its job.
    pub(super) fn ingest(&self, name: String, table: String) -> Result<NewIngest, Problem> {
        if self.is_shaped() || self.order.is_some() {
            let detail = "a file that fills a table is not totalled: leave group_by, sum, min, max, \
                count and order away";
            return Err(Problem::bad_spec(detail));
        }
        Ok(NewIngest {
            mode: self.mode.unwrap_or_default(),
            preset: self.preset.clone(),
            key: self.key.clone(),
            delimiter: self.delimiter()?,
            max_rejects: self.max_rejects()?.unwrap_or_default(),
            priority: self.priority,
            keep_input: self.keep_input,
            ..NewIngest::new(name, table)
        })
    }

    fn is_shaped(&self) -> bool {
        !self.group_by.is_empty() || !self.columns.is_empty() || self.count.is_some()
    }

    fn delimiter(&self) -> Result<Option<Delimiter>, Problem> {
        let delimiter = self.delimiter.as_ref().map(|delimiter| delimiter.parse()).transpose();
        delimiter.map_err(|error| Problem::bad_spec(format!("delimiter: {error}")))
    }

    fn max_rejects(&self) -> Result<Option<MaxRejects>, Problem> {
        Ok(self.max_rejects.as_ref().map(|max| max.parse()).transpose()?)
    }

    /// The job's name.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Which jobs go first.
    pub(super) fn priority(&self) -> Priority {
        self.priority
    }

    /// Whether its input is to be kept.
    pub(super) fn keep_input(&self) -> bool {
        self.keep_input
    }

    /// The spec: `part` if there is one, else the preset or the columns that the query names, else
    /// the preset `plays`; then what else the query says of it.
    pub(super) fn spec(&self, part: Option<SpecDraft>) -> Result<Spec, Problem> {
        if self.table.is_some() {
            return Err(Problem::bad_request("this is for what is totalled, and not for tables"));
        }
        if self.mode.is_some() || !self.key.is_empty() {
            return Err(Problem::bad_request("mode and key are of a table: name it (table=NAME)"));
        }
        part.as_ref().map_or(Ok(()), Spec::refuse_rows)?;
        let mut draft = match (part, &self.preset, self.is_shaped()) {
            (Some(part), None, false) => part,
            (None, Some(preset), false) => SpecDraft::preset(preset)?,
            (None, None, true) => {
                SpecDraft::from_short_forms(&self.group_by, &self.columns, self.count.as_deref())?
            }
            (None, None, false) => SpecDraft::plays(),
            _ => {
                let detail = "give one of: a spec part, preset, or group_by with its aggregates";
                return Err(Problem::bad_spec(detail));
            }
        };
        if let Some(order) = self.order {
            draft.order = order;
        }
        if let Some(delimiter) = self.delimiter()? {
            draft.delimiter = Some(delimiter);
        }
        if let Some(max) = self.max_rejects()? {
            draft.max_rejects = max;
        }
        Ok(Spec::try_from(draft)?)
    }
}

/// A value that is one of a few words.
fn word<T: for<'de> Deserialize<'de>>(key: &str, value: &str) -> Result<T, Problem> {
    let word = serde_json::Value::String(value.to_owned());
    serde_json::from_value(word)
        .map_err(|error| Problem::bad_request(format!("the parameter {key}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(query: &str) -> Result<Spec, Problem> {
        Params::parse(Some(query))?.spec(None)
    }

    #[test]
    fn the_classic_job_needs_no_parameters() {
        assert_eq!(spec("").unwrap().draft(), &SpecDraft::plays());
        let long = spec("group_by=Song,Date&sum=Number+of+Plays").unwrap();
        assert_eq!(long.draft(), &SpecDraft::plays());
    }

    #[test]
    fn parameters_shape_the_spec() {
        let spec = spec("preset=products&order=first-seen&delimiter=%3B&max_rejects=1%25").unwrap();
        assert_eq!(spec.order(), Order::FirstSeen);
        assert_eq!(spec.delimiter().map(|delimiter| delimiter.byte()), Some(b';'));
        assert_eq!(spec.max_rejects().to_string(), "1%");
    }

    #[test]
    fn a_table_takes_parameters_of_its_own() {
        let params = |query: &str| Params::parse(Some(query)).unwrap();
        let ingest = |query: &str| params(query).ingest("a.csv".into(), "things".into());
        let found = ingest("table=things&mode=replace&key=a,+b&max_rejects=5%25&delimiter=tab");
        let found = found.unwrap();
        assert_eq!((found.mode, found.key), (IngestMode::Replace, vec!["a".into(), "b".into()]));
        assert_eq!(found.max_rejects, MaxRejects::PartsPerMillion(50_000));
        assert_eq!(found.delimiter, Some(Delimiter::Tab));
        assert!(ingest("table=things&group_by=a").is_err());
        assert!(Params::parse(Some("table=a&table=b")).is_err());
        assert!(Params::parse(Some("mode=append")).is_err());
        for query in ["table=a", "mode=merge", "key=a"] {
            assert!(spec(query).is_err(), "{query}");
        }
    }

    #[test]
    fn rows_are_nobodys_but_the_masters() {
        let table = tally_common::table::TableDraft::plays().try_into().unwrap();
        let refused = Params::default().spec(Some(SpecDraft::of_table(&table)));
        assert!(format!("{refused:?}").contains("by the master alone"));
    }

    #[test]
    fn what_is_not_known_or_contradicts_itself_is_refused() {
        for query in ["grup_by=Song", "order=random", "priority=urgent", "preset=songs"] {
            assert!(spec(query).is_err(), "{query}");
        }
        assert!(spec("preset=plays&group_by=Song").is_err());
        assert!(spec("delimiter=x").is_err());
        assert!(spec("sum=Plays").is_err());
    }
}
