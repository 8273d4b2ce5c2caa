//! Pages of jobs: those that have not ended, from the coordinator, and those that have, from the store,
//! in one order.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use std::cmp::Ordering;
use std::sync::Arc;

use tally_common::api::{JobList, JobQuery, JobSort, JobView};
use tally_common::id::JobId;

use super::{Jobs, JobsError};
use crate::coordinator::Message;

/// Most jobs on a page.
pub const MAX_PAGE: u32 = 1000;

/// What an order compares first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SortKey {
    Text(String),
    Number(u64),
}

/// Where a job stands in an order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Place {
    #[serde(rename = "k")]
    pub(crate) key: SortKey,
    #[serde(rename = "i")]
    pub(crate) id: JobId,
}

/// A page's end, as it is given to the client, who is to bring it back as it is.
#[derive(Serialize, Deserialize)]
struct Cursor {
    #[serde(rename = "s")]
    sort: JobSort,
    #[serde(rename = "a")]
    ascending: bool,
    #[serde(flatten)]
    place: Place,
}

impl Cursor {
    fn write(&self) -> String {
        // It has no map with other keys than text, and so always can be written.
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn read(text: &str, query: &JobQuery) -> Result<Place, JobsError> {
        let json = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let cursor = json.and_then(|json| serde_json::from_slice::<Self>(&json).ok());
        let cursor = cursor.ok_or(JobsError::Cursor("it is none that a page before gave"))?;
        let textual = matches!(query.sort, JobSort::Opened | JobSort::Name);
        if (cursor.sort, cursor.ascending) != (query.sort, query.ascending)
            || textual != matches!(cursor.place.key, SortKey::Text(_))
        {
            return Err(JobsError::Cursor("it is of a list in another order"));
        }
        Ok(cursor.place)
    }
}

impl Place {
    fn of(job: &JobView, sort: JobSort) -> Self {
        let key = match sort {
            JobSort::Opened => SortKey::Text(job.id.to_string()),
            // Only asked of jobs that have not ended: these come behind all that have.
            JobSort::Ended => SortKey::Number(i64::MAX as u64),
            JobSort::Name => SortKey::Text(job.name.clone()),
            JobSort::Size => SortKey::Number(job.progress.bytes_received),
        };
        Self { key, id: job.id }
    }
}

/// Whether a query wants a job that has not ended.
fn wants(query: &JobQuery, job: &JobView, opened_ms: Option<u64>) -> bool {
    let any = |empty: bool, found: bool| empty || found;
    let opened = opened_ms.unwrap_or(0);
    any(query.states.is_empty(), query.states.contains(&job.state))
        && any(query.priorities.is_empty(), query.priorities.contains(&job.priority))
        && query
            .name
            .as_ref()
            .is_none_or(|name| job.name.to_ascii_lowercase().contains(&name.to_ascii_lowercase()))
        && query.opened_from.is_none_or(|from| opened >= from)
        && query.opened_before.is_none_or(|before| opened < before)
}

impl Jobs {
    /// A page of jobs.
    ///
    /// # Errors
    /// [`JobsError::Cursor`] where the cursor is not one of this list.
    pub async fn page(&self, query: &JobQuery) -> Result<JobList, JobsError> {
        let limit = query.limit.clamp(1, MAX_PAGE);
        let after = query.cursor.as_ref().map(|cursor| Cursor::read(cursor, query)).transpose()?;
        let in_order = |a: &Place, b: &Place| if query.ascending { a.cmp(b) } else { b.cmp(a) };
        let live = self.ask(|reply| Message::List { reply }).await?;
        // Asked after the others: one that ends in between is there twice, and never missing.
        let ended = match &self.store {
            Some(store) => store.page(query, after.as_ref(), limit + 1).await?,
            None => Vec::new(),
        };
        let live = live.into_iter().filter(|job| {
            let opened = job.id.uuid().get_timestamp().map(|at| {
                let (seconds, nanos) = at.to_unix();
                seconds * 1000 + u64::from(nanos) / 1_000_000
            });
            // Without a store, those that have ended are here, too.
            (self.store.is_none() || !job.state.ended()) && wants(query, job, opened)
        });
        let live = live.map(|job| (Place::of(&job, query.sort), job)).filter(|(place, job)| {
            after.as_ref().is_none_or(|after| in_order(after, place) == Ordering::Less)
                && ended.iter().all(|(_, ended)| ended.id != job.id)
        });
        let live: Vec<(Place, Arc<JobView>)> = live.collect();
        let mut all: Vec<_> =
            ended.into_iter().map(|(place, job)| (place, Arc::new(job))).chain(live).collect();
        all.sort_unstable_by(|(a, _), (b, _)| in_order(a, b));
        let more = all.len() > limit as usize;
        all.truncate(limit as usize);
        let last = all.last().filter(|_| more).map(|(place, _)| Cursor {
            sort: query.sort,
            ascending: query.ascending,
            place: place.clone(),
        });
        let jobs = all.into_iter().map(|(_, job)| Arc::unwrap_or_clone(job)).collect();
        Ok(JobList { jobs, next: last.as_ref().map(Cursor::write) })
    }
}
