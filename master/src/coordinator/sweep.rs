//! What is removed: jobs when their time is over or when a user wants it, uploads that nobody goes on
//! with, keys of long ago.

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use tally_common::id::JobId;

use super::Coordinator;
use crate::ledger::Event;
use crate::removal::remove;
use crate::store::{Row, Store, StoreError};

impl Coordinator {
    /// Removes what nobody wants any more. One look at the store every half minute is all it costs.
    pub(super) async fn sweep(&mut self) {
        let now = self.clock.unix_ms();
        self.end_stale_uploads(now);
        let Some(store) = self.store.clone() else { return };
        let before = now.saturating_sub(self.config.retain.as_millis() as u64);
        match store.ended_before(before).await {
            Ok(jobs) => {
                for job in jobs {
                    if !self.readers.is_read(job) {
                        info!(%job, "job removed: its time is over");
                        self.remove_ended(job);
                    }
                }
            }
            Err(error) => warn!(%error, "the store can not be swept"),
        }
        let before_ms = now.saturating_sub(self.config.retain_keys.as_millis() as u64);
        if store.has_keys_of(before_ms).await.unwrap_or(false) {
            self.rows.push(Row::KeysExpired { before_ms });
        }
    }

    fn end_stale_uploads(&mut self, now: u64) {
        let patience = self.config.upload_timeout.as_millis() as u64;
        let stale = self.jobs.values().filter(|job| {
            let waits = job.ended.is_none() && !job.complete && job.pieces.is_none();
            waits && now.saturating_sub(job.touched_ms) > patience
        });
        for id in stale.map(|job| job.id).collect::<Vec<_>>() {
            if let Some(job) = self.live(id) {
                job.input_lost = true;
            }
            let error = format!(
                "the upload broke off and was not taken up again within {} s; nothing of it is counted",
                self.config.upload_timeout.as_secs()
            );
            self.apply(Event::InputFailed { job: id, error });
        }
    }

    /// Removes a job that has ended, with the repairs of it.
    fn remove_ended(&mut self, id: JobId) {
        self.rows.push(Row::Deleted { job: id, gone_ms: self.clock.unix_ms() });
        self.then(move |this| {
            this.remove_folder(id);
            this.feed.deleted(id);
        });
    }

    fn remove_folder(&self, id: JobId) {
        let folder = self.job_folder(id);
        spawn_blocking(move || remove(&folder));
    }

    pub(super) async fn delete(
        &mut self,
        id: JobId,
        reply: oneshot::Sender<Result<bool, StoreError>>,
    ) {
        if self.jobs.contains_key(&id) {
            self.apply(Event::Delete { job: id });
            return self.reply(reply, Ok(true));
        }
        let (known, repairs) = match ended(self.store.as_ref(), id).await {
            Ok(found) => found,
            Err(error) => return self.reply(reply, Err(error)),
        };
        for repair in repairs {
            self.remove_ended(repair);
        }
        if known {
            info!(job = %id, "job deleted");
            self.remove_ended(id);
        }
        self.reply(reply, Ok(known));
    }
}

/// Whether there is such an ended job, and its repairs.
async fn ended(store: Option<&Store>, id: JobId) -> Result<(bool, Vec<JobId>), StoreError> {
    let Some(store) = store else { return Ok((false, Vec::new())) };
    let known = store.view(id).await?.is_some();
    Ok((known, store.repairs(id).await?.into_iter().map(|repair| repair.id).collect()))
}
