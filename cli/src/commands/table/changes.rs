//! `tally table changes`: what has changed, as JSON lines, and what changes from now on.

use std::time::Duration;

use tally_common::api::ChangeView;

use super::print::print;
use crate::args::{MasterAddress, OutputFormat};
use crate::client::Tables;
use crate::exit::is_unreachable;
use crate::upload::Patience;

/// How long `--follow` goes on trying while the master can not be reached.
const RETRY_FOR: Duration = Duration::from_secs(300);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tally table changes products                   (all that are kept)
  tally table changes products --follow --after 1234

A JSON object a line, as the HTTP reference has it. Where changes are wanted that are not kept any more,
the command fails: read the rows again, and go on from the version that came with them.")]
pub(super) struct ChangesArgs {
    /// The table
    table: String,
    #[command(flatten)]
    master: MasterAddress,
    /// Those after this number [default: all; with --follow those from now on]
    #[arg(long, value_name = "N")]
    after: Option<u64>,
    /// Go on as they happen, until the table is dropped
    #[arg(long)]
    follow: bool,
}

pub(super) async fn run(args: &ChangesArgs, _: OutputFormat) -> anyhow::Result<()> {
    let mut after = if args.follow { args.after } else { Some(args.after.unwrap_or(0)) };
    let mut patience = Patience::new(RETRY_FOR);
    loop {
        let ended = stream(args, &mut after, &mut patience).await;
        match ended {
            Err(error) if args.follow && is_unreachable(&error) => {
                if !patience.wait(u64::from(std::process::id())).await {
                    return Err(error);
                }
            }
            ended => return ended,
        }
    }
}

async fn stream(
    args: &ChangesArgs,
    after: &mut Option<u64>,
    patience: &mut Patience,
) -> anyhow::Result<()> {
    let mut client = Tables::connect(&args.master.dial()?).await?;
    if after.is_none() {
        // What happens while the connection is made anew is not to be missed.
        *after = Some(client.get(&args.table).await?.version);
    }
    let mut messages = client.watch(&args.table, *after, !args.follow).await?;
    while let Some(message) =
        messages.message().await.map_err(|status| crate::exit::refusal(&status))?
    {
        *patience = Patience::new(RETRY_FOR);
        let mut text = Vec::new();
        let changes: Vec<ChangeView> = crate::client::changes_of(message)?;
        for change in &changes {
            serde_json::to_writer(&mut text, change)?;
            text.push(b'\n');
            *after = Some(change.version);
        }
        print(&text)?;
    }
    Ok(())
}
