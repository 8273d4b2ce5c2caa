//! Who is reading what: a job that is being downloaded is not swept away.

use std::sync::Arc;

use dashmap::DashMap;

use tally_common::id::JobId;

/// How many read each job. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readers(Arc<DashMap<JobId, usize>>);

impl Readers {
    /// Somebody reads a job, until the lease is dropped.
    pub(crate) fn read(&self, job: JobId) -> Lease {
        *self.0.entry(job).or_default() += 1;
        Lease { readers: self.clone(), job }
    }

    /// Whether anybody reads a job.
    pub(crate) fn is_read(&self, job: JobId) -> bool {
        self.0.contains_key(&job)
    }
}

/// Keeps a job from being swept away.
#[derive(Debug)]
pub(crate) struct Lease {
    readers: Readers,
    job: JobId,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(mut count) = self.readers.0.get_mut(&self.job) {
            *count -= 1;
        }
        self.readers.0.remove_if(&self.job, |_, count| *count == 0);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_job_is_read_until_the_last_reader_is_done() {
        let (readers, job) = (Readers::default(), JobId::from_uuid(Uuid::from_u128(1)));
        let (first, second) = (readers.read(job), readers.read(job));
        drop(first);
        assert!(readers.is_read(job));
        drop(second);
        assert!(!readers.is_read(job));
    }
}
