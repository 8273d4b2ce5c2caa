//! `tally source list`

use ureq::http::Method;

use tally_common::api::{SourceList, SourceView};

use super::Gateway;
use crate::args::OutputFormat;
use crate::output::{self, show};

pub(super) fn run(gateway: &Gateway, format: OutputFormat) -> anyhow::Result<()> {
    let found: SourceList = gateway.ask(Method::GET, "/api/v1/sources")?;
    show(format, &found, |found| {
        let mut text = output::sources(&found.sources);
        for SourceView { name, last_error, .. } in &found.sources {
            if let Some(error) = last_error {
                text.push_str(&format!("\n{name}: {error}"));
            }
        }
        text
    })
}
