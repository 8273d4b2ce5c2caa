//! `tally-feed`: measures what a master can feed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use tempfile::TempDir;

use tally_feed::report::{Row, saturation, table};
use tally_feed::{Answers, Client, Crowd, Load, Master, Tally, Usage, raise_file_limit};

/// Measures what a master can feed: many simulated slaves, each with a connection of its own, take tasks
/// and pretend to count them
#[derive(Debug, Parser)]
#[command(name = "tally-feed", max_term_width = 100)]
struct Args {
    /// The tally binary [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    tally: Option<PathBuf>,
    /// A master that runs already, maybe on another machine, instead of one that is started for each row;
    /// it cuts tasks as it likes
    #[arg(long, value_name = "URL")]
    master: Option<String>,
    /// The process of that master, where it is on this machine: so that its cost is known
    #[arg(long, value_name = "PID", requires = "master")]
    pid: Option<u32>,
    /// How many slaves
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,10,100,1000")]
    slaves: Vec<usize>,
    /// Milliseconds that a slave pretends to count a task
    #[arg(long, value_name = "MS", default_value = "10")]
    delay: u64,
    /// Bytes of a task, bytes of an input, and how often it is submitted; may be repeated
    #[arg(long, value_name = "TASK,INPUT,JOBS",
        default_values = ["16KiB,160MB,1", "16MiB,1GB,4"])]
    load: Vec<Load>,
    /// Seconds after which a row ends, finished or not
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    seconds: u64,
    /// Where inputs and the masters' data lie meanwhile [default: the folder for temporary files]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    ensure!(!args.slaves.is_empty(), "how many slaves?");
    raise_file_limit()?;
    let tally = match &args.tally {
        Some(path) => Tally::at(path.clone()),
        None => Tally::beside()?,
    };
    let folder = match &args.folder {
        Some(folder) => TempDir::new_in(folder),
        None => TempDir::new(),
    };
    let folder = folder.context("no folder for inputs and data")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        for load in &args.load {
            let bench = Bench { args: &args, tally: &tally, folder: folder.path(), load: *load };
            bench.run().await?;
        }
        Ok(())
    })
}

/// One load, for each number of slaves.
struct Bench<'a> {
    args: &'a Args,
    tally: &'a Tally,
    folder: &'a Path,
    load: Load,
}

/// A master, ours or not, and where its data lies if it is.
struct Target {
    url: String,
    id: Option<u32>,
    _master: Option<(Master, TempDir)>,
}

impl Bench<'_> {
    async fn run(&self) -> anyhow::Result<()> {
        let Load { task, input, jobs } = self.load;
        let file = self.folder.join("plays.csv");
        self.tally.generate(input, &file)?;
        let answers = Arc::<Answers>::default();
        // All tasks are counted once, so that nothing is counted while it is measured.
        let totals = self.row(4, 1, Duration::from_secs(600), (&file, &answers)).await?.1;
        let known = answers.counted();
        let mut rows = Vec::new();
        for &slaves in &self.args.slaves {
            let at_most = Duration::from_secs(self.args.seconds);
            let (row, found) = self.row(slaves, jobs, at_most, (&file, &answers)).await?;
            ensure!(found.is_none() || found == totals, "another result: {found:?}");
            eprintln!("{slaves} slaves: {} tasks in {:?}", row.fed.tasks, row.fed.time);
            rows.push(row);
        }
        if answers.counted() != known {
            println!("Tasks were cut in different ways: some were counted while it was measured.");
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let delay = Duration::from_millis(self.args.delay);
        let cut = if self.args.master.is_some() { "as the master cuts them" } else { "at least" };
        println!(
            "Tasks of {cut} {task} bytes, counted in {delay:?}; inputs of {input} bytes, {jobs} jobs\n"
        );
        println!("{}\n{}\n", table(&rows), saturation(&rows, delay, cores));
        Ok(())
    }

    fn target(&self) -> anyhow::Result<Target> {
        if let Some(url) = &self.args.master {
            return Ok(Target { url: url.clone(), id: self.args.pid, _master: None });
        }
        let data = TempDir::new_in(self.folder)?;
        let master = Master::start(self.tally, data.path(), self.load.task)?;
        let (url, id) = (master.url.clone(), Some(master.id()));
        Ok(Target { url, id, _master: Some((master, data)) })
    }

    /// Jobs first, then the slaves, and only then is the clock started: taking inputs in is not what is
    /// measured. Gives the totals, too, where all of it was done.
    async fn row(
        &self,
        slaves: usize,
        jobs: u32,
        at_most: Duration,
        (file, answers): (&Path, &Arc<Answers>),
    ) -> anyhow::Result<(Row, Option<String>)> {
        let target = self.target()?;
        let mut client = Client::connect(&target.url).await?;
        let mut submitted = Vec::new();
        for _ in 0..jobs {
            submitted.push(client.submit(self.tally, &target.url, file).await?);
        }
        let tasks = submitted.iter().filter_map(|job| job.tasks.as_ref());
        let tasks: u64 = tasks.map(|tasks| u64::from(tasks.cut)).sum();
        let delay = Duration::from_millis(self.args.delay);
        let crowd = Crowd::join(&target.url, slaves, delay, answers).await?;
        crowd.assigned(tasks.min(2 * slaves as u64)).await?;
        let usage = || -> anyhow::Result<_> {
            Ok((target.id.map(Usage::of).transpose()?, Usage::of(std::process::id())?))
        };
        let before = usage()?;
        let fed = crowd.feed(tasks, at_most).await?;
        let after = usage()?;
        let whole = fed.tasks >= tasks;
        let mut totals = None;
        for job in submitted {
            if whole {
                let ended = client.succeeded(&job.job_id).await?;
                let (receipt, result) = (ended.receipt.unwrap_or_default(), ended.result);
                ensure!(receipt.rejected == 0, "{} records rejected", receipt.rejected);
                let result = result.context("a job that has succeeded has a result")?;
                totals = Some(format!("{} records, {}", receipt.counted, result.sha256));
            } else if self.args.master.is_some() {
                client.cancel(&job.job_id).await?;
            }
        }
        let spent = |from: Usage, to: Usage| Usage { cpu: to.cpu - from.cpu, peak: to.peak };
        let master = before.0.zip(after.0).map(|(from, to)| spent(from, to));
        let simulated = spent(before.1, after.1);
        Ok((Row { slaves, fed, master, simulated }, totals))
    }
}
