//! An action that gives nothing back is tried less and less often.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(60);

/// Giving back less than this share of what is too much is not worth the trouble.
const WORTHWHILE: f64 = 0.05;

#[derive(Clone, Copy, Debug)]
pub(super) struct BackOff {
    due: Duration,
    wait: Duration,
}

impl BackOff {
    pub(super) const fn new() -> BackOff {
        BackOff {
            due: Duration::ZERO,
            wait: FIRST,
        }
    }

    /// A level begins: due now, whatever came of it before.
    pub(super) fn begin(&mut self, now: Duration) {
        *self = BackOff {
            due: now,
            wait: FIRST,
        };
    }

    pub(super) fn is_due(&self, now: Duration) -> bool {
        now >= self.due
    }

    /// It was tried, and gave back this much of what was too much.
    pub(super) fn acted(&mut self, now: Duration, gave: u64, excess: u64) {
        self.due = now + self.wait;
        self.wait = if gave == 0 || (gave as f64) < WORTHWHILE * excess as f64 {
            (self.wait * 2).min(LAST)
        } else {
            FIRST
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gives_back_less_than_a_twentieth_is_tried_less_often_up_to_once_a_minute() {
        let waits = |gave: u64| {
            let mut action = BackOff::new();
            let mut now = Duration::ZERO;
            let mut waits = Vec::new();
            for _ in 0..12 {
                action.acted(now, gave, 100);
                let until = action.due;
                assert!(!action.is_due(until - Duration::from_millis(1)) && action.is_due(until));
                waits.push(until - now);
                now = until;
            }
            waits
        };
        assert!(waits(5).iter().all(|&wait| wait == FIRST));
        for little in [0, 4] {
            let waits = waits(little);
            assert_eq!(waits[..3], [FIRST, FIRST * 2, FIRST * 4]);
            assert_eq!(waits[11], LAST);
        }
        assert_eq!(LAST, Duration::from_secs(60));
    }
}
