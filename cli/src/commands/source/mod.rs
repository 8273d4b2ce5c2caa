//! `tally source …`: places that are watched for new data, a file for each verb.

mod list;
mod poll;
mod serve;

use clap::Subcommand;
use serde::de::DeserializeOwned;
use ureq::http::Method;

use crate::args::OutputFormat;
use crate::dial_args::Credentials;
use crate::exit::Kind;

#[derive(Debug, clap::Args)]
pub(crate) struct SourceArgs {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Be a source: serve the CSV files of a folder, and say when they have changed
    Serve(serve::ServeArgs),
    /// Show the sources that a master watches
    List(Gateway),
    /// Have a master look at a source now
    Poll(poll::PollArgs),
}

/// Where the master's gateway is.
#[derive(Clone, Debug, clap::Args)]
struct Gateway {
    /// Where the master listens for HTTP: http://HOST:PORT, or https://HOST:PORT
    #[arg(
        long = "gateway",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080",
        env = "TALLY_GATEWAY"
    )]
    url: String,
    #[command(flatten)]
    credentials: Credentials,
}

/// Runs the verb.
pub(crate) async fn run(args: SourceArgs, format: OutputFormat) -> anyhow::Result<()> {
    match args.command {
        Verb::Serve(args) => serve::run(args).await,
        Verb::List(gateway) => list::run(&gateway, format),
        Verb::Poll(args) => poll::run(&args, format),
    }
}

impl Gateway {
    /// Asks for JSON.
    fn ask<T: DeserializeOwned>(&self, method: Method, path: &str) -> anyhow::Result<T> {
        let (agent, authorization) = self.credentials.agent(&self.url)?;
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let mut request = ureq::http::Request::builder().method(method).uri(&url);
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let request = request.body(())?;
        let unreachable =
            |error| Kind::Unreachable.error(format!("{} can not be reached: {error}", self.url));
        let mut response = agent.run(request).map_err(unreachable)?;
        let status = response.status();
        let text = response.body_mut().read_to_string()?;
        if status.is_success() {
            return Ok(serde_json::from_str(&text)?);
        }
        let problem: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let detail = problem["detail"].as_str().map_or_else(|| status.to_string(), str::to_owned);
        match status.as_u16() {
            401 | 403 => Err(Kind::NotAllowed.error(detail)),
            _ => Err(anyhow::anyhow!(detail)),
        }
    }
}
