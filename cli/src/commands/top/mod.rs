//! `tally top`: the cluster as it works, on a terminal. What is known is kept in a model, which events and
//! keys change; a frame is a function of the model alone.

mod draw;
mod followed;
mod keys;
mod link;
mod model;
mod screen;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use serde_json::json;

use tally_proto::convert::ClusterEvent;

use super::stop_signal;
use crate::args::{MasterAddress, OutputFormat};
use link::Link;
use model::{Model, News};

/// Columns of a frame that is printed where there is no terminal to ask.
const WIDTH: u16 = 110;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keys: q leaves, arrows or j and k choose a job, Enter shows it, Esc goes back, c cancels it, s sorts,
? helps.

Examples:
  tally top
  tally top --once                     (one frame, for scripts)
  tally top --once --output json       (cluster, slaves and jobs as the HTTP reference has them)")]
pub(crate) struct TopArgs {
    #[command(flatten)]
    pub(crate) master: MasterAddress,
    /// Print what there is once, and end; also where stdout is no terminal
    #[arg(long)]
    pub(crate) once: bool,
}

/// Shows the cluster until the user leaves.
pub(crate) async fn run(args: &TopArgs, format: OutputFormat) -> anyhow::Result<()> {
    let colours = std::env::var_os("NO_COLOR").is_none();
    let url = args.master.url().to_owned();
    let link = Link::open(args.master.dial()?).await?;
    if args.once || format == OutputFormat::Json || !io::stdout().is_terminal() {
        return once(Model::new(url, false), link, format).await;
    }
    screen::run(Model::new(url, colours), link, stop_signal()?).await
}

/// Prints one frame, as soon as everything is known.
async fn once(mut model: Model, mut link: Link, format: OutputFormat) -> anyhow::Result<()> {
    while model.cluster.is_none() {
        let news = link.news.recv().await.context("the connection's task has ended")?;
        if let News::Down(why) = news {
            return Err(crate::exit::Kind::Unreachable.error(why));
        }
        if let (News::Event(ClusterEvent::Snapshot(all)), OutputFormat::Json) = (&news, format) {
            let (cluster, slaves, jobs) = (&all.cluster, &all.slaves, &all.jobs);
            let all = json!({ "cluster": cluster, "slaves": slaves, "jobs": jobs });
            return print(&serde_json::to_string_pretty(&all)?);
        }
        model.hear(news);
    }
    let size = io::stdout().is_terminal().then(crossterm::terminal::size);
    let width = size.and_then(Result::ok).map_or(WIDTH, |(width, _)| width);
    print(&draw::plain(&model, width))
}

fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("stdout"),
    }
}
