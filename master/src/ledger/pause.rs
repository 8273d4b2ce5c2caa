//! Pauses of the master: a process that was stopped, a machine that slept.

use super::Ledger;

impl Ledger {
    /// Where no tick has come for long, nothing was heard in that time because nobody listened, and
    /// no slave is to blame. So that one pause does not end every session, and no attempt is called
    /// late for it, all that is measured from before moves by as much.
    pub(super) fn notice_pause(&mut self) {
        let now = self.now;
        let gap = now - *self.awake.get_or_insert(now);
        if gap > self.policy.pause {
            self.awake = Some(now);
            for session in self.sessions.values_mut() {
                session.slept(gap, now);
            }
        }
    }
}
