//! `tally table aggregate`: the groups of an aggregate.

use tally_common::api::{AggregatePage, AggregateQuery};

use super::print;
use crate::args::{MasterAddress, OutputFormat};
use crate::client::Tables;

/// Groups that are asked for at once.
const PAGE: u32 = 1_000;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tally table aggregate products products_by_name
  tally table aggregate plays plays_by_song --sort 'Total Number of Plays' --reverse --limit 10")]
pub(super) struct AggregateArgs {
    /// The table
    table: String,
    /// The aggregate
    aggregate: String,
    #[command(flatten)]
    master: MasterAddress,
    /// The group of this value only
    #[arg(long, value_name = "VALUE")]
    group: Option<String>,
    /// The groups that begin with this
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// The column to sort by [default: the one that groups]
    #[arg(long, value_name = "COLUMN")]
    sort: Option<String>,
    /// The other way round
    #[arg(long)]
    reverse: bool,
    /// Most groups that are shown
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

pub(super) async fn run(args: AggregateArgs, format: OutputFormat) -> anyhow::Result<()> {
    let mut client = Tables::connect(&args.master.dial()?).await?;
    let mut query = AggregateQuery {
        group: args.group,
        prefix: args.prefix,
        sort: args.sort,
        descending: args.reverse,
        limit: PAGE.min(args.limit),
        cursor: None,
    };
    let mut all: AggregatePage = client.aggregate(&args.table, &args.aggregate, &query).await?;
    while let (Some(next), left @ 1..) = (&all.next, args.limit as usize - all.rows.len()) {
        query.cursor = Some(next.clone());
        query.limit = PAGE.min(left as u32);
        let page = client.aggregate(&args.table, &args.aggregate, &query).await?;
        all.rows.extend(page.rows);
        all.next = page.next;
    }
    if format == OutputFormat::Json {
        return crate::output::show(format, &all, |_| String::new());
    }
    let columns: Vec<_> = all.columns.iter().map(String::as_str).collect();
    let rows = all.rows.iter().map(|row| row.iter().map(print::text).collect());
    print::rows(&columns, rows.collect())
}
