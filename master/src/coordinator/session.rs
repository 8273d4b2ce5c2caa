//! What the coordinator knows of a session besides the ledger's facts: who it is, how to reach it,
//! how far its attempts are.

use std::collections::HashMap;

use tokio::sync::mpsc;
use tracing::Span;

use tally_common::id::{Attempt, JobId, MessageId, TaskNumber};
use tally_proto::convert::{Assignment, SlaveHello};
use tally_proto::trace::name;

use crate::cluster::SessionCommand;
use crate::feed::Rates;
use crate::trace;

/// An attempt that the session holds.
struct Held {
    attempt: Attempt,
    job: JobId,
    number: TaskNumber,
    counted: u64,
    span: Span,
}

/// A session as the coordinator keeps it.
pub(super) struct Session {
    pub(super) hello: SlaveHello,
    commands: mpsc::Sender<SessionCommand>,
    held: HashMap<MessageId, Held>,
    /// It has been told that the session is over.
    ended: bool,
    /// Counted in this session.
    pub(super) bytes: u64,
    pub(super) records: u64,
    /// Bytes a second.
    pub(super) rates: Rates,
}

impl Session {
    pub(super) fn new(hello: SlaveHello) -> (Self, mpsc::Receiver<SessionCommand>) {
        // An assignment and a cancellation for each attempt that the ledger may give it, twice.
        let (commands, receiver) = mpsc::channel(8 * hello.workers as usize + 16);
        (
            Self {
                hello,
                commands,
                held: HashMap::new(),
                ended: false,
                bytes: 0,
                records: 0,
                rates: Rates::default(),
            },
            receiver,
        )
    }

    /// Hands it the task that has `number` in its job. `false` where the session does not read its
    /// commands.
    pub(super) fn assign(
        &mut self,
        mut assignment: Assignment,
        number: TaskNumber,
        job: &Span,
    ) -> bool {
        let span = trace::attempt(job, &assignment, &self.hello.name);
        assignment.trace = name(&span);
        let (attempt, job) = (assignment.attempt, assignment.job);
        let held = Held { attempt, job, number, counted: 0, span };
        self.held.insert(assignment.message_id, held);
        self.commands.try_send(SessionCommand::Assign(Box::new(assignment))).is_ok()
    }

    /// Takes an attempt back.
    pub(super) fn cancel(&mut self, message_id: MessageId, attempt: Attempt) {
        self.release(message_id, "cancelled");
        // One that does not read its commands will find its answer refused.
        let _ = self.commands.try_send(SessionCommand::Cancel(message_id, attempt));
    }

    /// Forgets an attempt that has ended, and how.
    pub(super) fn release(&mut self, message_id: MessageId, verdict: &'static str) {
        if let Some(held) = self.held.remove(&message_id) {
            held.span.record("verdict", verdict);
        }
    }

    /// An attempt has failed, its slave says.
    pub(super) fn failed(&mut self, message_id: MessageId, attempt: Attempt) {
        if self.held.get(&message_id).is_some_and(|held| held.attempt == attempt) {
            self.release(message_id, "failed");
        }
    }

    /// The task that it holds under a message id.
    pub(super) fn task(&self, message_id: MessageId) -> Option<(JobId, TaskNumber)> {
        self.held.get(&message_id).map(|held| (held.job, held.number))
    }

    /// Takes the bytes that each attempt has counted.
    pub(super) fn beat(&mut self, attempts: &[(MessageId, Attempt, u64)]) {
        for (message_id, attempt, bytes) in attempts {
            if let Some(held) = self.held.get_mut(message_id)
                && held.attempt == *attempt
            {
                held.counted = *bytes;
            }
        }
    }

    /// Bytes of a job that its running attempts have counted.
    pub(super) fn counted(&self, job: JobId) -> u64 {
        self.held.values().filter(|held| held.job == job).map(|held| held.counted).sum()
    }

    /// Bytes of one task that it has counted.
    pub(super) fn counted_of(&self, job: JobId, number: TaskNumber) -> u64 {
        let held = self.held.values().find(|held| (held.job, held.number) == (job, number));
        held.map_or(0, |held| held.counted)
    }

    /// Bytes that it has counted, running attempts included.
    pub(super) fn all_counted(&self) -> u64 {
        self.bytes + self.held.values().map(|held| held.counted).sum::<u64>()
    }

    /// Tells it that the session is over.
    pub(super) fn end(&mut self, reason: &str) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let _ = self.commands.try_send(SessionCommand::End(reason.to_owned()));
    }
}
