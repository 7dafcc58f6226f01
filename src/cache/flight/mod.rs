//! Values on their way: one makes the value of a key, and who else wants it waits for that one.
//!
//! # Protocol
//!
//! Who misses a key locks the part that its hash belongs to. Where a flight of the key is under way that was
//! not overtaken, it waits for the landing. Else it looks at the table once more, for a flight that landed after
//! the miss, and begins one. A landing puts the value into the table, and takes the flight out, under the same
//! lock. So none is made that has just landed, and of each key one value at a time, but for those overtaken.
//!
//! Who puts in or takes out a value by itself overtakes the flights of its key, under the same lock, before it
//! touches the table; who puts one in keeps the lock until it is there. (A value that is refused only takes out
//! what it was to replace.) That comes before a landing, which then
//! leaves the table alone; or after it, and then what landed is in the table, to be replaced or taken out. A
//! flight that is not seen there begins later: its maker has the lock after this one, and reads what the value
//! is made of as it was left by then.
//!
//! # The first flight
//!
//! A cache that never had a flight spares itself the locks. Who touched its table looks at [`are_used`] again
//! after that. The first flight sets it before the look at the table: so either that look comes after, in the
//! order that the table's own lock gives, and with it all that the maker does; or the flight is seen, and is
//! overtaken, and what was to be taken out is taken out once more. What was put in stays, unless flights have begun
//! and landed in between, that is, within this one call.
//!
//! [`are_used`]: Flights::are_used

#[cfg(all(test, plimsoll_loom, not(plimsoll_shuttle)))]
mod model;
#[cfg(all(test, plimsoll_shuttle))]
mod storm;
#[cfg(all(test, plimsoll_loom))]
mod trial;

use crate::allocator::sync::{AtomicU64, Ordering};
use crate::waiting::{Arc, Mutex, MutexGuard, lock, wake_all};
use std::borrow::Borrow;
use std::future::Future;
use std::mem::{forget, replace};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// The flights of a cache, of values that are told to those who wait as `T`.
pub(super) struct Flights<K, T> {
    /// Whether there ever was one: 1 from the first on. Who only gets and puts looks at no more.
    used: AtomicU64,
    /// As many as a power of two.
    parts: Box<[Part<K, T>]>,
}

/// On lines of its own.
#[repr(align(128))]
struct Part<K, T>(Mutex<List<K, T>>);

struct List<K, T> {
    next: u64,
    flights: Vec<Flight<K, T>>,
}

struct Flight<K, T> {
    /// No other's in this part, ever.
    number: u64,
    hash: u64,
    key: K,
    is_overtaken: bool,
    /// As soon as somebody waits.
    landing: Option<Arc<Landing<T>>>,
}

/// What somebody finds who has missed a key.
pub(super) enum Joined<'a, K, T> {
    /// It is in the table by now.
    Held(T),
    /// Another makes it. With the key, for another try.
    Wait(Waiting<T>, K),
    Make(Maker<'a, K, T>),
}

impl<K: Eq, T: Clone> Flights<K, T> {
    /// With so many locks, a power of two.
    pub(super) fn new(parts: usize) -> Flights<K, T> {
        let part = |_| {
            Part(Mutex::new(List {
                next: 0,
                flights: Vec::new(),
            }))
        };
        Flights {
            used: AtomicU64::new(0),
            parts: (0..parts.next_power_of_two()).map(part).collect(),
        }
    }

    /// Joins the flight of a key or begins one, unless `held` finds that it has landed.
    pub(super) fn join(
        &self,
        hash: u64,
        key: K,
        held: impl FnOnce(&K) -> Option<T>,
    ) -> Joined<'_, K, T> {
        let part = self.part(hash);
        let mut list = lock(&part.0);
        let is_same = |flight: &&mut Flight<K, T>| flight.is_of(hash, &key) && !flight.is_overtaken;
        if let Some(flight) = list.flights.iter_mut().find(is_same) {
            let landing = flight.landing.get_or_insert_with(Arc::default);
            let waiting = Waiting {
                landing: Arc::clone(landing),
                place: None,
            };
            return Joined::Wait(waiting, key);
        }
        // Before the look: see the first flight.
        if !self.are_used() {
            self.used.store(1, Ordering::Relaxed);
        }
        if let Some(held) = held(&key) {
            return Joined::Held(held);
        }
        let number = list.next;
        list.next += 1;
        list.flights.push(Flight {
            number,
            hash,
            key,
            is_overtaken: false,
            landing: None,
        });
        Joined::Make(Maker { part, number })
    }

    /// Whether there ever was one.
    #[inline]
    pub(super) fn are_used(&self) -> bool {
        self.used.load(Ordering::Relaxed) != 0
    }

    /// Keeps what is being made of this key from landing in the table, and others from beginning to make it,
    /// until the lock is let go.
    #[inline(never)]
    pub(super) fn overtake<Q>(&self, key: &Q, hash: u64) -> Locked<'_, K, T>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let mut list = lock(&self.part(hash).0);
        for flight in &mut list.flights {
            flight.is_overtaken |= flight.is_of(hash, key);
        }
        Locked(list)
    }

    /// Keeps all that is being made from landing in the table.
    #[cold]
    pub(super) fn overtake_all(&self) {
        for part in &self.parts {
            let mut list = lock(&part.0);
            for flight in &mut list.flights {
                flight.is_overtaken = true;
            }
        }
    }

    /// Takes something out of the table, by `take_out`, so that it does not come back from a flight that has
    /// begun before; `overtake` does that to those which it may be of. `take_out` may be called twice.
    #[inline]
    pub(super) fn take_out(&self, overtake: impl FnOnce(), mut take_out: impl FnMut()) {
        if self.are_used() {
            overtake();
            take_out();
        } else {
            take_out();
            if self.are_used() {
                overtake();
                take_out();
            }
        }
    }

    /// By bits that the table's own choice of a shard hardly depends on.
    fn part(&self, hash: u64) -> &Part<K, T> {
        &self.parts[(hash >> 48) as usize & (self.parts.len() - 1)]
    }
}

impl<K: Eq, T> Flight<K, T> {
    fn is_of<Q>(&self, hash: u64, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.hash == hash && self.key.borrow() == key
    }
}

impl<K, T> List<K, T> {
    fn take(&mut self, number: u64) -> Option<Flight<K, T>> {
        let mut numbers = self.flights.iter().map(|flight| flight.number);
        let place = numbers.position(|other| other == number)?;
        Some(self.flights.swap_remove(place))
    }
}

/// Who makes the value. Dropped, as when making failed or was cancelled, it leaves that to the others.
pub(super) struct Maker<'a, K, T> {
    part: &'a Part<K, T>,
    number: u64,
}

impl<K, T: Clone> Maker<'_, K, T> {
    /// The key, again.
    pub(super) fn key(&self) -> Option<K>
    where
        K: Clone,
    {
        let list = lock(&self.part.0);
        let flight = list
            .flights
            .iter()
            .find(|flight| flight.number == self.number);
        flight.map(|flight| flight.key.clone())
    }

    /// Ends the flight: with `let_in` into the table, unless it was overtaken, and with `told` to those who
    /// wait, if somebody does. Answers whether it was let in. `let_in` lets go of the lock as soon as the value
    /// is in the table.
    ///
    /// Where either panics, those who wait make it themselves.
    pub(super) fn land(
        self,
        let_in: Option<impl FnOnce(K, Locked<'_, K, T>)>,
        told: impl FnOnce() -> T,
    ) -> bool {
        // Those who wait are woken after the lock is let go, whatever happens.
        let mut ending = Ending(None);
        let Maker { part, number } = self;
        forget(self);
        let mut list = lock(&part.0);
        let Some(flight) = list.take(number) else {
            return false;
        };
        ending.0 = flight.landing;
        let is_let_in = match let_in {
            Some(let_in) if !flight.is_overtaken => {
                let_in(flight.key, Locked(list));
                true
            }
            _ => {
                drop(list);
                false
            }
        };
        ending.tell(told);
        is_let_in
    }
}

impl<K, T> Drop for Maker<'_, K, T> {
    fn drop(&mut self) {
        // By itself: the lock is let go before anything is dropped.
        let flight = lock(&self.part.0).take(self.number);
        if let Some(Flight { key, landing, .. }) = flight {
            // In this order, which a key whose drop panics does not change: the key, and those who wait.
            let _ending = Ending(landing);
            drop(key);
        }
    }
}

/// The lock of the flights of a key: none of them begins or lands.
pub(super) struct Locked<'a, K, T>(
    #[expect(dead_code, reason = "held")] MutexGuard<'a, List<K, T>>,
);

/// Tells those who wait, at the latest when it is dropped: then, that they have to see for themselves.
struct Ending<T>(Option<Arc<Landing<T>>>);

impl<T> Ending<T> {
    fn tell(&mut self, told: impl FnOnce() -> T) {
        if self.0.is_some() {
            let told = told();
            if let Some(landing) = self.0.take() {
                landing.end(Some(told));
            }
        }
    }
}

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        if let Some(landing) = self.0.take() {
            landing.end(None);
        }
    }
}

/// Where those wait who want what another makes.
struct Landing<T>(Mutex<State<T>>);

enum State<T> {
    Waiting(Wakers),
    /// `None` when nothing was made.
    Over(Option<T>),
}

impl<T> Default for Landing<T> {
    fn default() -> Self {
        Landing(Mutex::new(State::Waiting(Wakers::default())))
    }
}

impl<T> Landing<T> {
    fn end(&self, told: Option<T>) {
        let state = replace(&mut *lock(&self.0), State::Over(told));
        if let State::Waiting(wakers) = state {
            wake_all(wakers.places.into_iter().flatten());
        }
    }
}

/// Of those who wait for a landing, each in a place that it keeps.
#[derive(Default)]
struct Wakers {
    places: Vec<Option<Waker>>,
    /// Places that were left.
    vacant: Vec<usize>,
}

impl Wakers {
    /// Answers what to drop after the lock: with a waker may go a task, and with that another wait for the
    /// same landing.
    fn enter(&mut self, place: &mut Option<usize>, waker: &Waker) -> Option<Waker> {
        let at = *place.get_or_insert_with(|| {
            self.vacant.pop().unwrap_or_else(|| {
                self.places.push(None);
                self.places.len() - 1
            })
        });
        let own = &mut self.places[at];
        if own.as_ref().is_some_and(|own| own.will_wake(waker)) {
            return None;
        }
        // Cloned before the old one is out of its place: foreign code, which may panic.
        own.replace(waker.clone())
    }

    fn leave(&mut self, place: usize) -> Option<Waker> {
        self.vacant.push(place);
        self.places[place].take()
    }
}

/// The wait for a landing: what was made, or `None` when it is to be tried again. May be dropped at any time.
pub(super) struct Waiting<T> {
    landing: Arc<Landing<T>>,
    /// Among the wakers, from the first poll on.
    place: Option<usize>,
}

impl<T: Clone> Future for Waiting<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let landing = Arc::clone(&self.landing);
        let mut state = lock(&landing.0);
        let left = match &mut *state {
            State::Over(told) => return Poll::Ready(told.clone()),
            State::Waiting(wakers) => wakers.enter(&mut self.place, context.waker()),
        };
        drop(state);
        drop(left);
        Poll::Pending
    }
}

/// Who no longer waits holds no task until the landing.
impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let mut state = lock(&self.landing.0);
            let left = match &mut *state {
                State::Waiting(wakers) => wakers.leave(place),
                State::Over(_) => None,
            };
            drop(state);
            drop(left);
        }
    }
}
