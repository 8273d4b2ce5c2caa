//! Mistakes in what the ledger says.

use tally_common::id::JobId;
use uuid::Uuid;

use super::Mistake;
use super::hear::on_its_last_attempt;
use crate::ledger::{Check, Command, Event, Fact, Failure, Ledger, Merge, Refusal, SET_ASIDE};

impl Mistake {
    /// Spoils the answer to an event. `old` says that it comes from before a restart.
    pub(super) fn say(
        self,
        ledger: &mut Ledger,
        event: &Event,
        old: bool,
        commands: &mut Vec<Command>,
    ) {
        commands.retain(|command| !self.leaves_out(event, command));
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
            Self::DropsPartialsFromBeforeARestart if old => {
                for command in commands {
                    drop_late(ledger, event, command);
                }
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
            Self::PersistsRestoredFactsAgain => {
                if let Event::JobRestored { job, priority, .. } = *event {
                    commands.push(Command::Persist(Fact::JobOpened { job, priority }));
                }
            }
            Self::ForgetsLiveJobs => {
                if let Event::Forget { job } = *event {
                    ledger.delete(job);
                    ledger.commands.clear();
                }
            }
            Self::FailsJobsWhileAnAttemptRuns => {
                if let Some((job, message_id)) = on_its_last_attempt(ledger) {
                    let (_, number) = ledger.tasks[&message_id];
                    let (attempts, error) = (ledger.policy.max_attempts, String::new());
                    ledger.fail(job, Failure::Poison { number, attempts, error });
                    commands.append(&mut ledger.commands);
                }
            }
            _ => {}
        }
    }

    fn leaves_out(self, event: &Event, command: &Command) -> bool {
        match command {
            Command::Assign { attempt: 2.., .. } => self == Self::ForgetsToTryAgain,
            Command::CancelAttempt { .. } => {
                let refused = matches!(event, Event::PartialRefused { .. });
                self == Self::ForgetsToCancel || refused && self == Self::LeavesWorkInQuarantine
            }
            Command::DropUpload { .. } => self == Self::ForgetsAVerdict,
            Command::EndSession { reason, .. } => match self {
                Self::EndsSessionsInSilence => true,
                Self::LetsLiarsWorkOn => reason.starts_with(SET_ASIDE),
                _ => false,
            },
            Command::StartMerge { .. } => {
                let restored = matches!(event, Event::JobRestored { .. });
                restored && self == Self::NeverMergesRestoredJobs
            }
            Command::Persist(Fact::TaskCut { .. }) => self == Self::NeverPersistsCuts,
            Command::Persist(Fact::PartialKept { .. }) => self == Self::NeverPersistsPartials,
            Command::Persist(Fact::InputComplete { .. }) => {
                self == Self::NeverPersistsTheEndOfInputs
            }
            Command::Persist(Fact::RunLost { .. }) => self == Self::NeverPersistsLostRuns,
            Command::Persist(Fact::Disowned { .. }) => self == Self::KeepsWhatLiarsHaveSaid,
            Command::Persist(Fact::ResultWritten { .. }) => self == Self::EndsWithoutAResult,
            _ => false,
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
            *command = Command::KeepRun {
                job,
                number: 0,
                message_id,
                upload,
                check: Check::None,
                took: None,
            };
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
