//! Uploads: of new jobs, of jobs whose upload broke off, and of requests that are sent once more.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use tally_common::api::JobState;
use tally_common::id::JobId;

use super::{Jobs, JobsError, NewJob};
use crate::access::Owner;
use crate::coordinator::{Known, Message, Meter, Opened, Opening, Stopped, spec_of_repair};
use crate::intake::Taken;
use crate::spool::{InputError, Piece, Received};
use tally_common::spec::Spec;

/// How often one who wants to go on with an upload looks whether the other one has let go, and how
/// many times.
const LET_GO: (Duration, u32) = (Duration::from_millis(50), 200);

impl Jobs {
    /// Opens a job whose input the caller will upload. `key`, if there is one, names the request: a
    /// repeat of it gets the same job, and its bytes are only compared.
    ///
    /// # Errors
    /// [`JobsError::Busy`], [`JobsError::QueueFull`], [`JobsError::OverLimit`], [`JobsError::NoRoom`];
    /// [`JobsError::InProgress`], [`JobsError::KeyReused`] and [`JobsError::KeyExpired`] of a key;
    /// [`JobsError::Repair`]; [`JobsError::Io`].
    pub async fn upload(&self, new: NewJob, key: Option<String>) -> Result<Upload, JobsError> {
        let permit = self.permit()?;
        let opening = self.ask(|reply| Message::Open { job: new, key, reply }).await??;
        match opening {
            Opening::Opened(opened) => Ok(self.receive(*opened, permit)),
            Opening::Known(known) => self.repeat(known, permit).await,
        }
    }

    /// Opens a job that counts the corrected rejects of `repaired`.
    ///
    /// # Errors
    /// As [`Self::upload`].
    pub async fn repair(
        &self,
        repaired: JobId,
        name: Option<String>,
        expected: Option<u64>,
        (owner, key): (Option<Owner>, Option<String>),
    ) -> Result<Upload, JobsError> {
        let view = self.get(repaired).await?;
        let spec = Spec::try_from(spec_of_repair(&view.spec))
            .map_err(|error| JobsError::Repair(error.to_string()))?;
        let name = name.unwrap_or_else(|| format!("repair of {}", view.name));
        let (priority, repairs) = (view.priority, Some(repaired));
        let new = NewJob { priority, expected, repairs, owner, ..NewJob::new(name, spec) };
        self.upload(new, key).await
    }

    /// Goes on with an upload that broke off behind its first `offset` bytes.
    ///
    /// # Errors
    /// [`JobsError::Busy`], [`JobsError::NoUpload`], [`JobsError::Attached`] and
    /// [`JobsError::Offset`].
    pub async fn resume(&self, job: JobId, offset: u64) -> Result<Upload, JobsError> {
        let permit = self.permit()?;
        let opened = self.ask(|reply| Message::Attach { job, offset, reply }).await??;
        Ok(self.receive(opened, permit))
    }

    /// How many bytes of an upload, as it was sent, are durable. A connection that still uploads is
    /// told to let go: whoever asks wants to go on in its stead.
    ///
    /// # Errors
    /// [`JobsError::NoUpload`]; [`JobsError::Attached`] where the other one does not let go.
    pub async fn upload_offset(&self, job: JobId) -> Result<u64, JobsError> {
        let (pause, times) = LET_GO;
        for _ in 0..times {
            let at = self.ask(|reply| Message::UploadOffset { job, reply }).await??;
            if let Some(at) = at {
                return Ok(at);
            }
            sleep(pause).await;
        }
        Err(JobsError::Attached(job))
    }

    /// The job that was submitted under a key.
    ///
    /// # Errors
    /// [`JobsError::Store`].
    pub async fn find(&self, key: String) -> Result<Option<JobId>, JobsError> {
        let stored = key.clone();
        if let Some(job) = self.ask(|reply| Message::Find { key, reply }).await? {
            return Ok(Some(job));
        }
        let Some(store) = &self.store else { return Ok(None) };
        Ok(store.key(&stored).await?.map(|found| found.job))
    }

    pub(super) fn permit(&self) -> Result<OwnedSemaphorePermit, JobsError> {
        let permit = Arc::clone(&self.uploads).try_acquire_owned();
        permit.map_err(|_| JobsError::Busy(self.config.max_uploads))
    }

    fn receive(&self, mut opened: Opened, permit: OwnedSemaphorePermit) -> Upload {
        let (name, spec) = (opened.new.name.clone(), opened.new.spec.clone());
        let reception = self.reception(&opened, name, spec);
        let spool = opened.folder.join("spool");
        let (pieces, mut incoming) = opened.pieces;
        let (jobs, job, resume) = (self.clone(), opened.job, opened.resume.take());
        let (resumable, meter) = (opened.new.resumable, opened.meter);
        let announced = opened.new.expected.filter(|_| resumable);
        let taken = spawn_blocking(move || {
            // The reply to a broken upload is of no use; the job must hear of it all the same.
            match reception.upload(&spool, resumable, announced, resume, &mut incoming) {
                Ok(Received::Whole { taken, received }) => {
                    jobs.input_done(job, taken, received)?;
                    Ok(Ended::Whole)
                }
                Ok(Received::Part(received)) => {
                    jobs.tell(|reply| Message::Detached { job, received, reply })?;
                    Ok(Ended::At(received.bytes))
                }
                Err(error) => jobs.input_failed(job, error).map(|_| Ended::Whole),
            }
        });
        Upload { job, kind: Kind::Receiving { pieces, meter, taken }, _permit: permit }
    }

    /// A request that was there before: its answer is the same.
    async fn repeat(
        &self,
        known: Known,
        permit: OwnedSemaphorePermit,
    ) -> Result<Upload, JobsError> {
        let Known { job, received } = known;
        let view = self.get(job).await?;
        let kind = match (received, view.state) {
            (Some(first), _) => Kind::Repeat { first, again: Taken::default() },
            (None, JobState::Failed) => {
                Kind::Failed(view.error.clone().unwrap_or_else(|| "the job failed".to_owned()))
            }
            (None, JobState::Cancelled) => Kind::Cancelled,
            (None, _) => return Err(JobsError::InProgress(job)),
        };
        Ok(Upload { job, kind, _permit: permit })
    }
}

/// An upload that is under way. Dropped before [`Upload::finish`], it has broken off; its job fails,
/// or waits for the upload to be taken up again where it is resumable.
pub struct Upload {
    job: JobId,
    kind: Kind,
    _permit: OwnedSemaphorePermit,
}

/// How taking an upload in has ended.
#[derive(Clone, Copy)]
enum Ended {
    /// With all of it.
    Whole,
    /// It can go on behind so many bytes.
    At(u64),
}

enum Kind {
    Receiving {
        pieces: mpsc::Sender<Piece>,
        meter: Arc<Meter>,
        taken: JoinHandle<Result<Ended, JobsError>>,
    },
    /// Of a file that is read where it lies.
    Reading(JoinHandle<Result<JobId, JobsError>>),
    /// Of a request whose upload came whole: the same bytes are expected.
    Repeat { first: Taken, again: Taken },
    /// Of a request whose input was of no use.
    Failed(String),
    /// Of a request whose job was cancelled before all of it had come.
    Cancelled,
    /// Of a request that sends nothing, and was there before.
    Known,
}

impl Upload {
    /// Of a file that is read where it lies.
    pub(super) fn reading(
        job: JobId,
        read: JoinHandle<Result<JobId, JobsError>>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self { job, kind: Kind::Reading(read), _permit: permit }
    }

    /// Of such a file, for which a job is there already.
    pub(super) fn known(job: JobId, permit: OwnedSemaphorePermit) -> Self {
        Self { job, kind: Kind::Known, _permit: permit }
    }

    /// The job that the upload is for.
    pub fn job(&self) -> JobId {
        self.job
    }

    /// Takes the next bytes. Waits while the disk is behind. `false` where no more are needed:
    /// [`Upload::finish`] says why.
    pub async fn push(&mut self, data: Bytes) -> bool {
        match &mut self.kind {
            Kind::Receiving { pieces, .. } => pieces.send(Piece::Data(data)).await.is_ok(),
            Kind::Repeat { first, again } => {
                again.add(&data);
                again.bytes <= first.bytes
            }
            Kind::Reading(_) | Kind::Failed(_) | Kind::Cancelled | Kind::Known => false,
        }
    }

    /// Resolves when the master stops, and so takes no more: whoever waits for bytes need not.
    pub async fn stopped(&self) {
        if let Kind::Receiving { pieces, meter, .. } = &self.kind {
            pieces.closed().await;
            if meter.is_stopping() {
                return;
            }
        }
        pending().await
    }

    /// Whether all of the request's bytes came in an earlier life: they are only compared.
    pub fn came_whole(&self) -> bool {
        matches!(self.kind, Kind::Repeat { .. })
    }

    /// There will be no more bytes, since they could not be fetched: the job fails and says why. Gives
    /// what to answer.
    pub(crate) async fn fail(self, error: InputError) -> JobsError {
        let job = self.job;
        let Kind::Receiving { pieces, taken, .. } = self.kind else {
            return JobsError::Input { job, error };
        };
        // One that has failed before no longer listens, and says why.
        let _ = pieces.send(Piece::Failed(error)).await;
        drop(pieces);
        match taken.await {
            Ok(Err(error)) => error,
            // It was told that there is no end.
            Ok(Ok(_)) => Stopped.into(),
            Err(error) => io::Error::other(error.to_string()).into(),
        }
    }

    /// There are no more bytes. Returns when all have been taken in; the job is being counted.
    ///
    /// # Errors
    /// [`JobsError::Input`]; [`JobsError::KeyReused`] where a repeated request has other bytes;
    /// [`JobsError::Interrupted`] where the upload had to stop before its end.
    pub async fn finish(self) -> Result<JobId, JobsError> {
        let job = self.job;
        match self.kind {
            Kind::Receiving { pieces, taken, .. } => {
                // One that has failed no longer listens.
                let _ = pieces.send(Piece::End).await;
                drop(pieces);
                match taken.await.map_err(|error| io::Error::other(error.to_string()))?? {
                    Ended::Whole => Ok(job),
                    // The master stops, or somebody else goes on with it.
                    Ended::At(at) => Err(JobsError::Interrupted { job, at }),
                }
            }
            Kind::Repeat { first, again } if first == again => Ok(job),
            Kind::Repeat { .. } => Err(JobsError::KeyReused),
            Kind::Failed(message) => {
                Err(JobsError::Input { job, error: InputError::Before(message) })
            }
            Kind::Reading(read) => {
                read.await.map_err(|error| io::Error::other(error.to_string()))?
            }
            Kind::Cancelled | Kind::Known => Ok(job),
        }
    }

    /// There are no more bytes for now. Gives how many of the upload are durable.
    ///
    /// # Errors
    /// [`JobsError::Input`].
    pub async fn pause(self) -> Result<u64, JobsError> {
        let Kind::Receiving { pieces, taken, .. } = self.kind else { return Ok(0) };
        let _ = pieces.send(Piece::Detach).await;
        drop(pieces);
        match taken.await.map_err(|error| io::Error::other(error.to_string()))?? {
            Ended::At(at) => Ok(at),
            // It was not told that it was whole.
            Ended::Whole => Ok(0),
        }
    }
}
