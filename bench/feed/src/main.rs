//! `tally-feed`: measures what a master can feed.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use tempfile::TempDir;

use tally_feed::report::{saturation, table};
use tally_feed::{Bench, Load, Tally, raise_file_limit};

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
    raise_file_limit()?;
    let folder = match &args.folder {
        Some(folder) => TempDir::new_in(folder),
        None => TempDir::new(),
    };
    let folder = folder.context("no folder for inputs and data")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        for load in &args.load {
            let tally = match &args.tally {
                Some(path) => Tally::at(path.clone()),
                None => Tally::beside()?,
            };
            let mut bench = Bench::new(tally, folder.path().to_owned(), *load)?;
            bench.delay = Duration::from_millis(args.delay);
            bench.at_most = Duration::from_secs(args.seconds);
            bench.running = args.master.clone().map(|url| (url, args.pid));
            run(&bench, &args.slaves).await?;
        }
        Ok(())
    })
}

/// Measures one load with each number of slaves.
async fn run(bench: &Bench, slaves: &[usize]) -> anyhow::Result<()> {
    let (mut rows, mut result) = (Vec::new(), None);
    for &slaves in slaves {
        let row = bench.measure(slaves).await?;
        eprintln!(
            "{slaves} slaves: {} of {} tasks in {:?}",
            row.fed.tasks, row.tasks, row.fed.time
        );
        for found in &row.results {
            let first = result.get_or_insert_with(|| found.clone());
            ensure!(found == first, "{found:?} came out, and {first:?} before");
        }
        rows.push(row);
    }
    let Load { task, input, jobs } = bench.load;
    let cut = if bench.running.is_some() {
        "as the master cuts it".to_owned()
    } else {
        format!("in tasks of {task}")
    };
    println!("{jobs} × {input} bytes {cut}, each counted in {:?}:\n", bench.delay);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{}\n{}\n", table(&rows), saturation(&rows, bench.delay, cores));
    Ok(())
}
