//! Files that are sent: streamed from the disk, with `Range`, always as an attachment.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use futures_util::StreamExt;
use tower::ServiceExt;
use tower_http::services::ServeFile;

use super::Answer;
use super::problem::Problem;
use crate::jobs::Download;

/// Sends a CSV file. A browser must never show what strangers have named their songs: hence an
/// attachment, whose own name holds nothing but the job's id.
pub(super) async fn csv(file: Download, what: &str, request: Request) -> Answer {
    let served = ServeFile::new(&file.path).oneshot(request.map(|_| Body::empty())).await;
    let mut response = match served {
        Ok(response) => response.into_response(),
        Err(never) => match never {},
    };
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        let size = response.headers_mut().remove(header::CONTENT_RANGE);
        let mut refusal = Problem::range().into_response();
        refusal.headers_mut().extend(size.map(|size| (header::CONTENT_RANGE, size)));
        return Ok(refusal);
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    let disposition = format!("attachment; filename=\"{what}-{}.csv\"", file.job.id);
    let disposition = HeaderValue::from_str(&disposition)
        .map_err(|error| Problem::bad_request(error.to_string()))?;
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    if what == "totals"
        && let Some(result) = &file.job.result
        && let Ok(etag) = HeaderValue::from_str(&format!("\"{}\"", result.sha256))
    {
        headers.insert(header::ETAG, etag);
    }
    // The job stays as long as somebody reads.
    let lease = file.lease;
    Ok(response.map(|body| {
        Body::from_stream(body.into_data_stream().inspect(move |_| {
            let _kept = &lease;
        }))
    }))
}
