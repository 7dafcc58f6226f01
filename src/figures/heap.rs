//! What the program holds: exact sums over all threads' counters.
//!
//! # Pace
//!
//! A reader does not stop a writer, but it takes the cache line of its counters away for a moment:
//! the writer's next store has to fetch it back from the reader's processor, some 60 ns. Read in a
//! tight loop, every 34 ns, that left an allocating thread a fifth of its speed. So snapshots keep
//! a distance of [`PACE`]; only a reader that comes sooner waits, and never a writer.

use crate::allocator::local::{REGISTRY, failed_allocations};
use crate::allocator::registry::Bounds;
use crate::allocator::{alarm, total};
use std::sync::atomic::{AtomicU64, Ordering};

/// The heap at one instant, as the program asked for it: requested bytes, not what the allocator
/// rounds them up to.
///
/// Threads go on while the counters are read. So what is live comes as a range that holds the true
/// value at an instant during the call; when no thread allocates meanwhile both ends are equal,
/// and exact. Totals that only grow are those of the second of two passes.
#[derive(Clone, Copy, Debug)]
pub struct HeapFigures {
    bounds: Bounds,
    failed: u64,
    peak: u64,
    threads: u32,
}

/// Reads the heap's figures now.
///
/// ```
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// let heap = plimsoll::heap();
/// let (least, most) = heap.live_bytes_range();
/// assert!((least..=most).contains(&heap.live_bytes()));
/// println!("{} bytes in {} blocks, at the peak {}", most, heap.live_blocks(), heap.peak_bytes());
/// ```
///
/// All zero when [`Plimsoll`](crate::Plimsoll) is not the program's global allocator.
///
/// # Cost
///
/// Allocates nothing, takes no lock, and no thread waits for it. Two passes over one cache line
/// for each thread alive (more exactly: for the most threads that were alive at once): some 40 ns,
/// and 4 to 9 ns a thread. With more than one thread, calls that follow each other within 1.15 µs wait for
/// the rest of it, for the sake of the threads that are read.
pub fn heap() -> HeapFigures {
    keep_pace();
    let bounds = REGISTRY.bounds();
    let (low, _) = bounds.live_bytes();
    // What surely was live raises the peak, so that no figure is ever above it.
    total::raise_peak(i64::try_from(low).unwrap_or(i64::MAX));
    HeapFigures {
        bounds,
        failed: failed_allocations(),
        peak: total::peak(),
        threads: REGISTRY.owned(),
    }
}

/// The least time between two snapshots, in nanoseconds.
///
/// A snapshot in a loop then costs about this, and a thread that allocates beside it keeps its
/// speed but for some 60 ns each time (the `snapshot` benchmark measures both).
const PACE: u64 = 1150;

/// Waits until the last snapshot of any thread is long enough ago. A thread that is alone disturbs
/// nobody, and does not wait.
fn keep_pace() {
    static LAST: AtomicU64 = AtomicU64::new(0);
    if REGISTRY.owned() <= 1 {
        return;
    }
    let mut now = alarm::nanoseconds();
    // A value ahead of our clock, from a thread that was faster, wraps to a very long time ago.
    while now.wrapping_sub(LAST.load(Ordering::Relaxed)) < PACE {
        std::hint::spin_loop();
        now = alarm::nanoseconds();
    }
    LAST.store(now, Ordering::Relaxed);
}

/// By the names of the methods.
#[cfg(feature = "serde")]
impl serde::Serialize for HeapFigures {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut heap = serializer.serialize_struct("HeapFigures", 12)?;
        heap.serialize_field("live_bytes", &self.live_bytes())?;
        heap.serialize_field("live_bytes_range", &self.live_bytes_range())?;
        heap.serialize_field("live_blocks", &self.live_blocks())?;
        heap.serialize_field("live_blocks_range", &self.live_blocks_range())?;
        heap.serialize_field("allocations", &self.allocations())?;
        heap.serialize_field("deallocations", &self.deallocations())?;
        heap.serialize_field("reallocations", &self.reallocations())?;
        heap.serialize_field("failed_allocations", &self.failed_allocations())?;
        heap.serialize_field("allocated_bytes", &self.allocated_bytes())?;
        heap.serialize_field("deallocated_bytes", &self.deallocated_bytes())?;
        heap.serialize_field("peak_bytes", &self.peak_bytes())?;
        heap.serialize_field("threads", &self.threads())?;
        heap.end()
    }
}

impl HeapFigures {
    /// Bytes allocated and not yet freed: the middle of
    /// [`live_bytes_range`](Self::live_bytes_range), so off by at most half its width.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        middle(self.bounds.live_bytes())
    }

    /// The least and the most that the live bytes can have been.
    #[must_use]
    pub fn live_bytes_range(&self) -> (u64, u64) {
        self.bounds.live_bytes()
    }

    /// Blocks allocated and not yet freed: the middle of
    /// [`live_blocks_range`](Self::live_blocks_range).
    #[must_use]
    pub fn live_blocks(&self) -> u64 {
        middle(self.bounds.live_blocks())
    }

    /// The least and the most that the live blocks can have been.
    #[must_use]
    pub fn live_blocks_range(&self) -> (u64, u64) {
        self.bounds.live_blocks()
    }

    /// Successful calls of `alloc` and `alloc_zeroed` since the start of the program.
    #[must_use]
    pub fn allocations(&self) -> u64 {
        self.bounds.second.allocations
    }

    /// Calls of `dealloc`.
    #[must_use]
    pub fn deallocations(&self) -> u64 {
        self.bounds.second.deallocations
    }

    /// Successful calls of `realloc`, each counted once, whether it moved or not.
    #[must_use]
    pub fn reallocations(&self) -> u64 {
        self.bounds.second.reallocations
    }

    /// Calls that the inner allocator refused, and those that a test had refused
    /// ([`testing::fail_after`](crate::testing::fail_after) and the like). They are counted nowhere else.
    #[must_use]
    pub fn failed_allocations(&self) -> u64 {
        self.failed
    }

    /// Bytes ever allocated; a `realloc` adds its new size.
    #[must_use]
    pub fn allocated_bytes(&self) -> u64 {
        self.bounds.second.allocated
    }

    /// Bytes ever freed; a `realloc` adds its old size.
    #[must_use]
    pub fn deallocated_bytes(&self) -> u64 {
        self.bounds.second.deallocated
    }

    /// The most bytes that were ever live at once in the whole process.
    ///
    /// Off by less than 256 KiB for each thread that was alive then, the amount that a thread
    /// counts by itself before it adds to the process total; and by a single larger allocation that a
    /// thread was in the middle of while another freed. Never below the lower end of a range
    /// that was reported. For a peak exact to the byte see [`measure`](crate::measure).
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        self.peak
    }

    /// Threads alive that have allocated or freed.
    #[must_use]
    pub fn threads(&self) -> u32 {
        self.threads
    }
}

fn middle((low, high): (u64, u64)) -> u64 {
    low + (high - low.min(high)) / 2
}
