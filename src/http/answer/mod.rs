//! What is answered, in JSON: bytes are integers, ratios 0 to 1, times in seconds.
//!
//! | file | of |
//! |---|---|
//! | `memory` | `memory-stats`, `memory-details`, `optimize` |
//! | `drill` | `drill` |
//! | `leak` | `leak-analysis` |
//! | `restart` | `auto-restart/status`, `config` and `restart` |
//! | `performance` | `performance` |
//! | `clock` | times since the start, by the clock on the wall |
//! | `event` | events, ledger rows and restarts, wherever they stand |
//! | `faults` | the fields of a command that are wrong |
//! | `live` | the messages of `live` |

mod clock;
pub(super) mod drill;
pub(super) mod event;
mod faults;
pub(super) mod leak;
pub(super) mod live;
pub(super) mod memory;
pub(super) mod performance;
pub(super) mod restart;

pub(super) use self::clock::{Clock, unix_seconds};

/// JSON knows no other numbers: what is none becomes 0, what has no end the largest.
pub(super) fn finite(number: f64) -> f64 {
    if number.is_nan() {
        return 0.0;
    }
    number.clamp(f64::MIN, f64::MAX)
}
