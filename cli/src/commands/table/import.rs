//! `tally table import`: a file's rows go into a table.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;

use tally_common::api::{IngestMode, JobView, Priority};
use tally_common::dialect::Delimiter;
use tally_common::spec::{MaxRejects, SpecDraft};
use tally_proto::convert::{draft_to_wire, ingest_mode_to_wire, priority_to_wire};
use tally_proto::v1::{SubmitHeader, SubmitIngest};

use crate::args::{MasterAddress, OutputFormat, priority, seconds};
use crate::client::succeeded;
use crate::commands::submit::{absolute, follow, new_message_id};
use crate::output::{ingested, show};
use crate::upload::Upload;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tally table import products.csv --table products --preset products
  tally table import prices.csv.zst --table prices --key sku --mode replace")]
pub(crate) struct ImportArgs {
    /// The CSV, plain, gzip or zstd; - is stdin
    pub(crate) file: PathBuf,
    /// The table
    #[arg(long)]
    pub(crate) table: String,
    #[command(flatten)]
    pub(crate) master: MasterAddress,
    /// merge: rows that are not in the file stay; replace: they are deleted
    #[arg(long, default_value = "merge", value_parser = mode)]
    pub(crate) mode: IngestMode,
    /// Where there is no such table, make it after the file, with these key columns
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', conflicts_with = "preset")]
    pub(crate) key: Vec<String>,
    /// Where there is no such table, declare it by the preset of its name: products or plays
    #[arg(long)]
    pub(crate) preset: Option<String>,
    /// comma, semicolon, tab or pipe [default: found out from the header]
    #[arg(long)]
    pub(crate) delimiter: Option<Delimiter>,
    /// Records that may be rejected before the import fails, of which then nothing is applied: a number, or
    /// a percentage such as 0.5%
    #[arg(long, value_name = "N|P%", default_value = "0")]
    pub(crate) max_rejects: MaxRejects,
    /// Do not wait until all is applied: print the job's id
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Which jobs go first: high, default, low
    #[arg(long, default_value = "default", value_parser = priority)]
    pub(crate) priority: Priority,
    /// A name for people [default: the file's]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Names this import: a repeat gets the first one's job [default: a new UUID]
    #[arg(long, value_name = "ID")]
    pub(crate) message_id: Option<String>,
    /// Keep the input on the master as long as the job
    #[arg(long)]
    pub(crate) keep_input: bool,
    /// Do not upload the file: the master reads it where it lies, in a folder that it was given by
    /// --input-dir
    #[arg(long)]
    pub(crate) in_place: bool,
    /// Seconds to go on trying when the connection breaks
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds,
        env = "TALLY_RETRY_FOR")]
    pub(crate) retry_for: Duration,
}

fn mode(text: &str) -> Result<IngestMode, String> {
    IngestMode::parse(text).ok_or_else(|| "merge and replace are".to_owned())
}

pub(super) async fn run(args: ImportArgs, format: OutputFormat) -> anyhow::Result<()> {
    let shown = args.file.display().to_string();
    let dial = args.master.dial()?;
    let (mut client, id) = {
        let upload = Upload { dial: &dial, file: &args.file, retry_for: args.retry_for };
        upload.run(header(&args)?).await?
    };
    if args.no_wait {
        return show(format, &json!({ "id": id }), |_| id.to_string());
    }
    let job: JobView = follow(&mut client, &dial, id, args.retry_for).await?;
    finish(&job, format).with_context(|| shown)
}

fn header(args: &ImportArgs) -> anyhow::Result<SubmitHeader> {
    let file_name = args.file.file_name().map(|name| name.to_string_lossy().into_owned());
    let (delimiter, max_rejects) = (args.delimiter, args.max_rejects);
    let draft = SpecDraft { delimiter, max_rejects, ..SpecDraft::default() };
    Ok(SubmitHeader {
        spec: Some(draft_to_wire(&draft)),
        ingest: Some(SubmitIngest {
            table: args.table.clone(),
            mode: ingest_mode_to_wire(args.mode) as i32,
            preset: args.preset.clone().unwrap_or_default(),
            key: args.key.clone(),
        }),
        name: args.name.clone().or(file_name).unwrap_or_default(),
        priority: priority_to_wire(args.priority) as i32,
        keep_input: args.keep_input,
        message_id: args.message_id.clone().unwrap_or_else(new_message_id),
        in_place: if args.in_place { absolute(&args.file)? } else { String::new() },
        ..SubmitHeader::default()
    })
}

/// Says what the import came to.
fn finish(job: &JobView, format: OutputFormat) -> anyhow::Result<()> {
    succeeded(job)?;
    show(format, job, |job| {
        let Some(ingest) = &job.ingest else { return job.id.to_string() };
        let (table, rejected) = (&ingest.table, job.receipt.rejected);
        let rejects = match rejected {
            0 => String::new(),
            _ => format!("; {rejected} records rejected (tally rejects {})", job.id),
        };
        format!("{table}: {}{rejects}", ingested(&ingest.counts))
    })
}
