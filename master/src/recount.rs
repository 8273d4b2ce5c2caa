//! How a master has a task counted within its own process, where slaves contradict each other about it. The
//! kernel is the slaves': whoever puts master and kernel into one binary hands it in.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tally_common::id::SessionId;
use tally_common::run::RunMeta;
use tally_common::spec::Spec;
use tally_proto::convert::{Assignment, PartialHead};

use crate::cluster::TaskBytes;
use crate::ledger::Digest;
use crate::merge::{self, MergeInput};
use crate::read_at::FileAt;
use crate::runs::{ReceivedRun, RunReceiver};

/// Counts a task and gives its run.
type Count = dyn Fn(&Assignment, &TaskBytes) -> io::Result<Vec<u8>> + Send + Sync;

/// Counts a task where it lies, on the thread that calls it.
#[derive(Clone)]
pub struct Recounter(Arc<Count>);

impl fmt::Debug for Recounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recounter")
    }
}

impl Recounter {
    /// One that counts like this.
    pub fn new(
        count: impl Fn(&Assignment, &TaskBytes) -> io::Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(count))
    }

    /// Counts a task; its run, as if it had been handed in, and all that it says.
    ///
    /// # Errors
    /// What went wrong, for people.
    pub(crate) fn recount(
        &self,
        task: &Assignment,
        bytes: &TaskBytes,
        folder: &Path,
    ) -> Result<(ReceivedRun, Digest), String> {
        let run = (self.0)(task, bytes).map_err(|error| error.to_string())?;
        let meta = RunMeta::read(&run).map_err(|error| error.to_string())?;
        let head = PartialHead {
            message_id: task.message_id,
            attempt: task.attempt,
            session: SessionId::from_uuid(uuid::Uuid::nil()),
            bytes: run.len() as u64,
            crc32c: crc32c::crc32c(&run),
            groups: meta.groups(),
            records: meta.totals().records,
            rejects: meta.totals().rejects,
        };
        let mut receiver = RunReceiver::create(folder, head).map_err(|error| error.to_string())?;
        receiver.write(&run).map_err(|error| error.to_string())?;
        let received = receiver.finish().map_err(|error| error.to_string())?;
        let digest = digest(&task.spec, &received, folder)?;
        Ok((received, digest))
    }
}

/// All that a run says.
///
/// # Errors
/// Why it says nothing, for people.
pub(crate) fn digest(spec: &Spec, run: &ReceivedRun, folder: &Path) -> Result<Digest, String> {
    let file = FileAt::open(run.path()).map_err(|error| error.to_string())?;
    let meta = RunMeta::read(&file).map_err(|error| error.to_string())?;
    // What the header does not say can not be merged, and would not be said truly.
    meta.verify_header(spec.hash(), run.head.message_id).map_err(|error| error.to_string())?;
    let input = MergeInput { run: Arc::new(file), meta: Arc::new(meta) };
    merge::digest(spec, &input, folder).map(Digest).map_err(|error| error.to_string())
}
