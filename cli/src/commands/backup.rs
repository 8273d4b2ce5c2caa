//! `tally backup` and `tally restore`

use anyhow::Context;

use tally_master::backup;

use crate::args::{BackupArgs, RestoreArgs};
use crate::log::say;

pub(crate) fn take(args: &BackupArgs) -> anyhow::Result<()> {
    let copied = backup::take(&args.data_dir, &args.to, tally_proto::BUILD)
        .with_context(|| format!("no backup of {}", args.data_dir.display()))?;
    for gone in &copied.gone {
        say(&format!("missing in the data folder, too: {gone}"));
    }
    if copied.store_elsewhere {
        say(
            "the store is a Postgres: it is not in this backup; take it by pg_dump, while no job runs",
        );
    }
    println!("{} files, {} bytes: {}", copied.files, copied.bytes, args.to.display());
    Ok(())
}

pub(crate) fn restore(args: &RestoreArgs) -> anyhow::Result<()> {
    let restored = backup::restore(&args.from, &args.data_dir)
        .with_context(|| format!("{} is not restored", args.data_dir.display()))?;
    if restored.store_elsewhere {
        say("the store is a Postgres: restore its dump, too, before a master is started here");
    }
    println!("{} files, {} bytes: {}", restored.files, restored.bytes, args.data_dir.display());
    Ok(())
}
