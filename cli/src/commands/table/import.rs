//! `tally table import`: a file's rows go into a table.

use std::path::PathBuf;

use crate::args::{MasterAddress, OutputFormat};

#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// The table
    pub(crate) table: String,
    /// The CSV, plain, gzip or zstd; - is stdin
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) master: MasterAddress,
}

#[expect(clippy::unused_async, reason = "the signature first")]
pub(super) async fn run(args: ImportArgs, _: OutputFormat) -> anyhow::Result<()> {
    anyhow::bail!("{} can not be imported into {} yet", args.file.display(), args.table)
}
