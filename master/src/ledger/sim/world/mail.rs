//! What slaves and merges answer, and how it travels: late, twice, out of order.

use tally_common::id::{Attempt, JobId, MessageId, SessionId, TaskNumber};

use super::{Nature, World};
use crate::ledger::{Digest, Event, UploadId};

/// What is on its way to the ledger.
#[derive(Clone)]
pub(super) enum Mail {
    /// `lie` numbers what it says where that is false, though it reads as an answer; 0 is the truth.
    Partial {
        session: SessionId,
        message_id: MessageId,
        attempt: Attempt,
        right: bool,
        lie: u64,
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
    /// The master has counted a task itself, or could not.
    Recounted {
        job: JobId,
        number: TaskNumber,
        well: bool,
    },
}

impl Mail {
    /// Whether it outlives the master.
    pub(super) fn is_from_a_slave(&self) -> bool {
        matches!(self, Self::Partial { .. } | Self::Failure { .. } | Self::Death { .. })
    }

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

/// The digest of an answer that lies so.
fn saying(lie: u64) -> Digest {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&lie.to_le_bytes());
    Digest(digest)
}

impl World {
    pub(super) fn send(&mut self, from: u64, to: u64, mail: Mail) {
        let at = self.now + self.random.millis(from, to);
        self.next += 1;
        self.mail.insert((at, self.next), mail);
    }

    pub(super) fn arrive(&mut self, mail: Mail) {
        match mail {
            Mail::Partial { session, message_id, attempt, right, lie } => {
                let mut totals = self.tasks[&message_id].totals();
                let groups = totals.records - totals.rejects;
                if !right {
                    if self.random.one_in(2) {
                        let reason = "invented".to_owned();
                        let refused =
                            Event::PartialRefused { session, message_id, attempt, reason };
                        return self.apply_as(refused, false);
                    }
                    totals.bytes += 1;
                }
                self.next += 1;
                let upload = UploadId(self.next);
                let digest = self.twice.then(|| saying(lie));
                let event = Event::PartialArrived {
                    session,
                    message_id,
                    attempt,
                    totals,
                    groups,
                    upload,
                    digest,
                };
                self.apply_as(event, right);
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
            Mail::Recounted { job, number, well: false } => {
                let error = "its bytes are damaged".to_owned();
                self.apply(Event::RecountFailed { job, number, error });
            }
            Mail::Recounted { job, number, well: true } => {
                let totals = self.tasks[&MessageId::of_task(job, number)].totals();
                let groups = totals.records - totals.rejects;
                self.next += 1;
                let (upload, digest) = (UploadId(self.next), saying(0));
                self.apply(Event::Recounted { job, number, totals, groups, upload, digest });
            }
        }
    }

    /// What a slave says of a task: 0 where that is true. Each lie is another one.
    fn lie(&mut self, session: SessionId) -> u64 {
        let known = self.sessions.iter().find(|(id, ..)| *id == session);
        let liar = known.is_some_and(|(_, slave, _)| self.liars.contains(slave));
        if !liar || !self.steady && (self.calm || self.random.one_in(2)) {
            return 0;
        }
        self.next += 1;
        self.next
    }

    /// What a slave makes of a task.
    pub(super) fn count(&mut self, session: SessionId, message_id: MessageId, attempt: Attempt) {
        match self.tasks[&message_id].nature {
            Nature::Harmless => {}
            Nature::Failing => {
                return self.send(10, 500, Mail::Failure { session, message_id, attempt });
            }
            Nature::Hard if self.random.below(5) < 3 => {
                return self.send(10, 500, Mail::Failure { session, message_id, attempt });
            }
            Nature::Hard => {
                let (right, lie) = (true, 0);
                let late = Mail::Partial { session, message_id, attempt, right, lie };
                return self.send(5000, 50_000, late);
            }
            Nature::Deadly => return self.send(10, 500, Mail::Death { session }),
        }
        let known = self.sessions.iter().find(|(id, ..)| *id == session);
        let bad = known.is_some_and(|(_, slave, _)| self.bad.contains(slave));
        let right = self.calm || !self.random.one_in(if bad { 2 } else { 40 });
        let lie = self.lie(session);
        let partial = Mail::Partial { session, message_id, attempt, right, lie };
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
