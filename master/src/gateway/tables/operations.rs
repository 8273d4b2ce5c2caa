//! `POST …/operations`: JSON, JSON lines, or CSV. What can be read is applied, in order; what makes no
//! sense is answered in its place.

mod csv;
mod json;
mod lines;

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header;
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::timeout;
use utoipa::ToSchema;

use tally_common::api::{OperationDraft, OperationResults};

use super::super::openapi::{OfOperations, TablePath};
use super::super::problem::Problem;
use super::super::upload::drain;
use super::super::{Answer, App};
use super::Name;
use super::problem::unsupported;
use crate::tables::{MAX_OPERATIONS, TablesError};

/// Largest body that is read as a whole (JSON, CSV), in bytes: 10,000 operations of 1.6 kB.
const MAX_BODY_BYTES: usize = 16 << 20;

/// How long a client may pause within a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// What is sent as JSON.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what `json` reads")]
enum Operations {
    /// One.
    One(OperationDraft),
    /// Several, at most 10,000.
    Several(Vec<OperationDraft>),
    /// The same, named.
    Named {
        /// At most 10,000.
        operations: Vec<OperationDraft>,
    },
}

/// `POST /api/v1/tables/{table}/operations`
#[utoipa::path(
    operation_id = "apply_operations",
    post, path = "/api/v1/tables/{table}/operations", tag = "tables", params(TablePath),
    request_body(
        description = "Operations, applied in their order, each once for its message id",
        content(
            (Operations = "application/json"),
            (String = "application/x-ndjson",
                example = "{\"message_id\":\"m1\",\"op\":\"delete\",\"key\":\"a\"}\n"),
            (String = "text/csv", example = "op,message_id,sku\ndelete,m2,a\n"),
        ),
    ),
    responses(
        (status = 200, description = "What came of each, in their order; of JSON lines as JSON lines",
            content(
                (OperationResults = "application/json"),
                (String = "application/x-ndjson"),
            )),
        OfOperations,
    ),
)]
pub(super) async fn apply(State(jobs): App, name: Name, request: Request) -> Answer {
    let Path(name) = name?;
    let tables = jobs.tables();
    let table = tables.table(&name)?;
    let headers = request.headers();
    let plain = |value: &&[u8]| !value.is_empty() && !value.eq_ignore_ascii_case(b"identity");
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes());
    if encoding.as_ref().is_some_and(plain) {
        return Err(unsupported("operations are sent as they are, without a Content-Encoding"));
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default();
    let kind = kind.trim().to_ascii_lowercase();
    let batch = match kind.as_str() {
        "application/x-ndjson"
        | "application/ndjson"
        | "application/jsonl"
        | "application/x-jsonlines" => {
            return Ok(lines::apply(tables.clone(), name, request.into_body()));
        }
        "" | "application/json" => json::read(&whole(request.into_body(), MAX_BODY_BYTES).await?)?,
        "text/csv" => csv::read(&table, &whole(request.into_body(), MAX_BODY_BYTES).await?)?,
        other => {
            let detail = format!(
                "operations are application/json, application/x-ndjson or text/csv, not {other:?}"
            );
            return Err(unsupported(detail));
        }
    };
    let results = batch.apply(tables, &name).await?;
    Ok(Json(OperationResults { results }).into_response())
}

/// A whole body of a bounded size.
pub(in crate::gateway) async fn whole(body: Body, most: usize) -> Result<Bytes, Problem> {
    let mut pieces = body.into_data_stream();
    let mut all = Vec::new();
    let mut first = Bytes::new();
    loop {
        let piece = match timeout(BODY_TIMEOUT, pieces.next()).await {
            Ok(Some(Ok(piece))) => piece,
            Ok(None) => break,
            Ok(Some(Err(error))) => {
                let broken = || Problem::upload_broke_off(error.to_string());
                return Err(Problem::of_body(&error, broken));
            }
            Err(_) => {
                let seconds = BODY_TIMEOUT.as_secs();
                return Err(Problem::upload_broke_off(format!("no byte came for {seconds} s")));
            }
        };
        if first.len() + all.len() + piece.len() > most {
            drain(&mut pieces).await;
            return Err(Problem::too_large(format!("a body here has at most {most} bytes")));
        }
        // Most bodies come in one piece, which is not copied.
        if first.is_empty() && all.is_empty() {
            first = piece;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&piece);
        }
    }
    Ok(if all.is_empty() { first } else { all.into() })
}

/// Refuses more operations than are taken at a time.
fn check_count(found: usize) -> Result<(), Problem> {
    if found > MAX_OPERATIONS {
        return Err(TablesError::TooMany { found, most: MAX_OPERATIONS }.into());
    }
    Ok(())
}
