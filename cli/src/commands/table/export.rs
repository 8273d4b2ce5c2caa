//! `tally table export`: all rows of one moment, as CSV.

use std::io::Write;
use std::path::PathBuf;

use tally_common::spec::KeyKind;
use tally_proto::v1::value::Value as Wire;

use super::print::record;
use crate::args::MasterAddress;
use crate::client::Tables;
use crate::exit::refusal;
use crate::output::Target;

#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// The table
    table: String,
    #[command(flatten)]
    master: MasterAddress,
    /// Where it goes; - is stdout
    #[arg(short = 'o', long = "out", value_name = "FILE", default_value = "-")]
    out: PathBuf,
    /// For spreadsheets: texts that they would take for formulas begin with an apostrophe
    #[arg(long)]
    formula_safe: bool,
}

pub(super) async fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let mut client = Tables::connect(&args.master.dial()?).await?;
    let table = client.get(&args.table).await?;
    let plain = || table.columns.iter().map(|column| column.kind != KeyKind::Text).collect();
    let mut replies = client.scan(&args.table).await?;
    let mut out = Target::open(&args.out)?.formula_safe(args.formula_safe, plain);
    let mut csv = Vec::new();
    while let Some(reply) = replies.message().await.map_err(|status| refusal(&status))? {
        if !reply.columns.is_empty() {
            record(reply.columns.iter(), &mut csv);
        }
        for row in &reply.rows {
            let fields = row.values.iter().map(|value| match &value.value {
                None => String::new(),
                Some(Wire::Integer(integer)) => integer.to_string(),
                Some(Wire::Text(text) | Wire::Json(text)) => text.clone(),
            });
            record(fields, &mut csv);
        }
        match out.write_all(&csv) {
            // The reader has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
        csv.clear();
    }
    out.finish()
}
