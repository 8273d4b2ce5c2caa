//! A task: where it is, who holds it, what it came to.

use std::time::Duration;

use tally_common::id::{Attempt, MessageId, SessionId, SlaveId};
use tally_common::run::TaskTotals;

use super::verify::{Check, Opinion};

/// Where a task is: always in exactly one of these places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In its job's queue.
    Queued,
    /// Waits until it is tried again.
    Waiting(Duration),
    /// One or two slaves hold it.
    Live,
    /// Slaves contradict each other about it: the master counts it itself.
    Disputed,
    /// It has its answer.
    Kept,
}

/// An attempt that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LiveAttempt {
    pub(super) session: SessionId,
    pub(super) attempt: Attempt,
}

/// A task.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) message_id: MessageId,
    pub(super) bytes: u64,
    pub(super) place: Place,
    /// The attempts under way, at most two.
    pub(super) live: Vec<LiveAttempt>,
    /// Attempts so far.
    pub(super) attempts: u32,
    /// Those of them that failed, and runs that were lost.
    pub(super) failures: u32,
    /// Slaves that failed it, to be avoided.
    pub(super) failed_on: Vec<SlaveId>,
    /// What its records came to, once it is kept.
    pub(super) totals: TaskTotals,
    /// Groups in its run, once it is kept.
    pub(super) groups: u64,
    /// Answers that are held until another slave has counted the task, too: of different slaves.
    pub(super) opinions: Vec<Opinion>,
    /// Who gave the answer, once it is kept, and who the same one after that, as far as is known.
    pub(super) by: [Option<SlaveId>; 2],
    /// What a second count said of the answer.
    pub(super) check: Check,
}

impl Task {
    pub(super) fn new(message_id: MessageId, bytes: u64) -> Self {
        Self {
            message_id,
            bytes,
            place: Place::Queued,
            live: Vec::new(),
            attempts: 0,
            failures: 0,
            failed_on: Vec::new(),
            totals: TaskTotals::default(),
            groups: 0,
            opinions: Vec::new(),
            by: [None; 2],
            check: Check::default(),
        }
    }

    /// Ends an attempt without a verdict on it; whether it was under way.
    pub(super) fn drop_attempt(&mut self, attempt: Attempt) -> bool {
        let before = self.live.len();
        self.live.retain(|live| live.attempt != attempt);
        self.live.len() < before
    }

    /// Whether a slave has answered it, and that waits for another's answer.
    pub(super) fn answered_by(&self, slave: SlaveId) -> bool {
        self.opinions.iter().any(|opinion| opinion.by == slave)
    }

    /// Whether the counts of a partial can be those of this task. Every record and every blank line
    /// takes a byte at least, and every group a record; so no sum over a job's tasks can overflow
    /// that does not overflow its bytes.
    ///
    /// # Errors
    /// What does not add up, for people.
    pub(super) fn check(&self, totals: &TaskTotals, groups: u64) -> Result<(), String> {
        let TaskTotals { records, rejects, blank_lines, lines, bytes } = *totals;
        if bytes != self.bytes {
            return Err(format!("it counts {bytes} bytes of a task of {}", self.bytes));
        }
        let Some(counted) = records.checked_sub(rejects) else {
            return Err(format!("it rejects {rejects} of {records} records"));
        };
        if groups > counted {
            return Err(format!("it has {groups} groups of {counted} records"));
        }
        if records.checked_add(blank_lines).is_none_or(|found| found > bytes) || lines > bytes {
            return Err(format!(
                "it finds {records} records, {blank_lines} blank lines and {lines} line breaks in {bytes} bytes"
            ));
        }
        Ok(())
    }
}
