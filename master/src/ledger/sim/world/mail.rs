//! What slaves and merges answer, and how it travels: late, twice, out of order.

use tally_common::id::{Attempt, JobId, MessageId, SessionId, TaskNumber};
use tally_common::run::TaskTotals;

use super::{Nature, Task, World};
use crate::ledger::{Event, UploadId};

/// What is on its way to the ledger.
#[derive(Clone)]
pub(super) enum Mail {
    Partial {
        session: SessionId,
        message_id: MessageId,
        attempt: Attempt,
        right: bool,
    },
    /// A partial that is refused before the ledger hears of it.
    Refused {
        session: SessionId,
        message_id: MessageId,
        attempt: Attempt,
    },
    Failure {
        session: SessionId,
        message_id: MessageId,
        attempt: Attempt,
    },
    Death {
        session: SessionId,
    },
    Merged {
        job: JobId,
    },
    MergeFailed {
        job: JobId,
    },
    RunLost {
        job: JobId,
        number: TaskNumber,
    },
}

impl Mail {
    /// The attempt whose partial it is.
    pub(super) fn partial_of(&self) -> Option<(SessionId, MessageId, Attempt)> {
        match *self {
            Self::Partial { session, message_id, attempt, .. } => {
                Some((session, message_id, attempt))
            }
            _ => None,
        }
    }
}

impl World {
    pub(super) fn send(&mut self, from: u64, to: u64, mail: Mail) {
        let at = self.now + self.random.millis(from, to);
        self.next += 1;
        self.mail.insert((at, self.next), mail);
    }

    pub(super) fn arrive(&mut self, mail: Mail) {
        match mail {
            Mail::Partial { session, message_id, attempt, right } => {
                let Task { bytes, rejects, .. } = self.tasks[&message_id];
                let mut totals =
                    TaskTotals { bytes, records: bytes, rejects, ..Default::default() };
                if !right {
                    totals.bytes += 1;
                }
                self.next += 1;
                let upload = UploadId(self.next);
                let groups = bytes - rejects;
                let event =
                    Event::PartialArrived { session, message_id, attempt, totals, groups, upload };
                self.apply_as(event, right);
            }
            Mail::Refused { session, message_id, attempt } => {
                let reason = "invented".to_owned();
                self.apply(Event::PartialRefused { session, message_id, attempt, reason });
            }
            Mail::Failure { session, message_id, attempt } => {
                let error = "invented".to_owned();
                self.apply(Event::TaskFailed { session, message_id, attempt, error });
            }
            Mail::Death { session } => {
                if self.sessions.iter().any(|(id, ..)| *id == session) {
                    self.leave(session);
                }
            }
            Mail::Merged { job } => self.apply(Event::MergeDone { job }),
            Mail::MergeFailed { job } => {
                self.apply(Event::MergeFailed { job, error: "disk full".to_owned() });
            }
            Mail::RunLost { job, number } => self.apply(Event::RunLost { job, number }),
        }
    }

    /// Some slaves hand in nonsense, mostly.
    fn lies(&mut self, session: SessionId) -> bool {
        let slave =
            self.sessions.iter().find(|(id, ..)| *id == session).map(|(_, slave, _)| *slave);
        let liar = slave.is_some_and(|slave| slave.uuid().as_u128().is_multiple_of(11));
        liar && !self.random.one_in(4)
    }

    /// What a slave makes of a task.
    pub(super) fn count(&mut self, session: SessionId, message_id: MessageId, attempt: Attempt) {
        match self.tasks[&message_id].nature {
            Nature::Harmless => {}
            Nature::Failing => {
                return self.send(10, 500, Mail::Failure { session, message_id, attempt });
            }
            Nature::Deadly => return self.send(10, 500, Mail::Death { session }),
        }
        if !self.calm && self.lies(session) {
            return self.send(10, 500, Mail::Refused { session, message_id, attempt });
        }
        let right = self.calm || !self.random.one_in(40);
        let partial = Mail::Partial { session, message_id, attempt, right };
        let silent = self.sessions.iter().all(|(id, _, beats)| *id != session || !beats);
        match self.random.below(40) {
            0..=1 if !self.calm => {
                return self.send(10, 2000, Mail::Failure { session, message_id, attempt });
            }
            // Hangs; so does a slave that says nothing any more.
            2 if !self.calm => return,
            _ if silent => return,
            3..=5 if !self.calm => self.send(5000, 90_000, partial.clone()),
            _ => self.send(10, 2500, partial.clone()),
        }
        if self.random.one_in(8) {
            self.send(10, 30_000, partial);
        }
    }
}
