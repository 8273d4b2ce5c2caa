//! A job as it goes on: its rate of now, and how long it will take.

use std::collections::VecDeque;

use tally_common::api::{JobState, JobView, parse_timestamp};

/// Milliseconds over which the rate of now is taken: a slave tells once a second what it has counted.
const RATE_MS: u64 = 5_000;

/// A job and how it went on lately.
#[derive(Clone, Debug)]
pub(super) struct Followed {
    pub(super) view: JobView,
    /// Milliseconds since it was opened, and bytes counted by then.
    marks: VecDeque<(u64, u64)>,
}

impl Followed {
    pub(super) fn new(view: JobView) -> Self {
        let mut followed = Self { view, marks: VecDeque::new() };
        followed.mark();
        followed
    }

    pub(super) fn update(&mut self, view: JobView) {
        self.view = view;
        self.mark();
    }

    fn mark(&mut self) {
        let (at, counted) = (self.view.progress.elapsed_ms, self.view.progress.bytes_counted);
        // A lost attempt takes back what it had counted; that is no rate.
        if self.marks.back().is_some_and(|last| last.0 >= at || last.1 > counted) {
            self.marks.clear();
        }
        self.marks.push_back((at, counted));
        while self.marks.len() > 2 && self.marks[1].0 + RATE_MS <= at {
            self.marks.pop_front();
        }
    }

    /// Bytes a second: of the last seconds, or of all its time where it has ended.
    pub(super) fn rate(&self, now_ms: Option<u64>) -> u64 {
        let progress = &self.view.progress;
        if self.view.state.ended() {
            return progress.bytes_per_second;
        }
        let opened = parse_timestamp(&self.view.opened_at);
        let silent = opened.zip(now_ms).is_some_and(|(opened, now)| {
            now.saturating_sub(opened + progress.elapsed_ms) > RATE_MS
        });
        match (self.marks.front(), self.marks.back()) {
            _ if silent => 0,
            (Some(first), Some(last)) if last.0 > first.0 => {
                (last.1 - first.1) * 1000 / (last.0 - first.0)
            }
            _ => progress.bytes_per_second,
        }
    }

    /// The share of the input that has been counted, where its size is known.
    pub(super) fn share(&self) -> Option<f64> {
        let progress = &self.view.progress;
        let total = self.total()?;
        let share = progress.bytes_counted as f64 / total.max(1) as f64;
        Some(if self.view.result.is_some() { 1.0 } else { share.clamp(0.0, 1.0) })
    }

    /// Bytes of its input, where that is known.
    pub(super) fn total(&self) -> Option<u64> {
        let progress = &self.view.progress;
        // What a client announces is of the file as it was sent, which may have been compressed.
        let receiving = self.view.state == JobState::Receiving;
        let expected =
            progress.bytes_expected.filter(|expected| *expected > progress.bytes_received);
        if receiving { expected } else { Some(progress.bytes_received) }
    }

    /// Milliseconds that counting the rest will take at the rate of now.
    pub(super) fn left_ms(&self, now_ms: Option<u64>) -> Option<u64> {
        let rate = self.rate(now_ms);
        if self.view.state.ended() || rate == 0 {
            return None;
        }
        let left = self.total()?.saturating_sub(self.view.progress.bytes_counted);
        left.saturating_mul(1000).checked_div(rate)
    }
}
