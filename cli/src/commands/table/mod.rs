//! `tally table …`: keyed rows that live on in a master, a file for each verb.

mod aggregate;
mod apply;
mod changes;
mod create;
mod export;
mod import;
mod operations;
mod print;
mod row;
mod rows;
mod whole;

use clap::Subcommand;

use crate::args::{MasterAddress, OutputFormat};

#[derive(Debug, clap::Args)]
pub(crate) struct TableArgs {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Declare a table
    Create(create::CreateArgs),
    /// Show all tables
    List(MasterAddress),
    /// Show a table: its columns, its key, its aggregates
    Show(NamedTable),
    /// Remove a table with its rows, aggregates and history
    Drop(whole::DropArgs),
    /// Put a file's rows into a table
    Import(import::ImportArgs),
    /// Apply operations from a file, each once
    Apply(apply::ApplyArgs),
    /// Show some rows
    Rows(rows::RowsArgs),
    /// Show a row
    Get(row::RowArgs),
    /// Show what a row was, the newest change first
    History(row::RowArgs),
    /// Show an aggregate
    Aggregate(aggregate::AggregateArgs),
    /// Show what has changed, or follow it
    Changes(changes::ChangesArgs),
    /// Count the aggregates anew, and compare
    Recount(NamedTable),
    /// Write all rows as CSV
    Export(export::ExportArgs),
}

/// A table of a master.
#[derive(Debug, clap::Args)]
struct NamedTable {
    /// The table
    table: String,
    #[command(flatten)]
    master: MasterAddress,
}

/// Runs the verb.
pub(crate) async fn run(args: TableArgs, format: OutputFormat) -> anyhow::Result<()> {
    match args.command {
        Verb::Create(args) => create::run(args, format).await,
        Verb::List(master) => whole::list(&master, format).await,
        Verb::Show(args) => whole::show(&args, format).await,
        Verb::Drop(args) => whole::drop(&args).await,
        Verb::Import(args) => import::run(args, format).await,
        Verb::Apply(args) => apply::run(args, format).await,
        Verb::Rows(args) => rows::run(args, format).await,
        Verb::Get(args) => row::get(&args, format).await,
        Verb::History(args) => row::history(&args, format).await,
        Verb::Aggregate(args) => aggregate::run(args, format).await,
        Verb::Changes(args) => changes::run(&args, format).await,
        Verb::Recount(args) => whole::recount(&args, format).await,
        Verb::Export(args) => export::run(&args).await,
    }
}
