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
    /// Never makes tasks durable.
    ForgetsTasks,
    /// Never makes answers durable.
    ForgetsWhatIsKept,
    /// Never makes the end of an input durable.
    ForgetsTheEndOfInputs,
    /// Never makes it durable that a run was lost.
    ForgetsLostRuns,
    /// Never makes the end of a job durable.
    ForgetsEnds,
    /// Splits the transaction: the end is told before it is durable.
    EndsJobsBeforeThatIsDurable,
    /// After a restart.
    CountsAgainWhatWasKept,
    /// After a restart.
    TakesOpenTasksForKept,
    /// After a restart.
    ForgetsOpenJobs,
    /// After a restart, inputs that were complete are waited for.
    ForgetsCompleteness,
    QuarantinesNobody,
    /// Takes any failure for a false partial.
    QuarantinesTheInnocent,
    /// A pause of the master kills all sessions.
    HoldsPausesAgainstSlaves,
    /// Ended jobs stay in memory.
    NeverForgets,
    /// After a restart, what answers came to is doubled.
    RestoresTwiceAsMuch,
}

impl Mistake {
    pub(super) const ALL: [Self; 29] = [
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
        Self::ForgetsTasks,
        Self::ForgetsWhatIsKept,
        Self::ForgetsTheEndOfInputs,
        Self::ForgetsLostRuns,
        Self::ForgetsEnds,
        Self::EndsJobsBeforeThatIsDurable,
        Self::CountsAgainWhatWasKept,
        Self::TakesOpenTasksForKept,
        Self::ForgetsOpenJobs,
        Self::ForgetsCompleteness,
        Self::QuarantinesNobody,
        Self::QuarantinesTheInnocent,
        Self::HoldsPausesAgainstSlaves,
        Self::NeverForgets,
        Self::RestoresTwiceAsMuch,
    ];

    /// Applies an event as a ledger with this mistake would.
    pub(super) fn apply(self, ledger: &mut Ledger, event: &Event, now: Duration) -> Vec<Command> {
        let ignored = match event {
            Event::SlaveDraining { .. } => self == Self::IgnoresDrains,
            Event::Tick => self == Self::NeverLooksAtTheClock,
            Event::SlaveLeft { .. } => self == Self::ForgetsTheDead,
            Event::MergeDone { .. } => self == Self::ForgetsToEndMergedJobs,
            Event::JobRestored { .. } => self == Self::ForgetsOpenJobs,
            Event::Forget { .. } => self == Self::NeverForgets,
            _ => false,
        };
        if ignored {
            return Vec::new();
        }
        let mut commands = ledger.apply(self.misread(event.clone()), now);
        self.spoil(ledger, event, &mut commands);
        commands
    }

    /// The event that the ledger takes it for.
    fn misread(self, event: Event) -> Event {
        match event {
            Event::JobRestored { job, priority, max_rejects, mut tasks, mut complete } => {
                for task in &mut tasks {
                    match self {
                        Self::CountsAgainWhatWasKept => task.kept = None,
                        Self::TakesOpenTasksForKept => {
                            task.kept.get_or_insert_default();
                        }
                        Self::RestoresTwiceAsMuch => {
                            if let Some((totals, _)) = &mut task.kept {
                                totals.records *= 2;
                            }
                        }
                        _ => {}
                    }
                }
                complete &= self != Self::ForgetsCompleteness;
                Event::JobRestored { job, priority, max_rejects, tasks, complete }
            }
            Event::PartialRefused { session, message_id, attempt, reason }
                if self == Self::QuarantinesNobody =>
            {
                Event::TaskFailed { session, message_id, attempt, error: reason }
            }
            Event::TaskFailed { session, message_id, attempt, error }
                if self == Self::QuarantinesTheInnocent =>
            {
                Event::PartialRefused { session, message_id, attempt, reason: error }
            }
            event => event,
        }
    }

    /// Whether a ledger with this mistake forgets to make a fact durable.
    fn forgets(self, fact: &Fact) -> bool {
        match fact {
            Fact::TaskCut { .. } => self == Self::ForgetsTasks,
            Fact::PartialKept { .. } => self == Self::ForgetsWhatIsKept,
            Fact::InputComplete { .. } => self == Self::ForgetsTheEndOfInputs,
            Fact::RunLost { .. } => self == Self::ForgetsLostRuns,
            Fact::Ended { .. } => self == Self::ForgetsEnds,
            _ => false,
        }
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
            Self::EndsJobsBeforeThatIsDurable => {
                let ends = |c: &Command| matches!(c, Command::Persist(Fact::Ended { .. }));
                if let Some(i) = commands.iter().position(ends) {
                    commands.swap(i, i + 1);
                }
            }
            Self::ForgetsTasks
            | Self::ForgetsWhatIsKept
            | Self::ForgetsTheEndOfInputs
            | Self::ForgetsLostRuns
            | Self::ForgetsEnds => {
                commands.retain(|c| !matches!(c, Command::Persist(fact) if self.forgets(fact)));
            }
            // These misread, ignore, or have another policy.
            Self::CountsAgainWhatWasKept
            | Self::TakesOpenTasksForKept
            | Self::ForgetsOpenJobs
            | Self::ForgetsCompleteness
            | Self::QuarantinesNobody
            | Self::QuarantinesTheInnocent
            | Self::HoldsPausesAgainstSlaves
            | Self::NeverForgets
            | Self::RestoresTwiceAsMuch
            | Self::IgnoresDrains
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
