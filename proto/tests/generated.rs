//! The streams of bulk bytes against generated code: on the wire nobody can tell them from it.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails, as it should")]

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status, Streaming};

use tally_proto::channel::connect;
use tally_proto::frames::{
    Compression, Packer, Part, Piece, Shape, Unpacker, download, message, path, upload,
};
use tally_proto::v1::cluster_server::{Cluster, ClusterServer};
use tally_proto::v1::{
    MasterCommand, Packed, PartialAck, PartialFrame, PartialHeader, SlaveEvent, StreamTaskRequest,
    TaskFrame, partial_frame::Frame,
};

type Stream<T> = tokio_stream::Iter<std::vec::IntoIter<Result<T, Status>>>;

/// Answers `StreamTask` with what is asked for by its message id, and `ReturnPartial` with what came.
struct Echo;

#[tonic::async_trait]
impl Cluster for Echo {
    type JoinStream = Stream<MasterCommand>;
    type StreamTaskStream = Stream<TaskFrame>;

    async fn join(
        &self,
        _: Request<Streaming<SlaveEvent>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        Err(Status::unimplemented("nobody joins"))
    }

    async fn stream_task(
        &self,
        request: Request<StreamTaskRequest>,
    ) -> Result<Response<Self::StreamTaskStream>, Status> {
        let wanted = request.into_inner().message_id;
        let frame = |len| Ok(TaskFrame { data: bytes(len), ..Default::default() });
        let packed = |len| {
            let data = zstd::bulk::compress(&bytes(len), 1).unwrap().into();
            let packed = Packed { compression: 1, plain_bytes: len as u32, data };
            Ok(TaskFrame { packed: Some(packed), ..Default::default() })
        };
        let answer = match &wanted[..] {
            b"packed" => vec![packed(1 << 20), frame(77), packed(100_000)],
            b"three" => vec![frame(1 << 20), frame(0), frame(100_000)],
            b"none" => vec![],
            b"broken" => vec![frame(1 << 20), Err(Status::data_loss("lost, ähm"))],
            _ => return Err(Status::not_found("no such task")),
        };
        Ok(Response::new(tokio_stream::iter(answer)))
    }

    async fn return_partial(
        &self,
        request: Request<Streaming<PartialFrame>>,
    ) -> Result<Response<PartialAck>, Status> {
        let (mut frames, mut len, mut reason) = (request.into_inner(), 0, String::new());
        while let Some(frame) = frames.message().await? {
            match frame.frame {
                Some(Frame::Header(header)) if header.patient => {
                    return Err(Status::data_loss("it was patient"));
                }
                Some(Frame::Header(header)) => reason = format!("attempt {}", header.attempt),
                Some(Frame::Data(data)) => {
                    assert!(data == bytes(data.len()));
                    len += data.len();
                }
                Some(Frame::Packed(packed)) => {
                    let data = zstd::bulk::decompress(&packed.data, 1 << 20)?;
                    assert!(packed.plain_bytes as usize == data.len() && data == bytes(data.len()));
                    len += data.len();
                }
                None => {}
            }
        }
        Ok(Response::new(PartialAck { verdict: 1, reason: format!("{reason}, {len} bytes") }))
    }
}

fn bytes(len: usize) -> Bytes {
    (0..len).map(|byte| (byte % 251) as u8).collect()
}

/// With HTTP/2 as tonic sets it up: frames of 16 KiB.
async fn served() -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let incoming = TcpListenerStream::new(listener);
    let service = ClusterServer::new(Echo);
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    connect(&url).await.unwrap()
}

async fn stream(channel: &Channel, wanted: &'static str) -> Result<Vec<u8>, Status> {
    let request = StreamTaskRequest { message_id: wanted.into(), ..Default::default() };
    let mut stream = download(channel.clone(), path::STREAM_TASK, &request, Shape::TASK).await?;
    let (mut all, mut unpacker) = (Vec::new(), Unpacker::default());
    while let Some(part) = stream.next().await? {
        let data = match part {
            Part::Data(data) => data,
            Part::Packed(packed) => unpacker.unpack(packed).unwrap(),
            Part::Header(_) => panic!("a header"),
        };
        all.extend_from_slice(&data);
    }
    Ok(all)
}

#[tokio::test]
async fn a_stream_that_generated_code_sends() {
    let channel = served().await;
    let expected = [bytes(1 << 20), bytes(100_000)].concat();
    assert!(stream(&channel, "three").await.unwrap() == expected);
    let expected = [bytes(1 << 20), bytes(77), bytes(100_000)].concat();
    assert!(stream(&channel, "packed").await.unwrap() == expected);
    assert!(stream(&channel, "none").await.unwrap().is_empty());
    let broken = stream(&channel, "broken").await.unwrap_err();
    assert_eq!((broken.code(), broken.message()), (Code::DataLoss, "lost, ähm"));
    assert_eq!(stream(&channel, "other").await.unwrap_err().code(), Code::NotFound);
    let request = PartialAck::default();
    let nowhere = download(channel, "/tally.v1.Cluster/No", &request, Shape::DATA);
    assert_eq!(nowhere.await.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_stream_that_generated_code_receives() {
    let channel = served().await;
    let send = async |patient, last: Result<Piece, Status>| {
        let header = PartialHeader { attempt: 3, patient, ..Default::default() };
        let header = PartialFrame { frame: Some(Frame::Header(header)) };
        let mut packer = Packer::new(Compression::Zstd);
        let data = [1 << 20, 0, 77_777].map(|len| Ok(Piece::Data(2, bytes(len))));
        let packed = [1 << 20, 9_999];
        let packed = packed.map(|len| Ok(Piece::Packed(packer.pack(&bytes(len)).unwrap())));
        let data = data.into_iter().chain(packed);
        let pieces = std::iter::once(Ok(Piece::Message(message(&header)))).chain(data);
        let pieces = tokio_stream::iter(pieces.chain([last]).collect::<Vec<_>>());
        upload::<PartialAck>(channel.clone(), path::RETURN_PARTIAL, pieces).await
    };
    let small = || Ok(Piece::Data(2, bytes(5)));
    let ack = send(false, small()).await.unwrap();
    assert_eq!((ack.verdict, ack.reason.as_str()), (1, "attempt 3, 2184933 bytes"));
    let refused = send(true, small()).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::DataLoss, "it was patient"));
    // What its sender breaks off does not arrive as if it were whole.
    assert!(send(false, Err(Status::aborted("no more"))).await.is_err());
}
