//! One timed stretch, with what the thread counted in it.

use crate::allocator::block::Totals;
use crate::allocator::local::own_totals;
use std::time::{Duration, Instant};

/// Time and counts of a number of iterations.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stretch {
    pub(super) time: Duration,
    pub(super) counted: Totals,
}

impl Stretch {
    pub(super) fn add(&mut self, other: Stretch) {
        self.time += other.time;
        self.counted.add(other.counted);
    }
}

/// Runs `work` with the counters read outside the clock's two readings.
#[inline(always)]
pub(super) fn timed(work: impl FnOnce()) -> Stretch {
    let before = counters();
    let start = Instant::now();
    work();
    let time = start.elapsed();
    Stretch {
        time,
        counted: counters().since(before),
    }
}

/// This thread's counters. Where threads have no block of their own, all threads' together.
pub(super) fn counters() -> Totals {
    own_totals().unwrap_or_else(|| {
        let heap = crate::heap();
        Totals {
            allocated: heap.allocated_bytes(),
            deallocated: heap.deallocated_bytes(),
            allocations: heap.allocations(),
            deallocations: heap.deallocations(),
            reallocations: heap.reallocations(),
            ..Totals::ZERO
        }
    })
}
