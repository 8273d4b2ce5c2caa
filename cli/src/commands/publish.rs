//! `tally publish`: operations and files, sent to an AMQP broker for a master to take. Each message is
//! persistent and confirmed by the broker; what was not confirmed when a connection broke is sent again,
//! which message ids make harmless.

mod outbox;
mod read;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use tally_common::api::IngestMode;

use super::submit::new_message_id;
use crate::args::OutputFormat;
use crate::broker_args::BrokerUrl;
use crate::exit::Kind;
use crate::output::show;
use outbox::{Letter, Outbox};

/// Largest file that is sent within a message, in bytes: brokers take 128 MiB, and hold each in memory.
const MAX_BODY_BYTES: u64 = 64 << 20;

/// Messages that have been read and not yet sent: reading goes on while the broker confirms.
const READ_AHEAD: usize = 256;

#[derive(Debug, clap::Args)]
pub(crate) struct PublishArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Send operations: CSV with the columns op, message_id, and those of the table; or JSON, one a line
    Operations(OperationsArgs),
    /// Send a file, to be counted or ingested
    File(FileArgs),
}

/// Where the broker is.
#[derive(Debug, clap::Args)]
struct To {
    /// The broker: amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps://
    #[arg(
        long,
        value_name = "URL",
        env = "TALLY_AMQP",
        hide_env_values = true,
        hide_default_value = true,
        default_value = "amqp://127.0.0.1"
    )]
    amqp: BrokerUrl,
    /// Seconds to go on trying when the connection breaks
    #[arg(long, value_name = "SECONDS", default_value = "300", env = "TALLY_RETRY_FOR",
        value_parser = crate::args::seconds)]
    retry_for: Duration,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tally publish operations changes.csv --table products
  generate-changes | tally publish operations - --table products --batch 100")]
struct OperationsArgs {
    /// The operations, CSV or JSON lines; - is stdin
    file: PathBuf,
    #[command(flatten)]
    to: To,
    /// The queue; declared durable where there is none
    #[arg(long, default_value = "tally.operations")]
    queue: String,
    /// The table [default: the one that the master has for the queue]
    #[arg(long)]
    table: Option<String>,
    /// Operations in a message
    #[arg(long, value_name = "N", default_value = "1",
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tally publish file products.csv.gz --table products --mode replace
  tally publish file /srv/in/plays.csv --reference --parameters preset=plays")]
struct FileArgs {
    /// The file, plain, gzip or zstd; with --reference also a URL
    file: PathBuf,
    #[command(flatten)]
    to: To,
    /// The queue; declared durable where there is none
    #[arg(long, default_value = "tally.files")]
    queue: String,
    /// The table that its records go into [default: what the master has for the queue]
    #[arg(long)]
    table: Option<String>,
    /// How rows are treated that are not in the file: merge (they stay), replace (they are deleted)
    #[arg(long, value_parser = mode, requires = "table")]
    mode: Option<IngestMode>,
    /// Other parameters of POST /api/v1/jobs, such as preset=plays&max_rejects=1%25
    #[arg(long, value_name = "QUERY")]
    parameters: Option<String>,
    /// Send where the file is, and not the file: the master reads it there, in a folder that it was
    /// given by --input-dir, or fetches it from a URL, if it was told --allow-source
    #[arg(long)]
    reference: bool,
    /// Names this submission: a repeat gets the first one's job [default: a new UUID]
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
}

fn mode(text: &str) -> Result<IngestMode, String> {
    IngestMode::parse(text).ok_or_else(|| "merge and replace are".to_owned())
}

/// What was sent, and taken by the broker.
#[derive(Debug, Serialize)]
struct Published {
    queue: String,
    messages: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    operations: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
}

pub(crate) async fn run(args: PublishArgs, format: OutputFormat) -> anyhow::Result<()> {
    let published = match args.what {
        What::Operations(args) => operations(args).await?,
        What::File(args) => file(args).await?,
    };
    show(format, &published, |published| {
        let Published { queue, messages, operations, message_id } = published;
        match (operations, message_id) {
            (Some(operations), _) => {
                format!("{operations} operations in {messages} messages are in the queue {queue}")
            }
            (None, id) => {
                format!("the file is in the queue {queue} as {}", id.as_deref().unwrap_or_default())
            }
        }
    })
}

async fn operations(args: OperationsArgs) -> anyhow::Result<Published> {
    let OperationsArgs { file, to, queue, table, batch } = args;
    let (sender, mut letters) = mpsc::channel(READ_AHEAD);
    let reading = spawn_blocking(move || {
        read::letters(&file, batch as usize, table.as_deref(), |letter| {
            sender.blocking_send(letter).is_ok()
        })
    });
    let mut outbox = Outbox::open(to.amqp.address()?, queue.clone(), to.retry_for).await?;
    let mut messages = 0;
    while let Some(letter) = letters.recv().await {
        outbox.send(letter).await?;
        messages += 1;
    }
    // What was read before a mistake is on its way all the same.
    outbox.flush().await?;
    let operations = reading.await.context("the thread that reads ended")??;
    outbox.close().await;
    Ok(Published { queue, messages, operations: Some(operations), message_id: None })
}

async fn file(args: FileArgs) -> anyhow::Result<Published> {
    let address = args.to.amqp.address()?;
    let mut headers = Vec::new();
    let mode = args.mode.map(|mode| mode.as_str().to_owned());
    for (name, value) in [("table", args.table), ("mode", mode), ("parameters", args.parameters)] {
        headers.extend(value.map(|value| (name, value)));
    }
    let (body, content_type) = match args.reference {
        true => (reference(&args.file)?, "application/json"),
        false => (content(&args.file)?, "text/csv"),
    };
    let message_id = args.message_id.unwrap_or_else(new_message_id);
    let letter = Letter { body, message_id: message_id.clone(), content_type, headers };
    let mut outbox = Outbox::open(address, args.queue.clone(), args.to.retry_for).await?;
    outbox.send(letter).await?;
    outbox.flush().await?;
    outbox.close().await;
    let (queue, operations) = (args.queue, None);
    Ok(Published { queue, messages: 1, operations, message_id: Some(message_id) })
}

fn content(file: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = file.display();
    let bytes = std::fs::metadata(file).with_context(|| shown.to_string())?.len();
    if bytes > MAX_BODY_BYTES {
        return Err(Kind::Usage.error(format!(
            "{shown} has {bytes} bytes, and a message at most {MAX_BODY_BYTES}: compress it, send where \
             it is (--reference), or submit it (tally submit)"
        )));
    }
    std::fs::read(file).with_context(|| shown.to_string())
}

fn reference(file: &Path) -> anyhow::Result<Vec<u8>> {
    let text = file.to_string_lossy();
    let json = if text.starts_with("http://") || text.starts_with("https://") {
        json!({ "url": text })
    } else {
        // The master's machine need not have it under the same name here, but mostly has.
        let path = std::path::absolute(file).with_context(|| text.clone().into_owned())?;
        json!({ "path": path })
    };
    Ok(json.to_string().into_bytes())
}
