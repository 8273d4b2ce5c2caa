//! What the coordinator shows for the metrics: what there is now.

use super::Coordinator;
use crate::metrics::{self, Now};

impl Coordinator {
    /// Shows what there is now of what. Costs nothing where nobody measures.
    pub(super) fn measure(&self) {
        if !metrics::is_installed() {
            return;
        }
        let (counts, queue) = self.counts();
        let quarantined = self.ledger.sessions().filter(|(_, session)| session.quarantined).count();
        let now = Now {
            counts,
            queue,
            quarantined: quarantined as u32,
            disk: self.disk.view(),
            started_ms: self.clock.started_ms(),
        };
        metrics::now(&now, self.ledger.counts());
    }
}
