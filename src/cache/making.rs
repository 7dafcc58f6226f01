//! The ways in: values that are handed over, and values that are made by one for many.

use super::base::{Entry, Evicted, Held, slot_bytes};
use super::due::NEVER;
use super::flight::{Joined, Locked, Maker};
use super::pressure_cache::PressureCache;
use super::stamp::{Stamp, Weight, rounded};
use super::statistics::Cause;
use super::sweeper;
use super::weigh::{Kept, Metered, Weigh, Weigher};
use crate::waiting::block_on;
use std::borrow::Borrow;
use std::convert::Infallible;
use std::future::Future;
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

impl<K, V> PressureCache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Puts a value in, for the cache's time to live, in place of one that is there. It was made before, so
    /// [`Weigh::Measured`] knows only its own size: [`insert_with`](Self::insert_with) measures.
    ///
    /// One that is [too heavy](crate::cache::CacheBuilder::bytes), or has no time to live, is dropped, and what was
    /// there leaves all the same.
    ///
    /// A value of this key that others began to make before this call is answered to them, and does not take its
    /// place. One that they begin and end while this runs can, where this cache had never had one made before.
    #[inline]
    pub fn insert(&self, key: K, value: V) {
        // As most are: for ever, and of the weight that all values have.
        let usual = const { Weight::of(slot_bytes::<K, V>()) };
        let is_usual = !matches!(self.weigh, Weigh::By(_))
            && self.ttl.is_none()
            && self.capacity.admits(usual.bytes())
            && !self.flights.are_used();
        if is_usual {
            self.let_in(key, Held::new(value), Stamp::new(NEVER, false, usual), None);
        } else {
            self.put(key, value, Kept::default(), self.ttl);
        }
    }

    /// [`insert`](Self::insert) of a value that expires after a time of its own, kept to 131 µs, or, in a cache
    /// whose own [time to live](crate::cache::CacheBuilder::ttl) is a second or more, or for ever, up to two ticks of
    /// the kernel's coarse clock early, mostly 4 ms each. With less than that it is not held at all.
    ///
    /// Where the cache has no time to live, the memory of such entries is given back on access and by
    /// [`sweep`](Self::sweep) only.
    pub fn insert_for(&self, key: K, value: V, ttl: Duration) {
        self.put(key, value, Kept::default(), Some(ttl));
    }

    /// Makes a value and puts it in, whether or not there was one. It is weighed while it is made.
    ///
    /// As [`insert`](Self::insert) of what `make` answers: it goes in though its key was taken out in the
    /// meantime. A value that must not outlive an invalidation is made by
    /// [`get_or_insert_with`](Self::get_or_insert_with).
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
        let mut owned = kept.around(is_wanted, || key.to_owned());
        let maker = loop {
            let (waiting, again) = match self.join(owned) {
                Joined::Held(entry) => return Ok(self.joined(entry)),
                Joined::Make(maker) => break maker,
                Joined::Wait(waiting, again) => (waiting, again),
            };
            let landed = block_on(waiting, None).flatten();
            if let Some(value) = landed.and_then(|entry| self.live(entry, key)) {
                self.counters.joined();
                return Ok(value);
            }
            owned = again;
        };
        let value = kept.around(is_wanted, make)?;
        Ok(self.fill(maker, value, kept))
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
        let mut owned = kept.around(is_wanted, || key.to_owned());
        let maker = loop {
            let (waiting, again) = match self.join(owned) {
                Joined::Held(entry) => return Ok(self.joined(entry)),
                Joined::Make(maker) => break maker,
                Joined::Wait(waiting, again) => (waiting, again),
            };
            if let Some(value) = waiting.await.and_then(|entry| self.live(entry, key)) {
                self.counters.joined();
                return Ok(value);
            }
            owned = again;
        };
        let (made, of_value) = Metered::new(make, is_wanted).await;
        Ok(self.fill(maker, made?, kept.and(of_value)))
    }

    /// The flight of a key that was just looked up in vain; or its value, if somebody was faster.
    fn join(&self, key: K) -> Joined<'_, K, Entry<V>> {
        let hash = self.hashing.hash_one(&key);
        // What has expired since is replaced by the landing. Its clone is dropped after the lock is let go.
        let mut expired = None;
        self.flights.join(hash, key, |key| {
            // Not as a look-up, which is compiled into the one place that does it.
            let entry = self.table.peek(key)?;
            if entry.is_live(|| self.clock.now()) {
                return Some(entry);
            }
            expired = Some(entry);
            None
        })
    }

    /// The value of one that was looked up in vain and is there after all.
    fn joined(&self, entry: Entry<V>) -> V {
        self.counters.joined();
        entry.value.into_inner()
    }

    /// What is being made of this key may be of the time before it is put in or taken out.
    pub(super) fn overtake<Q>(&self, key: &Q) -> Locked<'_, K, Entry<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.flights.overtake(key, self.hashing.hash_one(key))
    }

    #[inline(never)]
    fn put(&self, key: K, value: V, kept: Kept, ttl: Option<Duration>) {
        // Whichever way it goes from here.
        let value = Held::new(value);
        let weight = self.weight(kept, |weigh| weigh(&key, &value));
        let expires = self.expires(ttl);
        let (Some(expires), true) = (expires, self.capacity.admits(weight.bytes())) else {
            self.counters.rejected();
            // It takes the place of what was there all the same.
            self.take_out(&key, Cause::Replaced);
            return;
        };
        let stamp = Stamp::new(expires, ttl != self.ttl, weight);
        let flights = self.flights.are_used().then(|| self.overtake(&key));
        self.let_in(key, value, stamp, flights);
    }

    /// Puts an entry into the table, and lets go of its flights before it drops what was evicted. Without
    /// them, of a cache that had none.
    ///
    /// The one place that does it, so that the table's insertion is compiled into it.
    #[inline(never)]
    fn let_in(
        &self,
        key: K,
        value: Held<V>,
        stamp: Stamp,
        flights: Option<Locked<'_, K, Entry<V>>>,
    ) {
        let mut evicted = Evicted::by_inserting();
        let entry = Entry { value, stamp };
        self.table.insert_with_lifecycle(key, entry, &mut evicted);
        if flights.is_none() && self.flights.are_used() {
            self.flights.overtake_all();
        }
        drop(flights);
        self.counters.inserted(stamp.weight().bytes(), evicted.gone);
        self.note_due(stamp.expires());
    }

    /// Ends a flight with what was made, and answers that.
    fn fill(&self, maker: Maker<'_, K, Entry<V>>, value: V, kept: Kept) -> V {
        // What was weighed goes in; the clone goes out.
        let value = Held::new(value);
        let answer = value.clone();
        let weight = self.weight(kept, |weigh| {
            maker.key().map_or(0, |key| weigh(&key, &value))
        });
        let Some(expires) = self.expires(self.ttl) else {
            self.counters.rejected();
            return answer.into_inner();
        };
        let stamp = Stamp::new(expires, false, weight);
        let let_in = |key, flights: Locked<'_, _, _>| self.let_in(key, value, stamp, Some(flights));
        // One that is too heavy is told to those who wait, and not held.
        let let_in = self.capacity.admits(weight.bytes()).then_some(let_in);
        let told = || Entry {
            value: answer.clone(),
            stamp,
        };
        if !maker.land(let_in, told) {
            self.counters.rejected();
        }
        answer.into_inner()
    }

    #[inline]
    fn weight(&self, kept: Kept, by: impl FnOnce(&Weigher<K, V>) -> u64) -> Weight {
        match &self.weigh {
            Weigh::By(weigh) => Weight::of(by(weigh).max(1)),
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
