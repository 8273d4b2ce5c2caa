//! Which tasks are counted twice, and how nobody can tell.

use std::fmt;

use sha2::{Digest as _, Sha256};

use tally_common::id::MessageId;

/// Which tasks are counted twice.
#[derive(Clone, Default)]
pub struct Sample {
    /// Out of 2^32.
    share: u64,
    key: [u8; 32],
}

impl fmt::Debug for Sample {
    /// The key is what slaves are not to know.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sample").field("share", &self.share).finish_non_exhaustive()
    }
}

impl Sample {
    /// So many of a hundred tasks; which ones follows from a key that is to be drawn anew for each
    /// process.
    pub fn new(percent: f64, key: [u8; 32]) -> Self {
        let share = percent.clamp(0.0, 100.0) / 100.0 * (1_u64 << 32) as f64;
        Self { share: share.round() as u64, key }
    }

    /// Whether there are any.
    pub fn is_on(&self) -> bool {
        self.share > 0
    }

    /// Whether a task is one of them.
    pub fn picks(&self, task: MessageId) -> bool {
        if self.share == 0 {
            return false;
        }
        let hash = Sha256::new().chain_update(self.key).chain_update(task.uuid().as_bytes());
        let hash = hash.finalize();
        let drawn = u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]);
        u64::from(drawn) < self.share
    }
}
