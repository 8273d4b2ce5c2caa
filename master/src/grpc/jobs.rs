//! The `Jobs` service: for clients.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use tally_common::api::JobState;
use tally_common::id::JobId;
use tally_common::limits::MAX_KEY_BYTES;
use tally_common::spec::{Spec, SpecDraft};
use tally_proto::convert::{
    WireError, aside_to_wire, cluster_to_wire, draft_from_wire, full_receipt_to_wire,
    history_to_wire, ingest_mode_from_wire, job_id_from_text, job_to_wire, optional_job_id,
    priority_from_wire, slave_to_wire, summary_to_wire,
};
use tally_proto::frames::{Incoming, Part};
use tally_proto::v1::jobs_server::Jobs as Service;
use tally_proto::v1::{
    self, CancelRequest, ClusterRequest, ClusterView, DataFrame, DeleteReply, DeleteRequest,
    FindUploadReply, FindUploadRequest, GetReceiptRequest, GetRequest, HistoryReply,
    HistoryRequest, InputRequest, Job, ListReply, ListRequest, LookReply, LookRequest,
    RejectsPageRequest, RejectsRequest, ResultRequest, SlavesReply, SlavesRequest, SubmitFrame,
    SubmitHeader, SubmitReply, SummaryReply, SummaryRequest, TasksReply, TasksRequest,
    TrustSlaveReply, TrustSlaveRequest, WatchClusterRequest, WatchRequest,
};

use super::access::about;
use super::bulk::elsewhere;
use super::errors::refused;
use super::stream::{self, Frames};
use super::views;
use super::watch::{self, Stream};
use crate::access::{About, Who};
use crate::jobs::{Jobs, NewIngest, NewJob, Upload, Wanted};

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
    type WatchStream = Stream<Job>;
    type WatchClusterStream = Stream<v1::ClusterEvent>;
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

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListReply>, Status> {
        Ok(Response::new(views::list(&self.0, request.into_inner()).await?))
    }

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let id = job_id(&request.get_ref().job_id)?;
        Ok(Response::new(watch::job(self.0.clone(), id).await?))
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
        Ok(about(Response::new(job_to_wire(&job)), About::Job(job.id.to_string())))
    }

    async fn delete(
        &self,
        request: Request<DeleteRequest>,
    ) -> Result<Response<DeleteReply>, Status> {
        let job = job_id(&request.get_ref().job_id)?;
        self.0.delete(job).await?;
        Ok(about(Response::new(DeleteReply {}), About::Job(job.to_string())))
    }

    async fn slaves(&self, _: Request<SlavesRequest>) -> Result<Response<SlavesReply>, Status> {
        let slaves = self.0.slaves().await?.iter().map(slave_to_wire).collect();
        let set_aside = self.0.set_aside().await?.iter().map(aside_to_wire).collect();
        Ok(Response::new(SlavesReply { slaves, set_aside }))
    }

    async fn trust_slave(
        &self,
        request: Request<TrustSlaveRequest>,
    ) -> Result<Response<TrustSlaveReply>, Status> {
        let TrustSlaveRequest { name } = request.into_inner();
        match self.0.trust_slave(name.clone()).await? {
            true => Ok(Response::new(TrustSlaveReply {})),
            false => Err(Status::not_found(format!("no slave {name:?} was set aside"))),
        }
    }

    async fn look(&self, request: Request<LookRequest>) -> Result<Response<LookReply>, Status> {
        Ok(Response::new(views::look(&self.0, request.into_inner()).await?))
    }

    async fn rejects_page(
        &self,
        request: Request<RejectsPageRequest>,
    ) -> Result<Response<LookReply>, Status> {
        let RejectsPageRequest { job_id: id, limit, offset } = request.into_inner();
        Ok(Response::new(views::rejects(&self.0, job_id(&id)?, limit, offset).await?))
    }

    async fn summary(
        &self,
        request: Request<SummaryRequest>,
    ) -> Result<Response<SummaryReply>, Status> {
        let summary = self.0.summary(job_id(&request.get_ref().job_id)?).await?;
        Ok(Response::new(summary_to_wire(summary)))
    }

    async fn tasks(&self, request: Request<TasksRequest>) -> Result<Response<TasksReply>, Status> {
        let TasksRequest { job_id: id, from } = request.into_inner();
        Ok(Response::new(views::tasks(&self.0, job_id(&id)?, from).await?))
    }

    async fn history(
        &self,
        request: Request<HistoryRequest>,
    ) -> Result<Response<HistoryReply>, Status> {
        let history = self.0.history(job_id(&request.get_ref().job_id)?).await?;
        Ok(Response::new(history_to_wire(&history)))
    }

    async fn cluster(&self, _: Request<ClusterRequest>) -> Result<Response<ClusterView>, Status> {
        Ok(Response::new(cluster_to_wire(&self.0.cluster().await?)))
    }

    async fn watch_cluster(
        &self,
        request: Request<WatchClusterRequest>,
    ) -> Result<Response<Self::WatchClusterStream>, Status> {
        // An id that is none is one that the master does not know any more.
        let last = request.get_ref().last_event_id.parse().ok();
        Ok(Response::new(watch::cluster(self.0.clone(), last).await?))
    }
}

impl JobsService {
    /// `Submit`.
    pub(super) async fn take_in(
        &self,
        mut frames: Incoming,
        who: Option<&Who>,
    ) -> Result<SubmitReply, Status> {
        let (mut upload, held) = match next(&mut frames).await? {
            Some(Part::Header(header)) => {
                let header = SubmitHeader::decode(header)
                    .map_err(|error| Status::internal(error.to_string()))?;
                self.begin(header, &mut frames, who).await?
            }
            _ => return Err(refused(WireError::Missing("header"))),
        };
        for data in held {
            upload.push(data).await;
        }
        while let Some(data) = next_data(&mut frames).await? {
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

    /// Begins an upload, or goes on with one. Gives what had to be read of it for that.
    async fn begin(
        &self,
        header: SubmitHeader,
        frames: &mut Incoming,
        who: Option<&Who>,
    ) -> Result<(Upload, Vec<Bytes>), Status> {
        if let Some(resume) = &header.resume {
            let upload = self.0.resume(job_id(&resume.job_id)?, resume.offset).await?;
            return Ok((upload, Vec::new()));
        }
        let key = check_key(&header.message_id).map_err(refused)?;
        if let Some(repaired) = optional_job_id(&header.repairs).map_err(refused)? {
            let name = (!header.name.is_empty()).then_some(header.name);
            let expected = (header.size_hint > 0).then_some(header.size_hint);
            return Ok((
                self.0.repair(repaired, name, expected, (who.and_then(Who::owner), key)).await?,
                Vec::new(),
            ));
        }
        let some = |path: &String| (!path.is_empty()).then(|| PathBuf::from(path));
        let (path, result_path) = (some(&header.in_place), some(&header.result_path));
        let wanted = wanted(header).map_err(refused)?.by(who);
        let mut peek = self.0.peek(&wanted);
        let mut new = match &path {
            Some(path) => self.0.job_of_file(wanted, path.clone()).await?,
            None => {
                while peek.wants_more() {
                    peek.take(next_data(frames).await?);
                }
                self.0.job_of(wanted, &peek).await?
            }
        };
        if let Some(path) = result_path {
            new.result_path = Some(self.0.result_place(path).await?);
        }
        if let Some(path) = path {
            return Ok((self.0.in_place(new, path, key).await?, Vec::new()));
        }
        let resumable = key.is_some();
        let upload = self.0.upload(NewJob { resumable, ..new }, key).await?;
        Ok((upload, peek.into_held()))
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

/// What a header asks for.
fn wanted(mut header: SubmitHeader) -> Result<Wanted, WireError> {
    let ingest = header.ingest.take();
    let draft = match &header.spec {
        Some(spec) => draft_from_wire(spec)?,
        None if ingest.is_some() => SpecDraft::default(),
        None => SpecDraft::plays(),
    };
    Spec::refuse_rows(&draft)?;
    if header.name.len() > MAX_NAME_BYTES {
        let problem = format!("at most {MAX_NAME_BYTES} bytes");
        return Err(WireError::Field { field: "header.name", problem });
    }
    let name = if header.name.is_empty() { "unnamed".to_owned() } else { header.name };
    let priority = priority_from_wire(header.priority)?;
    let expected = (header.size_hint > 0).then_some(header.size_hint);
    let keep_input = header.keep_input;
    let Some(ingest) = ingest else {
        let new = NewJob::new(name, Spec::try_from(draft)?);
        return Ok(NewJob { priority, expected, keep_input, ..new }.into());
    };
    let SpecDraft { delimiter, max_rejects, .. } = draft;
    if draft != (SpecDraft { delimiter, max_rejects, ..SpecDraft::default() }) {
        let problem = "a file that fills a table is not totalled".to_owned();
        return Err(WireError::Field { field: "header.spec", problem });
    }
    Ok(Wanted::Ingest(NewIngest {
        mode: ingest_mode_from_wire(ingest.mode)?,
        preset: (!ingest.preset.is_empty()).then_some(ingest.preset),
        key: ingest.key,
        delimiter,
        max_rejects,
        priority,
        expected,
        keep_input,
        ..NewIngest::new(name, ingest.table)
    }))
}

/// The next bytes of an input.
async fn next_data(frames: &mut Incoming) -> Result<Option<Bytes>, Status> {
    match next(frames).await? {
        Some(Part::Data(data)) => Ok(Some(data)),
        Some(Part::Header(_) | Part::Packed(_)) => Err(refused(WireError::Missing("data"))),
        None => Ok(None),
    }
}

async fn next(frames: &mut Incoming) -> Result<Option<Part>, Status> {
    frames.next_within(FRAME_TIMEOUT, "upload").await
}
