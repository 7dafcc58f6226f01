//! The ways out: by order, by time, and for want of room.

use super::base::Entry;
use super::builder::CacheError;
use super::capacity::Limits;
use super::due::NEVER;
use super::freed::freed;
use super::pressure_cache::PressureCache;
use super::statistics::Cause;
use super::sweeper::Sweep;
use crate::caught::kept;
use crate::{CacheStatistics, ConfigFault, Level, Shrink};
use std::borrow::Borrow;
use std::cell::{Cell, RefCell};
use std::hash::Hash;
use std::panic::resume_unwind;

/// Of evictions, until enough is free.
const ROUNDS: usize = 32;

impl<K, V> PressureCache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Takes an entry out, and answers it if its time was not over. A value of this key that a
    /// [`get_or_insert_with`](Self::get_or_insert_with) or its like is making meanwhile is answered to those who
    /// wait for it by then, and not let in: who asks from now on has one made.
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let entry = self.take_out(key, Cause::Removed)?;
        let is_live = entry.is_live(|| self.clock.now());
        is_live.then(|| entry.value.into_inner())
    }

    /// Takes out all entries of which `is_stale` is true, and answers their number. Values that a
    /// [`get_or_insert_with`](Self::get_or_insert_with) or its like is making meanwhile, of any key, are answered
    /// to those who wait for them by then, and not let in: they may be of the time before. Looks at every entry.
    ///
    /// # Panics
    ///
    /// When `is_stale` does, after all entries have been looked at: what it panics at stays.
    pub fn invalidate_if(&self, is_stale: impl Fn(&K, &V) -> bool) -> u64 {
        let panicked = RefCell::new(None);
        let is_kept = |key: &K, entry: &Entry<V>| {
            // A panic that came through the table would leave entries that are counted as gone.
            let is_stale = kept(&mut panicked.borrow_mut(), || is_stale(key, &entry.value));
            !is_stale.unwrap_or(false)
        };
        let mut taken = 0;
        let take_out = || taken += self.retain(Cause::Removed, is_kept);
        self.flights
            .take_out(|| self.flights.overtake_all(), take_out);
        if let Some(panic) = panicked.into_inner() {
            resume_unwind(panic);
        }
        taken
    }

    /// Takes out all entries; as [`invalidate_if`](Self::invalidate_if), but no lock is held while
    /// values are dropped.
    pub fn clear(&self) {
        let take_out = || {
            for (_, entry) in self.table.drain() {
                self.counters.left(Cause::Removed, entry.bytes());
            }
        };
        self.flights
            .take_out(|| self.flights.overtake_all(), take_out);
    }

    /// Gives back what has expired, now, and answers the number of entries. A thread does it for caches
    /// with a time to live: at the latest 250 ms after an entry expires, or 200 times what the last
    /// sweep took. Looks at every entry; each part of 16,384 is locked for some 0.2 ms.
    pub fn sweep(&self) -> u64 {
        let now = self.clock.now();
        // Forgotten before the look: see the sweeper.
        self.due.forget();
        let first = Cell::new(NEVER);
        let swept = self.retain(Cause::Expired, |_, entry| {
            let is_live = entry.is_live(|| now);
            if is_live {
                first.set(first.get().min(entry.stamp.expires()));
            }
            is_live
        });
        self.due.lower(first.get());
        swept
    }

    /// Evicts at least so many bytes, what is used least first, and answers the bytes that this really
    /// freed: as the thread's own counters saw it where [`Plimsoll`](crate::Plimsoll) is the program's
    /// allocator, else as the weights say.
    ///
    /// Values that are still in use elsewhere are evicted, and freed by whoever lets go last: they do
    /// not count, and others are evicted instead. Ends when enough was freed, nothing is held, or it has
    /// tried 32 times in vain because others insert as fast. A cache
    /// of several shards may free some per cent of what it holds beyond that: all shards are brought to
    /// the same size. What is evicted may come back: a cap that lasts comes with a level.
    pub fn free_bytes(&self, wanted: u64) -> u64 {
        let mut freed = 0u64;
        for _ in 0..ROUNDS {
            if freed >= wanted {
                break;
            }
            let held = self.counters.bytes();
            let entries = self.table.len();
            if entries == 0 {
                break;
            }
            // At least one entry, though it may weigh nothing.
            let part = (wanted - freed) as f64 / held.max(1) as f64;
            let part = part.max(1.0 / entries as f64).min(1.0);
            freed += self.freeing(|| self.capacity.squeeze(&self.table, 1.0 - part));
        }
        freed
    }

    /// Holds at most so many entries from now on; what is over is evicted before it comes back. Under a
    /// level its share holds for the new limit.
    ///
    /// Where bytes are limited too, an entry goes on to count for at least bytes ÷ entries as they were
    /// [built](crate::cache::CacheBuilder::bytes): more entries alone then make room for no more.
    ///
    /// A cache keeps its shards: one that was built for many entries and has fewer than one for each
    /// shard holds nothing. A table that has held nothing at all forgets which keys it evicted lately,
    /// and learns no more of them.
    ///
    /// # Errors
    ///
    /// When it was built without a limit of entries.
    pub fn set_entries(&self, most: u64) -> Result<(), CacheError> {
        self.resize("entries", most, |limits| &mut limits.entries)
    }

    /// Holds at most so many bytes from now on; as [`set_entries`](Self::set_entries).
    ///
    /// # Errors
    ///
    /// When it was built without a limit of bytes.
    pub fn set_bytes(&self, most: u64) -> Result<(), CacheError> {
        self.resize("bytes", most, |limits| &mut limits.bytes)
    }

    #[cold]
    pub(super) fn take_expired<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        // It may have been replaced by now.
        let is_over = |entry: &Entry<V>| !entry.is_live(|| self.clock.now());
        if let Some((_, entry)) = self.table.remove_if(key, is_over) {
            self.counters.left(Cause::Expired, entry.bytes());
        }
    }

    /// The entry of a key, and what is being made of it meanwhile does not come in.
    pub(super) fn take_out<Q>(&self, key: &Q, cause: Cause) -> Option<Entry<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut taken = None;
        let take_out = || {
            if let Some((_, entry)) = self.table.remove(key) {
                self.counters.left(cause, entry.bytes());
                // Of two, the one that was there when this was called.
                taken.get_or_insert(entry);
            }
        };
        self.flights.take_out(|| drop(self.overtake(key)), take_out);
        taken
    }

    /// Takes out what `is_kept` is false of, and answers how many.
    fn retain(&self, cause: Cause, is_kept: impl Fn(&K, &Entry<V>) -> bool) -> u64 {
        let taken = Cell::new(0u64);
        self.table.retain(|key, entry| {
            let is_kept = is_kept(key, entry);
            if !is_kept {
                taken.set(taken.get() + 1);
                self.counters.left(cause, entry.bytes());
            }
            is_kept
        });
        taken.get()
    }

    fn resize(
        &self,
        setting: &'static str,
        most: u64,
        of: impl FnOnce(&mut Limits) -> &mut Option<u64>,
    ) -> Result<(), CacheError> {
        let mut is_limited = true;
        self.capacity
            .change(&self.table, |limits| match of(limits) {
                Some(limit) => *limit = most,
                None => is_limited = false,
            });
        if is_limited {
            return Ok(());
        }
        Err(CacheError {
            cache: self.name.clone(),
            faults: vec![ConfigFault {
                setting,
                value: most.to_string(),
                expected: "a cache that was built with this limit",
            }],
        })
    }

    fn freeing(&self, work: impl FnOnce()) -> u64 {
        freed(|| self.counters.bytes(), work)
    }
}

impl<K, V> Shrink for PressureCache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn bytes(&self) -> u64 {
        self.counters.bytes()
    }

    fn shrink(&self, level: Level) -> u64 {
        self.freeing(|| self.capacity.follow(&self.table, level))
    }

    fn statistics(&self) -> Option<CacheStatistics> {
        Some(PressureCache::statistics(self))
    }
}

impl<K, V> Sweep for PressureCache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn sweep(&self) {
        PressureCache::sweep(self);
    }
}
