//! What a simulation has come across: one that never sees a duplicate proves little.

use std::collections::BTreeMap;

/// Declares the counters once, so that none is left out where they are added up or looked at.
macro_rules! counters {
    ($($name:ident),* $(,)?) => {
        /// How often what is worth simulating has happened.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub(in crate::ledger::sim) struct Seen {
            $(pub(in crate::ledger::sim) $name: u64,)*
            pub(super) ends: BTreeMap<&'static str, u64>,
        }

        impl Seen {
            pub(in crate::ledger::sim) fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
                for (how, times) in &other.ends {
                    *self.ends.entry(how).or_default() += times;
                }
            }

            /// What has not happened.
            pub(in crate::ledger::sim) fn missing(&self) -> Vec<&'static str> {
                let counts = [$((stringify!($name), self.$name)),*];
                let mut missing: Vec<_> =
                    counts.iter().filter(|(_, count)| *count == 0).map(|(name, _)| *name).collect();
                if self.ends.len() < 6 {
                    missing.push("one of the ways in which a job ends");
                }
                missing
            }
        }
    };
}

counters! {
    kept_from_the_dead,
    kept_from_before_a_restart,
    kept_by_an_old_attempt,
    duplicates,
    rejected,
    refused,
    quarantines,
    quarantines_that_ended,
    rejoined_in_quarantine,
    silent,
    deaths,
    drains,
    late_attempts,
    moved_or_retried,
    second_attempts,
    last_attempts_awaited,
    runs_lost,
    runs_lost_in_merges,
    pauses,
    clocks_put_back,
    crashes_before_commit,
    restarts,
    restarts_in_recovery,
    restored,
    restored_while_receiving,
    restored_in_full,
    cut_after_a_restart,
    inputs_lost_by_restarts,
    forgotten,
    answers_held,
    answers_agreed,
    lies_told,
    lies_believed,
    recounts,
    recounts_that_failed,
    set_aside,
    thrown_away,
    turns_waited_for,
}
