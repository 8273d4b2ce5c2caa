//! Specs as requests bring them: query parameters, or a JSON part.

use serde::Deserialize;

use tally_common::api::Priority;
use tally_common::spec::{AggregateOp, Order, Spec, SpecDraft};

use super::problem::Problem;

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
}

impl Params {
    /// Reads a query string. A parameter may be given more than once where it makes sense; one that
    /// is not known is an error, since a typo would otherwise silently give other totals.
    pub(super) fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let mut params = Self::default();
        for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let value = value.into_owned();
            match key.as_ref() {
                "name" => params.name = Some(value),
                "priority" => params.priority = word(&key, &value)?,
                "preset" => params.preset = Some(value),
                "group_by" => params.group_by.extend(value.split(',').map(str::to_owned)),
                "sum" => params.columns.push((AggregateOp::Sum, value)),
                "min" => params.columns.push((AggregateOp::Min, value)),
                "max" => params.columns.push((AggregateOp::Max, value)),
                "count" => params.count = Some(value),
                "order" => params.order = Some(word(&key, &value)?),
                "delimiter" => params.delimiter = Some(value),
                "max_rejects" => params.max_rejects = Some(value),
                "keep_input" => {
                    params.keep_input = value.parse().map_err(|_| {
                        Problem::bad_request("the parameter keep_input: true or false")
                    })?;
                }
                _ => {
                    let detail = format!("there is no parameter {key:?}; docs/http.md lists them");
                    return Err(Problem::bad_request(detail));
                }
            }
        }
        Ok(params)
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
        let shaped = !self.group_by.is_empty() || !self.columns.is_empty() || self.count.is_some();
        let mut draft = match (part, &self.preset, shaped) {
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
        if let Some(delimiter) = &self.delimiter {
            let delimiter = delimiter.parse();
            draft.delimiter =
                Some(delimiter.map_err(|error| Problem::bad_spec(format!("delimiter: {error}")))?);
        }
        if let Some(max) = &self.max_rejects {
            draft.max_rejects = max.parse()?;
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
    fn what_is_not_known_or_contradicts_itself_is_refused() {
        for query in ["grup_by=Song", "order=random", "priority=urgent", "preset=songs"] {
            assert!(spec(query).is_err(), "{query}");
        }
        assert!(spec("preset=plays&group_by=Song").is_err());
        assert!(spec("delimiter=x").is_err());
        assert!(spec("sum=Plays").is_err());
    }
}
