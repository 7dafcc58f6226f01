//! What is answered, in JSON: bytes are integers, ratios 0 to 1, times in seconds.
//!
//! | file | of |
//! |---|---|
//! | `memory` | `memory-stats`, `memory-details`, `optimize` |
//! | `drill` | `drill` |
//! | `leak` | `leak-analysis` |
//! | `restart` | `auto-restart/status`, `config` and `restart` |
//! | `performance` | `performance` |
//! | `event` | events, ledger rows and restarts, wherever they stand |
//! | `faults` | the fields of a command that are wrong |
//! | `live` | the messages of `live` |

pub(super) mod drill;
pub(super) mod event;
mod faults;
pub(super) mod leak;
pub(super) mod live;
pub(super) mod memory;
pub(super) mod performance;
pub(super) mod restart;

use crate::governor::Monitor;
use std::time::{Duration, SystemTime};

/// Times since the monitor's start, by the clock on the wall.
#[derive(Clone, Copy)]
pub(super) struct Clock(f64);

impl Clock {
    pub(super) fn of(monitor: &Monitor) -> Clock {
        Clock(unix_seconds(monitor.started_at()))
    }

    pub(super) fn started(self) -> f64 {
        self.0
    }

    pub(super) fn at(self, uptime: Duration) -> f64 {
        self.at_seconds(uptime.as_secs_f64())
    }

    pub(super) fn at_seconds(self, uptime: f64) -> f64 {
        // No clock is better than to the millisecond over months.
        ((self.0 + uptime) * 1e3).round() / 1e3
    }
}

/// Since 1970; 0 before that.
pub(super) fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// JSON knows no other numbers: what is none becomes 0, what has no end the largest.
pub(super) fn finite(number: f64) -> f64 {
    if number.is_nan() {
        return 0.0;
    }
    number.clamp(f64::MIN, f64::MAX)
}
