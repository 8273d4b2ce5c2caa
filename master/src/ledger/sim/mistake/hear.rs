//! Mistakes in what the ledger hears of an event, or knows by the time.

use std::time::Duration;

use tally_common::id::{JobId, MessageId};
use tally_common::run::TaskTotals;

use super::Mistake;
use crate::ledger::{Event, Ledger, OwnerId, RestoredTask};

impl Mistake {
    /// The event as the ledger hears of it, if it does.
    pub(super) fn hear(self, ledger: &mut Ledger, event: &Event, now: Duration) -> Option<Event> {
        let ignored = match event {
            Event::SlaveDraining { .. } => self == Self::IgnoresDrains,
            Event::Tick => self == Self::NeverLooksAtTheClock,
            Event::SlaveLeft { .. } => self == Self::ForgetsTheDead,
            Event::MergeDone { .. } => self == Self::ForgetsToEndMergedJobs,
            Event::RunLost { .. } => self == Self::IgnoresLostRuns,
            Event::PartialRefused { .. } => self == Self::IgnoresRefusedPartials,
            _ => false,
        };
        match self {
            Self::LetsTimeGoBack => ledger.now = Duration::ZERO,
            Self::QuarantinesNobody => ledger.policy.max_false_partials = u32::MAX,
            Self::QuarantinesTheInnocent => ledger.policy.max_false_partials = 1,
            Self::NeverEndsQuarantine => ledger.policy.quarantine = Duration::from_secs(1_000_000),
            Self::EndsAllSessionsAfterAPause => ledger.awake = Some(now.max(ledger.now)),
            Self::CallsAttemptsLateAfterAPause => beats_alone_are_excused(ledger, now),
            Self::ForgivesAtTheDoor => {
                if let Event::SlaveJoined { slave, .. } = event {
                    ledger.quarantined.remove(slave);
                }
            }
            _ => {}
        }
        (!ignored).then(|| self.misread(event))
    }

    fn misread(self, event: &Event) -> Event {
        let mut event = event.clone();
        match (self, &mut event) {
            (Self::BelievesEverybody, Event::PartialArrived { digest: Some(digest), .. }) => {
                digest.0 = [0; 32];
            }
            (
                Self::ForgetsWhoseJobsAre,
                Event::JobOpened { job, owner, .. } | Event::JobRestored { job, owner, .. },
            ) => *owner = OwnerId(job.uuid().as_u128() as u64),
            (Self::CallsTheHonestLiars, Event::Recounted { digest, .. }) => digest.0 = [1; 32],
            _ => {}
        }
        self.misread_restored(&event)
    }

    fn misread_restored(self, event: &Event) -> Event {
        let Event::JobRestored { job, priority, owner, max_rejects, tasks, complete } = event
        else {
            return event.clone();
        };
        let (job, priority, owner, max_rejects) = (*job, *priority, *owner, *max_rejects);
        let (mut tasks, mut complete) = (tasks.clone(), *complete);
        match self {
            Self::RestoresKeptTasksAsOpen => tasks.iter_mut().for_each(|task| task.kept = None),
            Self::RestoresOpenTasksAsKept => tasks.iter_mut().for_each(keep),
            Self::RestoresInputsAsComplete => complete = true,
            Self::NumbersAnewAfterARestart if !complete => tasks.clear(),
            _ => {}
        }
        Event::JobRestored { job, priority, owner, max_rejects, tasks, complete }
    }
}

/// Takes a pause into account for what slaves say, and not for what they do.
fn beats_alone_are_excused(ledger: &mut Ledger, now: Duration) {
    let now = now.max(ledger.now);
    let gap = now - *ledger.awake.get_or_insert(now);
    if gap > ledger.policy.pause {
        ledger.awake = Some(now);
        for session in ledger.sessions.values_mut() {
            session.last_beat = (session.last_beat + gap).min(now);
        }
    }
}

/// Invents an answer.
fn keep(task: &mut RestoredTask) {
    let bytes = task.bytes;
    task.kept.get_or_insert((TaskTotals { bytes, records: bytes, ..Default::default() }, bytes));
}

/// A task that has failed too often, and one of whose attempts is under way all the same.
pub(super) fn on_its_last_attempt(ledger: &Ledger) -> Option<(JobId, MessageId)> {
    let found = |(id, job): (&JobId, &crate::ledger::job::Job)| {
        let mut tasks = job.tasks.iter();
        let task = tasks
            .find(|task| task.failures >= ledger.policy.max_attempts && !task.live.is_empty())?;
        Some((*id, task.message_id))
    };
    ledger.jobs.iter().find_map(found)
}
