//! Calls of the master that carry bulk bytes.

use prost::Message;
use tokio_stream::{Stream, once};
use tonic::body::Body;
use tonic::codec::{Codec, Streaming};
use tonic::codegen::http::{HeaderValue, Method, Request, Response, Version, header};
use tonic::codegen::{Service, StdError};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use super::decode::Shape;
use super::incoming::Incoming;
use super::outgoing::{Outgoing, Piece, message};
use crate::{Line, trace};
use tally_common::limits::MAX_MESSAGE_BYTES;

/// Asks for a stream of bytes.
///
/// # Errors
/// The master's status, or why it can not be reached.
pub async fn download(
    line: impl Into<Line>,
    path: &'static str,
    request: &impl Message,
    shape: Shape,
) -> Result<Incoming, Status> {
    let pieces = once(Ok(Piece::Message(message(request))));
    let (head, body) = call(line.into(), path, pieces).await?.into_parts();
    // A stream of nothing may have its status here, and no end of its own.
    let ended = Status::from_header_map(&head.headers).is_some();
    let incoming = if ended { Incoming::request } else { Incoming::response };
    Ok(incoming(body, shape))
}

/// Sends a stream of bytes, and gives the answer.
///
/// # Errors
/// The master's status, or why it can not be reached.
pub async fn upload<R: Message + Default + 'static>(
    line: impl Into<Line>,
    path: &'static str,
    pieces: impl Stream<Item = Result<Piece, Status>> + Send + Unpin + 'static,
) -> Result<R, Status> {
    let (head, body) = call(line.into(), path, pieces).await?.into_parts();
    let decoder = ProstCodec::<R, R>::default().decoder();
    let limit = Some(MAX_MESSAGE_BYTES);
    let mut answers = Streaming::new_response(decoder, body, head.status, None, limit);
    let answer = answers.message().await?;
    let answer = answer.ok_or_else(|| Status::internal("the master did not answer"))?;
    // What comes after it is the status.
    match answers.message().await? {
        None => Ok(answer),
        Some(_) => Err(Status::internal("the master answered twice")),
    }
}

async fn call(
    mut line: Line,
    path: &'static str,
    pieces: impl Stream<Item = Result<Piece, Status>> + Send + Unpin + 'static,
) -> Result<Response<Body>, Status> {
    let mut request = Request::new(Body::new(Outgoing::request(pieces)));
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = tonic::codegen::http::Uri::from_static(path);
    let headers = request.headers_mut();
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    trace::to_headers(headers);
    let broken = |error: tonic::transport::Error| Status::from_error(StdError::from(error));
    std::future::poll_fn(|context| line.poll_ready(context)).await.map_err(broken)?;
    let response = line.call(request).await.map_err(broken)?;
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok => Err(status),
        _ => Ok(response),
    }
}
