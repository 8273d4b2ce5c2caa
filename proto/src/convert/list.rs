//! Lists of jobs: what is asked for, and pages.

use tally_common::api::{JobList, JobQuery, JobSort};

use super::jobs::{state_from_wire, state_to_wire};
use super::{WireError, job_from_wire, job_to_wire, priority_from_wire, priority_to_wire, wrong};
use crate::v1;

/// The wire form of a query.
pub fn query_to_wire(query: &JobQuery) -> v1::ListRequest {
    let sort = match query.sort {
        JobSort::Opened => v1::JobSort::Opened,
        JobSort::Ended => v1::JobSort::Ended,
        JobSort::Name => v1::JobSort::Name,
        JobSort::Size => v1::JobSort::Size,
    };
    let priority = |priority: &_| priority_to_wire(*priority) as i32;
    v1::ListRequest {
        states: query.states.iter().map(|state| state_to_wire(*state) as i32).collect(),
        priorities: query.priorities.iter().map(priority).collect(),
        name: query.name.clone().unwrap_or_default(),
        opened_from_ms: query.opened_from.unwrap_or(0),
        opened_before_ms: query.opened_before.unwrap_or(0),
        sort: sort as i32,
        ascending: query.ascending,
        limit: query.limit,
        cursor: query.cursor.clone().unwrap_or_default(),
    }
}

/// A query from the wire; a limit of 0 stays one.
///
/// # Errors
/// [`WireError`] for a state, priority or order without a meaning.
pub fn query_from_wire(wire: v1::ListRequest) -> Result<JobQuery, WireError> {
    let sort = match v1::JobSort::try_from(wire.sort) {
        Ok(v1::JobSort::Unspecified | v1::JobSort::Opened) => JobSort::Opened,
        Ok(v1::JobSort::Ended) => JobSort::Ended,
        Ok(v1::JobSort::Name) => JobSort::Name,
        Ok(v1::JobSort::Size) => JobSort::Size,
        Err(_) => return Err(wrong("sort", "unknown value")),
    };
    let some = |text: String| (!text.is_empty()).then_some(text);
    let states = wire.states.into_iter().map(state_from_wire);
    let priorities = wire.priorities.into_iter().map(priority_from_wire);
    Ok(JobQuery {
        states: states.collect::<Result<_, _>>()?,
        priorities: priorities.collect::<Result<_, _>>()?,
        name: some(wire.name),
        opened_from: (wire.opened_from_ms > 0).then_some(wire.opened_from_ms),
        opened_before: (wire.opened_before_ms > 0).then_some(wire.opened_before_ms),
        sort,
        ascending: wire.ascending,
        limit: wire.limit,
        cursor: some(wire.cursor),
    })
}

/// The wire form of a page.
pub fn list_to_wire(list: &JobList) -> v1::ListReply {
    v1::ListReply {
        jobs: list.jobs.iter().map(job_to_wire).collect(),
        next: list.next.clone().unwrap_or_default(),
    }
}

/// A page from the wire.
///
/// # Errors
/// [`WireError`] for a job that makes no sense.
pub fn list_from_wire(wire: v1::ListReply) -> Result<JobList, WireError> {
    let jobs = wire.jobs.into_iter().map(job_from_wire).collect::<Result<_, _>>()?;
    Ok(JobList { jobs, next: (!wire.next.is_empty()).then_some(wire.next) })
}

#[cfg(test)]
mod tests {
    use tally_common::api::{JobState, Priority};

    use super::*;

    #[test]
    fn queries_come_back() {
        let nothing = v1::ListRequest::default();
        assert_eq!(query_from_wire(nothing), Ok(JobQuery::default()));
        for sort in [JobSort::Opened, JobSort::Ended, JobSort::Name, JobSort::Size] {
            let query = JobQuery {
                states: vec![JobState::Receiving, JobState::Cancelled],
                priorities: vec![Priority::Low, Priority::High],
                name: Some("plays".to_owned()),
                opened_from: Some(7),
                opened_before: Some(u64::MAX),
                sort,
                ascending: true,
                limit: 11,
                cursor: Some("here".to_owned()),
            };
            assert_eq!(query_from_wire(query_to_wire(&query)), Ok(query));
        }
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let wire = v1::ListRequest { sort: 9, ..Default::default() };
        assert_eq!(query_from_wire(wire).unwrap_err().field(), "sort");
        let wire = v1::ListRequest { states: vec![0], ..Default::default() };
        assert_eq!(query_from_wire(wire).unwrap_err().field(), "job.state");
        let wire = v1::ListRequest { priorities: vec![9], ..Default::default() };
        assert_eq!(query_from_wire(wire).unwrap_err().field(), "priority");
    }
}
