//! Uploads over gRPC that go on after a broken connection.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use tally_common::backoff::Backoff;
use tally_common::id::JobId;
use tally_common::limits::FRAME_BYTES;
use tally_master::spool::read_up_to;
use tally_proto::dial::Dial;
use tally_proto::frames::{Buffer, Piece, Shape, message};
use tally_proto::v1::{Resume, SubmitFrame, SubmitHeader, submit_frame::Frame};

use crate::client::Client;
use crate::exit::{Kind, is_broken, is_unreachable, refusal};
use crate::output::is_dash;

/// Frames that are read ahead of the connection.
const FRAMES_AHEAD: usize = 4;

/// Waits between attempts to reach the master.
const RETRY: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// How long to go on trying. Only waits count: what is spent on uploading is not lost.
pub(crate) struct Patience {
    left: Duration,
    tries: u32,
}

impl Patience {
    pub(crate) fn new(left: Duration) -> Self {
        Self { left, tries: 0 }
    }

    /// Waits before the next attempt; `false` where there is to be none.
    pub(crate) async fn wait(&mut self, jitter: u64) -> bool {
        let wait = RETRY.wait(self.tries, jitter.rotate_left(self.tries));
        if self.left < wait {
            return false;
        }
        self.left -= wait;
        self.tries += 1;
        sleep(wait).await;
        true
    }
}

/// A file to be uploaded.
pub(crate) struct Upload<'a> {
    pub(crate) dial: &'a Dial,
    pub(crate) file: &'a Path,
    pub(crate) retry_for: Duration,
}

/// How one attempt went.
enum Attempt {
    Done(JobId),
    Broken(Status),
}

impl Upload<'_> {
    /// Uploads the file under the header's message id, in as many goes as it takes. Gives the
    /// connection that is left, and the job.
    pub(crate) async fn run(&self, mut header: SubmitHeader) -> anyhow::Result<(Client, JobId)> {
        let shown = self.file.display();
        let in_place = !header.in_place.is_empty();
        let (mut input, size) = if in_place { (Input::None, Some(0)) } else { open(self.file)? };
        header.size_hint = size.unwrap_or(0);
        let mut client = Client::connect(self.dial).await?;
        let mut patience = Patience::new(self.retry_for);
        loop {
            let status = match self.attempt(&mut client, &header, input).await? {
                Attempt::Done(id) => return Ok((client, id)),
                Attempt::Broken(status) => status,
            };
            if size.is_none() {
                return Err(refusal(&status)).with_context(|| {
                    format!("{shown} can not be read again: the upload can not go on")
                });
            }
            if in_place {
                // The same once more: nothing was sent, and a repeat gets the same job.
                if !patience.wait(jitter(&header.message_id)).await {
                    return Err(refusal(&status)).with_context(|| shown.to_string());
                }
                if let Ok(again) = Client::connect(self.dial).await {
                    client = again;
                }
                input = Input::None;
                continue;
            }
            eprintln!("The upload broke off ({}); going on with it ...", status.message());
            let offset = loop {
                if !patience.wait(jitter(&header.message_id)).await {
                    return Err(refusal(&status)).with_context(|| shown.to_string());
                }
                match self.whereabouts(&mut client, &mut header).await {
                    Ok(Whereabouts::Complete(id)) => return Ok((client, id)),
                    Ok(Whereabouts::At(offset)) => break offset,
                    Err(error) if is_unreachable(&error) => {}
                    Err(error) => return Err(error),
                }
            };
            input = open(self.file)?.0;
            input.seek_to(offset).with_context(|| format!("{shown} can not be read"))?;
        }
    }

    async fn attempt(
        &self,
        client: &mut Client,
        header: &SubmitHeader,
        input: Input,
    ) -> anyhow::Result<Attempt> {
        let shown = self.file.display();
        let (frames, failed) = read_ahead(header.clone(), input);
        tokio::select! {
            submitted = client.submit(frames) => match submitted {
                Ok(id) => Ok(Attempt::Done(id)),
                Err(status) if is_broken(&status) => Ok(Attempt::Broken(status)),
                Err(status) => Err(refusal(&status)).with_context(|| shown.to_string()),
            },
            // Dropping the call breaks the upload off.
            Ok((error, _open)) = failed => {
                Err(error).with_context(|| format!("{shown} can not be read"))
            }
        }
    }

    /// Asks the master how far the upload came, and has the header go on there.
    async fn whereabouts(
        &self,
        client: &mut Client,
        header: &mut SubmitHeader,
    ) -> anyhow::Result<Whereabouts> {
        *client = Client::connect(self.dial).await?;
        let found = client.find_upload(&header.message_id).await;
        let found = found.map_err(|status| refusal(&status))?;
        let Some(found) = found else {
            // It never heard of it, or has nothing left of it: from the beginning.
            header.resume = None;
            return Ok(Whereabouts::At(0));
        };
        if found.complete {
            let id = found.job_id.parse().context("the master's answer makes no sense")?;
            return Ok(Whereabouts::Complete(id));
        }
        header.resume = Some(Resume { job_id: found.job_id, offset: found.offset });
        Ok(Whereabouts::At(found.offset))
    }
}

enum Whereabouts {
    Complete(JobId),
    At(u64),
}

fn jitter(message_id: &str) -> u64 {
    message_id.bytes().fold(0, |sum: u64, byte| sum.rotate_left(7) ^ u64::from(byte))
}

enum Input {
    Stdin(io::Stdin),
    File(File),
    /// The master reads it itself.
    None,
}

impl Input {
    fn seek_to(&mut self, offset: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.seek(SeekFrom::Start(offset)).map(|_| ()),
            Self::Stdin(_) | Self::None => Err(io::ErrorKind::NotSeekable.into()),
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Stdin(stdin) => stdin.read(buffer),
            Self::File(file) => file.read(buffer),
            Self::None => Ok(0),
        }
    }
}

/// Opens the input; gives its length, where it has one and can be read again.
fn open(path: &Path) -> anyhow::Result<(Input, Option<u64>)> {
    if is_dash(path) {
        return Ok((Input::Stdin(io::stdin()), None));
    }
    let shown = path.display();
    let wrong =
        |error: io::Error| Kind::JobFailed.error(format!("{shown} can not be read: {error}"));
    let file = File::open(path).map_err(wrong)?;
    let found = file.metadata().map_err(wrong)?;
    if found.is_dir() {
        return Err(Kind::JobFailed.error(format!("{shown} is a directory; name a file")));
    }
    let size = found.is_file().then_some(found.len());
    Ok((Input::File(file), size))
}

/// A read error, and the open end of the stream of frames: it must not end as if all had been read.
type ReadFailure = (io::Error, mpsc::Sender<Result<Piece, Status>>);

/// Reads the input on a thread of its own, in frames.
fn read_ahead(
    header: SubmitHeader,
    mut input: Input,
) -> (ReceiverStream<Result<Piece, Status>>, oneshot::Receiver<ReadFailure>) {
    let (pieces, stream) = mpsc::channel(FRAMES_AHEAD);
    let (failed, failure) = oneshot::channel();
    spawn_blocking(move || {
        let header = SubmitFrame { frame: Some(Frame::Header(header)) };
        if pieces.blocking_send(Ok(Piece::Message(message(&header)))).is_err() {
            return;
        }
        loop {
            let mut buffer = Buffer::take();
            let n = match read_up_to(&mut input, &mut buffer.room()[..FRAME_BYTES]) {
                Ok(0) => return,
                Ok(n) => n,
                Err(error) => {
                    let _ = failed.send((error, pieces));
                    return;
                }
            };
            let frame = buffer.enveloped(Shape::HEADER_AND_DATA.data, 0, n);
            // A closed stream means that the master has had enough.
            if pieces.blocking_send(Ok(Piece::Message(frame))).is_err() {
                return;
            }
        }
    });
    (ReceiverStream::new(stream), failure)
}
