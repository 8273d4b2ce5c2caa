//! Rows: pages of them, one by its key, and what one was.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use tally_common::api::{ChangeView, RowView, RowsPage};

use super::super::download::is_known;
use super::super::openapi::{FormulaSafe, OfTable, RowPath, TablePath};
use super::super::{Answer, App};
use super::text::{Form, csv, page_of};
use super::{Name, parameters};

/// What a row was.
#[derive(Serialize, ToSchema)]
pub(super) struct RowHistory {
    /// The newest first, as far back as is kept.
    changes: Vec<ChangeView>,
}

/// `GET /api/v1/tables/{table}/rows`: conditions are `COLUMN=value` (also `COLUMN.prefix`, `COLUMN.from`,
/// `COLUMN.before`), and all of them must hold.
#[utoipa::path(
    operation_id = "list_rows",
    get, path = "/api/v1/tables/{table}/rows", tag = "tables",
    params(
        TablePath,
        ("search" = Option<String>, Query, description = "Some text column has this in it"),
        ("sort" = Option<String>, Query, description = "A column, or _version; else the key"),
        ("order" = Option<String>, Query, description = "asc or desc"),
        ("limit" = Option<u32>, Query, description = "Rows on a page, 100 if not given",
            minimum = 1, maximum = 10_000),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("format" = Option<String>, Query, description = "json or csv; else as Accept says"),
        FormulaSafe,
    ),
    responses(
        (status = 200, description = "A page of rows", content(
            (RowsPage = "application/json"),
            (String = "text/csv"),
        ), headers(("Link" = String, description = "The next page"))),
        OfTable,
    ),
)]
pub(super) async fn page(State(jobs): App, name: Name, request: Request) -> Answer {
    let Path(name) = name?;
    let (uri, headers) = (request.uri(), request.headers());
    let form = Form::wanted(uri.query(), headers, &[Form::Json, Form::Csv])?;
    let table = jobs.tables().table(&name)?;
    let query = parameters::rows(&table, uri.query())?;
    let page = jobs.tables().rows(&name, &query).await?;
    let mut response = if form == Form::Csv {
        let columns: Vec<_> = table.columns().iter().map(|column| column.name.as_str()).collect();
        let null = serde_json::Value::Null;
        let rows = page
            .rows
            .iter()
            .map(|row| columns.iter().map(|column| row.row.get(*column).unwrap_or(&null)));
        csv(&columns, rows)
    } else {
        Json(&page).into_response()
    };
    page_of(&mut response, form, &name, (uri, page.next.as_deref()));
    Ok(response)
}

/// `GET /api/v1/tables/{table}/rows/{key}`
#[utoipa::path(
    operation_id = "get_row",
    get, path = "/api/v1/tables/{table}/rows/{key}", tag = "tables", params(RowPath),
    responses(
        (status = 200, description = "The row", body = RowView,
            headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "It is as the client has it"),
        OfTable,
    ),
)]
pub(super) async fn row(
    State(jobs): App,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Answer {
    let Path((name, key)) = path?;
    let row = jobs.tables().row(&name, &key).await?;
    let tag = format!("\"{}\"", row.version);
    let mut response = if is_known(request.headers(), &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Json(row).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// `GET /api/v1/tables/{table}/rows/{key}/history`
#[utoipa::path(
    operation_id = "get_row_history",
    get, path = "/api/v1/tables/{table}/rows/{key}/history", tag = "tables", params(RowPath),
    responses(
        (status = 200, description = "What the row was, the newest change first", body = RowHistory),
        OfTable,
    ),
)]
pub(super) async fn history(
    State(jobs): App,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Answer {
    let Path((name, key)) = path?;
    let changes = jobs.tables().history(&name, &key).await?;
    Ok(Json(RowHistory { changes }).into_response())
}
