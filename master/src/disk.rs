//! The disk under the data folder: whether there is room, and waiting until there is.
//!
//! Some of it is kept free for the store and for results on their way. Whoever writes bulk asks
//! before each write, so a disk that fills up makes jobs wait and does not make them fail.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use tally_common::api::DiskView;

use crate::coordinator::Meter;
use crate::direct::Patience;

/// How often somebody who waits for room looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The disk under the data folder.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    /// Bytes to be kept free.
    reserve: u64,
    /// Less than that was free when it was looked at last.
    low: AtomicBool,
}

impl Disk {
    pub(crate) fn new(folder: PathBuf, reserve: u64) -> Arc<Self> {
        Arc::new(Self { folder, reserve, low: AtomicBool::new(false) })
    }

    /// Bytes that may still be written: what is free beyond the reserve.
    pub(crate) fn room(&self) -> u64 {
        match rustix::fs::statvfs(&self.folder) {
            Ok(found) => (found.f_bavail * found.f_frsize).saturating_sub(self.reserve),
            // A folder that can not be looked at says so when it is written to.
            Err(_) => u64::MAX,
        }
    }

    /// The disk as it is shown.
    pub(crate) fn view(&self) -> DiskView {
        let found = rustix::fs::statvfs(&self.folder);
        let (total, free) = found.map_or((0, 0), |found| {
            (found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)
        });
        DiskView { total, free, reserve: self.reserve, full: self.is_low() }
    }

    /// Looks how much room there is.
    pub(crate) fn look(&self) -> bool {
        let low = self.room() == 0;
        self.low.store(low, Ordering::Relaxed);
        low
    }

    /// Whether there was no room when it was looked at last.
    pub(crate) fn is_low(&self) -> bool {
        self.low.load(Ordering::Relaxed)
    }

    /// Waits until there is room, or the job is over.
    pub(crate) fn wait(&self, meter: &Meter) -> io::Result<()> {
        loop {
            sleep(LOOK_AGAIN);
            if meter.is_over() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if !self.look() {
                return Ok(());
            }
        }
    }

    /// For a writer that is to wait while the disk is full.
    pub(crate) fn patience(self: &Arc<Self>, meter: &Arc<Meter>) -> Patience {
        let (disk, meter) = (Arc::clone(self), Arc::clone(meter));
        Box::new(move |full| if full || disk.is_low() { disk.wait(&meter) } else { Ok(()) })
    }
}
