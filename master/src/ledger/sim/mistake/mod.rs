//! Mistakes that a ledger could make, put between the ledger and the world: a simulation that does
//! not find them is no good. Most change what the ledger hears or says; some reach into it.

mod hear;
mod say;

use std::time::Duration;

use uuid::Uuid;

use crate::ledger::{Command, Event, Ledger};

/// Names the mistakes once, so that none is left out of the test.
macro_rules! mistakes {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub(super) enum Mistake {
            $($(#[$doc])* $name,)*
        }

        impl Mistake {
            pub(super) const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

mistakes! {
    /// Forgets to look whether a task has its answer.
    KeepsDuplicates,
    /// Forgets to look whether a partial can be right.
    KeepsWrongPartials,
    /// Takes an answer that comes late for a duplicate.
    DropsLatePartials,
    /// The same, where it comes from before a restart.
    DropsPartialsFromBeforeARestart,
    ForgetsAVerdict,
    ForgetsToTryAgain,
    ForgetsToCancel,
    MergesTooEarly,
    ForgetsMaxRejects,
    EndsJobsTwice,
    AcknowledgesBeforePersisting,
    OverloadsTheFirstSlave,
    IgnoresDrains,
    NeverLooksAtTheClock,
    LetsTimeGoBack,
    /// A dead slave's tasks stay with it.
    ForgetsTheDead,
    /// A silent slave's session is forgotten, and nobody hears of it.
    EndsSessionsInSilence,
    ForgetsToEndMergedJobs,
    IgnoresLostRuns,
    /// Commits the first fact of an event without the others.
    SplitsTransactions,
    NeverPersistsCuts,
    NeverPersistsPartials,
    NeverPersistsTheEndOfInputs,
    NeverPersistsLostRuns,
    EndsWithoutAResult,
    RestoresKeptTasksAsOpen,
    RestoresOpenTasksAsKept,
    RestoresInputsAsComplete,
    PersistsRestoredFactsAgain,
    /// A job whose input goes on is restored without its tasks.
    NumbersAnewAfterARestart,
    NeverMergesRestoredJobs,
    ForgetsLiveJobs,
    IgnoresRefusedPartials,
    QuarantinesNobody,
    QuarantinesTheInnocent,
    NeverForgivesFalsePartials,
    /// Whoever joins again is trusted again.
    ForgivesAtTheDoor,
    LeavesWorkInQuarantine,
    NeverEndsQuarantine,
    FailsJobsWhileAnAttemptRuns,
    EndsAllSessionsAfterAPause,
    CallsAttemptsLateAfterAPause,
    /// Does not compare what two slaves say.
    BelievesEverybody,
    /// Sets whoever aside says what the master has counted.
    CallsTheHonestLiars,
    KeepsWhatLiarsHaveSaid,
    LetsLiarsWorkOn,
    /// Jobs take turns, whoever has how many.
    ForgetsWhoseJobsAre,
}

impl Mistake {
    /// Applies an event as a ledger with this mistake would. `life` is the first id that was given out
    /// after the last restart.
    pub(super) fn apply(
        self,
        ledger: &mut Ledger,
        event: &Event,
        now: Duration,
        life: u64,
    ) -> Vec<Command> {
        let Some(heard) = self.hear(ledger, event, now) else { return Vec::new() };
        let suspects = ledger.false_partials.clone();
        let mut commands = ledger.apply(heard, now);
        if self == Self::NeverForgivesFalsePartials {
            for (slave, count) in suspects {
                if !ledger.quarantined.contains_key(&slave) {
                    ledger.false_partials.entry(slave).or_insert(count);
                }
            }
        }
        let old = match event {
            Event::PartialArrived { session, .. } => {
                session.uuid() < Uuid::from_u128(u128::from(life))
            }
            _ => false,
        };
        self.say(ledger, event, old, &mut commands);
        commands
    }
}
