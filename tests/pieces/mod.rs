//! Blocks of a test's own, and what they say must be live: `driver live <= our live <= inner live` at
//! any instant, because this side counts an allocation last and a free first.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod each;

use super::truth::{Counters, REFUSE, TRUTH};
use plimsoll::HeapFigures;
use std::alloc::Layout;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

pub static DRIVER: Counters = Counters::new();

/// Old sizes of reallocations that have begun, and of those that are over: while one is under way the
/// inner truth may be below ours by its old size.
static BEGUN: AtomicU64 = AtomicU64::new(0);
static OVER: AtomicU64 = AtomicU64::new(0);

/// Freed when dropped, on whichever thread that is.
pub struct Piece {
    address: *mut u8,
    layout: Layout,
}

// SAFETY: plain memory without a thread.
unsafe impl Send for Piece {}

impl Piece {
    pub fn new(size: usize, align: usize, zeroed: bool) -> Piece {
        Piece::try_new(size, align, zeroed).expect("memory")
    }

    /// Asks once in vain.
    pub fn refused(size: usize) {
        REFUSE.set(true);
        assert!(Piece::try_new(size, 8, false).is_none());
    }

    fn try_new(size: usize, align: usize, zeroed: bool) -> Option<Piece> {
        let layout = Layout::from_size_align(size, align).unwrap();
        // SAFETY: sizes in these tests are above 0.
        let address = black_box(unsafe {
            if zeroed {
                std::alloc::alloc_zeroed(layout)
            } else {
                std::alloc::alloc(layout)
            }
        });
        if address.is_null() {
            return None;
        }
        // SAFETY: at least one byte was allocated.
        unsafe { address.write(size as u8) };
        DRIVER.alloc(size);
        Some(Piece { address, layout })
    }

    pub fn size(&self) -> usize {
        self.layout.size()
    }

    pub fn resize(&mut self, size: usize) {
        let old = self.layout.size() as u64;
        BEGUN.fetch_add(old, Ordering::SeqCst);
        DRIVER.deallocated.fetch_add(old, Ordering::SeqCst);
        // SAFETY: allocated with this layout; the new size is above 0.
        let moved = black_box(unsafe { std::alloc::realloc(self.address, self.layout, size) });
        assert!(!moved.is_null());
        DRIVER.allocated.fetch_add(size as u64, Ordering::SeqCst);
        OVER.fetch_add(old, Ordering::SeqCst);
        // SAFETY: the first byte moves along.
        assert_eq!(unsafe { *moved }, self.layout.size() as u8, "what it held");
        // SAFETY: at least one byte.
        unsafe { moved.write(size as u8) };
        self.address = moved;
        self.layout = Layout::from_size_align(size, self.layout.align()).unwrap();
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // SAFETY: at least one byte, and not freed.
        let first = unsafe { *self.address };
        assert_eq!(first, self.layout.size() as u8, "what it held");
        DRIVER.free(self.layout.size());
        // SAFETY: allocated with this layout and not freed.
        unsafe { std::alloc::dealloc(self.address, self.layout) };
    }
}

/// What may be live, at the least and at the most, around a reading by `read`.
pub fn framed(read: impl FnOnce() -> HeapFigures) -> HeapFigures {
    let (driver, truth) = (DRIVER.read(), TRUTH.read());
    let over = OVER.load(Ordering::SeqCst);
    let heap = read();
    let begun = BEGUN.load(Ordering::SeqCst);
    let (driver_later, truth_later) = (DRIVER.read(), TRUTH.read());
    let (low, high) = heap.live_bytes_range();
    let least = driver.allocated.saturating_sub(driver_later.deallocated);
    let most = truth_later.allocated - truth.deallocated + (begun - over);
    assert!(
        low <= high && high >= least && low <= most,
        "bytes {low}..={high} outside {least}..={most}"
    );
    let (low, high) = heap.live_blocks_range();
    let least = driver
        .allocations
        .saturating_sub(driver_later.deallocations);
    let most = truth_later.allocations - truth.deallocations;
    assert!(
        low <= high && high >= least && low <= most,
        "blocks {low}..={high} outside {least}..={most}"
    );
    assert!(heap.peak_bytes() >= heap.live_bytes_range().0, "{heap:?}");
    heap
}

/// Figures that only grow, as one reader saw them last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grown([u64; 7]);

impl Grown {
    pub fn see(&mut self, heap: &HeapFigures) {
        let now = [
            heap.allocations(),
            heap.deallocations(),
            heap.reallocations(),
            heap.failed_allocations(),
            heap.allocated_bytes(),
            heap.deallocated_bytes(),
            heap.peak_bytes(),
        ];
        let goes_on = self.0.iter().zip(&now).all(|(before, now)| before <= now);
        assert!(goes_on, "{:?} went back to {now:?}", self.0);
        self.0 = now;
    }
}

/// Small and fast, and the same in every run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Mostly small, some beyond what a thread counts by itself.
    pub fn size(&mut self) -> usize {
        match self.below(100) {
            0 => 200_000 + self.below(400_000),
            1..10 => 600 + self.below(40_000),
            _ => 1 + self.below(600),
        }
    }
}
