//! `tracking-allocator` over tikv-jemallocator, with a tracker that adds up bytes and calls.

use std::sync::atomic::{AtomicUsize, Ordering};
use tikv_jemallocator::Jemalloc;
use tracking_allocator::{AllocationGroupId, AllocationRegistry, AllocationTracker, Allocator};

#[global_allocator]
static HEAP: Allocator<Jemalloc> = Allocator::from_allocator(Jemalloc);

static CALLS: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Sums;

impl AllocationTracker for Sums {
    fn allocated(&self, _: usize, size: usize, _: usize, _: AllocationGroupId) {
        CALLS.fetch_add(1, Ordering::Relaxed);
        LIVE.fetch_add(size, Ordering::Relaxed);
    }

    fn deallocated(
        &self,
        _: usize,
        size: usize,
        _: usize,
        _: AllocationGroupId,
        _: AllocationGroupId,
    ) {
        CALLS.fetch_add(1, Ordering::Relaxed);
        LIVE.fetch_sub(size, Ordering::Relaxed);
    }
}

fn main() -> std::process::ExitCode {
    let _ = AllocationRegistry::set_global_tracker(Sums);
    AllocationRegistry::enable_tracking();
    plimsoll_peers::work()
}
