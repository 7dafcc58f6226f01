//! The time that entries expire by, in nanoseconds since an origin of the clock's own.
//!
//! # Never late
//!
//! A coarse clock lags behind the true time by less than its tick. An entry that is made at the true
//! time `t` is stamped `t' ≤ t`, and given until `t' + ttl - tick`. It is answered while the coarse
//! clock says less than that, when the true time is less than `t' + ttl ≤ t + ttl`. So an entry goes up
//! to two ticks early, and never late.

use super::due::NEVER;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
#[cfg(not(target_os = "linux"))]
use std::time::Instant;

/// Times to live below this are kept by the exact clock: 20 ns a look instead of 5, and no tick.
const EXACT_BELOW: Duration = Duration::from_secs(1);

/// A clock that stands still until it is told to go on, for tests of what expires.
///
/// ```
/// use plimsoll::cache::{ManualClock, PressureCache};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let cache = PressureCache::builder("sessions")
///     .entries(100)
///     .ttl(Duration::from_secs(60))
///     .clock(&clock)
///     .build()?;
/// cache.insert(7, "seven");
/// clock.advance(Duration::from_secs(59));
/// assert_eq!(cache.get(&7), Some("seven"));
/// clock.advance(Duration::from_secs(1));
/// assert_eq!(cache.get(&7), None);
/// # Ok::<(), plimsoll::cache::CacheError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock at its origin.
    #[must_use]
    pub fn new() -> ManualClock {
        ManualClock::default()
    }

    /// Goes on by this much, for every cache that it was given to. Memory of what expires by it is
    /// given back by [`sweep`](super::PressureCache::sweep) and on access, not in the background.
    pub fn advance(&self, by: Duration) {
        let by = nanoseconds(by);
        let ahead = |now: u64| Some(now.saturating_add(by).min(NEVER - 1));
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, ahead);
    }
}

/// Where a cache has its time from.
#[derive(Clone, Debug)]
pub(super) enum Clock {
    #[cfg(target_os = "linux")]
    Coarse {
        tick: u64,
    },
    #[cfg(target_os = "linux")]
    Exact,
    #[cfg(not(target_os = "linux"))]
    Exact(Instant),
    Manual(ManualClock),
}

impl Clock {
    /// The cheapest that keeps this time to live well.
    pub(super) fn of_the_system(ttl: Option<Duration>) -> Clock {
        #[cfg(target_os = "linux")]
        {
            let tick = tick();
            let wants_exact = ttl.is_some_and(|ttl| ttl < EXACT_BELOW);
            if wants_exact || tick >= nanoseconds(EXACT_BELOW) / 10 {
                Clock::Exact
            } else {
                Clock::Coarse { tick }
            }
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (ttl, EXACT_BELOW);
            Clock::Exact(Instant::now())
        }
    }

    #[inline]
    pub(super) fn now(&self) -> u64 {
        match self {
            #[cfg(target_os = "linux")]
            Clock::Coarse { .. } => read(libc::CLOCK_MONOTONIC_COARSE),
            #[cfg(target_os = "linux")]
            Clock::Exact => read(libc::CLOCK_MONOTONIC),
            #[cfg(not(target_os = "linux"))]
            Clock::Exact(origin) => nanoseconds(origin.elapsed()),
            Clock::Manual(clock) => clock.0.load(Ordering::Relaxed),
        }
    }

    /// When what is made now expires; [`NEVER`] for a time to live beyond the clock's range.
    pub(super) fn expiry(&self, now: u64, ttl: Duration) -> u64 {
        let ttl = nanoseconds(ttl);
        match now.checked_add(ttl) {
            Some(NEVER) | None => NEVER,
            Some(expiry) => expiry - self.tick().min(ttl),
        }
    }

    /// How long ago it was made, what expires then; `None` where that cannot be told.
    pub(super) fn age(&self, now: u64, expires: u64, ttl: Option<Duration>) -> Option<u64> {
        let ttl = nanoseconds(ttl?);
        let made =
            (expires != NEVER).then(|| (expires + self.tick().min(ttl)).saturating_sub(ttl))?;
        Some(now.saturating_sub(made))
    }

    fn tick(&self) -> u64 {
        match self {
            #[cfg(target_os = "linux")]
            Clock::Coarse { tick } => *tick,
            _ => 0,
        }
    }

    pub(super) fn is_manual(&self) -> bool {
        matches!(self, Clock::Manual(_))
    }
}

/// Saturating: ten thousand years are more than 64 bits of nanoseconds.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER)
}

#[cfg(target_os = "linux")]
fn of(time: libc::timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(target_os = "linux")]
#[inline]
fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a place for one, and both clocks exist since Linux 2.6.32, so it is filled.
    unsafe { libc::clock_gettime(clock, &mut time) };
    of(time)
}

/// How far the coarse clock goes on at once: 1 to 10 ms, as the kernel was built.
#[cfg(target_os = "linux")]
fn tick() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a place for one.
    let failed = unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &mut time) } != 0;
    if failed { NEVER } else { of(time) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_never_later_than_the_time_to_live_and_never_more_than_a_tick_early() {
        let clock = Clock::of_the_system(None);
        for ttl in [0, 1, 3, 4, 5, 1000, 86_400_000] {
            let ttl = Duration::from_millis(ttl);
            let late = 1_000_000_000 + ttl.as_nanos() as u64;
            let expiry = clock.expiry(1_000_000_000, ttl);
            assert!(expiry <= late, "{ttl:?}");
            assert!(late - expiry <= 10_000_000, "{ttl:?}");
        }
    }

    #[test]
    fn ten_thousand_years_are_never() {
        let clock = Clock::of_the_system(None);
        let ttl = Duration::from_secs(10_000 * 365 * 86_400);
        assert_eq!(clock.expiry(clock.now(), ttl), NEVER);
        assert_eq!(clock.expiry(clock.now(), Duration::MAX), NEVER);
    }

    #[test]
    fn a_manual_clock_stops_before_never() {
        let clock = ManualClock::new();
        clock.advance(Duration::MAX);
        clock.advance(Duration::MAX);
        assert!(Clock::Manual(clock).now() < NEVER);
    }

    #[test]
    fn a_short_time_to_live_gets_the_exact_clock() {
        let short = Clock::of_the_system(Some(Duration::from_millis(5)));
        let (before, ttl) = (short.now(), Duration::from_millis(5));
        assert_eq!(short.expiry(before, ttl), before + 5_000_000);
    }
}
