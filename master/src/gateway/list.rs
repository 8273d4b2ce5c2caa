//! What the query of a list may say.

use tally_common::api::{JobQuery, JobSort, JobState, Priority, parse_timestamp};

use super::problem::Problem;
use crate::jobs::MAX_PAGE;

/// Jobs on a page, where the client does not say.
const PAGE: u32 = 100;

/// Reads the query string of a list of jobs. A parameter that is not known is an error, since a typo would
/// otherwise silently list other jobs.
pub(super) fn parse(query: Option<&str>) -> Result<JobQuery, Problem> {
    let mut wanted = JobQuery { limit: PAGE, ..JobQuery::default() };
    for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match key.as_ref() {
            "state" => wanted.states.extend(words(&key, &value, JobState::parse)?),
            "priority" => wanted.priorities.extend(words(&key, &value, Priority::parse)?),
            "name" => wanted.name = Some(value.into_owned()),
            "opened_from" => wanted.opened_from = Some(time(&key, &value)?),
            "opened_before" => wanted.opened_before = Some(time(&key, &value)?),
            "sort" => wanted.sort = word(&key, &value, JobSort::parse)?,
            "order" => {
                wanted.ascending = word(&key, &value, |value| match value {
                    "asc" => Some(true),
                    "desc" => Some(false),
                    _ => None,
                })?;
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=MAX_PAGE).contains(limit));
                let problem =
                    || Problem::bad_request(format!("limit: a number from 1 to {MAX_PAGE}"));
                wanted.limit = limit.ok_or_else(problem)?;
            }
            "cursor" => wanted.cursor = Some(value.into_owned()),
            _ => {
                let detail = format!("there is no parameter {key:?}; docs/http.md lists them");
                return Err(Problem::bad_request(detail));
            }
        }
    }
    Ok(wanted)
}

/// The query string of the next page.
pub(super) fn next_page(query: Option<&str>, cursor: &str) -> String {
    let mut next = form_urlencoded::Serializer::new(String::new());
    for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if key != "cursor" {
            next.append_pair(&key, &value);
        }
    }
    next.append_pair("cursor", cursor).finish()
}

fn word<T>(key: &str, value: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Problem> {
    let problem = || Problem::bad_request(format!("the parameter {key} can not be {value:?}"));
    parse(value).ok_or_else(problem)
}

/// One or more, separated by commas.
fn words<T>(key: &str, values: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Problem> {
    values.split(',').map(|value| word(key, value, &parse)).collect()
}

fn time(key: &str, value: &str) -> Result<u64, Problem> {
    let problem = || {
        let detail =
            format!("{key}: a time such as 2026-01-31T00:00:00Z, or a day such as 2026-01-31");
        Problem::bad_request(detail)
    };
    parse_timestamp(value).ok_or_else(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_shape_the_list() {
        let query = "state=running,failed&state=merging&priority=high&name=A+b&sort=name&order=asc\
            &limit=7&cursor=x&opened_from=2026-01-31&opened_before=2026-01-31T00:00:01.5Z";
        let wanted = parse(Some(query)).unwrap();
        assert_eq!(wanted.states, [JobState::Running, JobState::Failed, JobState::Merging]);
        assert_eq!(wanted.priorities, [Priority::High]);
        assert_eq!((wanted.name.as_deref(), wanted.cursor.as_deref()), (Some("A b"), Some("x")));
        assert_eq!((wanted.sort, wanted.ascending, wanted.limit), (JobSort::Name, true, 7));
        assert_eq!(wanted.opened_before.unwrap() - wanted.opened_from.unwrap(), 1500);
        assert_eq!(parse(None).unwrap().limit, PAGE);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            "state=done",
            "sort=age",
            "order=up",
            "limit=0",
            "limit=1001",
            "limit=x",
            "opened_from=yesterday",
            "page=2",
        ] {
            assert!(parse(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_next_page_is_asked_for_as_this_one_was() {
        let next = next_page(Some("state=running&cursor=a&name=x%26y"), "b");
        assert_eq!(next, "state=running&name=x%26y&cursor=b");
    }
}
