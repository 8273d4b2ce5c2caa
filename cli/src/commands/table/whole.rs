//! `tally table list`, `show`, `drop` and `recount`.

use std::io::{self, BufRead, IsTerminal};

use tally_common::api::{Recount, TableView};

use super::NamedTable;
use super::print::lines;
use crate::args::{MasterAddress, OutputFormat};
use crate::client::Tables;
use crate::exit::Kind;
use crate::output;

pub(super) async fn list(master: &MasterAddress, format: OutputFormat) -> anyhow::Result<()> {
    let tables = Tables::connect(&master.dial()?).await?.list().await?;
    output::show(format, &tables, |tables: &Vec<TableView>| {
        if tables.is_empty() {
            return "no tables".to_owned();
        }
        let row = |table: &TableView| {
            let aggregates: Vec<_> = table.aggregates.iter().map(|one| one.name.as_str()).collect();
            vec![
                table.name.clone(),
                table.key.join(", "),
                table.rows.to_string(),
                table.version.to_string(),
                aggregates.join(", "),
            ]
        };
        lines(&["TABLE", "KEY", "ROWS", "VERSION", "AGGREGATES"], tables.iter().map(row))
    })
}

pub(super) async fn show(args: &NamedTable, format: OutputFormat) -> anyhow::Result<()> {
    let table = Tables::connect(&args.master.dial()?).await?.get(&args.table).await?;
    output::show(format, &table, |table: &TableView| {
        let columns = table.columns.iter().map(|column| {
            let kind = format!("{:?}", column.kind).to_ascii_lowercase();
            let place = table.key.iter().position(|name| *name == column.name);
            let key = place.map_or_else(String::new, |place| format!("key {}", place + 1));
            let nullable = if column.nullable { "may be empty" } else { "" };
            vec![column.name.clone(), kind, key, nullable.to_owned()]
        });
        let mut text = format!(
            "table    {}\nrows     {}\nversion  {}\ndeclared {}\n\n{}",
            table.name,
            table.rows,
            table.version,
            table.created_at,
            lines(&["COLUMN", "KIND", "KEY", ""], columns)
        );
        for aggregate in &table.aggregates {
            let values: Vec<_> = aggregate.values.iter().map(|value| value.name.as_str()).collect();
            text.push_str(&format!(
                "\n\naggregate {}: {} by {}",
                aggregate.name,
                values.join(", "),
                aggregate.group_by
            ));
        }
        text
    })
}

#[derive(Debug, clap::Args)]
pub(super) struct DropArgs {
    #[command(flatten)]
    table: NamedTable,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn drop(args: &DropArgs) -> anyhow::Result<()> {
    let NamedTable { table, master } = &args.table;
    let mut client = Tables::connect(&master.dial()?).await?;
    if !args.yes {
        let rows = client.get(table).await?.rows;
        if !io::stdin().is_terminal() {
            let why = format!("{table} has {rows} rows; say --yes to drop it without being asked");
            return Err(Kind::Usage.error(why));
        }
        eprint!("Drop the table {table} with its {rows} rows? It can not be had back. [y/N] ");
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            return Err(Kind::Cancelled.error("nothing was dropped"));
        }
    }
    client.drop(table).await
}

pub(super) async fn recount(args: &NamedTable, format: OutputFormat) -> anyhow::Result<()> {
    let recount = Tables::connect(&args.master.dial()?).await?.recount(&args.table).await?;
    output::show(format, &recount, |recount: &Recount| {
        let aggregates = recount
            .aggregates
            .iter()
            .map(|one| vec![one.name.clone(), one.groups.to_string(), one.wrong.to_string()]);
        let verdict = if recount.right { "all is right" } else { "WRONG" };
        let table = lines(&["AGGREGATE", "GROUPS", "WRONG"], aggregates);
        format!("{} rows at version {}: {verdict}\n{table}", recount.rows, recount.version)
    })?;
    if recount.right {
        return Ok(());
    }
    Err(Kind::JobFailed.error(format!("{} differs from what its rows come to", args.table)))
}
