//! `tally submit`

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::Context;
use bytes::Bytes;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};

use tally_common::api::JobView;
use tally_common::limits::FRAME_BYTES;
use tally_proto::convert::{draft_to_wire, priority_to_wire};
use tally_proto::v1::{SubmitFrame, SubmitHeader, submit_frame::Frame};

use crate::args::{OutputFormat, SubmitArgs};
use crate::client::{self, Client, succeeded};
use crate::exit::Kind;
use crate::output::{Target, bytes, is_dash, show};
use crate::progress::Progress;

/// Frames that are read ahead of the connection.
const FRAMES_AHEAD: usize = 4;

pub(crate) async fn run(args: &SubmitArgs, format: OutputFormat) -> anyhow::Result<()> {
    let spec = args.spec.spec()?;
    let shown = args.file.display().to_string();
    let (input, size) = open(&args.file)?;
    let mut client = Client::connect(&args.master.url).await?;
    let file_name = args.file.file_name().map(|name| name.to_string_lossy().into_owned());
    let header = SubmitHeader {
        spec: Some(draft_to_wire(spec.draft())),
        name: args.name.clone().or(file_name).unwrap_or_default(),
        size_hint: size.unwrap_or(0),
        priority: priority_to_wire(args.priority) as i32,
    };
    let (frames, failed) = read_ahead(header, input);
    let id = tokio::select! {
        submitted = client.submit(frames) => submitted.with_context(|| shown.clone())?,
        // Dropping the call breaks the upload off, so that its job fails, too.
        Ok((error, _open)) = failed => {
            return Err(error).with_context(|| format!("{shown} can not be read"));
        }
    };
    if !args.wait {
        return show(format, &json!({ "id": id }), |_| id.to_string());
    }
    let mut progress = Progress::new(false);
    let job = client.watch(id, |job| progress.show(job)).await?;
    progress.clear();
    succeeded(&job).with_context(|| shown)?;
    download(&mut client, &job, &args.out).await?;
    if !is_dash(&args.out) {
        let rows = job.result.as_ref().map_or(0, |result| result.rows);
        let (records, seconds) = (job.receipt.counted, job.progress.elapsed_ms as f64 / 1000.0);
        let (to, rate) = (args.out.display(), bytes(job.progress.bytes_per_second));
        eprintln!("{records} records → {rows} rows in {to} ({seconds:.2} s, {rate}/s)");
    }
    Ok(())
}

type Input = Box<dyn Read + Send>;

fn open(path: &Path) -> anyhow::Result<(Input, Option<u64>)> {
    if is_dash(path) {
        return Ok((Box::new(io::stdin()), None));
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
    Ok((Box::new(file), size))
}

/// A read error, and the open end of the stream of frames: it must not end as if all had been read.
type ReadFailure = (io::Error, mpsc::Sender<Frame>);

/// Reads the input on a thread of its own, in frames.
fn read_ahead(
    header: SubmitHeader,
    mut input: Input,
) -> (impl Stream<Item = SubmitFrame> + Send + 'static, oneshot::Receiver<ReadFailure>) {
    let (frames, stream) = mpsc::channel(FRAMES_AHEAD);
    let (failed, failure) = oneshot::channel();
    spawn_blocking(move || {
        if frames.blocking_send(Frame::Header(header)).is_err() {
            return;
        }
        loop {
            let mut data = Vec::with_capacity(FRAME_BYTES);
            match input.by_ref().take(FRAME_BYTES as u64).read_to_end(&mut data) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => {
                    let _ = failed.send((error, frames));
                    return;
                }
            }
            // A closed stream means that the master has had enough.
            if frames.blocking_send(Frame::Data(Bytes::from(data))).is_err() {
                return;
            }
        }
    });
    let stream = ReceiverStream::new(stream).map(|frame| SubmitFrame { frame: Some(frame) });
    (stream, failure)
}

/// Downloads a result and makes sure that it is the one that the master wrote.
pub(super) async fn download(client: &mut Client, job: &JobView, out: &Path) -> anyhow::Result<()> {
    let mut target = Hashed { to: Target::open(out)?, hash: Sha256::new() };
    client.download(client::File::Result, job.id, &mut target).await?;
    let Hashed { to, hash } = target;
    let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = job.result.as_ref().map(|result| result.sha256.as_str());
    if expected.is_some_and(|expected| expected != digest) {
        anyhow::bail!(
            "the result was damaged on its way: fetch it again (tally result {})",
            job.id
        );
    }
    to.finish()
}

/// What goes by is hashed.
struct Hashed {
    to: Target,
    hash: Sha256,
}

impl Write for Hashed {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let n = self.to.write(data)?;
        self.hash.update(&data[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
