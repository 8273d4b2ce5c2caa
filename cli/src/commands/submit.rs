//! `tally submit`

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use tally_common::api::JobView;
use tally_common::id::JobId;
use tally_proto::convert::{draft_to_wire, priority_to_wire};
use tally_proto::dial::Dial;
use tally_proto::v1::SubmitHeader;

use crate::args::{OutputFormat, SubmitArgs};
use crate::client::{self, Client, succeeded};
use crate::exit::{Kind, is_unreachable};
use crate::output::{Target, bytes, is_dash, show};
use crate::progress::Progress;
use crate::upload::{Patience, Upload};

pub(crate) async fn run(args: &SubmitArgs, format: OutputFormat) -> anyhow::Result<()> {
    let spec = args.spec.spec()?;
    let shown = args.file.display().to_string();
    let file_name = args.file.file_name().map(|name| name.to_string_lossy().into_owned());
    let header = SubmitHeader {
        spec: Some(draft_to_wire(spec.draft())),
        name: args.name.clone().or(file_name).unwrap_or_default(),
        priority: priority_to_wire(args.priority) as i32,
        keep_input: args.keep_input,
        message_id: args.message_id.clone().unwrap_or_else(new_message_id),
        in_place: if args.in_place { absolute(&args.file)? } else { String::new() },
        result_path: if args.result_in_place { absolute(&args.out)? } else { String::new() },
        ..SubmitHeader::default()
    };
    let dial = args.master.dial()?;
    let upload = Upload { dial: &dial, file: &args.file, retry_for: args.retry_for };
    let (mut client, id) = upload.run(header).await?;
    if !args.wait {
        return show(format, &json!({ "id": id }), |_| id.to_string());
    }
    let job = follow(&mut client, &dial, id, args.retry_for).await?;
    succeeded(&job).with_context(|| shown)?;
    if !args.result_in_place {
        fetch(&mut client, &dial, &job, (&args.out, args.retry_for)).await?;
    }
    if !is_dash(&args.out) {
        let rows = job.result.as_ref().map_or(0, |result| result.rows);
        let (records, seconds) = (job.receipt.counted, job.progress.elapsed_ms as f64 / 1000.0);
        let (to, rate) = (args.out.display(), bytes(job.progress.bytes_per_second));
        eprintln!("{records} records → {rows} rows in {to} ({seconds:.2} s, {rate}/s)");
    }
    Ok(())
}

/// A file's name for the master, which may run in another folder.
pub(super) fn absolute(file: &Path) -> anyhow::Result<String> {
    if is_dash(file) {
        return Err(Kind::Usage.error("what is read or written in place needs a name, not -"));
    }
    let path = std::path::absolute(file).with_context(|| file.display().to_string())?;
    let path = path.into_os_string().into_string();
    path.map_err(|_| Kind::Usage.error(format!("{}: its name is not UTF-8", file.display())))
}

/// A name for a submission that no other one has; it sorts by time.
pub(super) fn new_message_id() -> String {
    Uuid::now_v7().to_string()
}

/// Follows a job to its end, over broken connections.
pub(super) async fn follow(
    client: &mut Client,
    dial: &Dial,
    id: JobId,
    retry_for: Duration,
) -> anyhow::Result<JobView> {
    let mut progress = Progress::new(false);
    let mut patience = Patience::new(retry_for);
    loop {
        match client.watch(id, |job| progress.show(job)).await {
            Err(error)
                if is_unreachable(&error) && patience.wait(id.uuid().as_u64_pair().1).await =>
            {
                if let Ok(again) = Client::connect(dial).await {
                    *client = again;
                }
            }
            ended => {
                progress.clear();
                return ended;
            }
        }
    }
}

/// Downloads a result, over broken connections.
pub(super) async fn fetch(
    client: &mut Client,
    dial: &Dial,
    job: &JobView,
    (out, retry_for): (&Path, Duration),
) -> anyhow::Result<()> {
    let mut patience = Patience::new(retry_for);
    loop {
        match download(client, job, Target::open(out)?).await {
            // What stdout has been given can not be taken back.
            Err(error)
                if is_unreachable(&error)
                    && !is_dash(out)
                    && patience.wait(job.id.uuid().as_u64_pair().1).await =>
            {
                if let Ok(again) = Client::connect(dial).await {
                    *client = again;
                }
            }
            done => return done,
        }
    }
}

/// Downloads a result and makes sure that it is the one that the master wrote.
pub(super) async fn download(
    client: &mut Client,
    job: &JobView,
    out: Target,
) -> anyhow::Result<()> {
    let mut target = Hashed { to: out, hash: Sha256::new() };
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
