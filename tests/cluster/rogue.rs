//! A slave that is not to be trusted: what it hands in is looked at before it counts.

use bytes::Bytes;
use tally_common::id::{SessionId, SlaveId};
use tally_common::reject::{Reject, RejectReason};
use tally_common::run::{GroupSink, RunHeader, RunWriter, TaskTotals};
use tally_proto::convert::{Assignment, PartialHead, SlaveHello};
use tally_proto::v1::cluster_client::ClusterClient;
use tally_proto::v1::partial_frame::Frame;
use tally_proto::v1::{
    MasterCommand, Packed, PartialAck, PartialFrame, PartialVerdict, SlaveEvent, StreamTaskRequest,
    TaskFrame, master_command, slave_event,
};
use tally_tests::{Cluster, eventually, input};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tonic::Streaming;
use tonic::transport::Channel;
use uuid::Uuid;

/// A slave made by hand.
pub(crate) struct Rogue {
    runtime: Runtime,
    client: ClusterClient<Channel>,
    session: SessionId,
    events: mpsc::Sender<SlaveEvent>,
    commands: Streaming<MasterCommand>,
}

impl Rogue {
    pub(crate) fn join(cluster: &Cluster) -> Self {
        let runtime = Runtime::new().unwrap();
        let (client, session, events, commands) = runtime.block_on(async {
            let channel = tally_proto::channel::connect(cluster.grpc()).await.unwrap();
            let mut client = ClusterClient::new(channel);
            let (events, outgoing) = mpsc::channel(64);
            let hello = SlaveHello {
                slave: SlaveId::from_uuid(Uuid::from_u128(17)),
                name: "rogue".to_owned(),
                workers: 1,
                version: "0".to_owned(),
                labels: Default::default(),
            };
            let hello = SlaveEvent::of(slave_event::Event::Hello(hello.to_wire()));
            events.send(hello).await.unwrap();
            let outgoing = tokio_stream::wrappers::ReceiverStream::new(outgoing);
            let mut commands = client.join(outgoing).await.unwrap().into_inner();
            let welcome = commands.message().await.unwrap().unwrap().command.unwrap();
            let master_command::Command::Welcome(welcome) = welcome else { panic!("{welcome:?}") };
            (client, welcome.session().unwrap(), events, commands)
        });
        // It lives, whatever else may be said of it.
        let beats = events.clone();
        runtime.spawn(async move {
            let beat = || SlaveEvent::of(slave_event::Event::Heartbeat(Default::default()));
            while beats.send(beat()).await.is_ok() {
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            }
        });
        Self { runtime, client, session, events, commands }
    }

    /// Its next task; nothing where the master has said goodbye, or hung up.
    pub(crate) fn next_task(&mut self) -> Option<Assignment> {
        let commands = &mut self.commands;
        self.runtime.block_on(async {
            loop {
                let command = commands.message().await.ok()??.command?;
                match command {
                    master_command::Command::Assign(assign) => {
                        return Some(Assignment::try_from(assign).unwrap());
                    }
                    master_command::Command::Goodbye(_) => return None,
                    _ => {}
                }
            }
        })
    }

    fn assignment(&mut self) -> Assignment {
        let commands = &mut self.commands;
        self.runtime.block_on(async {
            loop {
                let command = commands.message().await.unwrap().unwrap().command.unwrap();
                if let master_command::Command::Assign(assign) = command {
                    return Assignment::try_from(assign).unwrap();
                }
            }
        })
    }

    /// The bytes of a task, as they are sent.
    fn bytes(&mut self, assignment: &Assignment) -> Vec<u8> {
        self.frames(assignment, 0).iter().flat_map(|frame| frame.data.to_vec()).collect()
    }

    /// Its frames, where they may be compressed so.
    fn frames(&mut self, assignment: &Assignment, compression: i32) -> Vec<TaskFrame> {
        let request = StreamTaskRequest::of(assignment.message_id, self.session, false);
        let request = StreamTaskRequest { compression, ..request };
        let client = &mut self.client;
        self.runtime.block_on(async {
            let mut frames = client.stream_task(request).await.unwrap().into_inner();
            let mut all = Vec::new();
            while let Some(frame) = frames.message().await.unwrap() {
                all.push(frame);
            }
            all
        })
    }

    pub(crate) fn hand_in(&mut self, head: &PartialHead, run: Vec<u8>) -> PartialAck {
        self.hand_in_as(head, Frame::Data(Bytes::from(run)))
    }

    fn hand_in_as(&mut self, head: &PartialHead, run: Frame) -> PartialAck {
        let frames = [Frame::Header(head.to_wire()), run];
        let frames = frames.map(|frame| PartialFrame { frame: Some(frame) });
        let call = self.client.return_partial(tokio_stream::iter(frames));
        self.runtime.block_on(call).unwrap().into_inner()
    }

    /// An answer that reads as one: so many records, no groups.
    fn answer(&self, task: &Assignment, totals: TaskTotals) -> (PartialHead, Vec<u8>) {
        self.answer_with(task, totals, |_| {})
    }

    /// The same, with what `write` puts into the run.
    pub(crate) fn answer_with(
        &self,
        task: &Assignment,
        totals: TaskTotals,
        write: impl FnOnce(&mut RunWriter<Vec<u8>>),
    ) -> (PartialHead, Vec<u8>) {
        let header = RunHeader::of(&task.spec, task.message_id);
        let mut run = RunWriter::new(Vec::new(), header).unwrap();
        write(&mut run);
        let (run, summary) = run.finish(totals).unwrap();
        let head = PartialHead {
            message_id: task.message_id,
            attempt: task.attempt,
            session: self.session,
            bytes: run.len() as u64,
            crc32c: crc32c::crc32c(&run),
            groups: summary.groups,
            records: totals.records,
            rejects: totals.rejects,
        };
        (head, run)
    }
}

/// What the master says to a slave of another version of the protocol.
fn hello_of(cluster: &Cluster, major: u32, minor: u32) -> Result<(), tonic::Status> {
    Runtime::new().unwrap().block_on(async {
        let channel = tally_proto::channel::connect(cluster.grpc()).await?;
        let hello = tally_proto::v1::Hello {
            protocol: Some(tally_proto::v1::ProtocolVersion { major, minor }),
            slave_id: Bytes::copy_from_slice(Uuid::from_u128(18).as_bytes()),
            name: "other".to_owned(),
            workers: 1,
            version: "9.9.9".to_owned(),
            labels: Default::default(),
        };
        let hello = SlaveEvent::of(slave_event::Event::Hello(hello));
        let events = tokio_stream::iter([hello]);
        let mut commands = ClusterClient::new(channel).join(events).await?.into_inner();
        commands.message().await.map(|_| ())
    })
}

#[test]
fn slaves_of_another_minor_version_join_and_of_another_major_are_told_why_not() {
    let cluster = Cluster::start(0);
    let ours = tally_proto::PROTOCOL;
    for minor in [0, ours.minor, ours.minor + 1] {
        hello_of(&cluster, ours.major, minor).unwrap();
    }
    for major in [ours.major - 1, ours.major + 1] {
        let refused = hello_of(&cluster, major, 0).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
        let message = refused.message();
        assert!(message.contains("9.9.9") && message.contains("same version"), "{message}");
    }
}

fn rejected(ack: &PartialAck, words: &str) {
    assert_eq!(ack.verdict(), PartialVerdict::Rejected, "{ack:?}");
    assert!(ack.reason.contains(words), "{ack:?}");
}

#[test]
fn false_partials_are_refused_with_a_reason_and_their_slave_set_aside() {
    let mut cluster = Cluster::start(0);
    let mut rogue = Rogue::join(&cluster);
    let plays = input::plays(111, 50, 100_000);
    let expected = input::totals(plays.as_bytes());
    let id = cluster.http().post("/api/v1/jobs", plays.as_bytes()).json()["id"].clone();
    let id = id.as_str().unwrap();
    let total = |task: &Assignment| TaskTotals { bytes: task.bytes, ..TaskTotals::default() };

    let task = rogue.assignment();
    let bytes = rogue.bytes(&task);
    assert_eq!((bytes.len() as u64, crc32c::crc32c(&bytes)), (task.bytes, task.crc32c));
    assert!(plays.as_bytes().ends_with(&bytes));
    let (head, mut run) = rogue.answer(&task, total(&task));
    run[5] ^= 1;
    rejected(&rogue.hand_in(&head, run), "damaged");

    let task = rogue.assignment();
    let (head, run) = rogue.answer(&task, TaskTotals { records: 1 << 40, ..total(&task) });
    rejected(&rogue.hand_in(&head, run), "records");
    assert_eq!(cluster.slaves_now()[0]["quarantined"], false);

    // By another spec than it was told.
    let task = rogue.assignment();
    let other = tally_common::spec::SpecDraft::products();
    let other = Assignment { spec: other.try_into().unwrap(), ..task.clone() };
    let (head, run) = rogue.answer(&other, total(&task));
    rejected(&rogue.hand_in(&head, run), "spec");
    eventually("the slave to be set aside", || {
        (cluster.slaves_now()[0]["quarantined"] == true).then_some(())
    });
    let job = cluster.http().job(id);
    assert_eq!(job["waiting_for"], "a slave that is not quarantined", "{job}");

    // An honest slave does the work; what the other one says now changes nothing.
    cluster.add_slave(1);
    let job = cluster.http().ended(id);
    assert_eq!(job["state"], "succeeded", "{job}");
    let (head, run) = rogue.answer(&task, TaskTotals { records: 5, ..total(&task) });
    let ack = rogue.hand_in(&head, run);
    assert_eq!(ack.verdict(), PartialVerdict::Duplicate, "{ack:?}");
    assert!(cluster.http().get(&format!("/api/v1/jobs/{id}/result")).body == expected);
    assert_eq!(cluster.http().job(id)["receipt"], job["receipt"]);
    drop(rogue.events);
}

#[test]
fn a_task_is_compressed_as_the_slave_asks_and_the_master_can() {
    let cluster = Cluster::start(0);
    let mut rogue = Rogue::join(&cluster);
    let plays = input::plays(114, 50, 3 << 20);
    cluster.http().post("/api/v1/jobs", plays.as_bytes());
    let task = rogue.assignment();
    let plain = rogue.bytes(&task);
    // One of a newer version.
    let newer = rogue.frames(&task, 99);
    assert!(newer.iter().all(|frame| frame.packed.is_none()));
    assert!(newer.iter().flat_map(|frame| frame.data.to_vec()).eq(plain.iter().copied()));
    let frames = rogue.frames(&task, 1);
    assert!(frames.iter().filter(|frame| frame.packed.is_some()).count() >= 3);
    let unpacked = frames.into_iter().map(|frame| match frame.packed {
        Some(packed) => {
            assert_eq!(packed.compression, 1);
            zstd::bulk::decompress(&packed.data, packed.plain_bytes as usize).unwrap()
        }
        // The last one has a few bytes, which do not become fewer.
        None => frame.data.to_vec(),
    });
    assert!(unpacked.collect::<Vec<_>>().concat() == plain);
}

#[test]
fn compressed_frames_that_hold_too_much_or_nonsense_are_refused() {
    let mut cluster = Cluster::start(0);
    let mut rogue = Rogue::join(&cluster);
    let plays = input::plays(113, 50, 100_000);
    let expected = input::totals(plays.as_bytes());
    let id = cluster.http().post("/api/v1/jobs", plays.as_bytes()).json()["id"].clone();
    let id = id.as_str().unwrap();
    let bomb: Bytes = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap().into();
    let noise = Bytes::from(vec![0xa5; 1000]);
    let (limit, zstd, lz4) = (1 << 20, 1, 2);
    // As a frame that is compressed, and so on.
    let mut hand_in = |compression, plain_bytes, data: &Bytes, words: &str| {
        let task = rogue.assignment();
        let totals = TaskTotals { bytes: task.bytes, ..TaskTotals::default() };
        let (head, _) = rogue.answer(&task, totals);
        let frame = Packed { compression, plain_bytes, data: data.clone() };
        rejected(&rogue.hand_in_as(&head, Frame::Packed(frame)), words);
    };
    hand_in(zstd, 64 << 20, &bomb, "said to hold 67108864 bytes");
    // A partial that is refused is one of the three that set a slave aside.
    hand_in(zstd, limit, &bomb, "damaged");
    hand_in(lz4, limit, &noise, "damaged");

    drop(rogue);
    cluster.add_slave(1);
    let job = cluster.http().ended(id);
    assert_eq!(job["state"], "succeeded", "{job}");
    assert!(cluster.http().get(&format!("/api/v1/jobs/{id}/result")).body == expected);
}

#[test]
fn a_run_that_is_not_in_order_is_counted_again() {
    let mut cluster = Cluster::start(0);
    let mut rogue = Rogue::join(&cluster);
    let plays = input::plays(112, 50, 100_000);
    let expected = input::totals(plays.as_bytes());
    let id = cluster.http().post("/api/v1/jobs", plays.as_bytes()).json()["id"].clone();
    let id = id.as_str().unwrap();

    // A reject of which the task has not a byte.
    let task = rogue.assignment();
    let totals =
        TaskTotals { bytes: task.bytes, records: 2, rejects: 1, lines: 2, ..Default::default() };
    let (offset, reason) = (task.bytes - 3, RejectReason::FieldCount);
    let reject = Reject { line: 1, offset, len: 4, column: 1, reason };
    let (head, run) = rogue.answer_with(&task, totals, |run| run.reject(reject).unwrap());
    rejected(&rogue.hand_in(&head, run), "not in its task");

    // All that can be told without reading the groups is as it should be.
    let task = rogue.assignment();
    let totals = TaskTotals { bytes: task.bytes, records: 2, lines: 2, ..Default::default() };
    let (head, run) = rogue.answer_with(&task, totals, |run| {
        for song in ["b", "a"] {
            run.start_head(song.as_bytes(), 0).unwrap();
            run.push_ordinal(18_000, &[1]).unwrap();
        }
        run.end_segment().unwrap();
    });
    let ack = rogue.hand_in(&head, run);
    assert_eq!(ack.verdict(), PartialVerdict::Accepted, "{ack:?}");

    // The merge sees it; an honest slave is given the task.
    drop(rogue);
    cluster.add_slave(1);
    let job = cluster.http().ended(id);
    assert_eq!(job["state"], "succeeded", "{job}");
    assert!(cluster.http().get(&format!("/api/v1/jobs/{id}/result")).body == expected);
}
