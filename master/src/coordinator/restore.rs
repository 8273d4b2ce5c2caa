//! Going on where the last process stopped: jobs that had not ended are taken up from the store,
//! with the runs that still hold; what belongs to no job is removed.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tracing::{info, warn};

use tally_common::id::{JobId, MessageId, TaskNumber};
use tally_common::run::{ReadAt, RunMeta};
use tally_common::spec::Spec;

use super::verify::of_name;
use super::{Coordinator, Job};
use crate::intake::Taken;
use crate::ledger::{Event, RestoredTask};
use crate::read_at::FileAt;
use crate::removal::remove;
use crate::runs::run_path;
use crate::spool::is_stored_compressed;
use crate::store::{KeptRow, Row, StoreError, StoredJob};

impl Coordinator {
    pub(super) async fn restore(&mut self) -> Result<(), StoreError> {
        let Some(store) = self.store.clone() else { return Ok(()) };
        for aside in store.set_aside().await? {
            self.remember_aside(aside);
        }
        self.restore_spent(store.spent().await?);
        for stored in store.open_jobs().await? {
            self.restore_job(stored).await?;
        }
        let known = store.all_jobs().await?.into_iter().collect();
        self.remove_orphans(&known);
        Ok(())
    }

    async fn restore_job(&mut self, stored: StoredJob) -> Result<(), StoreError> {
        let id = stored.id;
        let base = match self.base(&stored.new).await {
            Ok(base) => base,
            Err(error) => {
                warn!(job = %id, %error, "a repair can not go on");
                None
            }
        };
        let folder = self.job_folder(id);
        let mut job = Job::restored(&stored, folder, self.clock.now(), self.clock.unix_ms());
        job.base = base;
        let mut tasks = Vec::new();
        for (number, task) in (0..).zip(&stored.tasks) {
            let kept = task.kept.as_ref().filter(|kept| {
                let holds = run_holds(&job.folder, job.spec(), id, number, kept);
                if !holds {
                    warn!(job = %id, number, "a kept run does not hold; its task is counted again");
                    self.rows.push(Row::Lost { job: id, number });
                }
                holds
            });
            job.restore_task(number, task, kept);
            let by = kept.map(|kept| of_name(&kept.slave));
            let check = kept.map(|kept| kept.check).unwrap_or_default();
            let kept = kept.map(|kept| (kept.totals, kept.groups));
            tasks.push(RestoredTask { bytes: task.cut.len, kept, by, check });
        }
        let (priority, max_rejects) = (job.new.priority, job.spec().max_rejects());
        let (owner, _) = self.account(&job.new);
        let (complete, in_place) = (job.complete, job.new.in_place.is_some());
        let goes_on = complete || job.new.resumable || in_place;
        info!(job = %id, name = %job.new.name, tasks = tasks.len(), complete, "job taken up again");
        if !complete && !in_place {
            job.received = self.what_is_durable(&job, &stored);
        }
        self.keys.extend(job.key.clone().map(|key| (key, id)));
        self.jobs.insert(id, job);
        self.apply(Event::JobRestored { job: id, priority, owner, max_rejects, tasks, complete });
        if self.jobs.get(&id).is_some_and(|job| job.new.ingest.is_some()) {
            self.apply(Event::Applies { job: id });
        }
        if !goes_on {
            if let Some(job) = self.live(id) {
                job.input_lost = true;
            }
            let error = "the master stopped while the input was being uploaded; nothing of it is \
                counted, submit it again";
            self.apply(Event::InputFailed { job: id, error: error.to_owned() });
        }
        Ok(())
    }

    /// How much of an upload is there for sure, as it was sent.
    fn what_is_durable(&self, job: &Job, stored: &StoredJob) -> Taken {
        if is_stored_compressed(&job.folder.join("spool")) {
            return stored.received;
        }
        // A plain one is as long as the tasks that were cut off it, at least.
        let cut = stored.inputs.first().map(|info| job.cut_so_far(info.header));
        match cut {
            Some(cut) if cut.bytes > stored.received.bytes && !stored.tasks.is_empty() => cut,
            _ => stored.received,
        }
    }

    /// Removes folders of jobs that were never acknowledged, or that had been deleted.
    fn remove_orphans(&self, known: &HashSet<JobId>) {
        let Ok(entries) = std::fs::read_dir(self.config.data_dir.join("jobs")) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let id: Option<JobId> = name.to_str().and_then(|name| name.parse().ok());
            if id.is_some_and(|id| !known.contains(&id)) {
                let path = entry.path();
                spawn_blocking(move || remove(&path));
            }
        }
    }
}

/// Whether a run that was kept is still what it was, as far as can be told without reading all of
/// it. Its blocks are checked when they are merged.
fn run_holds(folder: &Path, spec: &Spec, job: JobId, number: TaskNumber, kept: &KeptRow) -> bool {
    let Ok(file) = FileAt::open(&run_path(folder, number)) else { return false };
    let meta = RunMeta::read(&file);
    file.size() == kept.run.0
        && meta.is_ok_and(|meta| {
            let header = meta.verify_header(spec.hash(), MessageId::of_task(job, number));
            header.is_ok() && *meta.totals() == kept.totals && meta.groups() == kept.groups
        })
}

impl Job {
    /// A job as it was when the master stopped, but for its tasks.
    fn restored(
        stored: &StoredJob,
        folder: std::path::PathBuf,
        now: std::time::Duration,
        now_ms: u64,
    ) -> Self {
        let key = stored.key.clone();
        let mut job =
            Self::new(stored.id, stored.new.clone(), folder, (now, stored.opened_ms), key);
        job.earlier = std::time::Duration::from_millis(now_ms.saturating_sub(stored.opened_ms));
        job.touched_ms = now_ms;
        job.received = stored.received;
        job.complete = stored.taken.is_some();
        job.taken = stored.taken.unwrap_or_default();
        job.meter.received.store(job.taken.bytes, std::sync::atomic::Ordering::Relaxed);
        // A header is told of at once, and its bytes reach the disk some time, at the latest with the first task:
        // until then it has to be read again.
        let begun = job.complete || !stored.tasks.is_empty();
        let inputs = stored.inputs.iter().filter(|_| begun).cloned();
        // The folder may have been moved; the names in it stay.
        let inputs = inputs.map(|mut info| {
            if job.new.in_place.as_ref() != Some(&*info.path)
                && let Some(name) = info.path.file_name()
            {
                info.path = Arc::new(job.folder.join("spool").join(name));
            }
            Arc::new(info)
        });
        job.inputs = inputs.collect();
        job
    }
}
