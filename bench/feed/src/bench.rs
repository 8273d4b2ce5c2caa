//! One measurement from end to end: a master, its jobs, and then the slaves.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use tempfile::TempDir;

use tally_common::spec::AggregateOp;
use tally_common::spec::{Spec, SpecDraft};

use crate::answers::Answers;
use crate::client::Client;
use crate::crowd::{Crowd, Fed};
use crate::load::Load;
use crate::process::{Master, Tally, Usage};

/// What is computed: the sum of plays by date. Partials and the result are small, as what is of interest
/// is the way to the slaves.
const KEY: &str = "Date";
const SUM: [&str; 2] = ["Number of Plays", "Plays"];

/// The same as flags.
pub const SPEC_FLAGS: [&str; 4] = ["--group-by", KEY, "--sum", "Number of Plays=Plays"];

/// What is measured.
pub struct Bench {
    /// The binary.
    pub tally: Tally,
    /// Where inputs and the masters' data lie.
    pub folder: PathBuf,
    /// What the master is given to hand out.
    pub load: Load,
    /// How long a slave pretends to count a task.
    pub delay: Duration,
    /// After which a measurement ends, finished or not.
    pub at_most: Duration,
    /// A master that runs already, and maybe its process; else one is started for each measurement.
    pub running: Option<(String, Option<u32>)>,
    answers: Arc<Answers>,
    file: PathBuf,
}

/// What was measured with so many slaves.
#[derive(Clone, Debug)]
pub struct Row {
    /// Simulated slaves.
    pub slaves: usize,
    /// Tasks that there were.
    pub tasks: u64,
    /// What the slaves saw.
    pub fed: Fed,
    /// What the master cost meanwhile, and its peak; `None` where its process is not known.
    pub master: Option<Usage>,
    /// What the slaves cost meanwhile, all together.
    pub simulated: Usage,
    /// What came out of each job, where all of it was done in time: records and the result's SHA-256.
    pub results: Vec<(u64, String)>,
}

/// A master, ours or not, and where its data lies if it is.
struct Target {
    url: String,
    id: Option<u32>,
    _master: Option<(Master, TempDir)>,
}

impl Bench {
    /// Makes the input.
    ///
    /// # Errors
    /// Where it can not be written.
    pub fn new(tally: Tally, folder: PathBuf, load: Load) -> anyhow::Result<Self> {
        let file = folder.join("plays.csv");
        tally.generate(load.input, &file)?;
        let (delay, at_most) = (Duration::from_millis(10), Duration::from_secs(60));
        let answers = Arc::default();
        Ok(Self { tally, folder, load, delay, at_most, running: None, answers, file })
    }

    /// Measures. Jobs first, then the slaves, and only then is the clock started: taking inputs in is not
    /// what is measured.
    ///
    /// # Errors
    /// Where anything goes wrong.
    pub async fn measure(&self, slaves: usize) -> anyhow::Result<Row> {
        let target = self.target()?;
        let mut client = Client::connect(&target.url).await?;
        let (mut jobs, mut tasks) = (Vec::new(), 0);
        for _ in 0..self.load.jobs {
            let job = self.submit(&target.url).await?;
            tasks += self.prepare(&mut client, &job).await?;
            jobs.push(job);
        }
        let known = self.answers.counted();
        let crowd = Crowd::join(&target.url, slaves, self.delay, &self.answers).await?;
        crowd.assigned(tasks.min(2 * slaves as u64)).await?;
        let usage = || -> anyhow::Result<_> {
            Ok((target.id.map(Usage::of).transpose()?, Usage::of(std::process::id())?))
        };
        let before = usage()?;
        let fed = crowd.feed(tasks, self.at_most).await?;
        let after = usage()?;
        ensure!(self.answers.counted() == known, "tasks were counted while it was measured");
        let master = before.0.zip(after.0).map(|(from, to)| to.since(from));
        let simulated = after.1.since(before.1);
        let mut results = Vec::new();
        for job in jobs {
            if fed.tasks >= tasks {
                results.push(client.result(&job).await?);
            } else if self.running.is_some() {
                client.cancel(&job).await?;
            }
        }
        Ok(Row { slaves, tasks, fed, master, simulated, results })
    }

    fn target(&self) -> anyhow::Result<Target> {
        if let Some((url, id)) = &self.running {
            return Ok(Target { url: url.clone(), id: *id, _master: None });
        }
        let data = TempDir::new_in(&self.folder)?;
        let master = Master::start(&self.tally, data.path(), self.load.task)?;
        let (url, id) = (master.url.clone(), Some(master.id()));
        Ok(Target { url, id, _master: Some((master, data)) })
    }

    /// Submits the input, and gives the job.
    async fn submit(&self, url: &str) -> anyhow::Result<String> {
        let file = self.file.to_str().context("a path that is text is wanted")?.to_owned();
        let (tally, url) = (self.tally.clone(), url.to_owned());
        let submitted = tokio::task::spawn_blocking(move || {
            tally.run(&[&["submit", &file, "--master", &url][..], &SPEC_FLAGS].concat())
        });
        submitted.await?
    }

    /// Counts the job's tasks beforehand, as far as they have not come before; gives how many there are.
    async fn prepare(&self, client: &mut Client, job: &str) -> anyhow::Result<u64> {
        let tasks = client.tasks(job).await?;
        let count = tasks.len() as u64;
        let draft = SpecDraft::from_short_forms(
            &[KEY.to_owned()],
            &[(AggregateOp::Sum, SUM.join("="))],
            None,
        );
        let spec = Spec::try_from(draft?)?;
        let (answers, file) = (Arc::clone(&self.answers), self.file.clone());
        tokio::task::spawn_blocking(move || answers.prepare(&spec, &file, &tasks)).await??;
        Ok(count)
    }
}
