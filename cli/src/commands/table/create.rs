//! `tally table create`: declares a table, from a preset, from flags or from a file.

use std::path::PathBuf;

use anyhow::Context;

use tally_common::api::TableView;
use tally_common::spec::{Aggregate, AggregateOp, KeyKind};
use tally_common::table::{AggregateDraft, Table, TableColumn, TableDraft};
use tally_proto::convert::table_draft_to_wire;

use crate::args::{MasterAddress, OutputFormat};
use crate::client::Tables;
use crate::exit::Kind;
use crate::output::show;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tally table create --preset products
  tally table create stock --column sku:text --column shop:text --column pieces:integer \\
    --column counted:date? --key sku,shop --aggregate 'stock_by_shop=count, sum:pieces by shop'
  tally table create --file table.json      (as the HTTP reference has it)")]
pub(super) struct CreateArgs {
    /// Its name: lower-case letters, digits and _
    #[arg(required_unless_present_any = ["preset", "file"])]
    name: Option<String>,
    #[command(flatten)]
    master: MasterAddress,
    /// A declaration by its name: products or plays
    #[arg(long, value_name = "NAME", conflicts_with_all = ["name", "file", "columns", "key", "aggregates"])]
    preset: Option<String>,
    /// A file with the declaration as JSON
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "columns", "key", "aggregates"])]
    file: Option<PathBuf>,
    /// A column: NAME:text, NAME:integer or NAME:date, with ? behind it where it may hold nothing; may be
    /// repeated
    #[arg(long = "column", value_name = "NAME:KIND[?]", value_parser = column)]
    columns: Vec<TableColumn>,
    /// The key's columns, in order
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', required_unless_present_any = ["preset", "file"])]
    key: Vec<String>,
    /// Totals that are kept with the rows: [NAME=]VALUES by COLUMN, with count, sum:COLUMN, min:COLUMN and
    /// max:COLUMN as values; may be repeated
    #[arg(long = "aggregate", value_name = "[NAME=]VALUES by COLUMN", value_parser = aggregate)]
    aggregates: Vec<AggregateDraft>,
}

pub(super) async fn run(args: CreateArgs, format: OutputFormat) -> anyhow::Result<()> {
    let mut client = Tables::connect(&args.master.dial()?).await?;
    let draft = draft(args).map_err(|error| Kind::Usage.error(format!("{error:#}")))?;
    let table = client.create(table_draft_to_wire(&draft)).await?;
    show(format, &table, |table: &TableView| format!("{} is declared", table.name))
}

fn draft(args: CreateArgs) -> anyhow::Result<TableDraft> {
    let draft = match (&args.preset, &args.file) {
        (Some(preset), _) => TableDraft::preset(preset)?,
        (None, Some(file)) => {
            let shown = file.display();
            let text = std::fs::read(file).with_context(|| format!("{shown} can not be read"))?;
            serde_json::from_slice(&text).with_context(|| format!("{shown} declares no table"))?
        }
        (None, None) => TableDraft {
            name: args.name.unwrap_or_default(),
            key: args.key,
            columns: args.columns,
            aggregates: args.aggregates,
        },
    };
    // What is wrong with it is said before a master is asked.
    Ok(Table::try_from(draft)?.draft().clone())
}

/// `NAME:KIND[?]`; a name may have colons of its own.
fn column(text: &str) -> Result<TableColumn, String> {
    let (name, kind) = text.rsplit_once(':').ok_or("a column is NAME:KIND")?;
    let nullable = kind.ends_with('?');
    let kind = match kind.trim_end_matches('?') {
        "text" => KeyKind::Text,
        "integer" => KeyKind::Integer,
        "date" => KeyKind::Date,
        other => return Err(format!("text, integer and date are kinds, {other:?} is none")),
    };
    Ok(TableColumn { nullable, ..TableColumn::new(name, kind) })
}

/// `[NAME=]VALUE[, VALUE…] by COLUMN`; a value may have an output name: `sum:COLUMN as NAME`.
fn aggregate(text: &str) -> Result<AggregateDraft, String> {
    let (head, group_by) =
        text.rsplit_once(" by ").ok_or("an aggregate is [NAME=]VALUES by COLUMN")?;
    let (name, values) = head.split_once('=').unwrap_or(("", head));
    let values = values.split(',').map(|value| self::value(value.trim()));
    Ok(AggregateDraft {
        name: name.trim().to_owned(),
        group_by: group_by.trim().to_owned(),
        values: values.collect::<Result<_, _>>()?,
    })
}

fn value(text: &str) -> Result<Aggregate, String> {
    let (what, named) = match text.split_once(" as ") {
        Some((what, name)) => (what.trim(), Some(name.trim().to_owned())),
        None => (text, None),
    };
    let (op, column) = match what.split_once(':') {
        Some((op, column)) => (op, Some(column.to_owned())),
        None => (what, None),
    };
    let op = match op {
        "count" => AggregateOp::Count,
        "sum" => AggregateOp::Sum,
        "min" => AggregateOp::Min,
        "max" => AggregateOp::Max,
        other => return Err(format!("count, sum:, min: and max: are values, {other:?} is none")),
    };
    let name = match (&named, &column) {
        (Some(name), _) => name.clone(),
        (None, Some(column)) => format!("{}_{column}", what.split(':').next().unwrap_or_default()),
        (None, None) => what.to_owned(),
    };
    Ok(Aggregate { op, column, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_aggregates_are_read() {
        let shop = column("a:b:integer?").unwrap();
        assert_eq!((shop.name.as_str(), shop.kind, shop.nullable), ("a:b", KeyKind::Integer, true));
        let totals = aggregate("t=count as n, sum:Number of Plays by Song").unwrap();
        assert_eq!((totals.name.as_str(), totals.group_by.as_str()), ("t", "Song"));
        let names: Vec<_> = totals.values.iter().map(|value| value.name.as_str()).collect();
        assert_eq!(names, ["n", "sum_Number of Plays"]);
        assert_eq!(aggregate("count by a").unwrap().name, "");
        for bad in ["count", "avg:x by y", "t= by y"] {
            assert!(aggregate(bad).is_err(), "{bad}");
        }
        for bad in ["a", "a:float", "a:"] {
            assert!(column(bad).is_err(), "{bad}");
        }
    }
}
