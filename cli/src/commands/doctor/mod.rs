//! `tally doctor`: looks at this machine and at a master the way somebody would who was asked why it does
//! not work, and says what to do. It changes nothing, but for a file in the data folder that is gone at
//! once.

mod local;
mod net;
mod remote;
mod system;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::FromArgMatches;
use serde::Serialize;

use crate::args::{Args, Command, MasterArgs, OutputFormat};
use crate::config;
use crate::dial_args::Credentials;
use crate::output::show;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Looks at the config file, the data folder and its disk, the ports, the master, its slaves, and what
this machine has. What is not said here is as `tally master` would have it, config file included.
Exit code: 0, or 1 where something has failed.

Examples:
  tally doctor
  tally doctor --master http://tally.example:7070 --output json")]
pub(crate) struct DoctorArgs {
    /// The master to ask: http://HOST:PORT, https://HOST:PORT, or unix:PATH [default: where one would listen on this
    /// machine, and then it need not be there]
    #[arg(long, value_name = "URL", env = "TALLY_MASTER")]
    pub(crate) master: Option<String>,
    #[command(flatten)]
    pub(crate) credentials: Credentials,
    /// The data folder [default: the master's]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where a master would listen for gRPC [default: the master's]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) grpc: Option<SocketAddr>,
    /// Where a master would listen for HTTP [default: the master's]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) http: Option<SocketAddr>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but not as well as it could, or not for long.
    Warn,
    /// It does not work.
    Fail,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    /// What was looked at.
    check: &'static str,
    /// How it is.
    verdict: Verdict,
    /// What was found.
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Check {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, found: found.into(), advice: None }
    }

    fn warn(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { check, verdict: Verdict::Warn, found: found.into(), advice }
    }

    fn fail(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { check, verdict: Verdict::Fail, found: found.into(), advice }
    }
}

/// All that was looked at.
#[derive(Debug, Serialize)]
struct Report {
    /// The worst verdict.
    verdict: Verdict,
    checks: Vec<Check>,
}

/// Looks at everything and says how it is.
pub(crate) async fn run(args: &DoctorArgs, format: OutputFormat) -> anyhow::Result<()> {
    let master = defaults()?;
    let mut checks = vec![local::config_file(config::path().as_deref())];
    let data_dir = args.data_dir.as_deref().unwrap_or(&master.data_dir);
    checks.extend(local::data_folder(data_dir, master.disk_reserve));
    let grpc = args.grpc.unwrap_or(master.grpc);
    let http = args.http.unwrap_or(master.http);
    checks.push(net::grpc_port(grpc).await);
    checks.push(net::http_port(http).await);
    let url = args.master.clone().unwrap_or_else(|| format!("http://{grpc}"));
    checks.extend(remote::checks(&args.credentials.dial(&url)?, args.master.is_some()).await);
    checks.extend(system::checks());
    let verdict = checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Ok);
    show(format, &Report { verdict, checks }, table)?;
    if verdict == Verdict::Fail {
        anyhow::bail!("something is not as it must be");
    }
    Ok(())
}

/// What `tally master` would take for its flags here and now.
fn defaults() -> anyhow::Result<MasterArgs> {
    let matches = config::command()?.try_get_matches_from(["tally", "master"])?;
    match Args::from_arg_matches(&matches)?.command {
        Command::Master(master) => Ok(*master),
        other => anyhow::bail!("the grammar takes `tally master` for {other:?}"),
    }
}

/// A line for each check, and what to do below it.
fn table(report: &Report) -> String {
    let width = report.checks.iter().map(|check| check.check.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for check in &report.checks {
        let (verdict, name) = (check.verdict.as_str(), check.check);
        lines.push(format!("{verdict:<4}  {name:<width$}  {}", check.found));
        if let Some(advice) = &check.advice {
            lines.push(format!("      {:<width$}  -> {advice}", ""));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_stands_below_what_it_is_for() {
        let checks =
            vec![Check::ok("disk", "fine"), Check::fail("gRPC port", "taken", "take another")];
        let text = table(&Report { verdict: Verdict::Fail, checks });
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "ok    disk       fine");
        assert_eq!(lines[1], "fail  gRPC port  taken");
        assert_eq!(lines[2], "                 -> take another");
    }

    #[test]
    fn the_worst_verdict_is_the_largest() {
        assert!(Verdict::Ok < Verdict::Warn && Verdict::Warn < Verdict::Fail);
    }
}
