//! Merges saved runs of the `plays` preset and prints what that cost:
//! `cargo run --release -p tally-master --example merge -- FOLDER [OUT]`.
//!
//! The folder is one of a job (`jobs/ID/runs`) that was copied before the job ended. Without `OUT` the
//! result is only hashed. Time is the process's on a processor, from Linux's `/proc`, so that what
//! else the machine does counts less.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tally_common::run::RunMeta;
use tally_common::spec::{Spec, SpecDraft};
use tally_master::direct::DirectWriter;
use tally_master::merge::{MergeInput, MergeOptions, merge_to_csv};
use tally_master::read_at::FileAt;

/// Ticks in a second of what `/proc` counts.
const TICKS: f64 = 100.0;

fn processor_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    // The name, in parentheses, may hold spaces; user and system time are the 12th and 13th after.
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS)
}

fn open(path: &Path) -> Result<MergeInput, Box<dyn std::error::Error>> {
    let file = FileAt::open(path)?;
    let meta = Arc::new(RunMeta::read(&file)?);
    Ok(MergeInput { run: Arc::new(file), meta })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("which folder?")?;
    let out = args.next();
    let entries = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut paths: Vec<_> = entries.collect::<std::io::Result<_>>()?;
    paths.sort();
    let inputs: Vec<_> = paths.iter().map(|path| open(path)).collect::<Result<_, _>>()?;
    let spec = Spec::try_from(SpecDraft::plays())?;
    let threads = std::thread::available_parallelism()?.get();
    let (cancelled, scratch_dir) = (&AtomicBool::new(false), &std::env::temp_dir());
    let options = MergeOptions { threads, cancelled, scratch_dir };
    let before = processor_seconds()?;
    let summary = match out {
        Some(path) => {
            let mut out = DirectWriter::create(Path::new(&path))?;
            let summary = merge_to_csv(&spec, &inputs, &mut out, &options)?;
            out.finish()?;
            summary
        }
        None => merge_to_csv(&spec, &inputs, &mut std::io::sink(), &options)?,
    };
    let spent = processor_seconds()? - before;
    let digest: String = summary.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{spent:.2} CPU s; {} rows, {digest}", summary.rows);
    Ok(())
}
