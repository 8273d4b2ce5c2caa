//! Whether the ledger may say what it says, command by command.

use tally_common::id::{Attempt, JobId, MessageId, SessionId};

use super::{Cancelled, Job, Oracle, SILENCE};
use crate::ledger::{Command, Event, Fact, Failure, Merge, Outcome, Refusal, SET_ASIDE, UploadId};

impl Oracle {
    pub(super) fn check(&mut self, event: &Event, command: &Command) {
        match command {
            Command::Assign { session, job, number, message_id, attempt } => {
                assert_eq!(*message_id, MessageId::of_task(*job, *number));
                self.assigned(*session, *message_id, *attempt);
            }
            Command::CancelAttempt { session, message_id, attempt } => {
                let session = self.sessions.get_mut(session).expect("a session to cancel in");
                let is = |held: &(_, _, _)| (held.0, held.1) == (*message_id, *attempt);
                let held = session.held.iter().position(is).expect("an attempt to cancel");
                let (message_id, _, since) = session.held.remove(held);
                let slave = session.slave;
                self.cancelled.push(Cancelled { message_id, slave, since });
            }
            Command::KeepRun { message_id, upload, .. } => self.kept(event, *message_id, *upload),
            Command::DropUpload { upload, reply } => self.dropped(*upload, reply),
            Command::StartMerge { job, outcome } => self.merges(*job, *outcome),
            Command::EndSession { session, reason } => {
                let ended = self.sessions.get(session).expect("a session to end");
                let silent = self.awake > ended.heard + SILENCE;
                let lied = reason.starts_with(SET_ASIDE) && self.liars.contains(&ended.slave);
                assert!(silent || lied, "a slave that beats is given up");
                self.session_over(*session);
                self.seen.silent += u64::from(!lied);
            }
            Command::JobEnded { job, outcome } => self.ended(event, *job, outcome),
            Command::DropJob { job } => {
                assert!(self.facts.contains(&Fact::Deleted { job: *job }));
                self.removed(*job);
            }
            Command::HoldUpload { upload } => self.held(*upload),
            Command::Recount { .. } => assert!(self.twice, "a recount for no reason"),
            Command::SetAside { slave, thrown, .. } => self.set_aside(event, *slave, *thrown),
            Command::Persist(fact) => {
                if let Fact::Disowned { job, number } = *fact {
                    self.thrown(event, job, number);
                }
                self.facts.push(fact.clone());
            }
        }
    }

    fn assigned(&mut self, id: SessionId, message_id: MessageId, attempt: Attempt) {
        let held_by = self
            .sessions
            .values()
            .filter(|session| session.held.iter().any(|(held, ..)| *held == message_id));
        let held_by = held_by.count();
        assert!(held_by < 2, "a third attempt at once");
        let moved = self.cancelled.iter().any(|cancelled| cancelled.message_id == message_id);
        if held_by == 0 && !moved {
            self.turns.push(message_id);
        }
        let task = self.tasks.get_mut(&message_id).expect("a task to assign");
        let job = task.job.and_then(|job| self.jobs.get(&job)).expect("a job to assign of");
        assert!(task.kept.is_none() && job.ended.is_none(), "work that nobody needs");
        task.attempts += 1;
        assert_eq!(attempt, task.attempts);
        self.seen.moved_or_retried += u64::from(attempt > 1);
        let session = self.sessions.get_mut(&id).expect("a session to assign to");
        assert!(!session.draining, "a draining slave gets a task");
        let quarantined = self.quarantined.contains_key(&session.slave);
        assert!(!quarantined, "a slave in quarantine gets a task");
        assert!(!self.aside.contains(&session.slave), "a liar gets a task");
        assert!(session.held.len() < 2 * session.workers, "a full slave gets a task");
        assert!(session.held.iter().all(|(held, ..)| *held != message_id), "the same task twice");
        session.held.push((message_id, attempt, self.awake));
        self.assigned.push(message_id);
    }

    fn kept(&mut self, event: &Event, message_id: MessageId, upload: UploadId) {
        let upload = self.uploads.remove(&upload).expect("a partial to keep");
        assert_eq!(upload.message_id, message_id);
        assert!(upload.right, "a wrong partial is kept");
        let task = self.tasks.get_mut(&message_id).expect("a task to keep");
        assert!(task.kept.is_none(), "{message_id} is counted twice");
        let (job, number) = (task.job.expect("a job"), task.number);
        assert!(self.jobs[&job].ended.is_none(), "a partial of an ended job is kept");
        assert!(
            self.facts
                .iter()
                .any(|fact| matches!(fact, Fact::PartialKept { job: j, number: n, totals, .. }
                if (*j, *n, *totals) == (job, number, upload.totals))),
            "kept before it is durable"
        );
        task.kept = Some(upload.totals);
        let attempts = task.attempts;
        if let Event::PartialArrived { session, attempt, .. } = event {
            self.seen.kept_from_the_dead += u64::from(!self.sessions.contains_key(session));
            self.seen.kept_from_before_a_restart += u64::from(self.earlier.contains(session));
            self.seen.kept_by_an_old_attempt += u64::from(*attempt < task.attempts);
        }
        self.believed(&upload, attempts);
        if !upload.held {
            self.right_partial(upload.session);
        }
    }

    fn dropped(&mut self, upload: UploadId, reply: &Refusal) {
        let upload = self.uploads.remove(&upload).expect("a partial to drop");
        let task = self.tasks.get(&upload.message_id);
        let open = task.is_some_and(|task| {
            let job = task.job.and_then(|job| self.jobs.get(&job));
            task.kept.is_none() && job.is_some_and(|job| job.ended.is_none())
        });
        match reply {
            Refusal::Duplicate => {
                assert!(!open || self.may_be_dropped(&upload), "an answer is dropped");
                if self.twice && !upload.held && self.has_just_been_kept(upload.message_id) {
                    self.right_partial(upload.session);
                    self.seen.answers_agreed += 1;
                }
                self.seen.duplicates += 1;
            }
            Refusal::Rejected(_) => {
                assert!(!upload.right, "a right partial is rejected");
                self.seen.rejected += 1;
                self.false_partial(upload.session);
            }
        }
    }

    /// Whether an attempt at a task was stopped by the event at hand, by no fault of its slave's. With
    /// a tick it may be the one that was late.
    fn was_stopped(&self, event: &Event, message_id: MessageId) -> bool {
        let mut stopped = self.cancelled.iter().filter(|stopped| stopped.message_id == message_id);
        *event != Event::Tick
            && stopped.any(|stopped| !self.quarantined.contains_key(&stopped.slave))
    }

    pub(super) fn sums(&self, job: &Job) -> (u64, u64) {
        let kept = job.tasks.iter().filter_map(|task| self.tasks[task].kept);
        kept.fold((0, 0), |(records, rejects), totals| {
            (records + totals.records, rejects + totals.rejects)
        })
    }

    fn merges(&mut self, id: JobId, outcome: Merge) {
        let job = &self.jobs[&id];
        assert!(job.complete && job.ended.is_none() && job.merging.is_none());
        let counted = job.tasks.iter().all(|task| self.tasks[task].kept.is_some());
        assert!(counted, "a merge without all partials");
        let (records, rejects) = self.sums(job);
        let within = job.max_rejects.allows(rejects, records);
        assert_eq!(within, outcome == Merge::Result, "{rejects} rejects of {records}");
        self.jobs.get_mut(&id).expect("it is there").merging = Some(outcome);
    }

    fn ended(&mut self, event: &Event, id: JobId, outcome: &Outcome) {
        let fact = Fact::Ended { job: id, outcome: outcome.clone() };
        assert!(self.facts.contains(&fact), "ended before it is durable");
        let job = &self.jobs[&id];
        let (how, due) = match outcome {
            Outcome::Succeeded => (
                "succeeded",
                *event == Event::MergeDone { job: id } && job.merging == Some(Merge::Result),
            ),
            Outcome::Cancelled => (
                "cancelled",
                matches!(event, Event::Cancel { job } | Event::Delete { job } if *job == id),
            ),
            Outcome::Failed(Failure::Input(_)) => {
                ("input", matches!(event, Event::InputFailed { job, .. } if *job == id))
            }
            Outcome::Failed(Failure::Merge(_)) => {
                ("merge", matches!(event, Event::MergeFailed { job, .. } if *job == id))
            }
            Outcome::Failed(Failure::TooManyRejects { rejects, records, .. }) => (
                "rejects",
                job.merging == Some(Merge::RejectsOnly) && self.sums(job) == (*records, *rejects),
            ),
            Outcome::Failed(Failure::Poison { number, attempts, .. }) => {
                let poison = job.tasks[*number as usize];
                let task = &self.tasks[&poison];
                let tried = task.attempts + task.lost >= *attempts;
                assert!(!self.was_stopped(event, poison), "a task fails while it is counted");
                ("poison", *attempts >= self.max_attempts && tried)
            }
        };
        assert!(due, "{id} ends by {event:?} as {outcome:?}");
        let again = self.jobs.get_mut(&id).and_then(|job| job.ended.replace(outcome.clone()));
        assert_eq!(again, None, "{id} ends twice");
        *self.seen.ends.entry(how).or_default() += 1;
    }
}
