//! `tally source poll`

use ureq::http::Method;

use tally_common::api::SourceView;

use super::Gateway;
use crate::args::OutputFormat;
use crate::output::{self, show};

#[derive(Debug, clap::Args)]
pub(crate) struct PollArgs {
    /// The source's name
    name: String,
    #[command(flatten)]
    gateway: Gateway,
}

pub(super) fn run(args: &PollArgs, format: OutputFormat) -> anyhow::Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    anyhow::ensure!(args.name.chars().all(plain), "there is no source {:?}", args.name);
    let path = format!("/api/v1/sources/{}/poll", args.name);
    let found: SourceView = args.gateway.ask(Method::POST, &path)?;
    show(format, &found, |found| output::sources(std::slice::from_ref(found)))
}
