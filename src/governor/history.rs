//! The last samples, at the monitor's own interval.

use super::ledger::Held;
use std::collections::VecDeque;
use std::time::Duration;

/// What was held at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Sample {
    /// Since the monitor started.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "at_seconds", serialize_with = "crate::units::seconds")
    )]
    pub at: Duration,
    /// Live heap and anonymous resident memory.
    pub held: Held,
}

/// In memory that is reserved at the start.
pub(super) struct History {
    samples: VecDeque<Sample>,
    capacity: usize,
    interval: Duration,
}

impl History {
    pub(super) fn new(capacity: usize, interval: Duration) -> History {
        History {
            samples: VecDeque::with_capacity(capacity),
            capacity,
            interval,
        }
    }

    /// Keeps a sample, if the interval since the last is over.
    pub(super) fn see(&mut self, at: Duration, held: Held) {
        let due = self
            .samples
            .back()
            .is_none_or(|last| at >= last.at + self.interval);
        if !due || self.capacity == 0 {
            return;
        }
        if self.samples.len() == self.capacity {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { at, held });
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }
}
