//! `tally slave`

use uuid::Uuid;

use tally_common::id::SlaveId;
use tally_proto::dial::Dial;
use tally_proto::frames::Compression;
use tally_slave::config::Config;
use tally_slave::session::SlaveError;

use super::{cores, stop_signal};
use crate::args::{Compress, SlaveArgs};
use crate::exit::Kind;

pub(crate) async fn run(args: SlaveArgs) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    let config = Config {
        master: Dial {
            tls: args.tls.files(&args.master.url)?,
            credential: args.token.credential()?,
            url: args.master.url,
        },
        id: SlaveId::from_uuid(Uuid::new_v4()),
        name: args.name.unwrap_or_else(default_name),
        workers: args.workers.unwrap_or_else(cores),
        labels: args.labels.into_iter().collect(),
        read_spool: if tally_proto::speaks(2) { args.read_spool } else { Vec::new() },
        compression: compression(args.compress).filter(|_| tally_proto::speaks(3)),
        reconnect: Config::RECONNECT,
        grace: args.grace,
    };
    tally_slave::session::run(config, stop).await.map_err(|error| match error {
        SlaveError::NotAllowed(_) => Kind::NotAllowed.error(error.to_string()),
        SlaveError::Setup(_) => Kind::Usage.error(error.to_string()),
        error => error.into(),
    })
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
