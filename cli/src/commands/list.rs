//! `tally status`: one job, or a list of them, page by page.

use clap::ValueEnum;

use tally_common::api::{JobQuery, JobSort, JobState, JobView, Priority};
use tally_common::id::JobId;

use crate::args::{MasterAddress, OutputFormat};
use crate::client::Client;
use crate::output::{self, show};

/// Jobs that are asked for at once: a message of 2 MiB holds them whatever they have.
const PAGE: u32 = 200;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tally status                              (all jobs, newest first)
  tally status --state running,merging
  tally status --name plays --sort size --limit 10
  tally status 0199…                        (one job, and all that is known of it)")]
pub(crate) struct StatusArgs {
    /// The job; all of them where it is not given
    pub(crate) job: Option<JobId>,
    #[command(flatten)]
    pub(crate) master: MasterAddress,
    /// Jobs in one of these states only: receiving, running, merging, succeeded, failed, cancelled
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',', value_parser = state,
        conflicts_with = "job")]
    pub(crate) states: Vec<JobState>,
    /// Jobs of one of these priorities only: high, default, low
    #[arg(long = "priority", value_name = "PRIORITY", value_delimiter = ',',
        value_parser = crate::args::priority, conflicts_with = "job")]
    pub(crate) priorities: Vec<Priority>,
    /// Jobs with this in their name only, whatever the case
    #[arg(long, value_name = "TEXT", conflicts_with = "job")]
    pub(crate) name: Option<String>,
    /// What comes first
    #[arg(long, value_enum, default_value = "opened")]
    pub(crate) sort: Sort,
    /// The other way round
    #[arg(long)]
    pub(crate) reverse: bool,
    /// Most jobs that are shown [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..),
        conflicts_with = "job")]
    pub(crate) limit: Option<u32>,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// The newest
    Opened,
    /// Those that have not ended, then those that ended last
    Ended,
    /// The first in the alphabet
    Name,
    /// The largest
    Size,
}

fn state(text: &str) -> Result<JobState, String> {
    let names = "receiving, running, merging, succeeded, failed and cancelled are";
    JobState::parse(text).ok_or_else(|| names.to_owned())
}

pub(crate) async fn run(args: &StatusArgs, format: OutputFormat) -> anyhow::Result<()> {
    let mut client = Client::connect(&args.master.dial()?).await?;
    match args.job {
        Some(id) => show(format, &client.get(id).await?, output::job),
        None => show(format, &pages(&mut client, args).await?, output::jobs),
    }
}

async fn pages(client: &mut Client, args: &StatusArgs) -> anyhow::Result<Vec<JobView>> {
    let mut query = JobQuery {
        states: args.states.clone(),
        priorities: args.priorities.clone(),
        name: args.name.clone(),
        sort: match args.sort {
            Sort::Opened => JobSort::Opened,
            Sort::Ended => JobSort::Ended,
            Sort::Name => JobSort::Name,
            Sort::Size => JobSort::Size,
        },
        // The last name first is what nobody expects.
        ascending: args.reverse != (args.sort == Sort::Name),
        ..JobQuery::default()
    };
    let most = args.limit.map_or(usize::MAX, |limit| limit as usize);
    let mut jobs = Vec::new();
    loop {
        query.limit = PAGE.min(u32::try_from(most - jobs.len()).unwrap_or(PAGE));
        let page = client.page(&query).await?;
        jobs.extend(page.jobs);
        match page.next {
            Some(next) if jobs.len() < most => query.cursor = Some(next),
            _ => return Ok(jobs),
        }
    }
}
