//! What owners of jobs may have and send: jobs at a time, and bytes of input in a day. Decided here, where jobs
//! are opened one after another, so that two requests at once are never both the last that may come.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;

use super::{Coordinator, Job, NewJob, OpenError};
use crate::access::{Access, KeyLimits, Owner};
use crate::clock;
use crate::ledger::OwnerId;
use crate::metrics;
use crate::store::Row;

/// What is counted together, in milliseconds: a day of UTC, which begins for all at once and whose end anybody
/// can say.
const DAY_MS: u64 = 24 * 3600 * 1000;

/// An owner has more than it may.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OverLimit {
    /// Jobs that have not ended.
    #[error(
        "{owner} has as many jobs that have not ended as it may ({most}); try again when one has"
    )]
    Jobs {
        /// Who.
        owner: Owner,
        /// How many it may have.
        most: u32,
    },
    /// Bytes of input of a day.
    #[error(
        "{owner} may send {most} bytes of input in a day (UTC), of which {left} are left; the next day \
         begins in {} s", wait.as_secs()
    )]
    Bytes {
        /// Who.
        owner: Owner,
        /// How many it may send.
        most: u64,
        /// Those that it may still send.
        left: u64,
        /// Until the next day.
        wait: Duration,
    },
}

/// The bytes of input that an owner has sent today. Shared with those who take its inputs in.
#[derive(Debug)]
pub(crate) struct Account {
    owner: Owner,
    access: Access,
    spent: Mutex<Spent>,
}

/// What was sent in a day.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    /// Which, from 1970 on.
    day: u64,
    bytes: u64,
    /// The store has not heard of it.
    unwritten: bool,
}

impl Spent {
    /// As it is at a time. A clock that is put back begins no new day.
    fn on(&mut self, now_ms: u64) -> &mut Self {
        let today = now_ms / DAY_MS;
        if today > self.day {
            *self = Self { day: today, ..Self::default() };
        }
        self
    }
}

impl Account {
    /// Takes note of bytes that have come, if they may.
    ///
    /// # Errors
    /// [`OverLimit::Bytes`].
    pub(crate) fn take(&self, bytes: u64) -> Result<(), OverLimit> {
        self.take_at(clock::wall_ms(), bytes, self.limits().bytes_per_day)
    }

    fn take_at(&self, now_ms: u64, bytes: u64, most: Option<u64>) -> Result<(), OverLimit> {
        let mut spent = self.lock();
        let spent = spent.on(now_ms);
        let after = spent.bytes.saturating_add(bytes);
        match most {
            Some(most) if after > most => {
                Err(self.over(now_ms, most, most.saturating_sub(spent.bytes)))
            }
            _ => {
                (spent.bytes, spent.unwritten) = (after, true);
                Ok(())
            }
        }
    }

    /// Whether so many bytes may come beside those that others have announced, or any where it is not known how
    /// many will.
    fn has_room(&self, expected: Option<u64>, promised: u64) -> Result<(), OverLimit> {
        let Some(most) = self.limits().bytes_per_day else { return Ok(()) };
        let now_ms = clock::wall_ms();
        let left = most.saturating_sub(self.lock().on(now_ms).bytes).saturating_sub(promised);
        match expected.unwrap_or(1) > left {
            true => Err(self.over(now_ms, most, left)),
            false => Ok(()),
        }
    }

    fn over(&self, now_ms: u64, most: u64, left: u64) -> OverLimit {
        let wait = Duration::from_millis(DAY_MS - now_ms % DAY_MS);
        OverLimit::Bytes { owner: self.owner.clone(), most, left, wait }
    }

    fn limits(&self) -> KeyLimits {
        self.access.limits_of(&self.owner)
    }

    fn lock(&self) -> MutexGuard<'_, Spent> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The accounts of all who have sent something since the master started, or today.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    known: HashMap<Owner, (OwnerId, Arc<Account>)>,
    /// Owners that have ever been known, so that each has a number of its own.
    ever: u64,
}

impl Accounts {
    /// That of an owner, and what the ledger calls it.
    pub(super) fn of(&mut self, access: &Access, owner: &Owner) -> (OwnerId, Arc<Account>) {
        let known = self.known.entry(owner.clone()).or_insert_with(|| {
            self.ever += 1;
            let (owner, access) = (owner.clone(), access.clone());
            let account = Account { owner, access, spent: Mutex::default() };
            (OwnerId(self.ever), Arc::new(account))
        });
        (known.0, Arc::clone(&known.1))
    }

    /// What the store has not heard of.
    fn unwritten(&self) -> impl Iterator<Item = Row> {
        self.known.iter().filter_map(|(owner, (_, account))| {
            let mut spent = account.lock();
            let Spent { day, bytes, .. } = *spent;
            let unwritten = std::mem::take(&mut spent.unwritten);
            unwritten.then(|| Row::Spent { owner: owner.clone(), day, bytes })
        })
    }
}

impl Coordinator {
    /// Takes note of what was sent before the master started.
    pub(super) fn restore_spent(&mut self, stored: Vec<(Owner, u64, u64)>) {
        for (owner, day, bytes) in stored {
            let (_, account) = self.accounts.of(&self.config.access, &owner);
            *account.lock() = Spent { day, bytes, unwritten: false };
        }
    }

    /// Has what was sent written, along with whatever else is.
    pub(super) fn record_spent(&mut self) {
        if self.store.is_some() {
            self.rows.extend(self.accounts.unwritten());
        }
    }

    /// What the ledger calls the owner of a job, and where its bytes are counted.
    pub(super) fn account(&mut self, new: &NewJob) -> (OwnerId, Option<Arc<Account>>) {
        let Some(owner) = &new.owner else { return (OwnerId::NOBODY, None) };
        let (id, account) = self.accounts.of(&self.config.access, owner);
        (id, Some(account))
    }

    /// Whether the owner of a job that is to be opened may have one more, of so many bytes.
    pub(super) fn check_limits(&mut self, new: &NewJob) -> Result<(), OpenError> {
        let (_, Some(account)) = self.account(new) else { return Ok(()) };
        let (mut open, mut promised) = (0, 0_u64);
        let own = |job: &&Job| job.ended.is_none() && job.new.owner == new.owner;
        for job in self.jobs.values().filter(own) {
            open += 1;
            promised = promised.saturating_add(job.still_to_come());
        }
        let checked = match account.limits().max_jobs {
            Some(most) if open >= most => {
                Err(OverLimit::Jobs { owner: account.owner.clone(), most })
            }
            // Of a file that lies where it is counted all is there at once.
            _ if new.in_place.is_some() => account.take(new.expected.unwrap_or(0)),
            _ => account.has_room(new.expected, promised),
        };
        checked.map_err(|over| {
            metrics::refused(over.reason());
            OpenError::OverLimit(over)
        })
    }
}

impl OverLimit {
    /// Its name among the metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Jobs { .. } => "too_many_jobs",
            Self::Bytes { .. } => "too_many_bytes",
        }
    }

    /// Until it is of use to try again, where that is known.
    pub(crate) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Jobs { .. } => None,
            Self::Bytes { wait, .. } => Some(*wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Arc<Account> {
        Accounts::default().of(&Access::open(), &Owner::stored("0123456789ab")).1
    }

    #[test]
    fn a_days_bytes_are_counted_until_the_day_ends() {
        let (account, noon) = (account(), 10 * DAY_MS + DAY_MS / 2);
        account.take_at(noon, 60, Some(100)).unwrap();
        let over = account.take_at(noon + 1, 41, Some(100)).unwrap_err();
        let OverLimit::Bytes { left, most, wait, .. } = over else { panic!("{over}") };
        assert_eq!((left, most, wait), (40, 100, Duration::from_millis(DAY_MS / 2 - 1)));
        // What was refused was not counted, and a limit that is raised holds at once.
        account.take_at(noon, 40, Some(100)).unwrap();
        account.take_at(noon, 1, Some(101)).unwrap();
        assert!(account.take_at(11 * DAY_MS - 1, 1, Some(100)).is_err());
        account.take_at(11 * DAY_MS, 100, Some(100)).unwrap();
        // A clock that is put back gives nothing back.
        assert!(account.take_at(noon, 1, Some(100)).is_err());
        account.take_at(noon, u64::MAX, None).unwrap();
    }

    #[test]
    fn of_those_who_come_at_once_no_more_is_taken_than_there_is() {
        let account = account();
        let taken: usize = std::thread::scope(|scope| {
            let some = || (0..1000).filter(|_| account.take_at(5, 3, Some(1000)).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(some)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 333);
    }

    #[test]
    fn each_owner_has_a_number_and_what_it_sent_is_written_once() {
        let (mut accounts, access) = (Accounts::default(), Access::open());
        let [a, b] = ["a", "b"].map(Owner::stored);
        let (first, account) = accounts.of(&access, &a);
        assert_ne!(first, accounts.of(&access, &b).0);
        assert_eq!(first, accounts.of(&access, &a).0);
        assert_ne!(first, OwnerId::NOBODY);
        account.take(5).unwrap();
        account.take(6).unwrap();
        let rows: Vec<_> = accounts.unwritten().collect();
        assert!(matches!(&rows[..], [Row::Spent { owner, bytes: 11, .. }] if *owner == a));
        assert_eq!(accounts.unwritten().count(), 0);
    }
}
