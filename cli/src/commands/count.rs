//! `tally count`

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;
use tokio::sync::oneshot;

use tally_common::api::JobView;
use tally_common::id::JobId;
use tally_master::config::Config;
use tally_master::jobs::{Download, Jobs, JobsError, NewJob, Source};
use tally_master::server::Master;

use super::cores;
use crate::args::CountArgs;
use crate::client::succeeded;
use crate::embedded;
use crate::exit::Kind;
use crate::output::{Target, bytes, folder, is_dash, is_special};
use crate::progress::Progress;

pub(crate) async fn run(args: &CountArgs) -> anyhow::Result<()> {
    let spec = args.spec.spec()?;
    let expected = check_files(args)?;
    let scratch = scratch(args)?;
    let mut config = Config::new(scratch.path().to_owned());
    // All of it is gone at the end, one way or the other.
    config.durable = false;
    config.disk_reserve = 0;
    let master = Master::start(config).await?;
    let jobs = master.jobs();
    let slave = embedded::slave(master.cluster(), args.workers.unwrap_or_else(cores));
    let slave = tokio::spawn(slave);
    // Tasks are cut for the workers that are there when the job is opened.
    while jobs.slaves().await?.is_empty() {
        tokio::task::yield_now().await;
    }
    let name = args.files[0].display().to_string();
    // The files are counted where they lie.
    let new = NewJob { expected, ..NewJob::new(name, spec) };
    let counted = count(&jobs, new, args).await;
    slave.abort();
    let job = counted?;
    if let Some(path) = &args.rejects
        && let Ok(rejects) = jobs.rejects(job.id).await
    {
        deliver(&rejects, path)?;
    }
    if let Err(error) = succeeded(&job) {
        if let (Some(path), false) = (&args.rejects, job.rejects.is_empty()) {
            eprintln!("The records that could not be counted are in {}", path.display());
        }
        return Err(error);
    }
    deliver(&jobs.result(job.id).await?, &args.out)?;
    if io::stderr().is_terminal() || !is_dash(&args.out) {
        summarise(&job, &args.out);
    }
    Ok(())
}

/// Looks at the files before anything is begun; gives their length together, where it is known.
fn check_files(args: &CountArgs) -> anyhow::Result<Option<u64>> {
    let mut all = Some(0);
    for path in &args.files {
        if is_dash(path) {
            all = None;
            continue;
        }
        let shown = path.display();
        let found = fs::metadata(path)
            .map_err(|error| Kind::JobFailed.error(format!("{shown} can not be read: {error}")))?;
        if found.is_dir() {
            let message = format!("{shown} is a directory; name the files in it");
            return Err(Kind::JobFailed.error(message));
        }
        if same_file(path, &args.out) {
            let message = format!("{shown} is both input and output; name another output");
            return Err(Kind::Usage.error(message));
        }
        // A pipe has no length.
        all = all.filter(|_| found.is_file()).map(|all| all + found.len());
    }
    Ok(all)
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// A folder for intermediate files that is gone at the end; on the disk of the output, if there is
/// one, so that the result needs only to be renamed.
fn scratch(args: &CountArgs) -> anyhow::Result<TempDir> {
    let parent = match &args.scratch_dir {
        Some(dir) => dir.clone(),
        None if is_dash(&args.out) || !folder(&args.out).is_dir() => std::env::temp_dir(),
        None => folder(&args.out).to_owned(),
    };
    let shown = parent.display();
    tempfile::Builder::new()
        .prefix(".tally-")
        .tempdir_in(&parent)
        .with_context(|| format!("intermediate files can not be kept in {shown}"))
}

async fn count(jobs: &Jobs, new: NewJob, args: &CountArgs) -> anyhow::Result<JobView> {
    let sources = args.files.iter().map(|path| (path.display().to_string(), source(path)));
    let (opened_in, opened) = oneshot::channel::<JobId>();
    let submit = jobs.submit(new, sources.collect(), opened_in);
    let follow = async {
        let Ok(id) = opened.await else { return Ok(None) };
        let mut progress = Progress::new(false);
        let mut views = jobs.watch(id).await?;
        loop {
            let view = views.borrow_and_update().clone();
            progress.show(&view);
            if view.state.ended() || views.changed().await.is_err() {
                progress.clear();
                return Ok::<_, JobsError>(Some(view));
            }
        }
    };
    let (submitted, followed) = tokio::join!(submit, follow);
    match submitted {
        Err(JobsError::Input { error, .. }) => {
            let names: Vec<_> = args.files.iter().map(|path| path.display().to_string()).collect();
            let message = format!("{}: {error}", names.join(", "));
            Err(Kind::JobFailed.error(message))
        }
        Err(error) => Err(error.into()),
        Ok(_) => {
            let view = followed?.context("the job was not opened")?;
            Ok(JobView::clone(&view))
        }
    }
}

fn source(path: &Path) -> Source {
    if is_dash(path) {
        return Source::Stream(Box::new(io::stdin()));
    }
    match fs::metadata(path) {
        // A pipe can be read once only, so it goes through the spool.
        Ok(found) if !found.is_file() => {
            Source::Stream(Box::new(Lazy { path: path.into(), file: None }))
        }
        _ => Source::File(path.to_owned()),
    }
}

/// A pipe that is opened when it is first read: opening one waits for its writer.
struct Lazy {
    path: PathBuf,
    file: Option<fs::File>,
}

impl io::Read for Lazy {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(fs::File::open(&self.path)?),
        };
        file.read(buffer)
    }
}

/// Brings a file of the job to where the user wants it.
fn deliver(file: &Download, to: &Path) -> anyhow::Result<()> {
    if !is_dash(to) && !to.is_dir() && !is_special(to) && fs::rename(&file.path, to).is_ok() {
        return Ok(());
    }
    let mut target = Target::open(to)?;
    let mut from = fs::File::open(&file.path)?;
    match io::copy(&mut from, &mut target).and_then(|_| target.flush()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{} can not be written", to.display())),
        Ok(()) => target.finish(),
    }
}

fn summarise(job: &JobView, out: &Path) {
    let Some(result) = &job.result else { return };
    let (records, rows, rejected) = (job.receipt.counted, result.rows, job.receipt.rejected);
    let seconds = job.progress.elapsed_ms as f64 / 1000.0;
    let rate = bytes(job.receipt.bytes.saturating_mul(1000) / job.progress.elapsed_ms.max(1));
    let rejected = if rejected > 0 { format!(", {rejected} rejected") } else { String::new() };
    let to = if is_dash(out) { String::new() } else { format!(" in {}", out.display()) };
    eprintln!("{records} records{rejected} → {rows} rows{to} ({seconds:.2} s, {rate}/s)");
}
