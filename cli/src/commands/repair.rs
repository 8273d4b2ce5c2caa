//! `tally repair`

use anyhow::Context;

use tally_proto::v1::SubmitHeader;

use super::submit::{fetch, follow, new_message_id};
use crate::args::{OutputFormat, RepairArgs};
use crate::client::succeeded;
use crate::output::{self, show};
use crate::upload::Upload;

pub(crate) async fn run(args: &RepairArgs, format: OutputFormat) -> anyhow::Result<()> {
    let shown = args.file.display().to_string();
    let header = SubmitHeader {
        message_id: args.message_id.clone().unwrap_or_else(new_message_id),
        repairs: args.job.to_string(),
        ..SubmitHeader::default()
    };
    let dial = args.master.dial()?;
    let upload = Upload { dial: &dial, file: &args.file, retry_for: args.retry_for };
    let (mut client, id) = upload.run(header).await?;
    let repair = follow(&mut client, &dial, id, args.retry_for).await?;
    succeeded(&repair).with_context(|| shown)?;
    let repaired = client.get(args.job).await?;
    let still_bad = repair.receipt.rejected;
    if still_bad > 0 {
        eprintln!("{still_bad} of these records are still not right: tally rejects {id}");
    }
    match &args.out {
        Some(out) => {
            succeeded(&repaired)?;
            fetch(&mut client, &dial, &repaired, (out, args.retry_for)).await
        }
        None => show(format, &repaired, output::job),
    }
}
