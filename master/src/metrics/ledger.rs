//! The ledger's events, commands and facts, counted as they pass through the coordinator.

use ::metrics::{counter, histogram};

use super::{names, outcome_name};
use crate::ledger::{Command, Event, Fact, Refusal, SET_ASIDE};

/// Something is told to the ledger.
pub(crate) fn event(event: &Event) {
    match event {
        Event::SlaveJoined { .. } => counter!(names::SESSIONS_JOINED).increment(1),
        Event::SlaveLeft { .. } => lost("left"),
        Event::PartialRefused { .. } => partial("rejected"),
        _ => {}
    }
}

/// Something that the ledger wants done is done.
pub(crate) fn command(command: &Command) {
    match command {
        Command::KeepRun { took, .. } => {
            partial("accepted");
            if let Some(took) = took {
                histogram!(names::TASK_SECONDS).record(*took);
            }
        }
        Command::DropUpload { reply: Refusal::Duplicate, .. } => partial("duplicate"),
        Command::DropUpload { reply: Refusal::Rejected(_), .. } => partial("rejected"),
        Command::EndSession { reason, .. } if reason.starts_with(SET_ASIDE) => lost("set_aside"),
        Command::EndSession { .. } => lost("silent"),
        _ => {}
    }
}

/// Something that the ledger wants durable is about to be.
pub(crate) fn fact(fact: &Fact) {
    match fact {
        Fact::JobOpened { priority, .. } => {
            counter!(names::JOBS_OPENED, "priority" => priority.as_str()).increment(1);
        }
        Fact::TaskCut { .. } => counter!(names::TASKS_CUT).increment(1),
        Fact::PartialKept { totals, .. } => {
            counter!(names::TASKS_KEPT).increment(1);
            counter!(names::COUNTED_BYTES).increment(totals.bytes);
            counter!(names::RECORDS_COUNTED).increment(totals.records - totals.rejects);
            counter!(names::RECORDS_REJECTED).increment(totals.rejects);
        }
        Fact::RunLost { .. } => counter!(names::TASKS_LOST).increment(1),
        Fact::Ended { outcome, .. } => {
            counter!(names::JOBS_ENDED, "outcome" => outcome_name(outcome)).increment(1);
        }
        Fact::InputComplete { .. }
        | Fact::Disowned { .. }
        | Fact::ResultWritten { .. }
        | Fact::Deleted { .. } => {}
    }
}

fn partial(verdict: &'static str) {
    counter!(names::PARTIALS, "verdict" => verdict).increment(1);
}

fn lost(reason: &'static str) {
    counter!(names::SESSIONS_LOST, "reason" => reason).increment(1);
}
