//! Tasks that are counted twice, and slaves that lie.

use tally_common::id::{JobId, MessageId, SessionId, SlaveId, TaskNumber};
use tally_common::run::TaskTotals;
use uuid::Uuid;

use super::{Oracle, Upload};
use crate::ledger::{Event, Fact, UploadId};

impl Oracle {
    /// A slave hands in an answer, which may be a lie.
    pub(super) fn lies(&mut self, session: SessionId, lie: bool) {
        if let Some(slave) = self.authors.get(&session).filter(|_| lie) {
            self.liars.insert(*slave);
            self.seen.lies_told += 1;
        }
    }

    /// The master hands in an answer of its own.
    pub(super) fn recounted(&mut self, message_id: MessageId, totals: TaskTotals, id: UploadId) {
        let session = SessionId::from_uuid(Uuid::nil());
        let (right, lie, held) = (true, false, true);
        self.uploads.insert(id, Upload { session, message_id, totals, right, lie, held });
        self.seen.recounts += 1;
    }

    pub(super) fn held(&mut self, upload: UploadId) {
        let held = self.uploads.get_mut(&upload).expect("a partial to hold");
        assert!(self.twice && held.right && !held.held, "held for no reason");
        held.held = true;
        let session = held.session;
        self.right_partial(session);
        self.seen.answers_held += 1;
    }

    /// Whether an answer of a slave to a task waits for another's.
    pub(super) fn holds_of(&self, slave: SlaveId, message_id: MessageId) -> bool {
        self.uploads.values().any(|upload| {
            upload.held
                && upload.message_id == message_id
                && self.authors.get(&upload.session) == Some(&slave)
        })
    }

    /// Whether an answer may be dropped although its task is open.
    pub(super) fn may_be_dropped(&self, upload: &Upload) -> bool {
        let author = self.authors.get(&upload.session);
        let held = |other: &&Upload| other.held && other.message_id == upload.message_id;
        let disputed = self.uploads.values().filter(held).count() >= 2;
        let unknown = author.is_none_or(|slave| {
            self.aside.contains(slave) || self.holds_of(*slave, upload.message_id)
        });
        self.twice && (upload.held || disputed || unknown)
    }

    /// A lie is believed only where nobody else could be asked.
    pub(super) fn believed(&mut self, upload: &Upload, attempts: u32) {
        if !upload.lie {
            return;
        }
        let author = self.authors.get(&upload.session);
        let others = self.sessions.values().filter(|session| {
            let barred = session.draining || self.quarantined.contains_key(&session.slave);
            !barred && Some(&session.slave) != author
        });
        let alone = others.count() == 0 || attempts >= self.max_attempts;
        assert!(alone, "a lie is believed although another slave is there");
        self.seen.lies_believed += 1;
    }

    pub(super) fn set_aside(&mut self, event: &Event, slave: SlaveId, thrown: u32) {
        assert!(matches!(event, Event::Recounted { .. }), "set aside by {event:?}");
        assert!(self.liars.contains(&slave), "an honest slave is set aside");
        assert!(self.sessions.values().all(|session| session.slave != slave), "a liar works on");
        assert!(self.aside.insert(slave), "set aside twice");
        self.seen.set_aside += 1;
        self.seen.thrown_away += u64::from(thrown);
    }

    /// An answer is not believed any more.
    pub(super) fn thrown(&mut self, event: &Event, job: JobId, number: TaskNumber) {
        assert!(matches!(event, Event::Recounted { .. }), "thrown away by {event:?}");
        self.run_lost(job, number);
    }

    /// Whether the event at hand has led to a task's answer.
    pub(super) fn has_just_been_kept(&self, message_id: MessageId) -> bool {
        self.facts.iter().any(|fact| match fact {
            Fact::PartialKept { job, number, .. } => {
                MessageId::of_task(*job, *number) == message_id
            }
            _ => false,
        })
    }
}
