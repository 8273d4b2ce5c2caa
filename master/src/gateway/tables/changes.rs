//! Changes of a table: as server-sent events, or a page of them.

use std::convert::Infallible;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header;
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::stream::unfold;
use serde::Serialize;
use serde_json::json;
use tokio::time::timeout;
use utoipa::ToSchema;

use tally_common::api::ChangeView;

use super::super::events::{Place, QUIET, answer, last_event_id, quiet};
use super::super::openapi::{OfChanges, TablePath};
use super::super::problem::Problem;
use super::super::{Answer, App};
use super::{Name, parameters};
use crate::edge::{Following, News};
use crate::feed::frame;

/// Changes on a page, where the client does not say.
const PAGE: u32 = 100;

/// A page of changes.
#[derive(Serialize, ToSchema)]
pub(super) struct ChangesPage {
    /// In order.
    changes: Vec<ChangeView>,
    /// What the next page is `after`.
    next: u64,
}

/// `GET /api/v1/tables/{table}/changes`
#[utoipa::path(
    operation_id = "watch_table",
    get, path = "/api/v1/tables/{table}/changes", tag = "tables",
    params(
        TablePath,
        ("after" = Option<u64>, Query, description = "Those after this one; else those from now on",
            maximum = 9_223_372_036_854_775_807_i64),
        ("limit" = Option<u32>, Query, description = "A page of so many, without waiting",
            minimum = 1, maximum = 10_000),
        ("Last-Event-ID" = Option<String>, Header, description = "The last change that was heard"),
        ("last_event_id" = Option<String>, Query, description = "The same, for those who can set no header"),
    ),
    responses(
        (status = 200, description = "Server-sent events: `change` as they happen, `lost` where some are \
            not kept any more, `dropped`; or a page, where there is a limit or JSON is accepted", content(
            (String = "text/event-stream"),
            (ChangesPage = "application/json"),
        )),
        OfChanges,
    ),
)]
pub(super) async fn changes(State(jobs): App, name: Name, request: Request) -> Answer {
    let Path(name) = name?;
    let last = last_event_id(&request);
    let query = parameters::changes(request.uri().query(), last.as_deref())?;
    let tables = jobs.tables();
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let accepts = |name: &str| accept.is_some_and(|accept| accept.contains(name));
    if query.limit.is_some() || (accepts("application/json") && !accepts("text/event-stream")) {
        let after = match query.after {
            Some(after) => after,
            None => *tables.watch(&name)?.borrow(),
        };
        let changes = tables.changes(&name, after, query.limit.unwrap_or(PAGE)).await?;
        let next = changes.last().map_or(after, |change| change.version);
        return Ok(Json(ChangesPage { changes, next }).into_response());
    }
    let following = Following::start(tables.clone(), &name, query.after)?;
    let stream = Stream { following: Some(following), _place: Place::take("table_changes")? };
    Ok(answer(Body::from_stream(unfold(stream, async |mut stream| {
        let frames = stream.next().await?;
        Some((Ok::<_, Infallible>(frames), stream))
    }))))
}

/// The stream of a table's changes.
struct Stream {
    /// `None` once the last event is out.
    following: Option<Following>,
    _place: Place,
}

impl Stream {
    /// What is sent next: changes that are there at once by one write. What a listener has not taken waits
    /// in the store.
    async fn next(&mut self) -> Option<Bytes> {
        let following = self.following.as_mut()?;
        match timeout(QUIET, following.next()).await {
            Ok(Ok(News::Changes(changes))) => Some(frames(&changes)),
            Ok(Ok(News::Lost(version))) => {
                let json = json!({ "version": version }).to_string();
                Some(frame("lost", &version.to_string(), json.as_bytes()))
            }
            Ok(Ok(News::Dropped)) => {
                self.following = None;
                Some(frame("dropped", "", b"{}"))
            }
            Ok(Err(error)) => {
                // The status is out already: whoever comes back is told by it.
                let _ = Problem::from(error);
                None
            }
            Err(_) => Some(quiet()),
        }
    }
}

fn frames(changes: &[ChangeView]) -> Bytes {
    let mut frames = Vec::new();
    for change in changes {
        // What is shown has no maps with keys that are not text: it can always be written.
        let json = serde_json::to_vec(change).unwrap_or_default();
        frames.extend_from_slice(&frame("change", &change.version.to_string(), &json));
    }
    frames.into()
}
