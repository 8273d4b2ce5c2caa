//! A client of the master, for the little that is needed here.

use anyhow::{Context, ensure};
use tonic::transport::Channel;

use tally_proto::v1::jobs_client::JobsClient;
use tally_proto::v1::{CancelRequest, GetReceiptRequest, JobState, TaskReceipt, WatchRequest};

/// Bytes that a receipt may have: some for each of many tasks.
const MAX_RECEIPT_BYTES: usize = 64 << 20;

/// A connection to a master.
pub(crate) struct Client(JobsClient<Channel>);

impl Client {
    pub(crate) async fn connect(url: &str) -> anyhow::Result<Self> {
        let client = JobsClient::new(tally_proto::channel::connect(url).await?);
        Ok(Self(client.max_decoding_message_size(MAX_RECEIPT_BYTES)))
    }

    /// The tasks into which a job's input was cut.
    pub(crate) async fn tasks(&mut self, job: &str) -> anyhow::Result<Vec<TaskReceipt>> {
        let request = GetReceiptRequest { job_id: job.to_owned() };
        Ok(self.0.get_receipt(request).await?.into_inner().tasks)
    }

    /// Waits until a job has succeeded; gives its records and the SHA-256 of its result.
    pub(crate) async fn result(&mut self, job: &str) -> anyhow::Result<(u64, String)> {
        let request = WatchRequest { job_id: job.to_owned() };
        let mut views = self.0.watch(request).await?.into_inner();
        let mut last = None;
        while let Some(view) = views.message().await? {
            last = Some(view);
        }
        let job = last.context("the master does not show the job")?;
        let succeeded = job.state() == JobState::Succeeded;
        ensure!(succeeded, "a job has ended otherwise: {:?} {}", job.state(), job.error);
        let receipt = job.receipt.unwrap_or_default();
        ensure!(receipt.rejected == 0, "{} records were rejected", receipt.rejected);
        let result = job.result.context("a job that has succeeded has a result")?;
        Ok((receipt.counted, result.sha256))
    }

    /// Ends a job that nobody waits for.
    pub(crate) async fn cancel(&mut self, job: &str) -> anyhow::Result<()> {
        self.0.cancel(CancelRequest { job_id: job.to_owned() }).await?;
        Ok(())
    }
}
