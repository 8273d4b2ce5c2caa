//! Slaves that are not to be trusted for a while: those that send false partials, one after another.

use tally_common::id::{SessionId, SlaveId};

use super::Ledger;
use super::session::Session;

/// Slaves with a false partial or two that are remembered; with more, all begin anew. A slave has a new
/// id with each start, so those that are gone would otherwise stay for ever.
const MAX_SUSPECTS: usize = 4096;

impl Ledger {
    /// A partial of a session was false. Of one that is over nobody knows the slave any more.
    pub(super) fn false_partial(&mut self, session: SessionId) {
        let Some(slave) = self.sessions.get(&session).map(|session| session.slave) else { return };
        if self.quarantined.contains_key(&slave) {
            // It was sent before.
            return;
        }
        if self.false_partials.len() >= MAX_SUSPECTS {
            self.false_partials.clear();
        }
        let count = self.false_partials.entry(slave).or_default();
        *count += 1;
        if *count >= self.policy.max_false_partials {
            self.quarantine(slave);
        }
    }

    /// Takes all that a slave holds back. What it was counting has failed, for its answer would not
    /// have been believed; what it had only fetched has not.
    fn quarantine(&mut self, slave: SlaveId) {
        self.false_partials.remove(&slave);
        self.quarantined.insert(slave, self.now + self.policy.quarantine);
        for id in self.sessions_of(slave) {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            session.quarantined = true;
            self.give_back_waiting(id);
            let counting = self.sessions.get(&id).map(Session::held).unwrap_or_default().to_vec();
            for held in counting {
                // Its job may have ended with another one of these.
                if self.take_back(id, held.message_id, held.attempt).is_some() {
                    let error = "its slave was put into quarantine for false partials".to_owned();
                    self.fail_attempt(id, slave, &held, error);
                }
            }
        }
    }

    /// Lets slaves work again that have been in quarantine for long enough.
    pub(super) fn end_quarantines(&mut self) {
        let over = self.quarantined.iter().filter(|(_, until)| **until <= self.now);
        let over: Vec<SlaveId> = over.map(|(slave, _)| *slave).collect();
        for slave in over {
            self.quarantined.remove(&slave);
            for id in self.sessions_of(slave) {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.quarantined = false;
                }
            }
        }
    }

    /// The sessions of a slave: more than one where it has connected again before the old one was
    /// found dead.
    fn sessions_of(&self, slave: SlaveId) -> Vec<SessionId> {
        let of = self.sessions.iter().filter(|(_, session)| session.slave == slave);
        of.map(|(id, _)| *id).collect()
    }
}
