//! Tasks that are counted twice: digests of answers are made on threads of their own, what slaves contradict
//! each other about is counted here, and who has lied is kept out.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use tally_common::api::{JobQuery, SetAsideView, timestamp};
use tally_common::id::{JobId, MessageId, SlaveId, TaskNumber};
use tally_proto::convert::{Assignment, SlaveHello};

use super::{Coordinator, Job, Message};
use crate::cluster::{ClusterError, TaskBytes, Verdict};
use crate::ledger::{Digest, Event, UploadId};
use crate::recount;
use crate::runs::ReceivedRun;
use crate::store::{AsideRow, Row, Store};

/// Slaves whose names are remembered after they have left; with more, those that are gone are forgotten.
const MAX_KNOWN: usize = 4096;

/// Slaves that were set aside that are remembered by name.
const MAX_ASIDE: usize = 4096;

/// Tasks that this master counts at the same time: the slaves are there for the others.
const RECOUNTS: usize = 1;

/// Ended jobs that are looked through at a time for answers of one that has lied.
const PAGE: u32 = 500;

/// By what a slave is known when it comes back: its name, and what it has shown of itself, if it did.
pub(super) type Identity = (String, Option<String>);

/// Why a slave was set aside, and when, in milliseconds since 1970.
struct Aside {
    reason: String,
    since_ms: u64,
}

/// What is known of slaves that may have lied.
pub(super) struct Trust {
    /// All that have joined.
    known: HashMap<SlaveId, Identity>,
    /// Those that were set aside.
    aside: HashMap<Identity, Aside>,
    turns: Arc<Semaphore>,
}

impl Default for Trust {
    fn default() -> Self {
        let turns = Arc::new(Semaphore::new(RECOUNTS));
        Self { known: HashMap::new(), aside: HashMap::new(), turns }
    }
}

/// The id that stands for whoever had a name before this master was started.
pub(super) fn of_name(name: &str) -> SlaveId {
    SlaveId::from_uuid(uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes()))
}

impl Coordinator {
    /// Whether a slave may join.
    ///
    /// # Errors
    /// [`ClusterError::SetAside`].
    pub(super) fn admit(
        &mut self,
        hello: &SlaveHello,
        credential: Option<String>,
    ) -> Result<(), ClusterError> {
        let identity = (hello.name.clone(), credential);
        if let Some(aside) = self.trust.aside.get(&identity) {
            let (name, reason) = (hello.name.clone(), aside.reason.clone());
            warn!(%name, %reason, "a slave that was set aside is not let in");
            return Err(ClusterError::SetAside { name, reason });
        }
        if !self.config.policy.sample.is_on() {
            return Ok(());
        }
        if self.trust.known.len() >= MAX_KNOWN {
            let joined: Vec<SlaveId> =
                self.sessions.values().map(|session| session.hello.slave).collect();
            self.trust.known.retain(|slave, _| joined.contains(slave));
        }
        self.trust.known.insert(hello.slave, identity);
        Ok(())
    }

    /// Makes the digest of a partial whose task is counted twice. Gives back what needs none.
    pub(super) fn digest_first(
        &mut self,
        job: Option<JobId>,
        run: ReceivedRun,
        reply: oneshot::Sender<Verdict>,
    ) -> Option<(ReceivedRun, oneshot::Sender<Verdict>)> {
        let job = job.and_then(|job| self.jobs.get(&job));
        let own = self.own.upgrade();
        let (Some(job), Some(own)) = (job, own) else { return Some((run, reply)) };
        if !self.config.policy.sample.picks(run.head.message_id) {
            return Some((run, reply));
        }
        let (spec, folder) = (job.spec().clone(), self.config.data_dir.join("uploads"));
        spawn_blocking(move || {
            let digest = recount::digest(&spec, &run, &folder);
            // A coordinator that has stopped needs no answer.
            let _ = own.blocking_send(Message::Digested { run, digest, reply });
        });
        None
    }

    /// The digest of a partial is there.
    pub(super) fn digested(
        &mut self,
        run: ReceivedRun,
        digest: Result<Digest, String>,
        reply: oneshot::Sender<Verdict>,
    ) {
        match digest {
            Ok(digest) => self.hand_in(run, Some(digest), reply),
            Err(reason) => self.refuse_partial(&run, reason, reply),
        }
    }

    /// A partial is held until another slave has counted its task, too.
    pub(super) fn hold_upload(&mut self, upload: UploadId) {
        let Some(held) = self.uploads.get_mut(&upload) else { return };
        let reply = held.reply.take();
        let head = held.run.head;
        if let Some(session) = self.sessions.get_mut(&head.session) {
            session.release(head.message_id, "held");
        }
        if let Some(reply) = reply {
            let _ = reply.send(Verdict::Accepted);
        }
    }

    /// Counts a task here.
    pub(super) fn recount(&mut self, id: JobId, number: TaskNumber) {
        warn!(job = %id, number, "slaves contradict each other about a task; it is counted here");
        let (Some(own), turns) = (self.own.upgrade(), Arc::clone(&self.trust.turns)) else {
            return;
        };
        let recounter = self.config.recounter.clone();
        let task = self.jobs.get(&id).and_then(|job| task_of(job, number));
        let folder = self.config.data_dir.join("uploads");
        tokio::spawn(async move {
            // It is never closed.
            let turn = turns.acquire_owned().await;
            let counted = spawn_blocking(move || {
                let _turn = turn;
                let recounter = recounter.ok_or("this master can not count")?;
                let (task, bytes) = task.ok_or("the task is gone")?;
                recounter.recount(&task, &bytes, &folder)
            });
            let counted = counted.await.unwrap_or_else(|error| Err(error.to_string()));
            // A coordinator that has stopped needs no answer.
            let _ = own.send(Message::Recounted { job: id, number, counted }).await;
        });
    }

    /// A task has been counted here, or could not be.
    pub(super) fn recounted(
        &mut self,
        job: JobId,
        number: TaskNumber,
        counted: Result<(ReceivedRun, Digest), String>,
    ) {
        match counted {
            Ok((run, digest)) => {
                let (totals, groups) = (run.totals, run.head.groups);
                let upload = self.keep_upload(run, None, "the master".to_owned());
                self.apply(Event::Recounted { job, number, totals, groups, upload, digest });
            }
            Err(error) => {
                error!(%job, number, %error, "a disputed task could not be counted here");
                self.apply(Event::RecountFailed { job, number, error });
            }
        }
    }

    /// A slave has lied.
    pub(super) fn set_aside(
        &mut self,
        slave: SlaveId,
        reason: &str,
        thrown: u32,
        left: Vec<JobId>,
    ) {
        let Some(identity) = self.trust.known.get(&slave).cloned() else {
            // Of before the last start: it was told with the others of its name.
            return self.warn_of_applied(slave, left);
        };
        let name = identity.0.clone();
        error!(%slave, %name, %reason, thrown, "a slave has lied and is set aside");
        let news = !self.trust.aside.contains_key(&identity);
        if news {
            let (name, credential) = identity.clone();
            let (credential, reason) = (credential.unwrap_or_default(), reason.to_owned());
            let since_ms = self.clock.unix_ms();
            let row = AsideRow { name, credential, reason, since_ms };
            self.remember_aside(row.clone());
            self.rows.push(Row::SetAside(row));
        }
        self.warn_of_applied(slave, left);
        for job in self.jobs.values_mut() {
            job.shares.remove(&name);
            job.dirty = true;
        }
        if !news {
            return;
        }
        let known = self.trust.known.iter();
        let same = known.filter(|(_, other)| **other == identity).map(|(id, _)| *id);
        let same: Vec<SlaveId> = same.chain([of_name(&name)]).filter(|id| *id != slave).collect();
        self.then(move |this| {
            for slave in same {
                this.apply(Event::Distrust { slave });
            }
        });
        if let Some(store) = self.store.clone() {
            tokio::spawn(list_ended(store, name));
        }
    }

    /// Lets a slave in no more. Of too many, the one that has been kept out for longest is forgotten.
    pub(super) fn remember_aside(&mut self, row: AsideRow) {
        let aside = &mut self.trust.aside;
        if aside.len() >= MAX_ASIDE
            && let Some((name, _)) =
                aside.iter().min_by_key(|(_, one)| one.since_ms).map(|(oldest, _)| oldest.clone())
        {
            aside.retain(|(other, _), _| *other != name);
            self.rows.push(Row::Trusted { name });
        }
        let AsideRow { name, credential, reason, since_ms } = row;
        let identity = (name, Some(credential).filter(|shown| !shown.is_empty()));
        self.trust.aside.insert(identity, Aside { reason, since_ms });
    }

    /// Lets those of a name in again that have lied, as new processes of theirs; `false` where there are
    /// none.
    pub(super) fn trust(&mut self, name: String, reply: oneshot::Sender<bool>) {
        let before = self.trust.aside.len();
        self.trust.aside.retain(|(other, _), _| *other != name);
        let any = self.trust.aside.len() < before;
        if any {
            warn!(%name, "a slave that was set aside is let in again, as an operator wants it");
            self.rows.push(Row::Trusted { name });
        }
        self.reply(reply, any);
    }

    /// The slaves that were set aside, those first that were so last, at most so many.
    pub(super) fn aside_views(&self, most: usize) -> Vec<SetAsideView> {
        let mut aside: Vec<_> = self.trust.aside.iter().collect();
        aside.sort_unstable_by_key(|((name, _), one)| (Reverse(one.since_ms), name));
        let view = |((name, _), Aside { reason, since_ms }): (&Identity, &Aside)| SetAsideView {
            name: name.clone(),
            reason: reason.clone(),
            since: timestamp(*since_ms),
        };
        aside.into_iter().take(most).map(view).collect()
    }

    fn warn_of_applied(&self, slave: SlaveId, left: Vec<JobId>) {
        for job in left {
            error!(%job, %slave, "rows that a slave has counted that has lied are being applied already");
        }
    }
}

/// A task as it would be handed out, and where its bytes lie.
fn task_of(job: &Job, number: TaskNumber) -> Option<(Assignment, TaskBytes)> {
    let task = job.task(number)?;
    let input = job.inputs.get(task.input as usize)?;
    let cut = task.cut;
    let bytes = TaskBytes {
        path: Arc::clone(&input.path),
        offset: cut.offset,
        len: cut.len,
        crc32c: cut.crc32c,
        in_place: job.new.in_place.as_ref() == Some(&*input.path),
    };
    let assignment = Assignment {
        message_id: MessageId::of_task(job.id, number),
        job: job.id,
        number: job.new.first_task + number,
        // No slave's.
        attempt: 1,
        bytes: cut.len,
        crc32c: cut.crc32c,
        spec: job.spec().clone(),
        layout: input.layout.clone(),
        trace: None,
    };
    Some((assignment, bytes))
}

/// Says which ended jobs have answers of a slave that has lied: what they came to is not counted again.
async fn list_ended(store: Store, name: String) {
    let (query, mut after) = (JobQuery::default(), None);
    loop {
        let page = match store.page(&query, after.as_ref(), PAGE).await {
            Ok(page) => page,
            Err(error) => {
                return warn!(%name, %error, "jobs of a slave that has lied are not listed");
            }
        };
        let full = page.len() == PAGE as usize;
        for (place, view) in page {
            if let Some(share) = view.slaves.iter().find(|share| share.name == name) {
                let (job, tasks) = (view.id, share.tasks);
                error!(%job, slave = %name, tasks, "an ended job has answers of a slave that has lied: tally verify it");
            }
            after = Some(place);
        }
        if !full {
            return info!(slave = %name, "the ended jobs of a slave that has lied are listed");
        }
    }
}
