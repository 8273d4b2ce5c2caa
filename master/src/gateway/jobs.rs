//! The routes below `/api/v1`.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{AppendHeaders, IntoResponse};
use serde::Serialize;
use utoipa::ToSchema;

use tally_common::api::{
    ClusterView, FullReceipt, History, JobList, JobSort, JobView, Look, Summary, TaskView,
};
use tally_common::id::JobId;

use super::formulas::{Plain, Wished};
use super::look::{self, Asked};
use super::openapi::{
    Any, FormulaSafe, JobPath, OfFile, OfInput, OfJob, OfState, Repeatable, SpecParams,
};
use super::problem::Problem;
use super::submit::Submission;
use super::{Answer, App, download, list, submit, upload};

/// A form with an input.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `upload` reads part by part")]
pub(super) struct SubmitForm {
    /// What to compute, as JSON; comes before the file.
    spec: Option<String>,
    /// The CSV, plain, gzip or zstd.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// Which way a list is sorted.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "it describes what `list` reads")]
enum Direction {
    Asc,
    Desc,
}

/// How a result is written.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `formats` knows")]
enum FormatName {
    #[schema(rename = "csv")]
    Csv,
    #[schema(rename = "csv.gz")]
    CsvGz,
    #[schema(rename = "jsonl")]
    JsonLines,
    #[schema(rename = "arrow")]
    Arrow,
    #[schema(rename = "parquet")]
    Parquet,
    /// Of some rows only.
    #[schema(rename = "json")]
    Json,
}

/// The tasks of a job.
#[derive(Serialize, ToSchema)]
pub(super) struct TaskList {
    tasks: Vec<TaskView>,
}

/// The `{id}` of a route.
pub(super) type Id = Result<Path<String>, PathRejection>;

/// The job that a route names. What is no UUID is no job: 404, not 400.
pub(super) fn job_id(id: Id) -> Result<JobId, Problem> {
    let Path(id) = id?;
    id.parse().map_err(|_| Problem::not_found(format!("there is no job {id:?}")))
}

/// `POST /api/v1/jobs`
#[utoipa::path(
    operation_id = "submit_job",
    post, path = "/api/v1/jobs", tag = "jobs", params(SpecParams, Repeatable),
    request_body(
        description = "The CSV itself, plain, gzip or zstd; or a form with an optional part `spec` (JSON) \
            and then the part `file`; or JSON that says where it lies",
        content(
            (String = "text/csv", example = "Song,Date,Number of Plays\nA,2026-01-31,12\n"),
            (String = "application/octet-stream"),
            (SubmitForm = "multipart/form-data"),
            (Submission = "application/json"),
        ),
    ),
    responses(
        (status = 202, description = "All of it has arrived, and is being counted", body = JobView,
            headers(("Location" = String, description = "The job"))),
        OfInput,
    ),
)]
pub(super) async fn submit(State(jobs): App, request: Request) -> Answer {
    let id = if submit::is_json(&request) {
        submit::receive(&jobs, request).await?
    } else {
        upload::receive(&jobs, request).await?
    };
    let job = jobs.get(id).await?;
    let location = [(header::LOCATION, format!("/api/v1/jobs/{id}"))];
    Ok((StatusCode::ACCEPTED, location, Json(&*job)).into_response())
}

/// `POST /api/v1/jobs/{id}/repairs`
#[utoipa::path(
    operation_id = "repair_job",
    post, path = "/api/v1/jobs/{id}/repairs", tag = "jobs", params(JobPath, Repeatable),
    request_body(
        description = "Corrected records, with a header as the input's",
        content((String = "text/csv", example = "Song,Date,Number of Plays\nA,2026-01-31,12\n")),
    ),
    responses(
        (status = 202, description = "They have arrived, and are being counted as a job of their own",
            body = JobView, headers(("Location" = String, description = "The job that repairs"))),
        OfInput,
    ),
)]
pub(super) async fn repair(State(jobs): App, id: Id, request: Request) -> Answer {
    let id = upload::repair(&jobs, job_id(id)?, request).await?;
    let job = jobs.get(id).await?;
    let location = [(header::LOCATION, format!("/api/v1/jobs/{id}"))];
    Ok((StatusCode::ACCEPTED, location, Json(&*job)).into_response())
}

/// `GET /api/v1/jobs/{id}/receipt`
#[utoipa::path(
    operation_id = "get_receipt",
    get, path = "/api/v1/jobs/{id}/receipt", tag = "results", params(JobPath),
    responses(
        (status = 200, description = "What the records came to, task by task", body = FullReceipt),
        OfJob,
    ),
)]
pub(super) async fn receipt(State(jobs): App, id: Id) -> Answer {
    Ok(Json(jobs.receipt(job_id(id)?).await?).into_response())
}

/// `GET /api/v1/jobs/{id}/input`
#[utoipa::path(
    operation_id = "get_input",
    get, path = "/api/v1/jobs/{id}/input", tag = "results", params(JobPath),
    responses(
        (status = 200, description = "The (decompressed) input, where it is kept",
            body = String, content_type = "text/csv"),
        (status = 206, description = "A range of it", body = String, content_type = "text/csv"),
        OfFile,
    ),
)]
pub(super) async fn input(State(jobs): App, id: Id, request: Request) -> Answer {
    let file = jobs.input(job_id(id)?).await?;
    download::csv(file, "input", request).await
}

/// `GET /api/v1/jobs`
#[utoipa::path(
    operation_id = "list_jobs",
    get, path = "/api/v1/jobs", tag = "jobs",
    params(
        ("state" = Option<String>, Query, description = "One or more states, separated by commas"),
        ("priority" = Option<String>, Query, description = "One or more priorities, separated by commas"),
        ("name" = Option<String>, Query, description = "A part of the name, whatever the case"),
        ("opened_from" = Option<String>, Query, description = "Opened then or later: a time or a day, UTC"),
        ("opened_before" = Option<String>, Query, description = "Opened before that: a time or a day, UTC"),
        ("sort" = Option<JobSort>, Query, description = "What to sort by"),
        ("order" = Option<Direction>, Query, description = "The largest or the smallest first"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Jobs on a page [100]"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of jobs", body = JobList,
            headers(("Link" = String, description = "The next page"))),
        Any,
    ),
)]
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
#[utoipa::path(
    operation_id = "list_tasks",
    get, path = "/api/v1/jobs/{id}/tasks", tag = "jobs", params(JobPath),
    responses(
        (status = 200, description = "The tasks one by one, in input order", body = TaskList),
        OfJob,
    ),
)]
pub(super) async fn tasks(State(jobs): App, id: Id) -> Answer {
    let tasks = jobs.tasks(job_id(id)?).await?;
    Ok(Json(TaskList { tasks }).into_response())
}

/// `GET /api/v1/jobs/{id}/history`
#[utoipa::path(
    operation_id = "get_history",
    get, path = "/api/v1/jobs/{id}/history", tag = "jobs", params(JobPath),
    responses(
        (status = 200, description = "How far it was at times: differences are rates", body = History),
        OfJob,
    ),
)]
pub(super) async fn history(State(jobs): App, id: Id) -> Answer {
    Ok(Json(jobs.history(job_id(id)?).await?).into_response())
}

/// `GET /api/v1/cluster`
#[utoipa::path(
    operation_id = "get_cluster",
    get, path = "/api/v1/cluster", tag = "cluster",
    responses((status = 200, description = "What the cluster is doing", body = ClusterView), Any),
)]
pub(super) async fn cluster(State(jobs): App) -> Answer {
    Ok(Json(jobs.cluster().await?).into_response())
}

/// `GET /api/v1/jobs/{id}`
#[utoipa::path(
    operation_id = "get_job",
    get, path = "/api/v1/jobs/{id}", tag = "jobs", params(JobPath),
    responses((status = 200, description = "The job as it is now", body = JobView), OfJob),
)]
pub(super) async fn get(State(jobs): App, id: Id) -> Answer {
    Ok(Json(&*jobs.get(job_id(id)?).await?).into_response())
}

/// `DELETE /api/v1/jobs/{id}`
#[utoipa::path(
    operation_id = "delete_job",
    delete, path = "/api/v1/jobs/{id}", tag = "jobs", params(JobPath),
    responses((status = 204, description = "The job and all its bytes are gone"), OfState),
)]
pub(super) async fn delete(State(jobs): App, id: Id) -> Answer {
    jobs.delete(job_id(id)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /api/v1/jobs/{id}/cancel`
#[utoipa::path(
    operation_id = "cancel_job",
    post, path = "/api/v1/jobs/{id}/cancel", tag = "jobs", params(JobPath),
    responses(
        (status = 200, description = "Cancelled, or ended before that", body = JobView),
        OfJob,
    ),
)]
pub(super) async fn cancel(State(jobs): App, id: Id) -> Answer {
    Ok(Json(&*jobs.cancel(job_id(id)?).await?).into_response())
}

/// `GET /api/v1/jobs/{id}/result`
#[utoipa::path(
    operation_id = "get_result",
    get, path = "/api/v1/jobs/{id}/result", tag = "results",
    params(
        JobPath,
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 10000, description = "So many rows only"),
        ("offset" = Option<u64>, Query, maximum = 9_223_372_036_854_775_807_i64,
            description = "Rows that are passed over"),
        ("prefix" = Option<String>, Query, description = "What the first column begins with"),
        ("song" = Option<String>, Query, description = "Any group-by column, by its name: the value it has"),
        ("partial" = Option<bool>, Query, description = "What has been counted so far"),
        ("format" = Option<FormatName>, Query, description = "How it is written; else by Accept"),
        FormulaSafe,
    ),
    responses(
        (status = 200, description = "The result, or with a limit or conditions some rows of it", content(
            (String = "text/csv", example = "Song,Date,Total Number of Plays for Date\nA,2026-01-31,12\n"),
            (Look = "application/json"),
            (String = "application/x-ndjson"),
            (Vec<u8> = "application/gzip"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
            (Vec<u8> = "application/vnd.apache.parquet"),
        )),
        (status = 206, description = "A range of it", body = String, content_type = "text/csv"),
        (status = 304, description = "It is what the client has"),
        OfFile,
    ),
)]
pub(super) async fn result(State(jobs): App, id: Id, request: Request) -> Answer {
    let id = job_id(id)?;
    match look::parse(request.uri().query())? {
        Asked::Whole => download::result(jobs.result(id).await?, request).await,
        Asked::Partial => {
            let (file, coverage) = jobs.partial(id).await?;
            let Some(coverage) = coverage else {
                return download::result(file, request).await;
            };
            let mut response = download::csv(file, "partial", request).await?;
            if let Ok(covered) = look::covered(&coverage).parse() {
                response.headers_mut().insert("tally-coverage", covered);
            }
            Ok(response)
        }
        Asked::Look(query) => {
            let found = jobs.look(id, query).await?;
            let mut response = look::answer(&found, request.uri(), request.headers());
            if request.extensions().get::<Wished>().is_some() {
                let plain = Plain::of_result(&jobs.get(id).await?.spec);
                response.extensions_mut().insert(plain);
            }
            Ok(response)
        }
    }
}

/// `GET /api/v1/jobs/{id}/result/summary`
#[utoipa::path(
    operation_id = "get_summary",
    get, path = "/api/v1/jobs/{id}/result/summary", tag = "results", params(JobPath),
    responses(
        (status = 200, description = "What stands out in the result, for charts", body = Summary),
        OfState,
    ),
)]
pub(super) async fn summary(State(jobs): App, id: Id) -> Answer {
    Ok(Json(jobs.summary(job_id(id)?).await?).into_response())
}

/// `GET /api/v1/jobs/{id}/rejects`
#[utoipa::path(
    operation_id = "get_rejects",
    get, path = "/api/v1/jobs/{id}/rejects", tag = "results",
    params(
        JobPath,
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 10000, description = "So many only"),
        ("offset" = Option<u64>, Query, maximum = 9_223_372_036_854_775_807_i64,
            description = "Rejects that are passed over"),
        FormulaSafe,
    ),
    responses(
        (status = 200, description = "The records that could not be counted, and why", content(
            (String = "text/csv"),
            (Look = "application/json"),
        )),
        (status = 206, description = "A range of them", body = String, content_type = "text/csv"),
        OfFile,
    ),
)]
pub(super) async fn rejects(State(jobs): App, id: Id, request: Request) -> Answer {
    let id = job_id(id)?;
    if let Some((limit, offset)) = look::parse_page(request.uri().query())? {
        let found = jobs.rejects_page(id, limit, offset).await?;
        let mut response = look::answer(&found, request.uri(), request.headers());
        response.extensions_mut().insert(Plain::of_rejects());
        return Ok(response);
    }
    let file = jobs.rejects(id).await?;
    download::csv(file, "rejects", request).await
}
