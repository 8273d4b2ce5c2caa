//! The `Jobs` service: for clients.

use std::path::PathBuf;
use std::time::Duration;

use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt};

use tally_common::api::JobState;
use tally_common::id::JobId;
use tally_common::limits::MAX_KEY_BYTES;
use tally_common::spec::{Spec, SpecDraft};
use tally_proto::convert::{
    WireError, draft_from_wire, full_receipt_to_wire, job_id_from_text, job_to_wire,
    optional_job_id, priority_from_wire, slave_to_wire,
};
use tally_proto::frames::{Incoming, Part};
use tally_proto::v1::jobs_server::Jobs as Service;
use tally_proto::v1::{
    self, CancelRequest, DataFrame, DeleteReply, DeleteRequest, FindUploadReply, FindUploadRequest,
    GetReceiptRequest, GetRequest, InputRequest, Job, ListReply, ListRequest, RejectsRequest,
    ResultRequest, SlavesReply, SlavesRequest, SubmitFrame, SubmitHeader, SubmitReply,
    WatchRequest,
};

use super::bulk::elsewhere;
use super::stream::{self, Frames};
use crate::coordinator::Stopped;
use crate::jobs::{Jobs, JobsError, NewJob, Upload};

/// How long a client may pause within an upload.
const FRAME_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest name of a job, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// Of what is served elsewhere.
type Nothing = tokio_stream::Empty<Result<DataFrame, Status>>;

/// The service.
#[derive(Clone)]
pub(super) struct JobsService(pub(super) Jobs);

#[tonic::async_trait]
impl Service for JobsService {
    type WatchStream = ReceiverStream<Result<Job, Status>>;
    type ResultStream = Nothing;
    type RejectsStream = Nothing;
    type InputStream = Nothing;

    async fn submit(
        &self,
        _: Request<Streaming<SubmitFrame>>,
    ) -> Result<Response<SubmitReply>, Status> {
        Err(elsewhere())
    }

    async fn find_upload(
        &self,
        request: Request<FindUploadRequest>,
    ) -> Result<Response<FindUploadReply>, Status> {
        let message_id = request.into_inner().message_id;
        let Some(job) = self.0.find(message_id).await? else {
            return Err(Status::not_found("there is no submission with that message id"));
        };
        let view = self.0.get(job).await?;
        let complete = view.state != JobState::Receiving && !view.input_lost;
        let offset = if complete { 0 } else { self.0.upload_offset(job).await? };
        Ok(Response::new(FindUploadReply { job_id: job.to_string(), complete, offset }))
    }

    async fn get_receipt(
        &self,
        request: Request<GetReceiptRequest>,
    ) -> Result<Response<v1::FullReceipt>, Status> {
        let receipt = self.0.receipt(job_id(&request.get_ref().job_id)?).await?;
        Ok(Response::new(full_receipt_to_wire(&receipt)))
    }

    async fn input(&self, _: Request<InputRequest>) -> Result<Response<Self::InputStream>, Status> {
        Err(elsewhere())
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Job>, Status> {
        let job = self.0.get(job_id(&request.get_ref().job_id)?).await?;
        Ok(Response::new(job_to_wire(&job)))
    }

    async fn list(&self, _: Request<ListRequest>) -> Result<Response<ListReply>, Status> {
        let jobs = self.0.list().await?;
        let jobs = jobs.iter().map(|job| job_to_wire(job)).collect();
        Ok(Response::new(ListReply { jobs }))
    }

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let id = job_id(&request.get_ref().job_id)?;
        let mut views = self.0.watch(id).await?;
        let (changes, stream) = mpsc::channel(1);
        let jobs = self.0.clone();
        tokio::spawn(async move {
            loop {
                let view = views.borrow_and_update().clone();
                let ended = view.state.ended();
                if changes.send(Ok(job_to_wire(&view))).await.is_err() || ended {
                    return;
                }
                tokio::select! {
                    changed = views.changed() => if changed.is_err() {
                        // Either the job was deleted, or the master stops: then a client that
                        // watches is to come back.
                        if !matches!(jobs.get(id).await, Err(JobsError::NotFound(_) | JobsError::Gone(_))) {
                            let _ = changes.send(Err(JobsError::from(Stopped).into())).await;
                        }
                        return;
                    },
                    // A client that is gone: no need to wait for the job to change.
                    () = changes.closed() => return,
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn result(
        &self,
        _: Request<ResultRequest>,
    ) -> Result<Response<Self::ResultStream>, Status> {
        Err(elsewhere())
    }

    async fn rejects(
        &self,
        _: Request<RejectsRequest>,
    ) -> Result<Response<Self::RejectsStream>, Status> {
        Err(elsewhere())
    }

    async fn cancel(&self, request: Request<CancelRequest>) -> Result<Response<Job>, Status> {
        let job = self.0.cancel(job_id(&request.get_ref().job_id)?).await?;
        Ok(Response::new(job_to_wire(&job)))
    }

    async fn delete(
        &self,
        request: Request<DeleteRequest>,
    ) -> Result<Response<DeleteReply>, Status> {
        self.0.delete(job_id(&request.get_ref().job_id)?).await?;
        Ok(Response::new(DeleteReply {}))
    }

    async fn slaves(&self, _: Request<SlavesRequest>) -> Result<Response<SlavesReply>, Status> {
        let slaves = self.0.slaves().await?.iter().map(slave_to_wire).collect();
        Ok(Response::new(SlavesReply { slaves }))
    }
}

impl JobsService {
    /// `Submit`.
    pub(super) async fn take_in(&self, mut frames: Incoming) -> Result<SubmitReply, Status> {
        let mut upload = match next(&mut frames).await? {
            Some(Part::Header(header)) => {
                let header = SubmitHeader::decode(header)
                    .map_err(|error| Status::internal(error.to_string()))?;
                self.begin(header).await?
            }
            _ => return Err(refused(WireError::Missing("header"))),
        };
        while let Some(frame) = next(&mut frames).await? {
            let Part::Data(data) = frame else {
                return Err(refused(WireError::Missing("data")));
            };
            if !upload.push(data).await {
                break;
            }
        }
        let job = upload.finish().await?;
        Ok(SubmitReply { job_id: job.to_string() })
    }

    /// `Result`.
    pub(super) async fn result_file(&self, request: ResultRequest) -> Result<Frames, Status> {
        stream::download(self.0.result(job_id(&request.job_id)?).await?, 0, 0)
    }

    /// `Rejects`.
    pub(super) async fn rejects_file(&self, request: RejectsRequest) -> Result<Frames, Status> {
        stream::download(self.0.rejects(job_id(&request.job_id)?).await?, 0, 0)
    }

    /// `Input`.
    pub(super) async fn input_file(&self, request: InputRequest) -> Result<Frames, Status> {
        let InputRequest { job_id: id, offset, length } = request;
        stream::download(self.0.input(job_id(&id)?).await?, offset, length)
    }

    /// Begins an upload, or goes on with one.
    async fn begin(&self, header: SubmitHeader) -> Result<Upload, Status> {
        if let Some(resume) = &header.resume {
            return Ok(self.0.resume(job_id(&resume.job_id)?, resume.offset).await?);
        }
        let key = check_key(&header.message_id).map_err(refused)?;
        if let Some(repaired) = optional_job_id(&header.repairs).map_err(refused)? {
            let name = (!header.name.is_empty()).then_some(header.name);
            let expected = (header.size_hint > 0).then_some(header.size_hint);
            return Ok(self.0.repair(repaired, name, expected, key).await?);
        }
        let some = |path: &String| (!path.is_empty()).then(|| PathBuf::from(path));
        let (path, result_path) = (some(&header.in_place), some(&header.result_path));
        let mut new = new_job(header).map_err(refused)?;
        if let Some(path) = result_path {
            new.result_path = Some(self.0.result_place(path).await?);
        }
        if let Some(path) = path {
            return Ok(self.0.in_place(new, path, key).await?);
        }
        let resumable = key.is_some();
        Ok(self.0.upload(NewJob { resumable, ..new }, key).await?)
    }
}

/// The key of a request, if it has one.
fn check_key(key: &str) -> Result<Option<String>, WireError> {
    if key.len() > MAX_KEY_BYTES || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        let problem = format!("at most {MAX_KEY_BYTES} visible ASCII characters");
        return Err(WireError::Field { field: "header.message_id", problem });
    }
    Ok((!key.is_empty()).then(|| key.to_owned()))
}

fn job_id(text: &str) -> Result<JobId, Status> {
    job_id_from_text(text).map_err(refused)
}

fn new_job(header: SubmitHeader) -> Result<NewJob, WireError> {
    let draft = match &header.spec {
        Some(spec) => draft_from_wire(spec)?,
        None => SpecDraft::plays(),
    };
    if header.name.len() > MAX_NAME_BYTES {
        let problem = format!("at most {MAX_NAME_BYTES} bytes");
        return Err(WireError::Field { field: "header.name", problem });
    }
    let name = if header.name.is_empty() { "unnamed".to_owned() } else { header.name };
    Ok(NewJob {
        priority: priority_from_wire(header.priority)?,
        expected: (header.size_hint > 0).then_some(header.size_hint),
        keep_input: header.keep_input,
        ..NewJob::new(name, Spec::try_from(draft)?)
    })
}

async fn next(frames: &mut Incoming) -> Result<Option<Part>, Status> {
    frames.next_within(FRAME_TIMEOUT, "upload").await
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: WireError) -> Status {
    let message = error.to_string();
    let details = ErrorDetails::with_bad_request_violation(error.field(), message.clone());
    Status::with_error_details(Code::InvalidArgument, message, details)
}

impl From<JobsError> for Status {
    fn from(error: JobsError) -> Self {
        let message = error.to_string();
        let (code, reason) = match &error {
            JobsError::Stopped(_) => (Code::Unavailable, "STOPPING"),
            JobsError::NotFound(_) => (Code::NotFound, "NO_SUCH_JOB"),
            JobsError::Gone(_) => (Code::NotFound, "JOB_GONE"),
            JobsError::Query(_) => (Code::InvalidArgument, "QUERY"),
            JobsError::Looks(_) => (Code::ResourceExhausted, "BUSY"),
            JobsError::Cursor(_) => (Code::InvalidArgument, "CURSOR"),
            JobsError::State { .. } => (Code::FailedPrecondition, "JOB_STATE"),
            JobsError::Input { .. } => (Code::InvalidArgument, "INPUT"),
            JobsError::Busy(_) | JobsError::QueueFull(_) => (Code::ResourceExhausted, "BUSY"),
            JobsError::NoRoom { .. } => (Code::ResourceExhausted, "NO_ROOM"),
            JobsError::InProgress(_) | JobsError::Attached(_) => (Code::Aborted, "IN_PROGRESS"),
            JobsError::KeyReused => (Code::InvalidArgument, "KEY_REUSED"),
            JobsError::KeyExpired => (Code::FailedPrecondition, "KEY_EXPIRED"),
            JobsError::NoUpload(_) => (Code::NotFound, "NO_UPLOAD"),
            JobsError::Interrupted { .. } => (Code::Unavailable, "INTERRUPTED"),
            JobsError::Offset { .. } => (Code::OutOfRange, "OFFSET"),
            JobsError::InPlace { .. } => (Code::InvalidArgument, "IN_PLACE"),
            JobsError::ResultGone { .. } => (Code::FailedPrecondition, "RESULT_GONE"),
            JobsError::Repair(_) => (Code::FailedPrecondition, "REPAIR"),
            JobsError::Store(_) | JobsError::Io(_) => (Code::Internal, "STORAGE"),
        };
        let mut metadata = std::collections::HashMap::new();
        if let JobsError::Input { job, .. } = &error {
            metadata.insert("job_id".to_owned(), job.to_string());
        }
        let details = ErrorDetails::with_error_info(reason, "tally", metadata);
        Self::with_error_details(code, message, details)
    }
}
