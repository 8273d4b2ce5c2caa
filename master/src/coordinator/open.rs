//! How jobs come in: opened once for each key, uploaded in one go or in several.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{mpsc, oneshot};
use tracing::info;

use tally_common::dialect::Header;
use tally_common::id::JobId;

use super::message::Opening;
use super::{Coordinator, Job, Known, Message, NewJob, OpenError, Opened};
use crate::intake::Taken;
use crate::ledger::Event;
use crate::spool::{Piece, ResumePoint};
use crate::store::{Row, Store, StoredKey};

/// Pieces of an upload that may wait for the disk.
const PIECES_AHEAD: usize = 8;

type OpenReply = oneshot::Sender<Result<Opening, OpenError>>;

impl Coordinator {
    pub(super) async fn open(&mut self, new: NewJob, key: Option<String>, reply: OpenReply) {
        match self.try_open(new, key).await {
            Ok(opening) => self.reply(reply, Ok(opening)),
            // A refusal changes nothing, and need not wait.
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
    }

    async fn try_open(
        &mut self,
        mut new: NewJob,
        key: Option<String>,
    ) -> Result<Opening, OpenError> {
        if let Some(key) = &key
            && let Some(known) = self.known(key, &new).await?
        {
            return Ok(Opening::Known(known));
        }
        if self.jobs.len() >= self.config.max_jobs {
            return Err(OpenError::QueueFull(self.config.max_jobs));
        }
        self.check_room(&new)?;
        if let Some(repaired) = new.repairs.filter(|id| self.is_being_repaired(*id)) {
            let why = format!("a repair of job {repaired} is under way; wait until it has ended");
            return Err(OpenError::Repair(why));
        }
        let base = self.base(&new).await?;
        // The last of what may refuse it: what it takes is taken.
        self.check_limits(&new)?;
        new.first_task = base.as_ref().map_or(0, super::repair::Base::tasks);
        let id = self.clock.job_id();
        let folder = self.job_folder(id);
        for part in ["runs", "spool"] {
            std::fs::create_dir_all(folder.join(part))?;
        }
        let (priority, max_rejects) = (new.priority, new.spec.max_rejects());
        let ingests = new.ingest.is_some();
        let (owner, _) = self.account(&new);
        let times = (self.clock.now(), self.clock.unix_ms());
        let mut job = Job::new(id, new, folder, times, key.clone());
        job.base = base;
        info!(job = %id, name = %job.new.name, "job opened");
        self.keys.extend(key.map(|key| (key, id)));
        self.jobs.insert(id, job);
        self.apply(Event::JobOpened { job: id, priority, owner, max_rejects });
        if ingests {
            self.apply(Event::Applies { job: id });
        }
        self.hand_out(id, None).map(|opened| Opening::Opened(Box::new(opened)))
    }

    /// The job that was submitted under a key before. One whose upload broke off does not count: the
    /// key is its retry's.
    async fn known(&mut self, key: &str, new: &NewJob) -> Result<Option<Known>, OpenError> {
        if let Some(id) = self.keys.get(key)
            && let Some(job) = self.jobs.get(id)
        {
            let wanted = new.fingerprint();
            // A job that came through a restart does not know where its input was fetched from.
            if job.new.fingerprint() != wanted
                && !is_stored_as(self.store.clone(), key, &wanted).await?
            {
                return Err(OpenError::KeyReused);
            }
            // It has ended in this moment, and is not in the store yet.
            if job.ended.is_some() && job.input_lost {
                return Ok(None);
            }
            let received = job.complete.then_some(job.received);
            return Ok(Some(Known { job: job.id, received }));
        }
        let Some(store) = self.store.clone() else { return Ok(None) };
        let Some(StoredKey { job, fingerprint, .. }) = store.key(key).await? else {
            return Ok(None);
        };
        let Some(view) = store.view(job).await? else { return Err(OpenError::KeyExpired) };
        if fingerprint != new.fingerprint() {
            return Err(OpenError::KeyReused);
        }
        let received = store.received(job).await?;
        if received.is_none() && view.input_lost {
            return Ok(None);
        }
        Ok(Some(Known { job, received }))
    }

    /// Whether an input of that size fits the disk beside those that are still to come.
    fn check_room(&self, new: &NewJob) -> Result<(), OpenError> {
        let promised: u64 = self.jobs.values().map(Job::still_to_come).sum();
        // Runs and result need some, too; how much depends on what the input holds.
        let spooled = new.expected.filter(|_| new.in_place.is_none()).unwrap_or(0);
        let needed = new.expected.map_or(1, |bytes| spooled + bytes / 4).saturating_add(promised);
        let room = self.disk.room();
        if needed > room { Err(OpenError::NoRoom { needed, room }) } else { Ok(()) }
    }

    /// Gives the job to whoever uploads its input.
    fn hand_out(&mut self, id: JobId, resume: Option<ResumePoint>) -> Result<Opened, OpenError> {
        let new = self.jobs.get(&id).ok_or(OpenError::NoUpload(id))?.new.clone();
        let (_, account) = self.account(&new);
        let workers = self.sessions.values().map(|session| session.hello.workers).sum();
        let job = self.jobs.get_mut(&id).ok_or(OpenError::NoUpload(id))?;
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        job.pieces = Some(sender.downgrade());
        Ok(Opened {
            job: id,
            new,
            folder: job.folder.clone(),
            meter: Arc::clone(&job.meter),
            account,
            workers,
            pieces: (sender, receiver),
            resume,
        })
    }

    /// A job whose upload may be taken up.
    fn resumable(&mut self, id: JobId) -> Result<&mut Job, OpenError> {
        let job = self.live(id).filter(|job| job.new.resumable && !job.complete);
        job.ok_or(OpenError::NoUpload(id))
    }

    pub(super) fn attach(
        &mut self,
        id: JobId,
        offset: u64,
        reply: oneshot::Sender<Result<Opened, OpenError>>,
    ) {
        let opened = self.resumable(id).and_then(|job| {
            if job.pieces.is_some() {
                job.detach();
                return Err(OpenError::Attached(id));
            }
            let at = job.received.bytes;
            if offset != at {
                return Err(OpenError::Offset { at, asked: offset });
            }
            Ok(job.resume_point())
        });
        let opened = opened.and_then(|resume| self.hand_out(id, Some(resume)));
        // One that nobody takes is free again.
        if let Err(Ok(_)) = reply.send(opened)
            && let Some(job) = self.jobs.get_mut(&id)
        {
            job.pieces = None;
        }
    }

    /// Gives a job whose input is counted where it lies to whoever reads it on.
    pub(super) fn reread(&mut self, id: JobId, reply: oneshot::Sender<Option<Opened>>) {
        let job = self.live(id).filter(|job| job.new.in_place.is_some() && !job.complete);
        let resume = job.map(|job| job.resume_point());
        let opened = resume.and_then(|resume| self.hand_out(id, Some(resume)).ok());
        // One that nobody takes is read on after the next start.
        let _ = reply.send(opened);
    }

    pub(super) fn upload_offset(
        &mut self,
        id: JobId,
        reply: oneshot::Sender<Result<Option<u64>, OpenError>>,
    ) {
        let offset = self.resumable(id).map(|job| {
            job.detach();
            job.pieces.is_none().then_some(job.received.bytes)
        });
        self.reply(reply, offset);
    }

    /// What whoever takes an input in has to say.
    pub(super) fn input(&mut self, message: Message) {
        match message {
            Message::Input { job: id, info } => {
                let Some(job) = self.live(id) else { return };
                let number = job.inputs.len() as u32;
                job.inputs.push(Arc::new(info.clone()));
                self.rows.push(Row::Input { job: id, number, info });
            }
            Message::Cut { job: id, cuts } => {
                for cut in cuts {
                    // Tasks of a job that has ended meanwhile are of no interest.
                    let Some(job) = self.live(id) else { return };
                    let number = job.add_task(cut);
                    self.apply(Event::TaskCut { job: id, number, bytes: cut.len });
                }
            }
            Message::Spooled { job: id, received } => {
                if let Some(job) = self.live(id) {
                    job.received = received;
                    self.rows.push(Row::Received { job: id, received });
                }
            }
            Message::Detached { job: id, received, reply } => {
                let now = self.clock.unix_ms();
                if let Some(job) = self.live(id) {
                    job.pieces = None;
                    job.touched_ms = now;
                    job.received = received;
                    self.rows.push(Row::Received { job: id, received });
                }
                self.reply(reply, ());
            }
            Message::InputDone { job: id, taken, received, reply } => {
                if let Some(job) = self.live(id) {
                    (job.taken, job.received, job.complete) = (taken, received, true);
                    job.pieces = None;
                    self.apply(Event::InputComplete { job: id });
                }
                self.reply(reply, ());
            }
            Message::InputFailed { job, error, lost, reply } => {
                if let Some(job) = self.live(job) {
                    job.input_lost = lost;
                }
                self.apply(Event::InputFailed { job, error });
                self.reply(reply, ());
            }
            // Nothing else is passed on to here.
            _ => {}
        }
    }
}

/// Whether a key is in the store for such a request.
async fn is_stored_as(
    store: Option<Store>,
    key: &str,
    fingerprint: &str,
) -> Result<bool, OpenError> {
    let Some(store) = store else { return Ok(false) };
    Ok(store.key(key).await?.is_some_and(|stored| stored.fingerprint == fingerprint))
}

impl Job {
    /// Bytes of input that have been announced and are not there.
    pub(super) fn still_to_come(&self) -> u64 {
        if self.complete || self.ended.is_some() || self.new.in_place.is_some() {
            return 0;
        }
        let here = self.meter.received.load(Ordering::Relaxed).max(self.received.bytes);
        self.new.expected.unwrap_or(0).saturating_sub(here)
    }

    /// Asks whoever uploads to leave it to somebody else. One who is busy will be asked again.
    pub(super) fn detach(&self) {
        if let Some(pieces) = self.pieces.as_ref().and_then(mpsc::WeakSender::upgrade) {
            let _ = pieces.try_send(Piece::Detach);
        }
    }

    /// What there is of its upload.
    fn resume_point(&self) -> ResumePoint {
        let cut = self.inputs.first().map(|info| {
            let header = Header {
                layout: info.layout.clone(),
                body: info.header.bytes,
                names: info.columns.clone(),
                lines: info.header_lines,
            };
            (header, self.cut_so_far(info.header))
        });
        ResumePoint { received: self.received, cut }
    }

    /// What the input came to up to the end of the last task.
    pub(super) fn cut_so_far(&self, header: Taken) -> Taken {
        let mut until = header;
        for task in &self.tasks {
            until.append(&Taken { bytes: task.cut.len, crc32c: task.cut.crc32c });
        }
        until
    }
}

#[cfg(test)]
mod tests {
    use tally_common::spec::{Spec, SpecDraft};

    use super::*;
    use crate::coordinator::tests::start;

    fn open(reply: OpenReply) -> Message {
        let spec = Spec::try_from(SpecDraft::plays()).unwrap();
        let job = NewJob::new("plays.csv".to_owned(), spec);
        Message::Open { job, key: Some("once".to_owned()), reply }
    }

    /// A client that repeats its request may be faster than the end of the job whose upload broke off.
    #[tokio::test]
    async fn a_repeat_in_the_same_moment_as_the_upload_is_lost_is_a_new_job() {
        let folder = tempfile::tempdir().unwrap();
        let (coordinator, _) = start(folder.path()).await;
        let (reply, opened) = oneshot::channel();
        coordinator.send(open(reply)).await.unwrap();
        let Ok(Opening::Opened(first)) = opened.await.unwrap() else { panic!("no job") };
        let (failed, _answer) = oneshot::channel();
        let (error, job) = ("it broke off".to_owned(), first.job);
        let failed = Message::InputFailed { job, error, lost: true, reply: failed };
        let (reply, opened) = oneshot::channel();
        // Both are there when the coordinator looks: it runs on this thread, when this one waits.
        coordinator.try_send(failed).unwrap();
        coordinator.try_send(open(reply)).unwrap();
        let Ok(Opening::Opened(second)) = opened.await.unwrap() else { panic!("no second job") };
        assert_ne!(second.job, first.job);
        let (reply, opened) = oneshot::channel();
        coordinator.send(open(reply)).await.unwrap();
        let Ok(Opening::Known(known)) = opened.await.unwrap() else { panic!("not known") };
        assert_eq!(known.job, second.job);
    }
}
