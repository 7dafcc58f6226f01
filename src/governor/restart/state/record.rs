//! One restart: why it happened, and what had been tried.

use super::super::Restart;
use crate::figures::Signal;
use crate::governor::Level;
use std::time::SystemTime;

/// One restart: why it happened, and what had been tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RestartRecord {
    /// When, in seconds since 1970.
    pub at_unix_seconds: u64,
    /// The id of the process, which a restart by [`Restart::Exec`] leaves as it is.
    pub process_id: u32,
    /// How.
    pub how: Restart,
    /// The level at the time.
    pub level: Level,
    /// The figure that decided.
    pub signal: Signal,
    /// Live heap.
    pub heap_bytes: u64,
    /// Anonymous resident memory.
    pub resident_bytes: u64,
    /// The limit.
    pub limit_bytes: u64,
    /// How long that image had run, in seconds.
    pub uptime_seconds: u64,
    /// Actions that it had carried out.
    pub actions: u64,
    /// What they had given back.
    pub given_back_bytes: u64,
    /// The start of that image was not over yet.
    pub during_start: bool,
}

#[cfg(test)]
impl RestartRecord {
    pub(in crate::governor) const EMPTY: RestartRecord = RestartRecord {
        at_unix_seconds: 0,
        process_id: 0,
        how: Restart::Exec,
        level: Level::Restart,
        signal: Signal::Heap,
        heap_bytes: 0,
        resident_bytes: 0,
        limit_bytes: 0,
        uptime_seconds: 0,
        actions: 0,
        given_back_bytes: 0,
        during_start: false,
    };

    /// With every figure at its longest, or telling.
    pub(super) fn telling(at_unix_seconds: u64) -> RestartRecord {
        RestartRecord {
            at_unix_seconds,
            process_id: u32::MAX,
            how: Restart::Exit(-3),
            level: Level::Critical,
            signal: Signal::Resident,
            heap_bytes: u64::MAX,
            resident_bytes: 2,
            limit_bytes: 3,
            uptime_seconds: 4,
            actions: 5,
            given_back_bytes: 6,
            during_start: true,
        }
    }
}

/// Seconds since 1970; 0 before that.
pub(in crate::governor) fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
