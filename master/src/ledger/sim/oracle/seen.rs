//! What a simulation has come across: one that never sees a duplicate proves little.

use std::collections::BTreeMap;

/// How often what is worth simulating has happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::ledger::sim) struct Seen {
    pub(super) kept_from_the_dead: u64,
    pub(super) duplicates: u64,
    pub(super) rejected: u64,
    pub(super) silent: u64,
    pub(super) moved_or_retried: u64,
    pub(super) second_attempts: u64,
    pub(super) runs_lost_in_merges: u64,
    pub(super) restarts: u64,
    pub(super) crashes_behind_a_commit: u64,
    pub(super) pauses: u64,
    pub(super) quarantined: u64,
    pub(super) ends: BTreeMap<&'static str, u64>,
}

impl Seen {
    pub(in crate::ledger::sim) fn add(&mut self, other: &Self) {
        self.kept_from_the_dead += other.kept_from_the_dead;
        self.duplicates += other.duplicates;
        self.rejected += other.rejected;
        self.silent += other.silent;
        self.moved_or_retried += other.moved_or_retried;
        self.second_attempts += other.second_attempts;
        self.runs_lost_in_merges += other.runs_lost_in_merges;
        self.restarts += other.restarts;
        self.crashes_behind_a_commit += other.crashes_behind_a_commit;
        self.pauses += other.pauses;
        self.quarantined += other.quarantined;
        for (how, times) in &other.ends {
            *self.ends.entry(how).or_default() += times;
        }
    }

    pub(in crate::ledger::sim) fn all(&self) -> bool {
        let counts = [
            self.kept_from_the_dead,
            self.duplicates,
            self.rejected,
            self.silent,
            self.moved_or_retried,
            self.second_attempts,
            self.runs_lost_in_merges,
            self.quarantined,
            self.pauses,
            self.crashes_behind_a_commit,
            self.restarts,
        ];
        counts.iter().all(|count| *count > 0) && self.ends.len() == 6
    }
}
