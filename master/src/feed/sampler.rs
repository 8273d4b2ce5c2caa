//! How numbers went on over time, within a bound: a job's progress over its whole life, and rates over
//! the last minute. Pure: times are handed in.

use std::collections::VecDeque;
use std::time::Duration;

use tally_common::api::{History, Sample};

/// Samples that a job has at most. When there are more, every other one goes, and they come half as
/// often from then on.
const MAX_SAMPLES: usize = 240;

/// Time between two samples at first: as often as the coordinator looks.
const FIRST_INTERVAL_MS: u64 = 100;

/// Seconds of rates that are kept.
const SECONDS: usize = 60;

/// Seconds over which a rate of now is taken: a slave tells once a second what it has counted.
const NOW: usize = 5;

/// The progress of a job.
#[derive(Clone, Debug)]
pub(crate) struct Sampler(History);

impl Default for Sampler {
    fn default() -> Self {
        Self(History { interval_ms: FIRST_INTERVAL_MS, samples: Vec::new() })
    }
}

impl Sampler {
    /// Takes a sample, if it is time for one or it is the `last`.
    pub(crate) fn take(&mut self, sample: Sample, last: bool) {
        let History { interval_ms, samples } = &mut self.0;
        let due = samples.last().is_none_or(|before| sample.at_ms >= before.at_ms + *interval_ms);
        if !due && !last {
            return;
        }
        if samples.len() == MAX_SAMPLES {
            let mut at = 0;
            samples.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            *interval_ms *= 2;
        }
        samples.push(sample);
    }

    pub(crate) fn history(&self) -> &History {
        &self.0
    }
}

/// Bytes a second of something that counts up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rates {
    seconds: VecDeque<u64>,
    /// What had been counted at the last look, and when that was.
    last: Option<(u64, Duration)>,
}

impl Rates {
    /// Looks once a second: so much has been counted by now.
    pub(crate) fn look(&mut self, counted: u64, now: Duration) {
        if let Some((before, then)) = self.last {
            let ms = now.saturating_sub(then).as_millis().max(1) as u64;
            // An attempt that is given up takes back what it had counted.
            let rate = counted.saturating_sub(before).saturating_mul(1000) / ms;
            if self.seconds.len() == SECONDS {
                self.seconds.pop_front();
            }
            self.seconds.push_back(rate);
        }
        self.last = Some((counted, now));
    }

    /// Over the last few seconds.
    pub(crate) fn now(&self) -> u64 {
        let count = self.seconds.len().min(NOW);
        self.seconds.iter().rev().take(count).sum::<u64>() / count.max(1) as u64
    }

    /// For each of the last 60 seconds, oldest first.
    pub(crate) fn history(&self) -> Vec<u64> {
        self.seconds.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_job_has_few_samples_over_all_of_its_life() {
        let mut sampler = Sampler::default();
        let sample = |at_ms| Sample { at_ms, bytes_counted: at_ms, ..Sample::default() };
        (0..100_000).for_each(|tick| sampler.take(sample(tick * 100), false));
        sampler.take(sample(100_000 * 100 + 1), true);
        let History { interval_ms, samples } = sampler.history();
        assert!(samples.len() <= MAX_SAMPLES && samples.len() > MAX_SAMPLES / 3);
        assert_eq!((samples[0].at_ms, samples.last().unwrap().at_ms), (0, 10_000_001));
        let apart = samples.windows(2).map(|pair| pair[1].at_ms - pair[0].at_ms);
        assert!(apart.rev().skip(1).all(|apart| apart <= 2 * interval_ms && apart > 0));
    }

    #[test]
    fn rates_are_of_the_time_that_has_gone_by() {
        let mut rates = Rates::default();
        let at = Duration::from_secs;
        rates.look(1000, at(1));
        assert_eq!((rates.now(), rates.history()), (0, vec![]));
        rates.look(3000, at(2));
        rates.look(2000, at(3));
        rates.look(6000, at(5));
        assert_eq!(rates.history(), [2000, 0, 2000]);
        assert_eq!(rates.now(), 1333);
        (6..100).for_each(|second| rates.look(6000, at(second)));
        assert_eq!((rates.now(), rates.history().len()), (0, SECONDS));
    }
}
