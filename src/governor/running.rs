//! The time in which the program ran.
//!
//! One that is stopped (`SIGSTOP`, a frozen group) neither looks nor grows: by the uptime, a growth would seem
//! to have paused, and be slower by as much as the stop was long.

use std::time::Duration;

/// From so many intervals on, and from this time on, a look that did not come is not a late one.
const ASLEEP: u32 = 8;
const LATEST: Duration = Duration::from_secs(10);

/// A clock that stands while the program is stopped. Of a stop it counts one interval, the time for which the
/// monitor would have slept.
pub(super) struct Running {
    interval: Duration,
    /// The uptime of the last look.
    last: Duration,
    /// The last times at which it woke, by this clock, and what it had slept by then in all, in seconds;
    /// the oldest first.
    woke: [(f64, f64); 8],
    /// What it had slept by the last of those that are forgotten.
    forgotten: f64,
}

impl Running {
    pub(super) fn new(interval: Duration) -> Running {
        Running {
            interval,
            last: Duration::ZERO,
            woke: [(0.0, 0.0); 8],
            forgotten: 0.0,
        }
    }

    /// The program runs at this uptime: to be called at every round of the monitor's, whatever it is at.
    pub(super) fn see(&mut self, uptime: Duration) {
        let gap = uptime.saturating_sub(std::mem::replace(&mut self.last, uptime));
        // Before the first look there was none that could have been late.
        if gap >= LATEST.max(ASLEEP * self.interval) && uptime > gap {
            let slept = self.slept() + gap.saturating_sub(self.interval).as_secs_f64();
            self.forgotten = self.woke[0].1;
            self.woke.rotate_left(1);
            self.woke[self.woke.len() - 1] = (uptime.as_secs_f64() - slept, slept);
        }
    }

    /// This clock's time of the last look.
    pub(super) fn now(&self) -> Duration {
        self.last
            .saturating_sub(Duration::from_secs_f64(self.slept()))
    }

    /// The uptime at a time of this clock, in seconds.
    pub(super) fn uptime(&self, seconds: f64) -> f64 {
        let before = self.woke.iter().rev().find(|(woke, _)| *woke <= seconds);
        seconds + before.map_or(self.forgotten, |(_, slept)| *slept)
    }

    fn slept(&self) -> f64 {
        self.woke[self.woke.len() - 1].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_one_interval_and_the_uptime_is_known_again() {
        let mut running = Running::new(Duration::from_secs(30));
        let times = [0, 30, 60, 3_660, 3_690].map(|seconds| {
            running.see(Duration::from_secs(seconds));
            running.now().as_secs()
        });
        assert_eq!(times, [0, 30, 60, 90, 120]);
        assert_eq!(
            [0.0, 60.0, 90.0, 120.0].map(|at| running.uptime(at)),
            [0.0, 60.0, 3_660.0, 3_690.0]
        );
    }

    #[test]
    fn a_late_look_is_no_stop_and_neither_is_a_late_start() {
        let mut running = Running::new(Duration::from_secs(1));
        for seconds in [7_200, 7_209, 7_210] {
            running.see(Duration::from_secs(seconds));
            assert_eq!(running.now().as_secs(), seconds);
        }
    }
}
