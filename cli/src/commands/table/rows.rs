//! `tally table rows`: some rows, page by page.

use tally_common::api::{Comparison, RowsPage, RowsQuery};

use super::print;
use crate::args::{MasterAddress, OutputFormat};
use crate::client::Tables;

/// Rows that are asked for at once.
const PAGE: u32 = 1_000;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tally table rows products --where name=shoe
  tally table rows plays --where 'Date>=2026-01-01' --where 'Date<2026-02-01' --sort Song
  tally table rows products --search blue --limit 20
  tally table rows products --sort _version --reverse   (the last changes first)")]
pub(super) struct RowsArgs {
    /// The table
    table: String,
    #[command(flatten)]
    master: MasterAddress,
    /// What must hold: COLUMN=VALUE, COLUMN>=VALUE, COLUMN<VALUE, or COLUMN^=TEXT (begins with); may be
    /// repeated, and all of them must hold
    #[arg(long = "where", value_name = "CONDITION", value_parser = condition)]
    conditions: Vec<(String, Comparison, String)>,
    /// What some text column must have in it
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// The column to sort by, _version for the last change [default: the key]
    #[arg(long, value_name = "COLUMN")]
    sort: Option<String>,
    /// The other way round
    #[arg(long)]
    reverse: bool,
    /// Most rows that are shown
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// The comparison that comes first in the text decides, so that a value may have any of them.
fn condition(text: &str) -> Result<(String, Comparison, String), String> {
    const SIGNS: [(&str, Comparison); 4] = [
        (">=", Comparison::From),
        ("^=", Comparison::Prefix),
        ("<", Comparison::Before),
        ("=", Comparison::Equal),
    ];
    let found =
        SIGNS.iter().filter_map(|(sign, comparison)| Some((text.find(sign)?, *sign, *comparison)));
    let (at, sign, comparison) =
        found.min_by_key(|(at, ..)| *at).ok_or("a condition is COLUMN=VALUE")?;
    Ok((text[..at].to_owned(), comparison, text[at + sign.len()..].to_owned()))
}

pub(super) async fn run(args: RowsArgs, format: OutputFormat) -> anyhow::Result<()> {
    let mut client = Tables::connect(&args.master.dial()?).await?;
    let mut query = RowsQuery {
        conditions: args.conditions,
        search: args.search,
        sort: args.sort,
        descending: args.reverse,
        limit: PAGE.min(args.limit),
        cursor: None,
    };
    let mut all: Option<RowsPage> = None;
    loop {
        let page = client.rows(&args.table, &query).await?;
        let all = match &mut all {
            None => all.insert(page),
            Some(all) => {
                all.rows.extend(page.rows);
                all.next = page.next;
                all
            }
        };
        let left = (args.limit as usize).saturating_sub(all.rows.len());
        match &all.next {
            Some(next) if left > 0 => query.cursor = Some(next.clone()),
            _ => break,
        }
        query.limit = PAGE.min(left as u32);
    }
    // There is at least one page.
    let Some(page) = all else { return Ok(()) };
    if format == OutputFormat::Json {
        return crate::output::show(format, &page, |_| String::new());
    }
    let table = client.get(&args.table).await?;
    let columns: Vec<_> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let rows = page.rows.iter().map(|row| {
        columns.iter().map(|name| row.row.get(*name).map(print::text).unwrap_or_default()).collect()
    });
    print::rows(&columns, rows.collect())?;
    if print::for_people() && page.next.is_some() {
        eprintln!("there are more: --limit");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read() {
        for (text, column, comparison, value) in [
            ("a=b", "a", Comparison::Equal, "b"),
            ("a b=<c>=d", "a b", Comparison::Equal, "<c>=d"),
            ("a>=1", "a", Comparison::From, "1"),
            ("a<=1", "a", Comparison::Before, "=1"),
            ("a^=x", "a", Comparison::Prefix, "x"),
            ("a=", "a", Comparison::Equal, ""),
        ] {
            let read = condition(text).unwrap();
            assert_eq!(read, (column.to_owned(), comparison, value.to_owned()), "{text}");
        }
        assert!(condition("a").is_err());
    }
}
