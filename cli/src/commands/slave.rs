//! `tally slave`

use uuid::Uuid;

use tally_common::id::SlaveId;
use tally_slave::config::Config;

use super::{cores, stop_signal};
use crate::args::SlaveArgs;

pub(crate) async fn run(args: SlaveArgs) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    let config = Config {
        master: args.master.url,
        id: SlaveId::from_uuid(Uuid::new_v4()),
        name: args.name.unwrap_or_else(default_name),
        workers: args.workers.unwrap_or_else(cores),
        labels: args.labels.into_iter().collect(),
        read_spool: args.read_spool,
        reconnect: Config::RECONNECT,
        grace: args.grace,
    };
    Ok(tally_slave::session::run(config, stop).await?)
}

fn default_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}-{}", std::process::id())
}
