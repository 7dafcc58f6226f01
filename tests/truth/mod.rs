//! A ground truth below Plimsoll: an allocator that counts for itself.
#![allow(dead_code, reason = "each test file uses its part")]

use plimsoll::HeapFigures;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The ground truth: an allocator that counts with locked additions, and refuses on request.
pub struct Truth;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub allocations: u64,
    pub deallocations: u64,
    pub reallocations: u64,
    pub failed: u64,
    pub allocated: u64,
    pub deallocated: u64,
}

pub struct Counters {
    pub allocations: AtomicU64,
    pub deallocations: AtomicU64,
    pub reallocations: AtomicU64,
    pub failed: AtomicU64,
    pub allocated: AtomicU64,
    pub deallocated: AtomicU64,
}

impl Counters {
    pub const fn new() -> Counters {
        Counters {
            allocations: AtomicU64::new(0),
            deallocations: AtomicU64::new(0),
            reallocations: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            allocated: AtomicU64::new(0),
            deallocated: AtomicU64::new(0),
        }
    }

    pub fn read(&self) -> Counts {
        let load = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Counts {
            allocations: load(&self.allocations),
            deallocations: load(&self.deallocations),
            reallocations: load(&self.reallocations),
            failed: load(&self.failed),
            allocated: load(&self.allocated),
            deallocated: load(&self.deallocated),
        }
    }

    pub fn alloc(&self, size: usize) {
        self.allocations.fetch_add(1, Ordering::SeqCst);
        self.allocated.fetch_add(size as u64, Ordering::SeqCst);
    }

    pub fn free(&self, size: usize) {
        self.deallocations.fetch_add(1, Ordering::SeqCst);
        self.deallocated.fetch_add(size as u64, Ordering::SeqCst);
    }
}

pub static TRUTH: Counters = Counters::new();
/// Calls of `alloc_zeroed` that arrived.
pub static ZEROED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Refuse this thread's next call.
    pub static REFUSE: Cell<bool> = const { Cell::new(false) };
}

fn refuses() -> bool {
    let refuse = REFUSE
        .try_with(|refuse| refuse.replace(false))
        .unwrap_or(false);
    if refuse {
        TRUTH.failed.fetch_add(1, Ordering::SeqCst);
    }
    refuse
}

// SAFETY: forwards to the system's allocator unchanged, or answers null.
unsafe impl GlobalAlloc for Truth {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if refuses() {
            return std::ptr::null_mut();
        }
        TRUTH.alloc(layout.size());
        // SAFETY: the caller's obligations are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if refuses() {
            return std::ptr::null_mut();
        }
        ZEROED.fetch_add(1, Ordering::Relaxed);
        TRUTH.alloc(layout.size());
        // SAFETY: the caller's obligations are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        TRUTH.free(layout.size());
        // SAFETY: the caller's obligations are passed on.
        unsafe { System.dealloc(address, layout) }
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if refuses() {
            return std::ptr::null_mut();
        }
        TRUTH.reallocations.fetch_add(1, Ordering::SeqCst);
        TRUTH.allocated.fetch_add(new_size as u64, Ordering::SeqCst);
        TRUTH
            .deallocated
            .fetch_add(layout.size() as u64, Ordering::SeqCst);
        // SAFETY: the caller's obligations are passed on.
        unsafe { System.realloc(address, layout, new_size) }
    }
}

/// One test at a time: a test that is being counted must not be disturbed by another.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn counts(heap: &HeapFigures) -> Counts {
    Counts {
        allocations: heap.allocations(),
        deallocations: heap.deallocations(),
        reallocations: heap.reallocations(),
        failed: heap.failed_allocations(),
        allocated: heap.allocated_bytes(),
        deallocated: heap.deallocated_bytes(),
    }
}

/// Compares every figure with the truth. The test harness has threads of its own that may be in
/// the middle of something, so a difference is given some time to go away.
pub fn assert_exact() {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let before = TRUTH.read();
        let heap = plimsoll::heap();
        let after = TRUTH.read();
        let live = before.allocated - before.deallocated;
        let blocks = before.allocations - before.deallocations;
        let equal = before == after
            && counts(&heap) == before
            && heap.live_bytes_range() == (live, live)
            && heap.live_bytes() == live
            && heap.live_blocks_range() == (blocks, blocks)
            && heap.live_blocks() == blocks
            && heap.peak_bytes() >= live;
        if equal {
            return;
        }
        assert!(
            Instant::now() < patience,
            "truth {before:?}, live {live} in {blocks} blocks\nours  {:?}, {heap:?}",
            counts(&heap)
        );
        std::thread::yield_now();
    }
}
