//! A client of the master, for the little that is needed here.

use std::path::Path;

use anyhow::{Context, ensure};
use tonic::transport::Channel;

use tally_proto::v1::jobs_client::JobsClient;
use tally_proto::v1::{CancelRequest, GetRequest, Job, JobState, WatchRequest};

use crate::process::Tally;

/// A connection to a master.
pub struct Client(JobsClient<Channel>);

/// Where a job's life stands, with its error.
pub fn job_state(job: &Job) -> String {
    format!("{:?} {}", job.state(), job.error)
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Where nobody answers.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        Ok(Self(JobsClient::new(tally_proto::channel::connect(url).await?)))
    }

    /// Submits a file of plays, to be summed by date: so that partials and result are small, as what is
    /// of interest is the way to the slaves. Gives the job.
    ///
    /// # Errors
    /// Where it is refused.
    pub async fn submit(&mut self, tally: &Tally, url: &str, file: &Path) -> anyhow::Result<Job> {
        let file = file.to_str().context("a path that is text is wanted")?.to_owned();
        let (tally, url) = (tally.clone(), url.to_owned());
        let submitted = tokio::task::spawn_blocking(move || {
            let spec = ["--group-by", "Date", "--sum", "Number of Plays=Plays"];
            tally.run(&[&["submit", &file, "--master", &url][..], &spec].concat())
        });
        let job_id = submitted.await??;
        Ok(self.0.get(GetRequest { job_id }).await?.into_inner())
    }

    /// Waits until a job has ended, and sees to it that it has succeeded.
    ///
    /// # Errors
    /// Where it has not.
    pub async fn succeeded(&mut self, job_id: &str) -> anyhow::Result<Job> {
        let request = WatchRequest { job_id: job_id.to_owned() };
        let mut views = self.0.watch(request).await?.into_inner();
        let mut last = None;
        while let Some(view) = views.message().await? {
            last = Some(view);
        }
        let job = last.context("the master does not show the job")?;
        ensure!(job.state() == JobState::Succeeded, "the job is {}", job_state(&job));
        Ok(job)
    }

    /// Ends a job that nobody waits for.
    ///
    /// # Errors
    /// Where the master does not answer.
    pub async fn cancel(&mut self, job_id: &str) -> anyhow::Result<()> {
        self.0.cancel(CancelRequest { job_id: job_id.to_owned() }).await?;
        Ok(())
    }
}
