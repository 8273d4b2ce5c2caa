//! Repairs: a job that counts the corrected rejects of another one. Its tasks come after that job's,
//! its result is made of both jobs' runs, and when it succeeds the other job shows that result.

use std::path::PathBuf;

use tally_common::api::{JobState, JobView};
use tally_common::id::JobId;
use tally_common::spec::{Spec, SpecDraft};

use super::{Coordinator, NewJob, OpenError};
use crate::store::StoreError;
use tally_common::id::TaskNumber;

/// The runs of a job that another one is added to.
#[derive(Clone, Debug)]
pub(crate) struct BaseRuns {
    pub(crate) job: JobId,
    pub(crate) folder: PathBuf,
    pub(crate) tasks: TaskNumber,
}

/// What a repair is added to.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    /// The job that is repaired.
    pub(crate) job: JobId,
    /// Its runs, and those of earlier repairs of it.
    pub(crate) runs: Vec<BaseRuns>,
    /// Its rejects that have not been repaired.
    pub(crate) outstanding: u64,
}

impl Base {
    /// Tasks before those of the repair.
    pub(crate) fn tasks(&self) -> TaskNumber {
        self.runs.iter().map(|runs| runs.tasks).sum()
    }
}

impl Coordinator {
    /// What a job is added to, if it repairs another one.
    pub(super) async fn base(&mut self, new: &NewJob) -> Result<Option<Base>, OpenError> {
        let (Some(id), Some(store)) = (new.repairs, self.store.clone()) else { return Ok(None) };
        let refuse = |why: &str| OpenError::Repair(format!("job {id} can not be repaired: {why}"));
        let view = store.view(id).await?.ok_or_else(|| refuse("it has not ended, or is gone"))?;
        let outstanding = outstanding(&view);
        if let Some(ingest) = &view.ingest {
            let why = format!(
                "it fills the table {:?}; correct the records of its rejects file, and import that file",
                ingest.table
            );
            return Err(refuse(&why));
        }
        if view.repairs.is_some() {
            return Err(refuse("it is a repair itself; repair the job that it repaired"));
        }
        if outstanding == 0 {
            return Err(refuse("none of its records is rejected any more"));
        }
        let folder = self.job_folder(id);
        if !folder.join("runs").is_dir() {
            return Err(refuse("it did not come to the end of counting"));
        }
        let mut runs = vec![BaseRuns { job: id, folder, tasks: view.tasks.cut }];
        for repair in store.repairs(id).await? {
            let (job, folder) = (repair.id, self.job_folder(repair.id));
            runs.push(BaseRuns { job, folder, tasks: repair.tasks.cut });
        }
        Ok(Some(Base { job: id, runs, outstanding }))
    }

    /// Whether a repair of the same job is under way.
    pub(super) fn is_being_repaired(&self, id: JobId) -> bool {
        self.jobs.values().any(|job| job.new.repairs == Some(id) && job.ended.is_none())
    }

    /// The job that a repair repairs, as it was until now; `None` where this is no repair.
    pub(super) async fn repaired(&mut self, repair: JobId) -> Result<Option<JobView>, StoreError> {
        let base = self.jobs.get(&repair).and_then(|job| job.base.as_ref());
        match (base, &self.store) {
            (Some(base), Some(store)) => store.view(base.job).await,
            _ => Ok(None),
        }
    }

    /// The repaired job as it is shown once its repair has succeeded.
    pub(super) fn revise(&self, repair: JobId, mut view: JobView) -> Option<Box<JobView>> {
        let counted = self.ledger.job(&repair)?.totals;
        view.receipt.repaired += counted.records - counted.rejects;
        view.repaired_by = Some(repair);
        let spec = Spec::try_from(view.spec.clone()).ok()?;
        if spec.max_rejects().allows(outstanding(&view), view.receipt.records) {
            view.state = JobState::Succeeded;
            view.error = None;
            view.result.clone_from(&self.jobs.get(&repair)?.result);
        }
        Some(Box::new(view))
    }
}

/// Rejects of a job that have not been repaired.
fn outstanding(view: &JobView) -> u64 {
    view.receipt.rejected.saturating_sub(view.receipt.repaired)
}

/// The spec by which a job's corrected rejects are counted: the same, but for how many may be
/// rejected again, which the repaired job decides.
pub(crate) fn spec_of_repair(draft: &SpecDraft) -> SpecDraft {
    let max_rejects = tally_common::spec::MaxRejects::PartsPerMillion(1_000_000);
    SpecDraft { max_rejects, ..draft.clone() }
}
