//! Looks about each second whether a file has changed, and has it read again. What can not be read changes
//! nothing: the last that could stays in force, and the log says why.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::error;

use super::Access;
use super::file::Stamp;

/// How often files are looked at: what was revoked is refused after that.
const EVERY: Duration = Duration::from_secs(1);

/// A file, and what to do when it has changed.
pub(super) struct Watched {
    path: PathBuf,
    seen: Option<Stamp>,
    read: Box<dyn FnMut() -> Result<(), String> + Send>,
}

impl Watched {
    pub(super) fn new(
        path: PathBuf,
        read: impl FnMut() -> Result<(), String> + Send + 'static,
    ) -> Self {
        // What has changed since it was first read is read once more, which does no harm.
        Self { path, seen: None, read: Box::new(read) }
    }

    /// Has the file read if it is not as it was. One that never was there is not missed.
    pub(super) fn look(&mut self) {
        let now = Stamp::now(&self.path);
        if now == self.seen {
            return;
        }
        self.seen = now;
        if let Err(error) = (self.read)() {
            error!("{error}; what was read before stays in force");
        }
    }
}

impl Access {
    /// Follows the files for as long as the master serves.
    pub(crate) async fn follow(self) {
        let Some(mut files) = self.watched() else { return std::future::pending().await };
        let mut times = interval(EVERY);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            times.tick().await;
            // A disk may take its time.
            let looked = tokio::task::spawn_blocking(move || {
                files.iter_mut().for_each(Watched::look);
                files
            });
            match looked.await {
                Ok(back) => files = back,
                Err(error) => {
                    error!(%error, "keys and tokens are not followed any more");
                    return std::future::pending().await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_file_is_read_when_it_has_changed_and_not_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let reads = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&reads);
        let mut watched = Watched::new(path.clone(), move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Err("no".to_owned())
        });
        let mut reads = || {
            watched.look();
            reads.load(Ordering::Relaxed)
        };
        assert_eq!(reads(), 0);
        std::fs::write(&path, "1").unwrap();
        assert_eq!(reads(), 1);
        assert_eq!(reads(), 1);
        std::fs::write(&path, "12").unwrap();
        assert_eq!(reads(), 2);
        // Gone: that is said, too.
        std::fs::remove_file(&path).unwrap();
        assert_eq!(reads(), 3);
        assert_eq!(reads(), 3);
    }
}
