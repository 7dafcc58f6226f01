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
