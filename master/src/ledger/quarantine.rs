//! Slaves whose partials are not right get nothing to count for some time; and a pause of the master
//! itself is held against nobody.

use std::time::Duration;

use tally_common::id::{Attempt, MessageId, SessionId, SlaveId};

use super::Ledger;

/// Slaves of which something is remembered; beyond that, small things are forgotten. A slave takes a new
/// id with each start.
const MAX_RECORDS: usize = 4096;

/// What is held against a slave.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    /// Partials in a row that were not right.
    false_partials: u32,
    /// It gets nothing to count until then.
    until: Option<Duration>,
}

impl Ledger {
    pub(super) fn partial_refused(
        &mut self,
        session: SessionId,
        message_id: MessageId,
        attempt: Attempt,
        reason: String,
    ) {
        let slave = self.sessions.get(&session).map(|session| session.slave);
        self.attempt_failed(session, message_id, attempt, reason);
        if let Some(slave) = slave {
            self.note_false_partial(slave);
        }
    }

    pub(super) fn is_quarantined(&self, slave: SlaveId) -> bool {
        self.records.get(&slave).is_some_and(|record| record.until.is_some())
    }

    /// A partial of the slave was right: what was held against it is forgotten.
    pub(super) fn note_right_partial(&mut self, slave: SlaveId) {
        if !self.is_quarantined(slave) {
            self.records.remove(&slave);
        }
    }

    /// A partial of the slave was not right. What a slave that is quarantined holds goes to others:
    /// what it is counting will not be believed.
    pub(super) fn note_false_partial(&mut self, slave: SlaveId) {
        let until = self.now + self.policy.quarantine;
        if self.records.len() >= MAX_RECORDS {
            self.records.retain(|_, record| record.until.is_some());
        }
        let record = self.records.entry(slave).or_default();
        record.false_partials += 1;
        if record.false_partials < self.policy.max_false_partials || record.until.is_some() {
            return;
        }
        record.until = Some(until);
        let sessions = self.sessions.iter_mut().filter(|(_, session)| session.slave == slave);
        let mut held = Vec::new();
        for (id, session) in sessions {
            session.quarantined = true;
            held.extend(session.held().iter().map(|held| (*id, *held)));
        }
        for (id, held) in held {
            // A job may end with the failure of another one of these.
            let Some((slave, held)) = self.take_back(id, held.message_id, held.attempt) else {
                continue;
            };
            let error = "its slave was quarantined".to_owned();
            match held.started {
                Some(_) => self.fail_attempt(id, slave, &held, error),
                None => self.forgo(&held),
            }
        }
    }

    pub(super) fn end_quarantines(&mut self) {
        let now = self.now;
        let over = |record: &Record| record.until.is_some_and(|until| until <= now);
        if !self.records.values().any(over) {
            return;
        }
        self.records.retain(|_, record| !over(record));
        for session in self.sessions.values_mut() {
            session.quarantined =
                self.records.get(&session.slave).is_some_and(|r| r.until.is_some());
        }
    }

    /// Where much more time has gone by than between two ticks, it was the master that slept, or its
    /// machine: nobody could have been heard meanwhile.
    pub(super) fn sleep_through_pause(&mut self) {
        let gap = self.now.saturating_sub(std::mem::replace(&mut self.ticked, self.now));
        if gap <= self.policy.pause {
            return;
        }
        for session in self.sessions.values_mut() {
            session.shift(gap, self.now);
        }
    }
}
