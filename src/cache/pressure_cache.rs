//! The cache itself.

use super::base::{
    Asked, Doing, Entry, Evicted, Hashed, Hashing, Table, Unit, largest, slot_bytes, table,
};
use super::builder::{CacheBuilder, CacheError, Shares};
use super::capacity::{Capacity, Limits};
use super::clock::{Clock, NEVER};
use super::freed::freed;
use super::statistics::{Cause, Counters};
use super::sweeper::{self, Sweep};
use super::weigh::{Kept, Metered, Weigh};
use crate::{CacheStatistics, ConfigFault, Level, Shrink};
use quick_cache::sync::{GuardResult, PlaceholderGuard};
use std::borrow::Borrow;
use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

type Guard<'a, K, V> =
    PlaceholderGuard<'a, Hashed<K>, Entry<V>, Unit, super::base::Known, super::base::Noting<K, V>>;

/// A concurrent cache with a time to live, limits of entries and bytes, and a cap that gives way under
/// pressure. See the [module](super) for what it is for.
///
/// It evicts as `quick_cache` does, by a variant of Clock-Pro and S3-FIFO: what is asked for once does
/// not push out what is asked for often. Values are cloned when they are fetched: put large ones behind
/// an [`Arc`].
///
/// # What values must not do
///
/// A value's `drop` and the closures of [`invalidate_if`](Self::invalidate_if) and
/// [`Weigh::By`] must not use the cache they are in: parts of it are locked. A value that is made must
/// not ask for its own key: it would wait for itself.
pub struct PressureCache<K, V> {
    name: String,
    hashing: Hashing,
    table: Table<K, V>,
    capacity: Capacity,
    weigh: Weigh<K, V>,
    ttl: Option<Duration>,
    clock: Clock,
    /// When the first entry expires, as far as is known: never later than it does.
    due: AtomicU64,
    /// Goes on with every invalidation of several entries: what was begun before is not let in after.
    invalidations: AtomicU64,
    counters: Arc<Counters>,
    own: Weak<PressureCache<K, V>>,
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
        expected_entries: u64,
        weigh: Weigh<K, V>,
        ttl: Option<Duration>,
        shares: Shares,
        clock: Clock,
    ) -> Arc<PressureCache<K, V>> {
        let unit = Unit {
            counts_bytes: limits.bytes.is_some(),
            least: match (limits.bytes, limits.entries) {
                (Some(bytes), Some(entries)) => bytes.checked_div(entries).unwrap_or(1).max(1),
                _ => 1,
            },
        };
        let counters = Arc::new(Counters::default());
        let weight = limits.weight(unit);
        let table = table(expected_entries, weight, unit, &counters);
        let largest = largest(expected_entries, unit);
        let is_swept = !clock.is_manual();
        let cache = Arc::new_cyclic(|own| PressureCache {
            name,
            hashing: Hashing::default(),
            table,
            capacity: Capacity::new(limits, shares, unit, largest),
            weigh,
            ttl,
            clock,
            due: AtomicU64::new(NEVER),
            invalidations: AtomicU64::new(0),
            counters,
            own: Weak::clone(own),
        });
        // Rounded down to whole shards.
        cache.capacity.change(&cache.table, |_| {});
        if is_swept && ttl.is_some() {
            let own: Weak<PressureCache<K, V>> = Weak::clone(&cache.own);
            sweeper::register(own);
        }
        cache
    }

    /// The name for reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of a key, if it is held and its time is not over. Some 30 ns.
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.look_up(&self.hashing.asked(key))
    }

    /// Whether a live value is held. Counts as no look-up, and says nothing of how much it is used.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let entry = self.table.peek(&self.hashing.asked(key));
        entry.is_some_and(|entry| entry.is_live(|| self.clock.now()))
    }

    /// Puts a value in, for the cache's time to live. It was made before, so [`Weigh::Measured`] knows
    /// only its own size: [`insert_with`](Self::insert_with) measures.
    pub fn insert(&self, key: K, value: V) {
        self.put(key, value, Kept::default(), self.ttl);
    }

    /// Puts a value in that expires after a time of its own.
    ///
    /// Where the cache has no time to live, the memory of such entries is given back on access and by
    /// [`sweep`](Self::sweep) only.
    pub fn insert_for(&self, key: K, value: V, ttl: Duration) {
        self.put(key, value, Kept::default(), Some(ttl));
    }

    /// Makes a value and puts it in, whether or not there was one. It is weighed while it is made.
    pub fn insert_with(&self, key: K, make: impl FnOnce() -> V) {
        let mut kept = Kept::default();
        let is_wanted = self.weigh.measures();
        // The key was made before; a clone tells what it holds.
        let key = kept.around(is_wanted, || key.clone());
        let value = kept.around(is_wanted, make);
        self.put(key, value, kept, self.ttl);
    }

    /// The value of a key; where there is none it is made, by one caller at a time: the others wait for
    /// it. When `make` panics, the next one makes it.
    pub fn get_or_insert_with<Q>(&self, key: &Q, make: impl FnOnce() -> V) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let made = self.try_get_or_insert_with(key, || Ok::<V, Infallible>(make()));
        made.unwrap_or_else(|never| match never {})
    }

    /// [`get_or_insert_with`](Self::get_or_insert_with) for values whose making can fail.
    ///
    /// # Errors
    ///
    /// What `make` says. Nothing is held then, and the next caller makes it.
    pub fn try_get_or_insert_with<Q, E>(
        &self,
        key: &Q,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let asked = self.hashing.asked(key);
        if let Some(value) = self.look_up(&asked) {
            return Ok(value);
        }
        let mut kept = Kept::default();
        let is_wanted = self.weigh.measures();
        if self.holds_nothing() {
            self.counters.rejected();
            return make();
        }
        let hashed = kept.around(is_wanted, || asked.owned());
        let guard = loop {
            match self.table.get_value_or_guard(&hashed, None) {
                GuardResult::Value(entry) => {
                    if let Some(value) = self.live(entry, &asked) {
                        self.counters.joined();
                        return Ok(value);
                    }
                }
                GuardResult::Guard(guard) => break guard,
                GuardResult::Timeout => {}
            }
        };
        let before = self.invalidations.load(Ordering::Acquire);
        let value = kept.around(is_wanted, make)?;
        Ok(self.fill(guard, &hashed, value, kept, before))
    }

    /// [`get_or_insert_with`](Self::get_or_insert_with) for values that a future makes. Only one caller
    /// polls its future; when that one is dropped, the next goes on with its own.
    pub async fn get_or_insert_async<Q, F>(&self, key: &Q, make: F) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = V>,
    {
        let make = async { Ok::<V, Infallible>(make.await) };
        let made = self.try_get_or_insert_async(key, make).await;
        made.unwrap_or_else(|never| match never {})
    }

    /// [`get_or_insert_async`](Self::get_or_insert_async) for values whose making can fail.
    ///
    /// # Errors
    ///
    /// What `make` says. Nothing is held then, and the next caller makes it.
    pub async fn try_get_or_insert_async<Q, E, F>(&self, key: &Q, make: F) -> Result<V, E>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Result<V, E>>,
    {
        let asked = self.hashing.asked(key);
        if let Some(value) = self.look_up(&asked) {
            return Ok(value);
        }
        let mut kept = Kept::default();
        let is_wanted = self.weigh.measures();
        if self.holds_nothing() {
            self.counters.rejected();
            return make.await;
        }
        let hashed = kept.around(is_wanted, || asked.owned());
        let guard = loop {
            match self.table.get_value_or_guard_async(&hashed).await {
                Ok(entry) => {
                    if let Some(value) = self.live(entry, &asked) {
                        self.counters.joined();
                        return Ok(value);
                    }
                }
                Err(guard) => break guard,
            }
        };
        let before = self.invalidations.load(Ordering::Acquire);
        let (made, of_value) = Metered::new(make, is_wanted).await;
        Ok(self.fill(guard, &hashed, made?, kept.and(of_value), before))
    }

    /// Takes an entry out, and answers it if its time was not over. A value of this key that is being
    /// made meanwhile is answered to those who wait for it, and not let in.
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (_, entry) = self.table.remove(&self.hashing.asked(key))?;
        self.counters.left(Cause::Removed, entry.bytes);
        let is_live = entry.is_live(|| self.clock.now());
        is_live.then_some(entry.value)
    }

    /// Takes out all entries of which `is_stale` is true, and answers their number. Values that are
    /// being made meanwhile are answered, and not let in: they may be of the time before. Looks at every
    /// entry.
    pub fn invalidate_if(&self, is_stale: impl Fn(&K, &V) -> bool) -> u64 {
        self.invalidations.fetch_add(1, Ordering::AcqRel);
        self.retain(Cause::Removed, |hashed, entry| {
            !is_stale(&hashed.key, &entry.value)
        })
    }

    /// Takes out all entries; as [`invalidate_if`](Self::invalidate_if), but no lock is held while
    /// values are dropped.
    pub fn clear(&self) {
        self.invalidations.fetch_add(1, Ordering::AcqRel);
        for (_, entry) in self.table.drain() {
            self.counters.left(Cause::Removed, entry.bytes);
        }
    }

    /// Gives back what has expired, now, and answers the number of entries. A thread does it for caches
    /// with a time to live: at the latest 250 ms after an entry expires, or 200 times what the last
    /// sweep took. Looks at every entry; each part of 16,384 is locked for some 0.2 ms.
    pub fn sweep(&self) -> u64 {
        let now = self.clock.now();
        // Forgotten before the look: see the sweeper.
        self.due.store(NEVER, Ordering::Release);
        let first = Cell::new(NEVER);
        let swept = self.retain(Cause::Expired, |_, entry| {
            let is_live = entry.is_live(|| now);
            if is_live {
                first.set(first.get().min(entry.expires));
            }
            is_live
        });
        self.due.fetch_min(first.get(), Ordering::AcqRel);
        swept
    }

    /// Evicts at least so many bytes, what is used least first, and answers the bytes that this really
    /// freed: as the thread's own counters saw it where [`Plimsoll`](crate::Plimsoll) is the program's
    /// allocator, else as the weights say.
    ///
    /// Values that are still in use elsewhere are evicted, and freed by whoever lets go last: they do
    /// not count, and others are evicted instead. Ends when enough was freed or nothing is held. A cache
    /// of several shards may free some per cent of what it holds beyond that: all shards are brought to
    /// the same size. What is evicted may come back: a cap that lasts comes with a level.
    pub fn free_bytes(&self, wanted: u64) -> u64 {
        let mut freed = 0u64;
        while freed < wanted {
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

    /// What it holds and has done. Some microseconds: each shard and each thread's counters are asked.
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

    /// How old the oldest entry is, and all on the average; `None` when there is none. Looks at every
    /// entry, as a sweep does.
    pub fn ages(&self) -> Option<Ages> {
        let now = self.clock.now();
        let (count, sum, first) = (Cell::new(0u64), Cell::new(0u128), Cell::new(now));
        self.table.retain(|_, entry| {
            count.set(count.get() + 1);
            sum.set(sum.get() + u128::from(now.saturating_sub(entry.made)));
            first.set(first.get().min(entry.made));
            true
        });
        let mean = sum.get().checked_div(u128::from(count.get()))?;
        Some(Ages {
            oldest: Duration::from_nanos(now - first.get()),
            mean: Duration::from_nanos(mean as u64),
        })
    }

    /// Counted. The one place where the table is asked like this, so that it is compiled into it.
    fn look_up<Q>(&self, asked: &Asked<'_, Q>) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let entry = self.table.get(asked);
        let found = entry.and_then(|entry| self.live(entry, asked));
        match found {
            Some(_) => self.counters.hit(),
            None => self.counters.miss(),
        }
        found
    }

    /// Takes out an entry whose time is over.
    #[inline]
    fn live<Q>(&self, entry: Entry<V>, asked: &Asked<'_, Q>) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if entry.is_live(|| self.clock.now()) {
            return Some(entry.value);
        }
        self.take_expired(asked);
        None
    }

    #[cold]
    fn take_expired<Q>(&self, asked: &Asked<'_, Q>)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        // It may have been replaced by now.
        let is_over = |entry: &Entry<V>| !entry.is_live(|| self.clock.now());
        if let Some((_, entry)) = self.table.remove_if(asked, is_over) {
            self.counters.left(Cause::Expired, entry.bytes);
        }
    }

    fn put(&self, key: K, value: V, kept: Kept, ttl: Option<Duration>) {
        let hash = self.hashing.asked(&key).hash;
        let entry = self.entry(&key, value, kept, ttl);
        let hashed = Hashed { hash, key };
        if entry.expires <= entry.made || !self.capacity.admits(entry.bytes) {
            self.counters.rejected();
            self.take_out(&hashed, Cause::Replaced);
            return;
        }
        let expires = entry.expires;
        self.counters.inserted(entry.bytes);
        let mut evicted = Evicted::by(Doing::Putting(hash));
        self.table
            .insert_with_lifecycle(hashed, entry, &mut evicted);
        self.note_due(expires);
    }

    /// Ends what a guard was had for, and answers the value.
    fn fill(
        &self,
        guard: Guard<'_, K, V>,
        hashed: &Hashed<K>,
        value: V,
        kept: Kept,
        before: u64,
    ) -> V {
        // What was weighed goes in; the clone goes out.
        let answer = value.clone();
        let entry = self.entry(&hashed.key, value, kept, self.ttl);
        let (bytes, expires) = (entry.bytes, entry.expires);
        if self.invalidations.load(Ordering::Acquire) != before {
            // Others who wait make it anew: theirs is of the time after.
            self.counters.rejected();
            return answer;
        }
        let is_admitted = self.capacity.admits(bytes);
        if is_admitted {
            self.counters.inserted(bytes);
        } else {
            self.counters.rejected();
        }
        // One that is too heavy is given to those who wait, and not held.
        let mut evicted = Evicted::by(if is_admitted {
            Doing::Filling
        } else {
            Doing::Refusing(hashed.hash)
        });
        let filled = guard.insert_with_lifecycle(entry, &mut evicted);
        if is_admitted && filled.is_err() {
            self.counters.not_inserted(bytes);
            self.counters.rejected();
        }
        drop(evicted);
        if self.invalidations.load(Ordering::Acquire) != before {
            // It came after the look of the one who invalidated, who counted on this one.
            self.take_out(hashed, Cause::Removed);
        }
        self.note_due(expires);
        answer
    }

    /// Inlined, as it would be written to memory in parts and read again as a whole.
    #[inline(always)]
    fn entry(&self, key: &K, value: V, kept: Kept, ttl: Option<Duration>) -> Entry<V> {
        let bytes = match &self.weigh {
            Weigh::By(weigh) => weigh(key, &value).max(1),
            Weigh::Shallow => slot_bytes::<K, V>(),
            Weigh::Measured => slot_bytes::<K, V>().saturating_add(kept.bytes()),
        };
        let made = self.clock.now();
        Entry {
            value,
            expires: self.clock.expiry(made, ttl),
            made,
            bytes,
        }
    }

    fn take_out(&self, hashed: &Hashed<K>, cause: Cause) {
        if let Some((_, entry)) = self.table.remove(hashed) {
            self.counters.left(cause, entry.bytes);
        }
    }

    /// Takes out what `is_kept` is false of, and answers how many.
    fn retain(&self, cause: Cause, is_kept: impl Fn(&Hashed<K>, &Entry<V>) -> bool) -> u64 {
        let taken = Cell::new(0u64);
        self.table.retain(|hashed, entry| {
            let is_kept = is_kept(hashed, entry);
            if !is_kept {
                taken.set(taken.get() + 1);
                self.counters.left(cause, entry.bytes);
            }
            is_kept
        });
        taken.get()
    }

    /// After the entry is in the table.
    #[inline]
    fn note_due(&self, expires: u64) {
        if expires < self.due.load(Ordering::Acquire)
            && self.due.fetch_min(expires, Ordering::AcqRel) > expires
            && self.ttl.is_some()
            && !self.clock.is_manual()
        {
            sweeper::wake();
        }
    }

    /// Nothing would be let in, so nobody has to wait for anybody.
    fn holds_nothing(&self) -> bool {
        self.ttl == Some(Duration::ZERO) || !self.capacity.admits(0)
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

/// How long entries have been held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ages {
    /// The oldest entry's.
    pub oldest: Duration,
    /// The average of all.
    pub mean: Duration,
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
    fn due_in(&self) -> Option<Duration> {
        let due = self.due.load(Ordering::Acquire);
        let wait = due.saturating_sub(self.clock.now());
        (due != NEVER).then(|| Duration::from_nanos(wait))
    }

    fn sweep(&self) {
        PressureCache::sweep(self);
    }
}
