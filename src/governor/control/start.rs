//! When the program has started, and what it held then.
//!
//! A restart brings the figure back to what the program holds after its start. If that is near the
//! line already, it helps nobody; so this figure decides, and is remembered over restarts.

use std::time::Duration;

/// Flat for this long, the start is over.
const FLAT: Duration = Duration::from_secs(5);
/// Within this share of the limit.
const WITHIN: f64 = 0.01;
/// A start that takes longer is over all the same.
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct StartPhase {
    ready: bool,
    since: Duration,
    least: u64,
    most: u64,
    baseline_bytes: Option<u64>,
}

impl StartPhase {
    pub(super) fn new() -> StartPhase {
        StartPhase {
            ready: false,
            since: Duration::ZERO,
            least: u64::MAX,
            most: 0,
            baseline_bytes: None,
        }
    }

    pub(super) fn ready(&mut self) {
        self.ready = true;
    }

    pub(super) fn baseline_bytes(&self) -> Option<u64> {
        self.baseline_bytes
    }

    pub(super) fn is_over(&self) -> bool {
        self.baseline_bytes.is_some()
    }

    /// Answers what the program holds at the moment at which its start is over.
    pub(super) fn see(&mut self, now: Duration, bytes: u64, limit: u64) -> Option<u64> {
        if self.is_over() {
            return None;
        }
        self.least = self.least.min(bytes);
        self.most = self.most.max(bytes);
        if (self.most - self.least) as f64 > WITHIN * limit as f64 {
            (self.since, self.least, self.most) = (now, bytes, bytes);
        }
        if self.ready || now >= self.since + FLAT || now >= LONGEST {
            self.baseline_bytes = Some(bytes);
        }
        self.baseline_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(mut bytes: impl FnMut(u64) -> u64) -> (u64, u64) {
        let mut phase = StartPhase::new();
        (0..100)
            .find_map(|second| {
                let at = Duration::from_secs(second);
                phase
                    .see(at, bytes(second), 10_000)
                    .map(|held| (second, held))
            })
            .unwrap()
    }

    #[test]
    fn a_start_is_over_when_the_figure_is_flat_or_after_a_minute() {
        assert_eq!(started(|_| 500), (5, 500));
        assert_eq!(started(|second| second.min(20) * 300), (25, 6000));
        assert_eq!(started(|second| second * 300), (60, 18_000));
    }

    #[test]
    fn a_program_that_says_so_has_started() {
        let mut phase = StartPhase::new();
        assert_eq!(phase.see(Duration::ZERO, 7, 100), None);
        phase.ready();
        assert_eq!(phase.see(Duration::from_secs(1), 9, 100), Some(9));
        assert_eq!(phase.see(Duration::from_secs(2), 9, 100), None);
    }
}
