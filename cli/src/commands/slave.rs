//! `tally slave`

use uuid::Uuid;

use tally_common::id::SlaveId;
use tally_proto::frames::Compression;
use tally_slave::config::Config;

use super::{cores, stop_signal};
use crate::args::{Compress, SlaveArgs};

pub(crate) async fn run(args: SlaveArgs) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    let config = Config {
        master: args.master.url,
        id: SlaveId::from_uuid(Uuid::new_v4()),
        name: args.name.unwrap_or_else(default_name),
        workers: args.workers.unwrap_or_else(cores),
        labels: args.labels.into_iter().collect(),
        read_spool: if tally_proto::speaks(2) { args.read_spool } else { Vec::new() },
        compression: compression(args.compress).filter(|_| tally_proto::speaks(3)),
        reconnect: Config::RECONNECT,
        grace: args.grace,
    };
    Ok(tally_slave::session::run(config, stop).await?)
}

fn compression(compress: Compress) -> Option<Compression> {
    match compress {
        Compress::None => None,
        Compress::Zstd => Some(Compression::Zstd),
        Compress::Lz4 => Some(Compression::Lz4),
    }
}

fn default_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}-{}", std::process::id())
}
