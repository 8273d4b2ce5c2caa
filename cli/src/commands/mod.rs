//! The subcommands, a file each.

mod backup;
pub(crate) mod certs;
mod count;
pub(crate) mod doctor;
mod health;
mod jobs;
pub(crate) mod keys;
pub(crate) mod list;
pub(crate) mod manual;
mod master;
mod preflight;
#[cfg(feature = "broker")]
pub(crate) mod publish;
pub(crate) mod query;
mod recount;
mod repair;
mod slave;
pub(crate) mod slaves;
pub(crate) mod source;
mod submit;
pub(crate) mod table;
pub(crate) mod top;
mod verify;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Args, Command};
use crate::{generate, memory};

/// How long a master that has stopped waits for its threads. What they have not committed is as it would be had
/// the process died.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Runs what the command line asks for.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let format = args.output;
    memory::keep_frames();
    match args.command {
        #[cfg(feature = "broker")]
        Command::Publish(args) => services()?.block_on(publish::run(args, format)),
        Command::Certs(args) => certs::run(&args, format),
        Command::Generate(args) => generate::run(&args),
        Command::Master(args) => {
            memory::share_arenas();
            memory::give_back().context("no thread can be started")?;
            let runtime = services()?;
            let ended = runtime.block_on(master::run(&args));
            // Some thread may wait for a database that does not answer.
            runtime.shutdown_timeout(LAST_WAIT);
            ended
        }
        Command::Keys(args) => keys::run(args, format),
        Command::Slave(args) => services()?.block_on(slave::run(args)),
        Command::Count(args) => services()?.block_on(count::run(&args)),
        Command::Preflight(args) => preflight::run(&args, format),
        Command::Submit(args) => client()?.block_on(submit::run(&args, format)),
        Command::Status(args) => client()?.block_on(list::run(&args, format)),
        Command::Watch(args) => client()?.block_on(jobs::watch(&args, format)),
        Command::Result(args) => client()?.block_on(jobs::result(args, format)),
        Command::Query(args) => client()?.block_on(query::run(args, format)),
        Command::Rejects(args) => client()?.block_on(jobs::rejects(&args, format)),
        Command::Receipt(args) => client()?.block_on(jobs::receipt(&args, format)),
        Command::Verify(args) => services()?.block_on(verify::run(&args)),
        Command::Repair(args) => client()?.block_on(repair::run(&args, format)),
        Command::Cancel(args) => client()?.block_on(jobs::cancel(&args, format)),
        Command::Delete(args) => client()?.block_on(jobs::delete(&args)),
        Command::Health(args) => client()?.block_on(health::run(&args, format)),
        Command::Slaves(args) => client()?.block_on(slaves::run(args, format)),
        Command::Source(args) => services()?.block_on(source::run(args, format)),
        Command::Table(args) => client()?.block_on(table::run(args, format)),
        Command::Top(args) => client()?.block_on(top::run(&args, format)),
        Command::Doctor(args) => client()?.block_on(doctor::run(&args, format)),
        Command::Backup(args) => backup::take(&args),
        Command::Restore(args) => backup::restore(&args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
    }
}

/// A runtime for what serves others.
fn services() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build().context("no threads to run on")
}

/// Makes a data folder, if it is not there: inputs, results and tables are its owner's, and not of all on the machine.
fn make_data_dir(folder: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("the data folder {}", folder.display()))
}

/// A runtime for what asks one question.
fn client() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("no threads to run on")
}

/// Resolves at the first SIGTERM or SIGINT; the second one ends the process at once.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            crate::log::complain("tally: stopped by a second signal");
            std::process::exit(1);
        });
    })
}

/// Threads that count, where the user does not say.
fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32)
}
