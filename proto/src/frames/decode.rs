//! From gRPC messages of bytes to these bytes, in the pieces in which they arrive. Pure: it is handed
//! chunks cut anywhere, and keeps nothing but headers.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use tally_common::limits::MAX_MESSAGE_BYTES;

/// Bytes before each message: a flag, and its length.
pub(super) const PREFIX_BYTES: usize = 5;

/// The field of a frame that holds compressed bytes, where it has one.
pub(super) const PACKED: u32 = 3;

/// What the messages of a stream look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The field that holds a header, itself a message.
    pub header: Option<u32>,
    /// The field that holds bytes.
    pub data: u32,
    /// Bytes may be compressed, in a message and a field of their own.
    pub packed: bool,
}

impl Shape {
    /// `TaskFrame`, whose header is the place of the bytes.
    pub const TASK: Self = Self { header: Some(2), data: 1, packed: true };
    /// `DataFrame`, and a `TaskFrame` of bytes.
    pub const DATA: Self = Self { header: None, data: 1, packed: false };
    /// `SubmitFrame`.
    pub const HEADER_AND_DATA: Self = Self { header: Some(1), data: 2, packed: false };
    /// `PartialFrame`.
    pub const PARTIAL: Self = Self { packed: true, ..Self::HEADER_AND_DATA };
}

/// What comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A header, encoded.
    Header(Bytes),
    /// More bytes: a message's, or a part of them.
    Data(Bytes),
    /// Compressed bytes, encoded: a whole `Packed`, for an [`Unpacker`](super::Unpacker).
    Packed(Bytes),
}

/// Why a stream makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A message that is compressed, or has a flag that means nothing.
    #[error("a message has the flag {0}: compressed messages are not taken")]
    Flag(u8),
    /// A message beyond the limit.
    #[error("a message has {0} bytes; at most {MAX_MESSAGE_BYTES} are taken")]
    TooLong(usize),
    /// A message that is no protobuf.
    #[error("a message can not be decoded: {0}")]
    Malformed(&'static str),
    /// The stream ended within a message.
    #[error("the stream ended within a message")]
    Cut,
}

/// Where the decoder stands; what is left of the message does not count what the state itself holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes of the prefix have come.
    Prefix { have: usize, bytes: [u8; PREFIX_BYTES] },
    /// In a field's tag.
    Tag(Varint),
    /// In the length of a field.
    Length { field: u64, length: Varint },
    /// In a number that is of no interest.
    Number(Varint),
    /// So many bytes of no interest follow.
    Skip(usize),
    /// So many bytes of a header follow.
    Header(usize),
    /// So many bytes of a message with compressed data follow.
    Packed(usize),
    /// So many bytes of data follow.
    Data(usize),
}

/// Decodes one stream.
#[derive(Debug)]
pub struct Frames {
    shape: Shape,
    state: State,
    /// Bytes of the message that have not come yet.
    left: usize,
    /// What has come of a header, or of compressed data.
    inner: BytesMut,
}

const START: State = State::Prefix { have: 0, bytes: [0; PREFIX_BYTES] };

impl Frames {
    /// At the start of a stream.
    pub fn new(shape: Shape) -> Self {
        Self { shape, state: START, left: 0, inner: BytesMut::new() }
    }

    /// Takes from `chunk` up to the end of the next part; `None` where it is used up before.
    ///
    /// # Errors
    /// [`FrameError`]; the stream is of no use after that.
    pub fn next(&mut self, chunk: &mut Bytes) -> Result<Option<Part>, FrameError> {
        while !chunk.is_empty() {
            match self.state {
                State::Data(more) => {
                    let data = chunk.split_to(more.min(chunk.len()));
                    self.left -= data.len();
                    self.state = State::Data(more - data.len());
                    self.end_of_field();
                    return Ok(Some(Part::Data(data)));
                }
                State::Header(more) => {
                    let more = self.collect(more, chunk);
                    self.state = State::Header(more);
                    if more == 0 {
                        return Ok(Some(Part::Header(self.take_inner())));
                    }
                }
                State::Packed(more) => {
                    let more = self.collect(more, chunk);
                    self.state = State::Packed(more);
                    if more == 0 {
                        return Ok(Some(Part::Packed(self.take_inner())));
                    }
                }
                State::Skip(more) => {
                    let skipped = more.min(chunk.len());
                    chunk.advance(skipped);
                    self.left -= skipped;
                    self.state = State::Skip(more - skipped);
                    self.end_of_field();
                }
                State::Prefix { have, mut bytes } => {
                    let n = (PREFIX_BYTES - have).min(chunk.len());
                    chunk.copy_to_slice(&mut bytes[have..have + n]);
                    self.state = State::Prefix { have: have + n, bytes };
                    if have + n == PREFIX_BYTES {
                        self.begin(bytes)?;
                    }
                }
                State::Tag(_) | State::Length { .. } | State::Number(_) => {
                    let byte = chunk.get_u8();
                    self.left -= 1;
                    if self.number(byte)? {
                        return Ok(Some(Part::Header(self.take_inner())));
                    }
                }
            }
        }
        Ok(None)
    }

    /// There is no more.
    ///
    /// # Errors
    /// [`FrameError::Cut`] within a message.
    pub fn end(&self) -> Result<(), FrameError> {
        if self.state == START { Ok(()) } else { Err(FrameError::Cut) }
    }

    /// The prefix of a message is there.
    fn begin(&mut self, prefix: [u8; PREFIX_BYTES]) -> Result<(), FrameError> {
        let [flag, length @ ..] = prefix;
        if flag != 0 {
            return Err(FrameError::Flag(flag));
        }
        self.left = u32::from_be_bytes(length) as usize;
        if self.left > MAX_MESSAGE_BYTES {
            return Err(FrameError::TooLong(self.left));
        }
        self.next_field();
        Ok(())
    }

    /// Takes the next byte of a number. `true` where it says that an empty header is there.
    fn number(&mut self, byte: u8) -> Result<bool, FrameError> {
        match self.state {
            State::Tag(tag) => match tag.add(byte)? {
                Ok(tag) => self.tag(tag)?,
                Err(part) => self.state = State::Tag(part),
            },
            State::Number(number) => match number.add(byte)? {
                Ok(_) => self.next_field(),
                Err(part) => self.state = State::Number(part),
            },
            State::Length { field, length } => match length.add(byte)? {
                Ok(length) => return self.field(field, length),
                Err(part) => self.state = State::Length { field, length: part },
            },
            _ => {}
        }
        if self.left == 0 && self.state != START {
            return Err(FrameError::Malformed("it ends within a field"));
        }
        Ok(false)
    }

    fn tag(&mut self, tag: u64) -> Result<(), FrameError> {
        let field = tag >> 3;
        self.state = match tag & 7 {
            0 => State::Number(Varint::default()),
            1 => State::Skip(8),
            2 => State::Length { field, length: Varint::default() },
            5 => State::Skip(4),
            _ => return Err(FrameError::Malformed("a field has no type")),
        };
        match self.state {
            State::Skip(bytes) if bytes > self.left => {
                Err(FrameError::Malformed("a field is longer than its message"))
            }
            _ => Ok(()),
        }
    }

    /// The length of a field is known. `true` where it is an empty header.
    fn field(&mut self, field: u64, length: u64) -> Result<bool, FrameError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > self.left {
            return Err(FrameError::Malformed("a field is longer than its message"));
        }
        if field == u64::from(self.shape.data) {
            self.state = State::Data(length);
        } else if self.shape.header.map(u64::from) == Some(field) {
            self.state = State::Header(length);
            return Ok(length == 0);
        } else if self.shape.packed && field == u64::from(PACKED) {
            self.state = State::Packed(length);
            // No more than a message has, which is bounded.
            self.inner.reserve(length);
        } else {
            self.state = State::Skip(length);
        }
        self.end_of_field();
        Ok(false)
    }

    /// Takes what has come of `more` bytes; gives how many are still to come.
    fn collect(&mut self, more: usize, chunk: &mut Bytes) -> usize {
        let part = chunk.split_to(more.min(chunk.len()));
        self.left -= part.len();
        self.inner.extend_from_slice(&part);
        more - part.len()
    }

    fn take_inner(&mut self) -> Bytes {
        let inner = self.inner.split().freeze();
        self.end_of_field();
        inner
    }

    /// Goes on where a field has come to its end.
    fn end_of_field(&mut self) {
        if matches!(
            self.state,
            State::Data(0) | State::Skip(0) | State::Header(0) | State::Packed(0)
        ) {
            self.next_field();
        }
    }

    fn next_field(&mut self) {
        self.state = if self.left == 0 { START } else { State::Tag(Varint::default()) };
    }
}

/// A number in the making.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Varint {
    value: u64,
    bytes: u32,
}

impl Varint {
    /// Takes the next byte: gives the number where it is complete, else what there is of it.
    fn add(self, byte: u8) -> Result<Result<u64, Self>, FrameError> {
        const MOST: u32 = 10;
        let value = self.value | u64::from(byte & 0x7f).wrapping_shl(7 * self.bytes);
        let part = Self { value, bytes: self.bytes + 1 };
        match byte {
            ..0x80 => Ok(Ok(value)),
            _ if part.bytes == MOST => Err(FrameError::Malformed("a number has no end")),
            _ => Ok(Err(part)),
        }
    }
}
