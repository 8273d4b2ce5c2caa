//! Mistakes that a ledger could make, put between the ledger and the world: a simulation that does
//! not find them is no good.

use std::time::Duration;

use tally_common::id::JobId;
use uuid::Uuid;

use crate::ledger::{Command, Event, Fact, Ledger, Merge, Refusal};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Mistake {
    /// Forgets to look whether a task has its answer.
    KeepsDuplicates,
    /// Forgets to look whether a partial can be right.
    KeepsWrongPartials,
    /// Takes an answer that comes late for a duplicate.
    DropsLatePartials,
    ForgetsToTryAgain,
    ForgetsToCancel,
    MergesTooEarly,
    ForgetsMaxRejects,
    EndsJobsTwice,
    AcknowledgesBeforePersisting,
    OverloadsTheFirstSlave,
    IgnoresDrains,
    NeverLooksAtTheClock,
    /// A dead slave's tasks stay with it.
    ForgetsTheDead,
    ForgetsToEndMergedJobs,
}

impl Mistake {
    pub(super) const ALL: [Self; 14] = [
        Self::KeepsDuplicates,
        Self::KeepsWrongPartials,
        Self::DropsLatePartials,
        Self::ForgetsToTryAgain,
        Self::ForgetsToCancel,
        Self::MergesTooEarly,
        Self::ForgetsMaxRejects,
        Self::EndsJobsTwice,
        Self::AcknowledgesBeforePersisting,
        Self::OverloadsTheFirstSlave,
        Self::IgnoresDrains,
        Self::NeverLooksAtTheClock,
        Self::ForgetsTheDead,
        Self::ForgetsToEndMergedJobs,
    ];

    /// Applies an event as a ledger with this mistake would.
    pub(super) fn apply(self, ledger: &mut Ledger, event: &Event, now: Duration) -> Vec<Command> {
        let ignored = match event {
            Event::SlaveDraining { .. } => self == Self::IgnoresDrains,
            Event::Tick => self == Self::NeverLooksAtTheClock,
            Event::SlaveLeft { .. } => self == Self::ForgetsTheDead,
            Event::MergeDone { .. } => self == Self::ForgetsToEndMergedJobs,
            _ => false,
        };
        if ignored {
            return Vec::new();
        }
        let mut commands = ledger.apply(event.clone(), now);
        self.spoil(ledger, event, &mut commands);
        commands
    }

    fn spoil(self, ledger: &Ledger, event: &Event, commands: &mut Vec<Command>) {
        match self {
            Self::KeepsDuplicates | Self::KeepsWrongPartials => {
                for command in commands {
                    self.keep(event, command);
                }
            }
            Self::DropsLatePartials => {
                for command in commands {
                    drop_late(ledger, event, command);
                }
            }
            Self::ForgetsToTryAgain => {
                commands.retain(|c| !matches!(c, Command::Assign { attempt: 2.., .. }));
            }
            Self::ForgetsToCancel => {
                commands.retain(|c| !matches!(c, Command::CancelAttempt { .. }));
            }
            Self::MergesTooEarly => {
                if let Event::InputComplete { job } = *event {
                    commands.push(Command::StartMerge { job, outcome: Merge::Result });
                }
            }
            Self::ForgetsMaxRejects => {
                for command in commands {
                    if let Command::StartMerge { outcome, .. } = command {
                        *outcome = Merge::Result;
                    }
                }
            }
            Self::EndsJobsTwice => {
                let end = commands.iter().find(|c| matches!(c, Command::JobEnded { .. })).cloned();
                commands.extend(end);
            }
            Self::AcknowledgesBeforePersisting => {
                let kept = |c: &Command| matches!(c, Command::Persist(Fact::PartialKept { .. }));
                if let Some(i) = commands.iter().position(kept) {
                    commands.swap(i, i + 1);
                }
            }
            Self::OverloadsTheFirstSlave => {
                let first = ledger.sessions().next().map(|(id, _)| *id);
                for command in commands {
                    if let (Command::Assign { session, .. }, Some(first)) = (command, first) {
                        *session = first;
                    }
                }
            }
            Self::IgnoresDrains
            | Self::NeverLooksAtTheClock
            | Self::ForgetsTheDead
            | Self::ForgetsToEndMergedJobs => {}
        }
    }

    fn keep(self, event: &Event, command: &mut Command) {
        let (Command::DropUpload { upload, reply }, Event::PartialArrived { message_id, .. }) =
            (&*command, event)
        else {
            return;
        };
        if (*reply == Refusal::Duplicate) == (self == Self::KeepsDuplicates) {
            let job = JobId::from_uuid(Uuid::nil());
            let (message_id, upload) = (*message_id, *upload);
            *command = Command::KeepRun { job, number: 0, message_id, upload };
        }
    }
}

fn drop_late(ledger: &Ledger, event: &Event, command: &mut Command) {
    if let (Command::KeepRun { upload, .. }, Event::PartialArrived { session, .. }) =
        (&*command, event)
        && ledger.session(session).is_none()
    {
        *command = Command::DropUpload { upload: *upload, reply: Refusal::Duplicate };
    }
}
