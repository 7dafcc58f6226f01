//! What a cache has done, counted by each thread for itself.
//!
//! A counter that all threads add to costs as much as the look-up that it counts. So every thread has
//! counters of its own, which only it writes: a load and a store. Readers add them up. Sums of bytes
//! wrap: one thread may free what another inserted.

use crate::{CacheStatistics, Evictions};
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

#[derive(Debug, Default)]
pub(super) struct Counters(ThreadLocal<Own>);

impl Counters {
    #[inline]
    fn own(&self) -> &Own {
        match self.0.get() {
            Some(own) => own,
            None => self.begin(),
        }
    }

    /// A thread's first. Apart, so that the look-up's frame is not aligned for it.
    #[cold]
    #[inline(never)]
    fn begin(&self) -> &Own {
        self.0.get_or_default()
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

    pub(super) fn inserted(&self, bytes: u64) {
        let own = self.own();
        bump(&own.insertions, 1);
        bump(&own.bytes, bytes);
    }

    /// Takes back [`inserted`](Self::inserted): it was not let in.
    pub(super) fn not_inserted(&self, bytes: u64) {
        let own = self.own();
        bump(&own.rejected, 1);
        bump(&own.insertions, 1u64.wrapping_neg());
        bump(&own.bytes, bytes.wrapping_neg());
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
            .0
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
