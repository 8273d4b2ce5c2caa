//! `tally table apply`: operations from a file, some of them on their way at a time. When the connection
//! breaks, all that has no answer yet is sent again: message ids make that harmless.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use tally_common::api::{OperationResult, Outcome};
use tally_proto::convert::outcome_from_wire;
use tally_proto::dial::Dial;
use tally_proto::v1::{ApplyReply, ApplyRequest};

use super::operations::{Batch, Operations};
use super::print::lines;
use crate::args::{MasterAddress, OutputFormat, seconds};
use crate::client::Tables;
use crate::exit::{Kind, is_broken, refusal};
use crate::output::{Target, show};
use crate::upload::Patience;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tally table apply products changes.csv
  tally table apply products - --results answers.ndjson < changes.ndjson

A CSV has a header: op,message_id[,expected_version] and columns of the table; JSON lines are operations as
the HTTP reference has them. Each operation is applied once for its message id, however often the file is
applied. Exits with 3 if some were refused.")]
pub(super) struct ApplyArgs {
    /// The table
    table: String,
    /// The operations: CSV or JSON lines; - is stdin
    file: PathBuf,
    #[command(flatten)]
    master: MasterAddress,
    /// Operations that are one transaction
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch: u16,
    /// Batches that are on their way at a time
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=64))]
    window: u16,
    /// Where what came of each operation goes, as JSON lines
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// Exit with 0 even if some operations were refused
    #[arg(long)]
    allow_refused: bool,
    /// Seconds to go on trying when the connection breaks
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    timeout: Duration,
}

/// What the operations came to.
#[derive(Debug, Default, Serialize)]
struct Summary {
    operations: u64,
    /// How many had been applied before.
    repeated: u64,
    outcomes: BTreeMap<&'static str, u64>,
    refused: u64,
}

impl Summary {
    fn add(&mut self, result: &OperationResult) {
        self.operations += 1;
        self.repeated += u64::from(result.repeated);
        self.refused += u64::from(!result.outcome.is_done());
        *self.outcomes.entry(result.outcome.as_str()).or_default() += 1;
    }
}

pub(super) async fn run(args: ApplyArgs, format: OutputFormat) -> anyhow::Result<()> {
    let table = Tables::connect(&args.master.dial()?).await?.get(&args.table).await?;
    let mut applying = Applying {
        dial: args.master.dial()?,
        file: Operations::open(&args.file, &table)?,
        results: args.results.as_deref().map(Target::open).transpose()?,
        pending: VecDeque::new(),
        summary: Summary::default(),
        first_problem: None,
        args: &args,
    };
    applying.run().await?;
    let Applying { results, summary, first_problem, .. } = applying;
    results.map_or(Ok(()), Target::finish)?;
    show(format, &summary, |summary: &Summary| {
        let outcomes = Outcome::ALL.iter().filter_map(|outcome| {
            let count = summary.outcomes.get(outcome.as_str())?;
            Some(vec![outcome.as_str().to_owned(), count.to_string()])
        });
        let said = lines(&["OUTCOME", "OPERATIONS"], outcomes);
        let (all, repeated) = (summary.operations, summary.repeated);
        format!("{said}\n{all} operations, {repeated} of them applied before")
    })?;
    if summary.refused == 0 || args.allow_refused {
        return Ok(());
    }
    let first = first_problem.map_or_else(String::new, |problem| format!("; the first: {problem}"));
    let why =
        format!("{} of {} operations were refused{first}", summary.refused, summary.operations);
    Err(Kind::JobFailed.error(why))
}

/// A file on its way.
struct Applying<'a> {
    args: &'a ApplyArgs,
    dial: Dial,
    file: Operations,
    results: Option<Target>,
    /// What has been sent, or is to be sent next, and has no answer yet.
    pending: VecDeque<Batch>,
    summary: Summary,
    first_problem: Option<String>,
}

/// Why a connection is over before all is applied.
enum Over {
    /// It broke, after something had been answered or not.
    Broken {
        status: Status,
        moved: bool,
    },
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Over {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl Applying<'_> {
    async fn run(&mut self) -> anyhow::Result<()> {
        let mut patience = Patience::new(self.args.timeout);
        loop {
            match self.connection().await {
                Ok(()) => return Ok(()),
                Err(Over::Failed(error)) => return Err(error),
                Err(Over::Broken { status, moved }) => {
                    if moved {
                        patience = Patience::new(self.args.timeout);
                    }
                    if !patience.wait(u64::from(std::process::id())).await {
                        return Err(refusal(&status));
                    }
                }
            }
        }
    }

    /// Applies all that is left over one connection, first what has no answer from the one before.
    async fn connection(&mut self) -> Result<(), Over> {
        let broken = |status| over(status, false);
        let mut client = Tables::try_connect(&self.dial).await.map_err(broken)?;
        let window = usize::from(self.args.window);
        let (requests, stream) = mpsc::channel(window);
        for batch in &self.pending {
            self.send(&requests, batch).await;
        }
        let mut replies = client.apply(stream).await.map_err(broken)?;
        let mut moved = false;
        loop {
            while self.pending.len() < window {
                let batch = self.file.batch(usize::from(self.args.batch))?;
                if batch.is_empty() {
                    break;
                }
                if batch.operations.is_empty() && self.pending.is_empty() {
                    self.answered(batch, Vec::new())?;
                    continue;
                }
                self.send(&requests, &batch).await;
                self.pending.push_back(batch);
            }
            if self.pending.is_empty() {
                return Ok(());
            }
            let reply = next(&mut replies).await.map_err(|status| over(status, moved))?;
            moved = true;
            // There is one, or there would be nothing to wait for.
            if let Some(batch) = self.pending.pop_front() {
                let results = reply.results.into_iter().map(outcome_from_wire);
                let results = results.collect::<Result<_, _>>().map_err(anyhow::Error::from)?;
                self.answered(batch, results)?;
            }
        }
    }

    async fn send(&self, requests: &mpsc::Sender<ApplyRequest>, batch: &Batch) {
        let table = self.args.table.clone();
        let operations = batch.operations.clone();
        // There is room for as many as may be on their way; a stream that is gone says so by its answers.
        let _ = requests.send(ApplyRequest { table, operations }).await;
    }

    fn answered(&mut self, batch: Batch, answers: Vec<OperationResult>) -> anyhow::Result<()> {
        let answers = batch.answers(answers);
        let answers = answers
            .ok_or_else(|| anyhow::anyhow!("the master has not answered every operation"))?;
        for answer in &answers {
            self.summary.add(answer);
            if !answer.outcome.is_done() && self.first_problem.is_none() {
                let said =
                    answer.problem.as_ref().map_or_else(String::new, |said| format!(", {said}"));
                let id = &answer.message_id;
                self.first_problem = Some(format!("{id:?} is {}{said}", answer.outcome.as_str()));
            }
            if let Some(out) = &mut self.results {
                let mut line = serde_json::to_vec(answer)?;
                line.push(b'\n');
                out.write_all(&line)?;
            }
        }
        Ok(())
    }
}

async fn next(replies: &mut Streaming<ApplyReply>) -> Result<ApplyReply, Status> {
    let reply = replies.message().await?;
    reply.ok_or_else(|| Status::unavailable("the master has ended the stream"))
}

fn over(status: Status, moved: bool) -> Over {
    if is_broken(&status) { Over::Broken { status, moved } } else { Over::Failed(refusal(&status)) }
}
