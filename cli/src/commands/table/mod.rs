//! `tally table …`: keyed rows that live on in a master, a file for each verb.

mod import;

use clap::Subcommand;

use crate::args::OutputFormat;

#[derive(Debug, clap::Args)]
pub(crate) struct TableArgs {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Put a file's rows into a table
    Import(import::ImportArgs),
}

/// Runs the verb.
pub(crate) async fn run(args: TableArgs, format: OutputFormat) -> anyhow::Result<()> {
    match args.command {
        Verb::Import(args) => import::run(args, format).await,
    }
}
