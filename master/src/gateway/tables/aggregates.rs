//! Aggregates, page by page.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::IntoResponse;

use tally_common::api::AggregatePage;

use super::super::openapi::{AggregatePath, FormulaSafe, OfTable};
use super::super::{Answer, App};
use super::parameters;
use super::text::{Form, csv, page_of};

/// `GET /api/v1/tables/{table}/aggregates/{aggregate}`
#[utoipa::path(
    operation_id = "get_aggregate",
    get, path = "/api/v1/tables/{table}/aggregates/{aggregate}", tag = "tables",
    params(
        AggregatePath,
        ("group" = Option<String>, Query, description = "The group of this value only"),
        ("prefix" = Option<String>, Query, description = "The groups that begin with this"),
        ("sort" = Option<String>, Query, description = "A column of the aggregate; else the one that groups"),
        ("order" = Option<String>, Query, description = "asc or desc"),
        ("limit" = Option<u32>, Query, description = "Groups on a page, 100 if not given",
            minimum = 1, maximum = 10_000),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("format" = Option<String>, Query, description = "json or csv; else as Accept says"),
        FormulaSafe,
    ),
    responses(
        (status = 200, description = "A page of groups", content(
            (AggregatePage = "application/json"),
            (String = "text/csv"),
        ), headers(("Link" = String, description = "The next page"))),
        OfTable,
    ),
)]
pub(super) async fn page(
    State(jobs): App,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Answer {
    let Path((name, aggregate)) = path?;
    let (uri, headers) = (request.uri(), request.headers());
    let form = Form::wanted(uri.query(), headers, &[Form::Json, Form::Csv])?;
    let query = parameters::groups(uri.query())?;
    let page = jobs.tables().aggregate(&name, &aggregate, &query).await?;
    let mut response = if form == Form::Csv {
        let columns: Vec<_> = page.columns.iter().map(String::as_str).collect();
        csv(&columns, page.rows.iter().map(|row| row.iter()))
    } else {
        Json(&page).into_response()
    };
    page_of(&mut response, form, &aggregate, (uri, page.next.as_deref()));
    Ok(response)
}
