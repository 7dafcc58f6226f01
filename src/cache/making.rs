//! The ways in: values that are handed over, and values that are made by one for many.

use super::base::{Doing, Entry, Evicted, Noting, Unit, slot_bytes};
use super::due::NEVER;
use super::pressure_cache::PressureCache;
use super::stamp::{Stamp, Weight, rounded};
use super::statistics::Cause;
use super::sweeper;
use super::weigh::{Kept, Metered, Weigh};
use quick_cache::DefaultHashBuilder;
use quick_cache::sync::{EntryAction, EntryResult, GuardResult, PlaceholderGuard};
use std::borrow::Borrow;
use std::convert::Infallible;
use std::future::Future;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::Ordering;
use std::time::Duration;

type Guard<'a, K, V> = PlaceholderGuard<'a, K, Entry<V>, Unit, DefaultHashBuilder, Noting<K, V>>;
type Claim<'a, K, V> = GuardResult<'a, K, Entry<V>, Unit, DefaultHashBuilder, Noting<K, V>>;

impl<K, V> PressureCache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Puts a value in, for the cache's time to live, in place of one that is there. It was made before, so [`Weigh::Measured`] knows
    /// only its own size: [`insert_with`](Self::insert_with) measures.
    pub fn insert(&self, key: K, value: V) {
        self.put(key, value, Kept::default(), self.ttl);
    }

    /// Puts a value in that expires after a time of its own, kept to 131 µs; one below that is none.
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
    /// ```
    /// use plimsoll::cache::PressureCache;
    ///
    /// let ports = PressureCache::<String, u16>::builder("ports").entries(100).build()?;
    /// let port = ports.try_get_or_insert_with("8080", || "8080".parse())?;
    /// assert_eq!(port, 8080);
    /// assert!(ports.try_get_or_insert_with("none", || "none".parse()).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
        if let Some(value) = self.look_up(key) {
            return Ok(value);
        }
        let mut kept = Kept::default();
        let is_wanted = self.weigh.measures();
        if self.holds_nothing() {
            self.counters.rejected();
            return make();
        }
        let owned = kept.around(is_wanted, || key.to_owned());
        let mut claim = self.claim(&owned);
        let guard = loop {
            match claim {
                GuardResult::Value(entry) => {
                    if let Some(value) = self.live(entry, key) {
                        self.counters.joined();
                        return Ok(value);
                    }
                }
                GuardResult::Guard(guard) => break guard,
                GuardResult::Timeout => {}
            }
            claim = self.table.get_value_or_guard(&owned, None);
        };
        let before = self.invalidations.load(Ordering::Acquire);
        let value = kept.around(is_wanted, make)?;
        Ok(self.fill(guard, &owned, value, kept, before))
    }

    /// [`get_or_insert_with`](Self::get_or_insert_with) for values that a future makes. Only one caller
    /// polls its future; when that one is dropped, the next goes on with its own.
    ///
    /// ```
    /// # async fn load(child: u32) -> String { child.to_string() }
    /// # async fn show(children: &plimsoll::cache::PressureCache<u32, String>) -> String {
    /// children.get_or_insert_async(&7, load(7)).await
    /// # }
    /// ```
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
        if let Some(value) = self.look_up(key) {
            return Ok(value);
        }
        let mut kept = Kept::default();
        let is_wanted = self.weigh.measures();
        if self.holds_nothing() {
            self.counters.rejected();
            return make.await;
        }
        let owned = kept.around(is_wanted, || key.to_owned());
        let mut claim = self.claim(&owned);
        let guard = loop {
            match claim {
                GuardResult::Value(entry) => {
                    if let Some(value) = self.live(entry, key) {
                        self.counters.joined();
                        return Ok(value);
                    }
                }
                GuardResult::Guard(guard) => break guard,
                GuardResult::Timeout => {}
            }
            claim = match self.table.get_value_or_guard_async(&owned).await {
                Ok(entry) => GuardResult::Value(entry),
                Err(guard) => GuardResult::Guard(guard),
            };
        };
        let before = self.invalidations.load(Ordering::Acquire);
        let (made, of_value) = Metered::new(make, is_wanted).await;
        Ok(self.fill(guard, &owned, made?, kept.and(of_value), before))
    }

    /// The right to make what was just looked up in vain; or its value, if somebody was faster. `Timeout`
    /// where one is making it: then the table's own call waits, which would look the key up once more
    /// before it gives a right.
    fn claim(&self, key: &K) -> Claim<'_, K, V> {
        let keep = |_: &K, entry: &mut Entry<V>| EntryAction::Retain(entry.clone());
        match self.table.entry(key, Some(Duration::ZERO), keep) {
            EntryResult::Vacant(guard) => GuardResult::Guard(guard),
            EntryResult::Retained(entry) => GuardResult::Value(entry),
            _ => GuardResult::Timeout,
        }
    }

    pub(super) fn put(&self, key: K, value: V, kept: Kept, ttl: Option<Duration>) {
        let weight = self.weight(&key, &value, kept);
        let bytes = weight.bytes();
        let expires = self.expires(ttl);
        let (Some(expires), true) = (expires, self.capacity.admits(bytes)) else {
            self.refuse(&key);
            return;
        };
        let stamp = Stamp::new(expires, ttl != self.ttl, weight);
        let entry = Entry { value, stamp };
        let mut evicted = Evicted::by(Doing::Inserting);
        self.table.insert_with_lifecycle(key, entry, &mut evicted);
        self.counters.inserted(bytes, evicted.gone);
        self.note_due(expires);
        evicted.finish();
    }

    /// What was not let in takes the place of what was there all the same.
    #[cold]
    #[inline(never)]
    fn refuse(&self, key: &K) {
        self.counters.rejected();
        self.take_out(key, Cause::Replaced);
    }

    /// Ends what a guard was had for, and answers the value.
    fn fill(&self, guard: Guard<'_, K, V>, key: &K, value: V, kept: Kept, before: u64) -> V {
        // What was weighed goes in; the clone goes out.
        let answer = value.clone();
        let weight = self.weight(key, &value, kept);
        let bytes = weight.bytes();
        let is_stale = self.invalidations.load(Ordering::Acquire) != before;
        let Some(expires) = self.expires(self.ttl).filter(|_| !is_stale) else {
            // Others who wait make it anew: theirs is of the time after.
            self.counters.rejected();
            return answer;
        };
        let stamp = Stamp::new(expires, false, weight);
        let entry = Entry { value, stamp };
        // One that is too heavy is given to those who wait, and not held.
        let mut evicted = Evicted::by(if self.capacity.admits(bytes) {
            Doing::Inserting
        } else {
            Doing::Refusing(self.hashing.hash_one(key))
        });
        let filled = guard.insert_with_lifecycle(entry, &mut evicted);
        if filled.is_err() || evicted.is_refused() {
            self.counters.rejected();
        } else {
            self.counters.inserted(bytes, evicted.gone);
        }
        evicted.finish();
        if self.invalidations.load(Ordering::Acquire) != before {
            // It came after the look of the one who invalidated, who counted on this one.
            self.take_out(key, Cause::Removed);
        }
        self.note_due(expires);
        answer
    }

    #[inline]
    fn weight(&self, key: &K, value: &V, kept: Kept) -> Weight {
        match &self.weigh {
            Weigh::By(weigh) => Weight::of(weigh(key, value).max(1)),
            Weigh::Shallow => const { Weight::of(slot_bytes::<K, V>()) },
            Weigh::Measured => Weight::of(slot_bytes::<K, V>() + kept.bytes()),
        }
    }

    /// When what is made now expires; `None` when that is now. Without a time to live no clock is read.
    #[inline]
    fn expires(&self, ttl: Option<Duration>) -> Option<u64> {
        match ttl {
            None => Some(NEVER),
            Some(ttl) => self.expires_after(ttl),
        }
    }

    /// Apart: it would take registers from insertions without a time to live.
    #[inline(never)]
    fn expires_after(&self, ttl: Duration) -> Option<u64> {
        let now = self.clock.now();
        let expires = rounded(self.clock.expiry(now, ttl));
        (expires > now).then_some(expires)
    }

    /// After the entry is in the table.
    #[inline]
    fn note_due(&self, expires: u64) {
        if expires != NEVER
            && self.due.lower(expires)
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
}
