//! A stream of messages of bytes as it is read.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use prost::Message;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::codec::{Codec, Streaming};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use tally_common::limits::MAX_MESSAGE_BYTES;

use super::decode::{FrameError, Frames, Part, Shape};

/// The one message of a request.
///
/// # Errors
/// Where there is none, or it can not be decoded.
pub async fn request<R: Message + Default + 'static>(body: Body) -> Result<R, Status> {
    let decoder = ProstCodec::<R, R>::default().decoder();
    let mut messages = Streaming::new_request(decoder, body, None, Some(MAX_MESSAGE_BYTES));
    messages.message().await?.ok_or_else(|| Status::internal("the request has no message"))
}

/// What arrives in a request or a response.
#[derive(Debug)]
pub struct Incoming {
    body: Body,
    frames: Frames,
    chunk: Bytes,
    /// It ends with a status.
    is_response: bool,
}

impl Incoming {
    /// The body of a request.
    pub fn request(body: Body, shape: Shape) -> Self {
        Self { body, frames: Frames::new(shape), chunk: Bytes::new(), is_response: false }
    }

    /// The body of a response, whose headers had no status.
    pub(super) fn response(body: Body, shape: Shape) -> Self {
        Self { is_response: true, ..Self::request(body, shape) }
    }

    /// The next part, `None` after the last.
    ///
    /// # Errors
    /// The status that the other side ended with, or how the stream broke off.
    pub async fn next(&mut self) -> Result<Option<Part>, Status> {
        loop {
            if let Some(part) = self.frames.next(&mut self.chunk)? {
                return Ok(Some(part));
            }
            let Some(frame) = self.body.frame().await else { return self.end(None) };
            match frame?.into_data() {
                Ok(data) => self.chunk = data,
                Err(other) => match other.into_trailers() {
                    Ok(trailers) => return self.end(Status::from_header_map(&trailers)),
                    Err(_) => return Err(Status::internal("a frame of no kind that is known")),
                },
            }
        }
    }

    /// The same, within `patience`; what has `stalled` otherwise is named.
    ///
    /// # Errors
    /// `DEADLINE_EXCEEDED`, or as [`Self::next`].
    pub async fn next_within(
        &mut self,
        patience: Duration,
        stalled: &str,
    ) -> Result<Option<Part>, Status> {
        timeout(patience, self.next())
            .await
            .map_err(|_| Status::deadline_exceeded(format!("the {stalled} has stalled")))?
    }

    fn end(&self, status: Option<Status>) -> Result<Option<Part>, Status> {
        match status {
            Some(status) if status.code() != Code::Ok => return Err(status),
            // A connection that was cut cleanly looks like this.
            None if self.is_response => {
                return Err(Status::unknown("the answer broke off: it has no status"));
            }
            _ => {}
        }
        self.frames.end()?;
        Ok(None)
    }
}

impl From<FrameError> for Status {
    fn from(error: FrameError) -> Self {
        let message = error.to_string();
        match error {
            FrameError::Flag(_) => Self::unimplemented(message),
            FrameError::TooLong(_) => Self::out_of_range(message),
            FrameError::Malformed(_) | FrameError::Cut => Self::internal(message),
        }
    }
}
