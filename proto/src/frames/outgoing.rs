//! A stream of messages of bytes as it is sent.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use http_body::Frame;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use tokio_stream::Stream;
use tonic::Status;
use tonic::codegen::http::{HeaderMap, HeaderValue, Response, header::CONTENT_TYPE};

use super::decode::{PACKED, PREFIX_BYTES};
use crate::v1::Packed;

/// Room for what stands before the bytes of a message: the prefix, a tag and a length.
pub(super) const ENVELOPE_BYTES: usize = PREFIX_BYTES + 5 + 5;

/// A piece of what is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A message that is already in its envelope, as [`message`] and
    /// [`Buffer::enveloped`](super::Buffer::enveloped) make them.
    Message(Bytes),
    /// Bytes for a message of their own: the `data` field of it has this number.
    Data(u32, Bytes),
    /// Compressed bytes for a message of their own.
    Packed(Packed),
}

/// A message in its envelope.
pub fn message(message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + message.encoded_len());
    put_prefix(&mut bytes, message.encoded_len());
    // A BytesMut grows, so there is always room.
    message.encode_raw(&mut bytes);
    bytes.freeze()
}

/// The envelope of a message whose field `field` has `len` bytes.
pub(super) fn envelope(field: u32, len: usize) -> BytesMut {
    let mut inner = BytesMut::with_capacity(ENVELOPE_BYTES);
    encode_key(field, WireType::LengthDelimited, &mut inner);
    encode_varint(len as u64, &mut inner);
    let mut bytes = BytesMut::with_capacity(ENVELOPE_BYTES);
    put_prefix(&mut bytes, inner.len() + len);
    bytes.extend_from_slice(&inner);
    bytes
}

/// The envelope of a message with compressed bytes: all of it but these, which come last.
fn packed_envelope(packed: &Packed) -> BytesMut {
    /// The field of a `Packed` that holds its data.
    const DATA: u32 = 3;
    let (compression, plain_bytes) = (packed.compression, packed.plain_bytes);
    let mut inner = BytesMut::with_capacity(2 * ENVELOPE_BYTES);
    // A BytesMut grows, so there is always room.
    Packed { compression, plain_bytes, data: Bytes::new() }.encode_raw(&mut inner);
    encode_key(DATA, WireType::LengthDelimited, &mut inner);
    encode_varint(packed.data.len() as u64, &mut inner);
    let mut outer = BytesMut::with_capacity(ENVELOPE_BYTES);
    encode_key(PACKED, WireType::LengthDelimited, &mut outer);
    encode_varint((inner.len() + packed.data.len()) as u64, &mut outer);
    let mut bytes = BytesMut::with_capacity(3 * ENVELOPE_BYTES);
    put_prefix(&mut bytes, outer.len() + inner.len() + packed.data.len());
    bytes.extend_from_slice(&outer);
    bytes.extend_from_slice(&inner);
    bytes
}

fn put_prefix(bytes: &mut BytesMut, len: usize) {
    // Not compressed.
    bytes.put_u8(0);
    // Messages are far below 4 GiB: a frame, or a header of a few hundred bytes.
    bytes.put_u32(len as u32);
}

/// The body of a request, or of a response if it `ends_with_status`.
#[derive(Debug)]
pub struct Outgoing<S> {
    pieces: Option<S>,
    /// What follows the envelope that has just been sent.
    data: Option<Bytes>,
    ends_with_status: bool,
}

impl<S> Outgoing<S> {
    /// The body of a request.
    pub fn request(pieces: S) -> Self {
        Self { pieces: Some(pieces), data: None, ends_with_status: false }
    }

    fn response(pieces: S) -> Self {
        Self { pieces: Some(pieces), data: None, ends_with_status: true }
    }
}

/// A response with these pieces, or this error.
pub fn respond<S>(answer: Result<S, Status>) -> Response<tonic::body::Body>
where
    S: Stream<Item = Result<Piece, Status>> + Send + Unpin + 'static,
{
    match answer {
        Ok(pieces) => {
            let mut response = Response::new(tonic::body::Body::new(Outgoing::response(pieces)));
            let grpc = HeaderValue::from_static("application/grpc");
            response.headers_mut().insert(CONTENT_TYPE, grpc);
            response
        }
        Err(status) => status.into_http(),
    }
}

/// A response with this message, or this error.
pub fn respond_once(answer: Result<impl Message, Status>) -> Response<tonic::body::Body> {
    respond(answer.map(|answer| tokio_stream::once(Ok(Piece::Message(message(&answer))))))
}

impl<S> http_body::Body for Outgoing<S>
where
    S: Stream<Item = Result<Piece, Status>> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(data) = self.data.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let Some(pieces) = &mut self.pieces else { return Poll::Ready(None) };
        let status = match ready!(Pin::new(pieces).poll_next(context)) {
            Some(Ok(Piece::Message(bytes))) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Some(Ok(Piece::Data(field, data))) => {
                let envelope = envelope(field, data.len()).freeze();
                self.data = Some(data).filter(|data| !data.is_empty());
                return Poll::Ready(Some(Ok(Frame::data(envelope))));
            }
            Some(Ok(Piece::Packed(packed))) => {
                let envelope = packed_envelope(&packed).freeze();
                self.data = Some(packed.data).filter(|data| !data.is_empty());
                return Poll::Ready(Some(Ok(Frame::data(envelope))));
            }
            Some(Err(status)) => status,
            None => Status::ok(""),
        };
        self.pieces = None;
        if !self.ends_with_status {
            let failed = status.code() != tonic::Code::Ok;
            return Poll::Ready(failed.then_some(Err(status)));
        }
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }
}
