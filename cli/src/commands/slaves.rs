//! `tally slaves`: those that are joined, those that have lied and are kept out, and letting one in again.

use clap::Args;

use tally_common::api::{SetAsideView, SlaveView};

use crate::args::{MasterAddress, OutputFormat};
use crate::client::Client;
use crate::output::{self, show, table};

/// Which slaves.
#[derive(Debug, Args)]
pub(crate) struct SlavesArgs {
    #[command(flatten)]
    pub(crate) master: MasterAddress,

    /// Show only those that have lied and are not let in
    #[arg(long, conflicts_with = "trust")]
    pub(crate) set_aside: bool,

    /// Let the slave of this name in again, which has lied; it has to be started anew
    #[arg(long, value_name = "NAME")]
    pub(crate) trust: Option<String>,
}

pub(crate) async fn run(args: SlavesArgs, format: OutputFormat) -> anyhow::Result<()> {
    let mut client = Client::connect(&args.master.dial()?).await?;
    if let Some(name) = args.trust {
        return client.trust_slave(name).await;
    }
    let (slaves, set_aside) = client.slaves().await?;
    if args.set_aside {
        return show(format, &set_aside, aside);
    }
    show(format, &slaves, |slaves: &Vec<SlaveView>| {
        let joined = output::slaves(slaves);
        match set_aside.is_empty() {
            true => joined,
            false => format!("{joined}\n\nNot let in, as they have lied:\n{}", aside(&set_aside)),
        }
    })
}

fn aside(slaves: &Vec<SetAsideView>) -> String {
    if slaves.is_empty() {
        return "no slave is kept out".to_owned();
    }
    let mut rows = table(&["NAME", "SINCE", "WHY"]);
    for slave in slaves {
        rows.add_row([&slave.name, &slave.since, &slave.reason]);
    }
    rows.to_string()
}
