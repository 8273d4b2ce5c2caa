//! `tally watch`, `result`, `rejects`, `cancel` and `delete`: one question to the master each.

use tally_common::api::{JobState, JobView, LookQuery};
use tally_common::spec::KeyKind;

use super::query;
use super::submit::download;
use crate::args::{DownloadArgs, JobArgs, OutputFormat, ResultArgs};
use crate::client::{Client, File, succeeded};
use crate::exit::Kind;
use crate::output::{self, Target, show};
use crate::progress::Progress;

/// The columns of rejects that hold numbers: the line and the offset.
const REJECTS: [bool; 2] = [true, true];

pub(crate) async fn watch(args: &JobArgs, format: OutputFormat) -> anyhow::Result<()> {
    let mut client = Client::connect(&args.master.dial()?).await?;
    let mut progress = Progress::new(true);
    let job = client.watch(args.job, |job| progress.show(job)).await?;
    progress.clear();
    show(format, &job, output::job)?;
    succeeded(&job)
}

pub(crate) async fn result(args: ResultArgs, format: OutputFormat) -> anyhow::Result<()> {
    let ResultArgs { download: args, partial } = args;
    let mut client = Client::connect(&args.master.dial()?).await?;
    if partial || args.rows.are_some() {
        let query = LookQuery { partial, ..LookQuery::default() };
        let look = query::rows(&mut client, args.job, query, args.rows).await?;
        let job = client.get(args.job).await?;
        let out = Target::open(&args.out)?.formula_safe(is_csv(&args, format)?, || plain(&job));
        return query::print(&look, format, out);
    }
    let job = client.get(args.job).await?;
    succeeded(&job)?;
    if job.state != JobState::Succeeded {
        let state = job.state.as_str();
        let message = format!(
            "job {} is {state}; follow it with: tally watch {0}, or look at what has been counted so \
             far: tally result {0} --partial",
            job.id
        );
        return Err(Kind::JobFailed.error(message));
    }
    let out = Target::open(&args.out)?.formula_safe(args.formula_safe, || plain(&job));
    download(&mut client, &job, out).await
}

/// Which columns of a result hold nothing but numbers and dates.
fn plain(job: &JobView) -> Vec<bool> {
    let keys = job.spec.group_by.iter().map(|key| key.kind != KeyKind::Text);
    keys.chain(job.spec.aggregates.iter().map(|_| true)).collect()
}

/// Whether a CSV without formulas is wanted; it is a mistake to want one as JSON.
fn is_csv(args: &DownloadArgs, format: OutputFormat) -> anyhow::Result<bool> {
    if args.formula_safe && matches!(format, OutputFormat::Json) {
        return Err(
            Kind::Usage.error("--formula-safe is for CSV, and JSON is asked for".to_owned())
        );
    }
    Ok(args.formula_safe)
}

pub(crate) async fn rejects(args: &DownloadArgs, format: OutputFormat) -> anyhow::Result<()> {
    let mut client = Client::connect(&args.master.dial()?).await?;
    if args.rows.are_some() {
        let look = query::rejects(&mut client, args.job, args.rows).await?;
        let out = Target::open(&args.out)?;
        let out = out.formula_safe(is_csv(args, format)?, || REJECTS.to_vec());
        return query::print(&look, format, out);
    }
    let mut target = Target::open(&args.out)?.formula_safe(args.formula_safe, || REJECTS.to_vec());
    client.download(File::Rejects, args.job, &mut target).await?;
    target.finish()
}

pub(crate) async fn receipt(args: &JobArgs, format: OutputFormat) -> anyhow::Result<()> {
    let mut client = Client::connect(&args.master.dial()?).await?;
    show(format, &client.receipt(args.job).await?, output::receipt)
}

pub(crate) async fn cancel(args: &JobArgs, format: OutputFormat) -> anyhow::Result<()> {
    let mut client = Client::connect(&args.master.dial()?).await?;
    let job = client.cancel(args.job).await?;
    show(format, &job, |job| format!("{} is {}", job.id, job.state.as_str()))
}

pub(crate) async fn delete(args: &JobArgs) -> anyhow::Result<()> {
    Client::connect(&args.master.dial()?).await?.delete(args.job).await
}
