//! A client of a master, over gRPC.

mod tables;
mod views;

use std::io::Write;

use anyhow::Context;
use tonic::{Code, Status};

use tally_common::api::{FullReceipt, JobState, JobView};
use tally_common::id::JobId;
use tally_common::limits::MAX_MESSAGE_BYTES;
use tally_proto::Line;
use tally_proto::convert::{full_receipt_from_wire, job_from_wire};
use tally_proto::dial::Dial;
use tally_proto::frames::{self, Incoming, Part, Piece, Shape, path};
use tally_proto::v1::jobs_client::JobsClient;
use tally_proto::v1::{
    CancelRequest, DeleteRequest, FindUploadReply, FindUploadRequest, GetReceiptRequest,
    GetRequest, InputRequest, Job, RejectsRequest, ResultRequest, SubmitReply, WatchRequest,
};
use tokio_stream::Stream;

use crate::exit::{Kind, refusal, undialled};

pub(crate) use tables::{Tables, changes_of};
pub(crate) use views::Events;

/// A connection to a master.
#[derive(Clone)]
pub(crate) struct Client(JobsClient<Line>, Line);

/// Which file of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum File {
    Result,
    Rejects,
}

type Outcome<T> = anyhow::Result<T>;

/// What an answer is that this build can not read.
const NONSENSE: &str = "the master's answer makes no sense; is it of another version?";

fn refused(status: Status) -> anyhow::Error {
    refusal(&status)
}

fn job(wire: Job) -> Outcome<JobView> {
    job_from_wire(wire).context(NONSENSE)
}

impl Client {
    pub(crate) async fn connect(dial: &Dial) -> Outcome<Self> {
        let line = dial.connect().await.map_err(|error| undialled(&error))?;
        let client = JobsClient::new(line.clone());
        Ok(Self(
            client
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
            line,
        ))
    }

    pub(crate) async fn submit(
        &mut self,
        pieces: impl Stream<Item = Result<Piece, Status>> + Send + Unpin + 'static,
    ) -> Result<JobId, Status> {
        let reply: SubmitReply = frames::upload(self.1.clone(), path::SUBMIT, pieces).await?;
        reply.job_id.parse().map_err(|_| Status::internal("the master's answer makes no sense"))
    }

    /// How far the upload of a submission came; `None` where the master knows of none.
    pub(crate) async fn find_upload(
        &mut self,
        message_id: &str,
    ) -> Result<Option<FindUploadReply>, Status> {
        let request = FindUploadRequest { message_id: message_id.to_owned() };
        match self.0.find_upload(request).await {
            Ok(reply) => Ok(Some(reply.into_inner())),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }

    pub(crate) async fn receipt(&mut self, id: JobId) -> Outcome<FullReceipt> {
        let request = GetReceiptRequest { job_id: id.to_string() };
        let reply = self.0.get_receipt(request).await.map_err(refused)?.into_inner();
        full_receipt_from_wire(reply).context(NONSENSE)
    }

    /// A part of a job's input, where the master keeps it.
    pub(crate) async fn input(&mut self, id: JobId, offset: u64, length: u64) -> Outcome<Incoming> {
        let request = InputRequest { job_id: id.to_string(), offset, length };
        frames::download(self.1.clone(), path::INPUT, &request, Shape::DATA).await.map_err(refused)
    }

    pub(crate) async fn get(&mut self, id: JobId) -> Outcome<JobView> {
        let request = GetRequest { job_id: id.to_string() };
        job(self.0.get(request).await.map_err(refused)?.into_inner())
    }

    /// Calls `show` with the job at each change, and gives it when it has ended.
    pub(crate) async fn watch(
        &mut self,
        id: JobId,
        mut show: impl FnMut(&JobView),
    ) -> Outcome<JobView> {
        let request = WatchRequest { job_id: id.to_string() };
        let mut views = self.0.watch(request).await.map_err(refused)?.into_inner();
        while let Some(view) = views.message().await.map_err(refused)? {
            let view = job(view)?;
            show(&view);
            if view.state.ended() {
                return Ok(view);
            }
        }
        Err(Kind::NoSuchJob.error(format!("the job {id} was deleted")))
    }

    /// Writes a file of a job to `out`; gives its length in bytes.
    pub(crate) async fn download(
        &mut self,
        file: File,
        id: JobId,
        out: &mut (impl Write + ?Sized),
    ) -> Outcome<u64> {
        let job_id = id.to_string();
        let channel = self.1.clone();
        let mut frames = match file {
            File::Result => {
                frames::download(channel, path::RESULT, &ResultRequest { job_id }, Shape::DATA)
                    .await
            }
            File::Rejects => {
                frames::download(channel, path::REJECTS, &RejectsRequest { job_id }, Shape::DATA)
                    .await
            }
        }
        .map_err(refused)?;
        let mut bytes = 0;
        while let Some(Part::Data(data)) = frames.next().await.map_err(refused)? {
            out.write_all(&data)?;
            bytes += data.len() as u64;
        }
        Ok(bytes)
    }

    pub(crate) async fn cancel(&mut self, id: JobId) -> Outcome<JobView> {
        let request = CancelRequest { job_id: id.to_string() };
        job(self.0.cancel(request).await.map_err(refused)?.into_inner())
    }

    pub(crate) async fn delete(&mut self, id: JobId) -> Outcome<()> {
        let request = DeleteRequest { job_id: id.to_string() };
        self.0.delete(request).await.map_err(refused)?;
        Ok(())
    }
}

/// The error that a job which has not succeeded is to the user.
pub(crate) fn succeeded(job: &JobView) -> Outcome<()> {
    match job.state {
        JobState::Failed => {
            let error = job.error.as_deref().unwrap_or("the job failed");
            Err(Kind::JobFailed.error(error))
        }
        JobState::Cancelled => Err(Kind::Cancelled.error(format!("job {} was cancelled", job.id))),
        _ => Ok(()),
    }
}
