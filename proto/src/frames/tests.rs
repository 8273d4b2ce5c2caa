//! What is sent is what a generated encoder sends, and what a generated encoder sends is understood
//! however it is cut.

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::v1::{Packed, PartialFrame, PartialHeader, TaskFrame, partial_frame::Frame};

/// As tonic puts it.
fn encoded(message: &impl Message) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.put_u32(message.encoded_len() as u32);
    message.encode(&mut bytes).unwrap();
    bytes
}

fn header(frame: &PartialHeader) -> PartialFrame {
    PartialFrame { frame: Some(Frame::Header(frame.clone())) }
}

fn data(bytes: &[u8]) -> PartialFrame {
    PartialFrame { frame: Some(Frame::Data(Bytes::copy_from_slice(bytes))) }
}

/// All that comes out of a stream that arrives in pieces of these sizes: the headers and what is
/// compressed, and the data.
fn decoded(
    stream: &[u8],
    shape: Shape,
    cuts: &[usize],
) -> Result<(Vec<Bytes>, Vec<u8>), FrameError> {
    let (mut frames, mut headers, mut all) = (Frames::new(shape), Vec::new(), Vec::new());
    let mut stream = Bytes::copy_from_slice(stream);
    let mut cuts = cuts.iter().cycle();
    while !stream.is_empty() {
        let n = cuts.next().map_or(stream.len(), |n| *n.min(&stream.len()));
        let mut chunk = stream.split_to(n);
        while let Some(part) = frames.next(&mut chunk)? {
            match part {
                Part::Data(data) => all.extend_from_slice(&data),
                Part::Header(inner) | Part::Packed(inner) => headers.push(inner),
            }
        }
    }
    frames.end()?;
    Ok((headers, all))
}

async fn sent(pieces: Vec<Piece>) -> Vec<u8> {
    let pieces = tokio_stream::iter(pieces.into_iter().map(Ok));
    let body = Outgoing::request(pieces).collect().await.unwrap();
    body.to_bytes().to_vec()
}

proptest! {
    #[test]
    fn a_stream_is_read_however_it_is_cut(
        name in prop::collection::vec(any::<u8>(), 0..40),
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6),
        cuts in prop::collection::vec(1usize..50, 1..8),
    ) {
        let head = PartialHeader { message_id: name.into(), bytes: 1 << 40, ..Default::default() };
        let mut stream = encoded(&header(&head));
        for piece in &pieces {
            stream.extend(encoded(&data(piece)));
        }
        let (headers, all) = decoded(&stream, Shape::HEADER_AND_DATA, &cuts).unwrap();
        prop_assert_eq!(headers.len(), 1);
        prop_assert_eq!(PartialHeader::decode(headers[0].clone()).unwrap(), head);
        prop_assert_eq!(all, pieces.concat());
        // Short of its last byte it has not ended.
        let short = &stream[..stream.len() - 1];
        prop_assert_eq!(decoded(short, Shape::HEADER_AND_DATA, &cuts), Err(FrameError::Cut));
    }

    #[test]
    fn whatever_comes_is_refused_or_read(
        stream in prop::collection::vec(any::<u8>(), 0..200),
        len in 0u8..40,
        cuts in prop::collection::vec(1usize..20, 1..4),
    ) {
        let _ = decoded(&stream, Shape::DATA, &cuts);
        let mut framed = vec![0, 0, 0, 0, len];
        framed.extend(&stream);
        let whole = decoded(&framed, Shape::PARTIAL, &[usize::MAX]);
        prop_assert_eq!(whole, decoded(&framed, Shape::PARTIAL, &cuts));
    }
}

#[tokio::test]
async fn what_is_sent_is_what_a_generated_client_sends() {
    let head = PartialHeader { attempt: 3, ..Default::default() };
    for len in [0, 1, 127, 128, 70_000, 1 << 20] {
        let bytes: Vec<u8> = (0..len).map(|byte| byte as u8).collect();
        let pieces = vec![
            Piece::Message(message(&header(&head))),
            Piece::Data(2, Bytes::from(bytes.clone())),
        ];
        let mut expected = encoded(&header(&head));
        expected.extend(encoded(&data(&bytes)));
        assert!(sent(pieces).await == expected, "{len} bytes");
        let mut buffer = Buffer::take();
        assert_eq!(buffer.room().as_ptr().align_offset(ALIGN), 0);
        buffer.room()[5..5 + len].copy_from_slice(&bytes);
        let frame = TaskFrame { data: bytes.into(), ..Default::default() };
        let found = sent(vec![Piece::Message(buffer.enveloped(1, 5, len))]).await;
        // A generated encoder leaves an empty field out.
        assert!(found == encoded(&frame) || len == 0, "{len} bytes in a buffer");
        assert_eq!(decoded(&found, Shape::DATA, &[]).unwrap().1, frame.data);
    }
}

#[test]
fn fields_of_a_newer_version_are_skipped() {
    let mut inner = BytesMut::new();
    // Fields 15, a number; 14, eight bytes; 13, four; 12, text; then the data.
    inner.extend_from_slice(&[15 << 3, 0xff, 0x01, 14 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8]);
    inner.extend_from_slice(&[13 << 3 | 5, 1, 2, 3, 4, 12 << 3 | 2, 2, b'h', b'i']);
    inner.extend_from_slice(&[1 << 3 | 2, 3, b'a', b'b', b'c']);
    let mut stream = vec![0, 0, 0, 0, inner.len() as u8];
    stream.extend_from_slice(&inner);
    for cut in 1..stream.len() {
        assert_eq!(decoded(&stream, Shape::DATA, &[cut]).unwrap().1, b"abc");
    }
}

#[tokio::test]
async fn compressed_bytes_come_out_whole_however_they_are_cut() {
    for len in [1, 127, 128, 70_000, 1 << 20] {
        let bytes: Bytes = (0..len).map(|byte| byte as u8).collect();
        let packed = Packed { compression: 2, plain_bytes: len + 1, data: bytes.clone() };
        let frame = |frame| PartialFrame { frame: Some(frame) };
        let head = PartialHeader { attempt: 3, ..Default::default() };
        let mut expected = encoded(&header(&head));
        expected.extend(encoded(&frame(Frame::Packed(packed.clone()))));
        expected.extend(encoded(&data(b"plain")));
        let pieces = vec![
            Piece::Message(message(&header(&head))),
            Piece::Packed(packed.clone()),
            Piece::Data(2, Bytes::from_static(b"plain")),
        ];
        let found = sent(pieces).await;
        assert!(found == expected, "{len} bytes");
        for cut in [1, 7, usize::MAX] {
            let (inner, all) = decoded(&found, Shape::PARTIAL, &[cut]).unwrap();
            assert_eq!((inner.len(), all.as_slice()), (2, &b"plain"[..]));
            assert!(Packed::decode(inner[1].clone()).unwrap() == packed);
        }
        // Where nobody asked for it, it is one of the fields that are of no interest.
        let (headers, all) = decoded(&found, Shape::HEADER_AND_DATA, &[7]).unwrap();
        assert_eq!((headers.len(), all.as_slice()), (1, &b"plain"[..]));
    }
}

#[test]
fn an_empty_header_is_one() {
    let stream = encoded(&header(&PartialHeader::default()));
    let (headers, all) = decoded(&stream, Shape::HEADER_AND_DATA, &[1]).unwrap();
    assert_eq!((headers.as_slice(), all.as_slice()), (&[Bytes::new()][..], &[][..]));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |stream: &[u8]| decoded(stream, Shape::DATA, &[1]).unwrap_err();
    assert_eq!(refused(&[1, 0, 0, 0, 0]), FrameError::Flag(1));
    assert_eq!(refused(&[0, 1, 0, 0, 0]), FrameError::TooLong(1 << 24));
    for inner in [&[10, 5, 1][..], &[10][..], &[11, 0][..], &[9, 0][..], &[0x80; 11][..]] {
        let mut stream = vec![0, 0, 0, 0, inner.len() as u8];
        stream.extend_from_slice(inner);
        assert!(matches!(refused(&stream), FrameError::Malformed(_)), "{inner:?}");
    }
}

#[test]
fn a_buffer_comes_back() {
    let bytes = Buffer::take().bytes(0, 10);
    let place = bytes.as_ptr();
    drop(bytes);
    // Others may take it first.
    let again = (0..KEPT_AND_MORE).map(|_| Buffer::take()).collect::<Vec<_>>();
    let found = again.into_iter().any(|buffer| buffer.bytes(0, 1).as_ptr() == place);
    assert!(found);
}

const KEPT_AND_MORE: usize = 40;
