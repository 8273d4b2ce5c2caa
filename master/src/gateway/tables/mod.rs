//! Tables over HTTP: the routes below `/api/v1/tables`, and `/data`.

mod aggregates;
mod changes;
mod data;
mod operations;
mod parameters;
mod problem;
mod rows;
mod text;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use tally_common::api::{Recount, TableView};
use tally_common::table::TableDraft;

use super::openapi::{OfDeclaration, OfTable, TablePath};
use super::problem::Problem;
use super::{Answer, App};
use crate::jobs::Jobs;
pub(super) use operations::whole;

/// Largest declaration of a table, in bytes: columns and aggregates at their bounds have a tenth of it.
const MAX_DECLARATION_BYTES: usize = 256 << 10;

/// The name of a table, as a path has it.
type Name = Result<Path<String>, PathRejection>;

/// The routes of this module.
pub(super) fn routes() -> OpenApiRouter<Jobs> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, drop))
        .routes(routes!(recount))
        .routes(routes!(operations::apply))
        .routes(routes!(rows::page))
        .routes(routes!(rows::row))
        .routes(routes!(rows::history))
        .routes(routes!(aggregates::page))
        .routes(routes!(changes::changes))
        .routes(routes!(data::data))
        .routes(routes!(data::kept))
}

/// All tables.
#[derive(Serialize, ToSchema)]
struct TableList {
    /// By name.
    tables: Vec<TableView>,
}

/// What a table is declared as.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what `declaration` reads")]
enum Declaration {
    /// By a name that Tally knows.
    Preset(Preset),
    /// In full.
    Table(TableDraft),
}

/// A declaration by its name.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Preset {
    /// `products` or `plays`.
    preset: String,
}

/// `GET /api/v1/tables`
#[utoipa::path(
    operation_id = "list_tables",
    get, path = "/api/v1/tables", tag = "tables",
    responses((status = 200, description = "All tables, by name", body = TableList), OfTable),
)]
async fn list(State(jobs): App) -> Answer {
    Ok(Json(TableList { tables: jobs.tables().list().await? }).into_response())
}

/// `POST /api/v1/tables`
#[utoipa::path(
    operation_id = "create_table",
    post, path = "/api/v1/tables", tag = "tables",
    request_body(content = Declaration),
    responses(
        (status = 201, description = "It is declared", body = TableView,
            headers(("Location" = String, description = "The table"))),
        (status = 200, description = "It was declared in the same words before", body = TableView),
        OfDeclaration,
    ),
)]
async fn create(State(jobs): App, request: Request) -> Answer {
    let body = operations::whole(request.into_body(), MAX_DECLARATION_BYTES).await?;
    let draft = declaration(&body)?;
    let known = jobs.tables().table(&draft.name).is_ok();
    let table = jobs.tables().create(draft).await?;
    if known {
        return Ok(Json(table).into_response());
    }
    let location = [(header::LOCATION, format!("/api/v1/tables/{}", table.name))];
    Ok((StatusCode::CREATED, location, Json(table)).into_response())
}

/// Reads a declaration. What is no JSON makes no sense at all; what is none of a table does not hold.
fn declaration(body: &[u8]) -> Result<TableDraft, Problem> {
    let json: serde_json::Value = serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request(format!("the declaration is no JSON: {error}")))?;
    if json.get("preset").is_some() {
        let wrong = |error: serde_json::Error| problem::bad_table(error.to_string());
        let Preset { preset } = serde_json::from_value(json).map_err(wrong)?;
        return TableDraft::preset(&preset).map_err(|error| problem::bad_table(error.to_string()));
    }
    serde_json::from_value(json).map_err(|error| problem::bad_table(error.to_string()))
}

/// `GET /api/v1/tables/{table}`
#[utoipa::path(
    operation_id = "get_table",
    get, path = "/api/v1/tables/{table}", tag = "tables", params(TablePath),
    responses((status = 200, description = "The table", body = TableView), OfTable),
)]
async fn get(State(jobs): App, name: Name) -> Answer {
    let Path(name) = name?;
    Ok(Json(jobs.tables().get(&name).await?).into_response())
}

/// `DELETE /api/v1/tables/{table}`
#[utoipa::path(
    operation_id = "drop_table",
    delete, path = "/api/v1/tables/{table}", tag = "tables", params(TablePath),
    responses(
        (status = 204, description = "It is gone, with its rows, aggregates and history"),
        OfTable,
    ),
)]
async fn drop(State(jobs): App, name: Name) -> Answer {
    let Path(name) = name?;
    jobs.tables().drop(&name).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /api/v1/tables/{table}/recount`
#[utoipa::path(
    operation_id = "recount_table",
    post, path = "/api/v1/tables/{table}/recount", tag = "tables", params(TablePath),
    responses(
        (status = 200, description = "What the rows come to, compared with the aggregates",
            body = Recount),
        OfTable,
    ),
)]
async fn recount(State(jobs): App, name: Name) -> Answer {
    let Path(name) = name?;
    Ok(Json(jobs.tables().recount(&name).await?).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_presets_or_in_full() {
        let read = |json: &str| declaration(json.as_bytes());
        let Ok(preset) = read(r#"{"preset": "plays"}"#) else { panic!("no preset") };
        assert_eq!(preset, TableDraft::plays());
        let full = r#"{"name": "t", "key": ["a"], "columns": [{"name": "a", "kind": "text"}]}"#;
        assert_eq!(read(full).map(|draft| draft.name).ok().as_deref(), Some("t"));
        for bad in [
            "",
            "{",
            "[]",
            "7",
            r#"{"preset": "x"}"#,
            r#"{"preset": "plays", "name": "t"}"#,
            r#"{"preset": 7}"#,
            r#"{"name": "t"}"#,
            r#"{"name": "t", "key": [], "columns": [], "more": 1}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
