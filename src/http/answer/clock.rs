//! Times since the monitor's start, by the clock on the wall.
//!
//! The monitor counts by a clock that is never set, and that stands still while the machine sleeps. So
//! what lies between the two at the start is not what lies between them for ever.

use crate::governor::Monitor;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// By what the clock on the wall has gone ahead of the monitor's since the start, in milliseconds.
static AHEAD: AtomicI64 = AtomicI64::new(0);

/// Smaller steps are left out, in milliseconds: a clock that is kept right by the network wanders by
/// less, and what is told twice is to have the same time twice.
const SLACK: i64 = 2_000;

#[derive(Clone, Copy)]
pub(crate) struct Clock {
    started: f64,
    ahead: f64,
}

impl Clock {
    /// As it goes now.
    pub(crate) fn of(monitor: &Monitor) -> Clock {
        let started = unix_seconds(monitor.started_at());
        let ahead = unix_seconds(SystemTime::now()) - monitor.uptime().as_secs_f64() - started;
        let ahead = settled(AHEAD.load(Ordering::Relaxed), (ahead * 1e3) as i64);
        AHEAD.store(ahead, Ordering::Relaxed);
        Clock {
            started,
            ahead: ahead as f64 / 1e3,
        }
    }

    /// One that started then, and goes like the one on the wall.
    #[cfg(test)]
    pub(crate) fn from(started: f64) -> Clock {
        let ahead = 0.0;
        Clock { started, ahead }
    }

    /// As it was then: it tells one image from the next.
    pub(crate) fn started(self) -> f64 {
        self.started
    }

    pub(crate) fn at(self, uptime: Duration) -> f64 {
        self.at_seconds(uptime.as_secs_f64())
    }

    pub(crate) fn at_seconds(self, uptime: f64) -> f64 {
        // No clock is better than to the millisecond over months.
        ((self.started + self.ahead + uptime) * 1e3).round() / 1e3
    }
}

/// What is taken for true, after what was and what is seen.
fn settled(known: i64, seen: i64) -> i64 {
    if (seen - known).abs() > SLACK {
        seen
    } else {
        known
    }
}

/// Since 1970; 0 before that.
pub(crate) fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_followed_and_one_that_wanders_is_not() {
        assert_eq!(settled(0, 1_500), 0);
        assert_eq!(settled(0, -1_500), 0);
        let slept = settled(0, 8 * 3_600_000);
        assert_eq!(slept, 28_800_000);
        assert_eq!(settled(slept, slept + 900), slept);
        assert_eq!(settled(slept, 0), 0);
    }

    #[test]
    fn what_is_told_twice_has_the_same_time_and_that_of_the_wall() {
        let monitor = Monitor::builder().observe_only().start().unwrap();
        let now = || unix_seconds(SystemTime::now());
        let before = now();
        let at = monitor.uptime();
        let after = now();
        let told = Clock::of(&monitor).at(at);
        // As exact as it is to be: the monitor's two clocks were read one after the other.
        let is_then = before - 2.0 <= told && told <= after + 2.0;
        assert!(is_then, "{before} to {after}: {told}");
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(Clock::of(&monitor).at(at), told);
    }
}
