//! `tally table get` and `tally table history`: one row, and what it was.

use serde_json::Value;

use tally_common::api::{ChangeView, RowView};

use super::print::{lines, text};
use crate::args::{MasterAddress, OutputFormat};
use crate::client::Tables;
use crate::output::show;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tally table get products lay-raise-best-end
  tally table history plays '[\"Blue Moon\", \"2026-01-31\"]'")]
pub(super) struct RowArgs {
    /// The table
    table: String,
    /// The row's key; a JSON array where it has several columns
    key: String,
    #[command(flatten)]
    master: MasterAddress,
}

pub(super) async fn get(args: &RowArgs, format: OutputFormat) -> anyhow::Result<()> {
    let mut client = Tables::connect(&args.master.dial()?).await?;
    let row = client.row(&args.table, &args.key).await?;
    show(format, &row, |row: &RowView| {
        let fields = row.row.iter().map(|(name, value)| vec![name.clone(), text(value)]);
        let said = format!("version {} of {}", row.version, row.changed_at);
        format!("{}\n{said}", lines(&["COLUMN", "VALUE"], fields))
    })
}

pub(super) async fn history(args: &RowArgs, format: OutputFormat) -> anyhow::Result<()> {
    let mut client = Tables::connect(&args.master.dial()?).await?;
    let changes = client.history(&args.table, &args.key).await?;
    show(format, &changes, |changes: &Vec<ChangeView>| {
        let row = |change: &ChangeView| {
            let row = change
                .row
                .as_ref()
                .map_or_else(String::new, |row| Value::Object(row.clone()).to_string());
            vec![
                change.version.to_string(),
                change.changed_at.clone(),
                format!("{:?}", change.change).to_ascii_lowercase(),
                row,
            ]
        };
        lines(&["VERSION", "CHANGED", "", "ROW"], changes.iter().map(row))
    })
}
