//! What a cache has done, counted by each thread for itself.
//!
//! A counter that all threads add to costs as much as the look-up that it counts. So every thread has
//! counters of its own, which only it writes: a load and a store. Readers add them up. Sums of bytes
//! wrap: one thread may free what another inserted.
//!
//! A thread remembers where its counters of the cache are that it used last: two loads instead of six.
//! A cache that is used by what a thread destroys last, after `thread_local` has given its place to
//! another, may lose a count.

use crate::{CacheStatistics, Evictions};
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use thread_local::ThreadLocal;

/// Why an entry left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Something else needed the room.
    Capacity,
    /// A level's cap, a smaller capacity, or [`free_bytes`](super::PressureCache::free_bytes).
    Pressure,
    /// Its time was over.
    Expired,
    /// A new value of the same key.
    Replaced,
    /// It was told to.
    Removed,
}

/// One thread's, on lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Own {
    hits: AtomicU64,
    misses: AtomicU64,
    joined: AtomicU64,
    insertions: AtomicU64,
    rejected: AtomicU64,
    left: [AtomicU64; 5],
    bytes: AtomicU64,
}

/// Adds to a counter that only this thread writes.
fn bump(counter: &AtomicU64, by: u64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(by),
        Ordering::Relaxed,
    );
}

/// What one insertion has evicted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gone {
    entries: u32,
    /// How many of them made room; the others were the old value of the key.
    pub(super) to_make_room: u32,
    bytes: u64,
}

impl Gone {
    #[inline]
    pub(super) fn add(&mut self, bytes: u64) {
        self.entries += 1;
        self.bytes = self.bytes.wrapping_add(bytes);
    }
}

thread_local! {
    /// Whose counters [`NEAR`] are, by [`Counters::id`]; 0 is nobody.
    static NEAR_ID: Cell<u64> = const { Cell::new(0) };
    /// This thread's counters of the cache that it used last.
    static NEAR: Cell<*const Own> = const { Cell::new(ptr::null()) };
}

#[derive(Debug)]
pub(super) struct Counters {
    /// No other's, ever.
    id: u64,
    each: ThreadLocal<Own>,
}

impl Default for Counters {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Counters {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            each: ThreadLocal::new(),
        }
    }
}

impl Counters {
    #[inline]
    fn own(&self) -> &Own {
        if NEAR_ID.get() == self.id {
            // SAFETY: `far` has noted it together with the id, which only these counters have. They are
            // alive, and never move or give up a thread's part before they are dropped.
            return unsafe { &*NEAR.get() };
        }
        self.far()
    }

    /// Apart, so that the look-up's frame is not aligned for what a thread begins with.
    #[inline(never)]
    fn far(&self) -> &Own {
        let own = self.each.get_or_default();
        NEAR.set(own);
        NEAR_ID.set(self.id);
        own
    }

    #[inline]
    pub(super) fn hit(&self) {
        bump(&self.own().hits, 1);
    }

    #[inline]
    pub(super) fn miss(&self) {
        bump(&self.own().misses, 1);
    }

    pub(super) fn joined(&self) {
        bump(&self.own().joined, 1);
    }

    /// An insertion, with what it evicted.
    #[inline]
    pub(super) fn inserted(&self, bytes: u64, gone: Gone) {
        let own = self.own();
        bump(&own.insertions, 1);
        bump(&own.bytes, bytes.wrapping_sub(gone.bytes));
        let made_room = u64::from(gone.to_make_room);
        let replaced = u64::from(gone.entries).wrapping_sub(made_room);
        bump(&own.left[Cause::Capacity as usize], made_room);
        bump(&own.left[Cause::Replaced as usize], replaced);
    }

    pub(super) fn rejected(&self) {
        bump(&self.own().rejected, 1);
    }

    pub(super) fn left(&self, cause: Cause, bytes: u64) {
        let own = self.own();
        bump(&own.left[cause as usize], 1);
        bump(&own.bytes, bytes.wrapping_neg());
    }

    fn sum(&self, counter: impl Fn(&Own) -> &AtomicU64) -> u64 {
        let each = self
            .each
            .iter()
            .map(|own| counter(own).load(Ordering::Relaxed));
        each.fold(0, u64::wrapping_add)
    }

    /// Below zero for an instant, when a thread's insertion is read after another's eviction of it.
    pub(super) fn bytes(&self) -> u64 {
        (self.sum(|own| &own.bytes) as i64).max(0) as u64
    }

    /// The counts; the rest is the cache's to say.
    pub(super) fn read(&self) -> CacheStatistics {
        let left = |cause: Cause| self.sum(|own| &own.left[cause as usize]);
        CacheStatistics {
            bytes: self.bytes(),
            hits: self.sum(|own| &own.hits),
            misses: self.sum(|own| &own.misses),
            joined: self.sum(|own| &own.joined),
            insertions: self.sum(|own| &own.insertions),
            rejected: self.sum(|own| &own.rejected),
            evictions: Evictions {
                capacity: left(Cause::Capacity),
                pressure: left(Cause::Pressure),
                expired: left(Cause::Expired),
                replaced: left(Cause::Replaced),
                removed: left(Cause::Removed),
            },
            ..CacheStatistics::default()
        }
    }
}
