//! What a master needs to find slaves out that lie: which tasks are counted twice, and a kernel of its own for
//! what slaves contradict each other about. The master's crate has none.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use uuid::Uuid;

use tally_common::limits::FRAME_BYTES;
use tally_common::run::{RunHeader, RunWriter};
use tally_master::cluster::TaskBytes;
use tally_master::ledger::Sample;
use tally_master::recount::Recounter;
use tally_proto::convert::Assignment;
use tally_slave::kernel::Kernel;

/// So many of a hundred tasks, by a key that nobody else knows.
pub(crate) fn sample(percent: f64) -> Sample {
    let mut key = [0; 32];
    key[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    key[16..].copy_from_slice(Uuid::new_v4().as_bytes());
    Sample::new(percent, key)
}

/// Counts tasks as a slave does, where they lie.
pub(crate) fn recounter() -> Recounter {
    Recounter::new(count)
}

fn count(task: &Assignment, bytes: &TaskBytes) -> io::Result<Vec<u8>> {
    let file = File::open(&*bytes.path)?;
    let mut kernel = Kernel::new(&task.spec);
    let header = RunHeader::of(&task.spec, task.message_id);
    let mut run = RunWriter::new(Vec::new(), header)?;
    kernel.begin(task.number, &task.layout).map_err(io::Error::other)?;
    let (mut at, mut crc32c) = (0, 0);
    let mut piece = vec![0; FRAME_BYTES];
    while at < bytes.len {
        let len = (bytes.len - at).min(FRAME_BYTES as u64) as usize;
        file.read_exact_at(&mut piece[..len], bytes.offset + at)?;
        crc32c = crc32c::crc32c_append(crc32c, &piece[..len]);
        kernel.feed(&piece[..len], &mut run).map_err(io::Error::other)?;
        at += len as u64;
    }
    if crc32c != bytes.crc32c {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its bytes are damaged"));
    }
    let totals = kernel.finish(&mut run).map_err(io::Error::other)?;
    let (run, _) = run.finish(totals)?;
    Ok(run)
}
