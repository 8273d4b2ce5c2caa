//! The routes below `/api/v1`.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{AppendHeaders, IntoResponse};
use serde_json::json;

use tally_common::id::JobId;

use super::look::{self, Asked};
use super::problem::Problem;
use super::{Answer, App, download, list, upload};

/// The `{id}` of a route.
pub(super) type Id = Result<Path<String>, PathRejection>;

/// The job that a route names. What is no UUID is no job: 404, not 400.
pub(super) fn job_id(id: Id) -> Result<JobId, Problem> {
    let Path(id) = id?;
    id.parse().map_err(|_| Problem::not_found(format!("there is no job {id:?}")))
}

/// `POST /api/v1/jobs`
pub(super) async fn submit(State(jobs): App, request: Request) -> Answer {
    let id = upload::receive(&jobs, request).await?;
    let job = jobs.get(id).await?;
    let location = [(header::LOCATION, format!("/api/v1/jobs/{id}"))];
    Ok((StatusCode::ACCEPTED, location, Json(&*job)).into_response())
}

/// `POST /api/v1/jobs/{id}/repairs`
pub(super) async fn repair(State(jobs): App, id: Id, request: Request) -> Answer {
    let id = upload::repair(&jobs, job_id(id)?, request).await?;
    let job = jobs.get(id).await?;
    let location = [(header::LOCATION, format!("/api/v1/jobs/{id}"))];
    Ok((StatusCode::ACCEPTED, location, Json(&*job)).into_response())
}

/// `GET /api/v1/jobs/{id}/receipt`
pub(super) async fn receipt(State(jobs): App, id: Id) -> Answer {
    Ok(Json(jobs.receipt(job_id(id)?).await?).into_response())
}

/// `GET /api/v1/jobs/{id}/input`
pub(super) async fn input(State(jobs): App, id: Id, request: Request) -> Answer {
    let file = jobs.input(job_id(id)?).await?;
    download::csv(file, "input", request).await
}

/// `GET /api/v1/jobs`
pub(super) async fn list(State(jobs): App, uri: Uri) -> Answer {
    let page = jobs.page(&list::parse(uri.query())?).await?;
    let link = page.next.as_ref().map(|cursor| {
        let query = list::next_page(uri.query(), cursor);
        AppendHeaders([(header::LINK, format!("</api/v1/jobs?{query}>; rel=\"next\""))])
    });
    let page = Json(page);
    Ok(match link {
        Some(link) => (link, page).into_response(),
        None => page.into_response(),
    })
}

/// `GET /api/v1/jobs/{id}/tasks`
pub(super) async fn tasks(State(jobs): App, id: Id) -> Answer {
    let tasks = jobs.tasks(job_id(id)?).await?;
    Ok(Json(json!({ "tasks": tasks })).into_response())
}

/// `GET /api/v1/jobs/{id}/history`
pub(super) async fn history(State(jobs): App, id: Id) -> Answer {
    Ok(Json(jobs.history(job_id(id)?).await?).into_response())
}

/// `GET /api/v1/cluster`
pub(super) async fn cluster(State(jobs): App) -> Answer {
    Ok(Json(jobs.cluster().await?).into_response())
}

/// `GET /api/v1/jobs/{id}`
pub(super) async fn get(State(jobs): App, id: Id) -> Answer {
    Ok(Json(&*jobs.get(job_id(id)?).await?).into_response())
}

/// `DELETE /api/v1/jobs/{id}`
pub(super) async fn delete(State(jobs): App, id: Id) -> Answer {
    jobs.delete(job_id(id)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /api/v1/jobs/{id}/cancel`
pub(super) async fn cancel(State(jobs): App, id: Id) -> Answer {
    Ok(Json(&*jobs.cancel(job_id(id)?).await?).into_response())
}

/// `GET /api/v1/jobs/{id}/result`
pub(super) async fn result(State(jobs): App, id: Id, request: Request) -> Answer {
    let id = job_id(id)?;
    match look::parse(request.uri().query())? {
        Asked::Whole => download::csv(jobs.result(id).await?, "totals", request).await,
        Asked::Partial => {
            let (file, coverage) = jobs.partial(id).await?;
            let Some(coverage) = coverage else {
                return download::csv(file, "totals", request).await;
            };
            let mut response = download::csv(file, "partial", request).await?;
            if let Ok(covered) = look::covered(&coverage).parse() {
                response.headers_mut().insert("tally-coverage", covered);
            }
            Ok(response)
        }
        Asked::Look(query) => {
            let found = jobs.look(id, query).await?;
            Ok(look::answer(&found, request.uri(), request.headers()))
        }
    }
}

/// `GET /api/v1/jobs/{id}/result/summary`
pub(super) async fn summary(State(jobs): App, id: Id) -> Answer {
    Ok(Json(jobs.summary(job_id(id)?).await?).into_response())
}

/// `GET /api/v1/jobs/{id}/rejects`
pub(super) async fn rejects(State(jobs): App, id: Id, request: Request) -> Answer {
    let id = job_id(id)?;
    if let Some((limit, offset)) = look::parse_page(request.uri().query())? {
        let found = jobs.rejects_page(id, limit, offset).await?;
        return Ok(look::answer(&found, request.uri(), request.headers()));
    }
    let file = jobs.rejects(id).await?;
    download::csv(file, "rejects", request).await
}

/// `GET /api/v1/slaves`
pub(super) async fn slaves(State(jobs): App) -> Answer {
    let slaves = jobs.slaves().await?;
    Ok(Json(json!({ "slaves": slaves })).into_response())
}
