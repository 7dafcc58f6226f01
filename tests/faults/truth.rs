//! A ground truth below Plimsoll and over jemalloc, whose handlers of `fork` are part of the promise.

use plimsoll::Inner;
use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub struct Truth;

const NAMES: [&str; 6] = [
    "allocations",
    "deallocations",
    "reallocations",
    "failed",
    "allocated bytes",
    "deallocated bytes",
];

static COUNTS: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];

const FAILED: usize = 3;

fn add(place: usize, amount: usize) {
    COUNTS[place].fetch_add(amount as u64, Ordering::SeqCst);
}

/// Counts a call that made memory, or was refused it.
fn made(address: *mut u8, count: usize, new: usize, old: usize) -> *mut u8 {
    if address.is_null() {
        add(FAILED, 1);
    } else {
        add(count, 1);
        add(4, new);
        add(5, old);
    }
    address
}

// SAFETY: forwards to jemalloc unchanged, and answers what it answers.
unsafe impl GlobalAlloc for Truth {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's obligations are passed on.
        made(unsafe { inner().alloc(layout) }, 0, layout.size(), 0)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's obligations are passed on.
        made(unsafe { inner().alloc_zeroed(layout) }, 0, layout.size(), 0)
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        add(1, 1);
        add(5, layout.size());
        // SAFETY: the caller's obligations are passed on.
        unsafe { inner().dealloc(address, layout) }
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's obligations are passed on.
        let moved = unsafe { inner().realloc(address, layout, size) };
        made(moved, 2, size, layout.size())
    }
}

fn inner() -> &'static Inner {
    static INNER: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
    INNER.inner()
}

pub type Counts = [u64; NAMES.len()];

pub fn counted() -> Counts {
    std::array::from_fn(|place| COUNTS[place].load(Ordering::SeqCst))
}

pub fn ours() -> Counts {
    let heap = plimsoll::heap();
    [
        heap.allocations(),
        heap.deallocations(),
        heap.reallocations(),
        heap.failed_allocations(),
        heap.allocated_bytes(),
        heap.deallocated_bytes(),
    ]
}

/// What was counted since.
pub fn since(now: Counts, before: Counts) -> Counts {
    std::array::from_fn(|place| now[place].wrapping_sub(before[place]))
}

/// Whether every figure is the truth's. Threads of the test harness or of the monitor may be in the
/// middle of something, so a difference is given some time to go away. Allocates only to complain.
pub fn exact() -> Result<(), String> {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let before = counted();
        let own = ours();
        let heap = plimsoll::heap();
        let live = before[4] - before[5];
        if before == counted() && own == before && heap.live_bytes_range() == (live, live) {
            return Ok(());
        }
        if Instant::now() > patience {
            return Err(format!(
                "{NAMES:?}: truth {before:?}, ours {own:?}, {heap:?}"
            ));
        }
        std::thread::yield_now();
    }
}

pub fn assert_exact() {
    exact().unwrap_or_else(|difference| panic!("{difference}"));
}
