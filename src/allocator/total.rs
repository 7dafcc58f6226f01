//! The process total: what the threads have published of their counters, its peak, and the line.
//!
//! A thread adds its part once a quantum (see [`QUANTUM`](super::block::QUANTUM)), so the total is
//! off by less than one quantum for each live thread, in either direction, except that a single
//! allocation larger than the quantum is published at once. It serves what must be noticed at
//! once, the line and the peak; exact figures come from [`registry`](super::registry).

use super::block::maybe_const_fn;
use super::sync::{AtomicI64, Ordering};

pub(crate) struct Total {
    live: AtomicI64,
    peak: AtomicI64,
    /// The total at which to ring. `i64::MAX` while nobody waits.
    line: AtomicI64,
}

impl Total {
    maybe_const_fn! {
        pub(crate) fn new() -> Total {
            Total {
                live: AtomicI64::new(0),
                peak: AtomicI64::new(0),
                line: AtomicI64::new(i64::MAX),
            }
        }
    }

    /// Adds a thread's part and raises the peak. Whether that crossed the line, and the caller is the one to
    /// ring.
    #[must_use]
    pub(super) fn publish(&self, delta: i64) -> bool {
        let live = self
            .live
            // Before the line is read, as `arm` sets the line before it reads this: one sees the other.
            .fetch_add(delta, Ordering::SeqCst)
            .wrapping_add(delta);
        if delta <= 0 {
            return false;
        }
        self.raise_peak(live);
        live >= self.line.load(Ordering::SeqCst) && self.take_line()
    }

    /// Of those who find it crossed one rings; the line stays down until the one who waits has looked and
    /// arms anew.
    fn take_line(&self) -> bool {
        self.line.swap(i64::MAX, Ordering::SeqCst) != i64::MAX
    }

    pub(super) fn now(&self) -> i64 {
        self.live.load(Ordering::SeqCst)
    }

    fn raise_peak(&self, live: i64) {
        if live > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(live, Ordering::Relaxed);
        }
    }

    /// Sets the line `distance` bytes above `from`. Whether it is crossed already, and the caller is the one
    /// to ring.
    #[must_use]
    pub(super) fn arm(&self, from: i64, distance: u64) -> bool {
        let distance = i64::try_from(distance).unwrap_or(i64::MAX);
        let line = from.saturating_add(distance);
        self.line.store(line, Ordering::SeqCst);
        // At the line itself it is the next growth that tells something, not that there was none.
        distance > 0 && self.now() >= line && self.take_line()
    }
}

#[cfg(not(plimsoll_loom))]
pub(crate) use self::process::{arm, disarm, now, peak, publish, raise_peak};

#[cfg(not(plimsoll_loom))]
mod process {
    use super::super::alarm;
    use super::{Ordering, Total};

    /// Alone on its cache lines: every thread writes it once a quantum.
    #[repr(align(128))]
    struct Aligned(Total);

    static TOTAL: Aligned = Aligned(Total::new());

    /// Adds a thread's part, raises the peak, and rings when the line is crossed.
    pub(crate) fn publish(delta: i64) {
        if TOTAL.0.publish(delta) {
            alarm::ring();
        }
    }

    /// The total now, from which [`arm`] measures.
    pub(crate) fn now() -> i64 {
        TOTAL.0.now()
    }

    /// The peak is at least `live`. A snapshot says so with what it knows exactly.
    pub(crate) fn raise_peak(live: i64) {
        TOTAL.0.raise_peak(live);
    }

    /// The highest total so far.
    pub(crate) fn peak() -> u64 {
        TOTAL.0.peak.load(Ordering::Relaxed).max(0) as u64
    }

    /// Rings when the total has grown by `distance` bytes since it was `from`, once; at once when it
    /// already has.
    ///
    /// A distance and not a level, because the total is off by a bounded amount: measured from an
    /// exact figure that was taken after `from`, that error cancels out.
    pub(crate) fn arm(from: i64, distance: u64) {
        if TOTAL.0.arm(from, distance) {
            alarm::ring();
        }
    }

    /// Nobody waits any more.
    pub(crate) fn disarm() {
        TOTAL.0.line.store(i64::MAX, Ordering::Release);
    }
}
