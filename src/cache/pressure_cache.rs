//! The cache itself.

use super::base::{Entry, Plan, Table, Unit, largest, table};
use super::builder::{CacheBuilder, Shares, TYPICAL_ENTRY};
use super::capacity::{Capacity, Limits};
use super::clock::Clock;
use super::due::Due;
use super::flight::Flights;
use super::statistics::Counters;
use super::sweeper;
use super::weigh::Weigh;
use crate::CacheStatistics;
use quick_cache::DefaultHashBuilder;
use std::borrow::Borrow;
use std::cell::Cell;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// A concurrent cache with a time to live, limits of entries and bytes, and a cap that gives way under
/// pressure. See the [module](super) for what it is for.
///
/// It evicts as `quick_cache` does, by a variant of Clock-Pro and S3-FIFO: what is asked for once does
/// not push out what is asked for often. Values are cloned when they are fetched: put large ones behind
/// an [`Arc`].
///
/// # What values must not do
///
/// The `drop` and `clone` of values and keys, a key's `eq` and `hash`, and the closure of
/// [`invalidate_if`](Self::invalidate_if) must not use the cache they are in: parts of it are locked. A value that
/// is made must not ask for its own key: it would wait for itself.
///
/// Whatever of these panics, the panic goes to who called, and the cache goes on; that of a value's `drop` goes no
/// further than to the log. But a key's `hash` or `drop` that panics while its entry is taken out leaves a table that
/// counts wrong.
pub struct PressureCache<K, V> {
    pub(super) name: String,
    /// The table's, which does not tell it.
    pub(super) hashing: DefaultHashBuilder,
    pub(super) table: Table<K, V>,
    pub(super) flights: Flights<K, Entry<V>>,
    pub(super) capacity: Capacity,
    pub(super) weigh: Weigh<K, V>,
    pub(super) ttl: Option<Duration>,
    pub(super) clock: Clock,
    pub(super) due: Arc<Due>,
    pub(super) counters: Arc<Counters>,
}

impl<K, V> fmt::Debug for PressureCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PressureCache")
            .field("name", &self.name)
            .field("limits", &self.capacity.limits())
            .field("ttl", &self.ttl)
            .field("weigh", &self.weigh)
            .finish_non_exhaustive()
    }
}

impl<K, V> PressureCache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Begins a cache. The name is for reports and metrics.
    ///
    /// ```
    /// # #[global_allocator]
    /// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
    /// use plimsoll::cache::{PressureCache, Weigh};
    /// use std::sync::Arc;
    /// use std::time::Duration;
    ///
    /// let pages = PressureCache::builder("pages")
    ///     .bytes(64 << 20)
    ///     .weigh(Weigh::Measured)
    ///     .ttl(Duration::from_secs(180))
    ///     .build()?;
    /// let page = pages.get_or_insert_with(&7, || Arc::<str>::from("<h1>seven</h1>"));
    /// assert_eq!(&*page, "<h1>seven</h1>");
    /// # Ok::<(), plimsoll::cache::CacheError>(())
    /// ```
    pub fn builder(name: impl Into<String>) -> CacheBuilder<K, V> {
        CacheBuilder::new(name)
    }

    #[allow(clippy::too_many_arguments, reason = "the builder's settings")]
    pub(super) fn new(
        name: String,
        limits: Limits,
        plan: Plan,
        weigh: Weigh<K, V>,
        ttl: Option<Duration>,
        shares: Shares,
        clock: Clock,
    ) -> Arc<PressureCache<K, V>> {
        let unit = match (limits.bytes, limits.entries) {
            // One that is switched on later is reckoned to hold what caches usually do.
            (Some(0), Some(_)) | (Some(_), Some(0)) => Unit::bytes(TYPICAL_ENTRY),
            (Some(bytes), Some(entries)) => Unit::bytes(bytes / entries),
            (Some(_), None) => Unit::bytes(1),
            (None, _) => Unit::ENTRIES,
        };
        let hashing = DefaultHashBuilder::default();
        let counters = Arc::new(Counters::default());
        let weight = limits.weight(unit);
        let table = table(plan, weight, unit, &hashing, &counters);
        let largest = largest(plan, unit);
        let is_swept = !clock.is_manual();
        let cache = Arc::new(PressureCache {
            name,
            hashing,
            // A small cache, too, may have many values on their way, which are looked through for each miss.
            flights: Flights::new(table.num_shards().max(8)),
            table,
            capacity: Capacity::new(limits, shares, unit, largest),
            weigh,
            ttl,
            due: Arc::new(Due::new()),
            clock,
            counters,
        });
        // Rounded down to whole shards.
        cache.capacity.change(&cache.table, |_| {});
        if is_swept && ttl.is_some() {
            let weak: Weak<PressureCache<K, V>> = Arc::downgrade(&cache);
            sweeper::register(weak, Arc::clone(&cache.due), cache.clock.clone());
        }
        cache
    }

    /// The name for reports.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of a key, if it is held and its time is not over. Some 30 ns.
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.look_up(key)
    }

    /// Whether a live value is held. Counts as no look-up, and says nothing of how much it is used.
    #[must_use]
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let entry = self.table.peek(key);
        entry.is_some_and(|entry| entry.is_live(|| self.clock.now()))
    }

    /// What it holds and has done. Some microseconds: each shard and each thread's counters are asked.
    #[must_use]
    pub fn statistics(&self) -> CacheStatistics {
        let limits = self.capacity.limits();
        CacheStatistics {
            entries: self.table.len() as u64,
            table_bytes: self.table.memory_used().total() as u64,
            most_entries: limits.entries_now(),
            most_bytes: limits.bytes_now(),
            share: limits.share,
            ..self.counters.read()
        }
    }

    /// How old the oldest entry is, and all on the average: of entries with the cache's own time to live,
    /// which tells when they were made, to 131 µs. `None` when there is none. Looks at every entry, as a
    /// sweep does.
    #[must_use]
    pub fn ages(&self) -> Option<Ages> {
        let now = self.clock.now();
        let (count, sum, oldest) = (Cell::new(0u64), Cell::new(0u128), Cell::new(0));
        self.table.retain(|_, entry| {
            let expires = (!entry.stamp.has_own_ttl()).then(|| entry.stamp.expires());
            if let Some(age) = expires.and_then(|expires| self.clock.age(now, expires, self.ttl)) {
                count.set(count.get() + 1);
                sum.set(sum.get() + u128::from(age));
                oldest.set(oldest.get().max(age));
            }
            true
        });
        let mean = sum.get().checked_div(u128::from(count.get()))?;
        Some(Ages {
            oldest: Duration::from_nanos(oldest.get()),
            mean: Duration::from_nanos(mean as u64),
        })
    }

    /// Counted. The one place where the table is asked like this, so that it is compiled into it.
    pub(super) fn look_up<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let entry = self.table.get(key);
        let found = entry.and_then(|entry| self.live(entry, key));
        match found {
            Some(_) => self.counters.hit(),
            None => self.counters.miss(),
        }
        found
    }

    /// Takes out an entry whose time is over.
    #[inline]
    pub(super) fn live<Q>(&self, entry: Entry<V>, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if entry.is_live(|| self.clock.now()) {
            return Some(entry.value.into_inner());
        }
        self.take_expired(key);
        None
    }
}

/// How long entries have been held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ages {
    /// The oldest entry's.
    pub oldest: Duration,
    /// The average of all.
    pub mean: Duration,
}
