//! Values on their way: one makes the value of a key, and who else wants it waits for that one.
//!
//! # Protocol
//!
//! Who misses a key locks the part that its hash belongs to. Where a flight of the key is under way, it waits
//! for the landing. Else it looks at the table once more, for a flight that landed after the miss, and begins
//! one. A landing puts the value into the table, and takes the flight out, under the same lock. So of each key
//! one value is made at a time, and none is made that has just landed.
//!
//! Who puts in or takes out a value by itself overtakes the flights of its key before it touches the table.
//! That comes before a landing, which then leaves the table alone; or after it, and then what landed is in the
//! table. A flight that is not seen there begins later: its maker reads what the value is made of after it was
//! changed, so that the value is of the time after. For that it is enough that the change and the reading are
//! ordered by what they have to do with each other, by a lock or a message.

#[cfg(all(test, plimsoll_loom, not(plimsoll_shuttle)))]
mod model;
#[cfg(all(test, plimsoll_shuttle))]
mod storm;
#[cfg(all(test, plimsoll_loom))]
mod trial;

use crate::allocator::sync::{AtomicU64, Ordering};
use crate::waiting::{Arc, Mutex, MutexGuard, lock};
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
struct Part<K, T> {
    /// Of the list below, so that who overtakes does not lock it in vain. A flight counts until what it made
    /// is in the table.
    count: AtomicU64,
    list: Mutex<List<K, T>>,
}

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
        let part = |_| Part {
            count: AtomicU64::new(0),
            list: Mutex::new(List {
                next: 0,
                flights: Vec::new(),
            }),
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
        let mut list = lock(&part.list);
        let is_same = |flight: &&mut Flight<K, T>| flight.is_of(hash, &key) && !flight.is_overtaken;
        if let Some(flight) = list.flights.iter_mut().find(is_same) {
            let landing = flight.landing.get_or_insert_with(Arc::default);
            let waiting = Waiting {
                landing: Arc::clone(landing),
                place: None,
            };
            return Joined::Wait(waiting, key);
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
        part.count
            .store(list.flights.len() as u64, Ordering::Relaxed);
        if !self.are_used() {
            self.used.store(1, Ordering::Relaxed);
        }
        Joined::Make(Maker { part, number })
    }

    /// Whether there ever was one.
    #[inline]
    pub(super) fn are_used(&self) -> bool {
        self.used.load(Ordering::Relaxed) != 0
    }

    /// Keeps what is being made of this key from landing in the table. Comes before whatever makes it stale is
    /// done to the table.
    #[inline]
    pub(super) fn overtake<Q>(&self, key: &Q, hash: impl FnOnce(&Q) -> u64)
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if self.are_used() {
            self.overtake_one(key, hash(key));
        }
    }

    #[inline(never)]
    fn overtake_one<Q>(&self, key: &Q, hash: u64)
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let part = self.part(hash);
        if part.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut list = lock(&part.list);
        for flight in &mut list.flights {
            flight.is_overtaken |= flight.is_of(hash, key);
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
        let list = lock(&self.part.list);
        let flight = list
            .flights
            .iter()
            .find(|flight| flight.number == self.number);
        flight.map(|flight| flight.key.clone())
    }

    /// Ends the flight: with `let_in` into the table, unless it was overtaken, and with `told` to those who
    /// wait, if somebody does. Answers whether it was let in. `let_in` may let go of the lock as soon as the
    /// value is in the table.
    ///
    /// Where either panics, those who wait make it themselves.
    pub(super) fn land(
        self,
        let_in: Option<impl FnOnce(K, &mut Locked<'_, K, T>)>,
        told: impl FnOnce() -> T,
    ) -> bool {
        // Those who wait are woken after the lock is let go, whatever happens.
        let mut ending = Ending(None);
        let Maker { part, number } = self;
        forget(self);
        let (flight, mut locked) = part.end(number);
        let Some(flight) = flight else { return false };
        ending.0 = flight.landing;
        let (let_in, left) = match let_in {
            Some(let_in) if !flight.is_overtaken => (Some((let_in, flight.key)), None),
            _ => (None, Some(flight.key)),
        };
        let is_let_in = let_in.is_some();
        if let Some((let_in, key)) = let_in {
            let_in(key, &mut locked);
        }
        drop(locked);
        drop(left);
        ending.tell(told);
        is_let_in
    }
}

impl<K, T> Drop for Maker<'_, K, T> {
    fn drop(&mut self) {
        let (flight, locked) = self.part.end(self.number);
        drop(locked);
        drop(Ending(flight.and_then(|flight| flight.landing)));
    }
}

impl<K, T> Part<K, T> {
    /// Takes a flight out. It counts until the lock is let go.
    fn end(&self, number: u64) -> (Option<Flight<K, T>>, Locked<'_, K, T>) {
        let mut list = lock(&self.list);
        let flight = list.take(number);
        let locked = Locked {
            count: &self.count,
            list: Some(list),
        };
        (flight, locked)
    }
}

/// The lock under which a flight ends.
pub(super) struct Locked<'a, K, T> {
    count: &'a AtomicU64,
    list: Option<MutexGuard<'a, List<K, T>>>,
}

impl<K, T> Locked<'_, K, T> {
    /// Lets go of it, after what landed is in the table.
    pub(super) fn release(&mut self) {
        if let Some(list) = self.list.take() {
            // Who reads it finds in the table what landed.
            self.count
                .store(list.flights.len() as u64, Ordering::Release);
        }
    }
}

impl<K, T> Drop for Locked<'_, K, T> {
    fn drop(&mut self) {
        self.release();
    }
}

/// Tells those who wait, at the latest when it is dropped: then, that they have to see for themselves.
struct Ending<T>(Option<Arc<Landing<T>>>);

impl<T> Ending<T> {
    fn tell(&mut self, told: impl FnOnce() -> T) {
        if let Some(landing) = &self.0 {
            landing.end(Some(told()));
            self.0 = None;
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
    Waiting(Vec<Waker>),
    /// `None` when nothing was made.
    Over(Option<T>),
}

impl<T> Default for Landing<T> {
    fn default() -> Self {
        Landing(Mutex::new(State::Waiting(Vec::new())))
    }
}

impl<T> Landing<T> {
    fn end(&self, told: Option<T>) {
        let state = replace(&mut *lock(&self.0), State::Over(told));
        if let State::Waiting(wakers) = state {
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

/// The wait for a landing: what was made, or `None` when it is to be tried again. May be dropped at any time.
pub(super) struct Waiting<T> {
    landing: Arc<Landing<T>>,
    /// Of the waker in the list.
    place: Option<usize>,
}

impl<T> Waiting<T> {
    /// Puts a waker into the list in place of the one that is there, or behind all. Answers what to drop after
    /// the lock: with a waker may go a task, and with that another wait for the same landing.
    fn swap(&mut self, wakers: &mut Vec<Waker>, waker: &Waker) -> Option<Waker> {
        match self.place {
            Some(place) if wakers[place].will_wake(waker) => None,
            Some(place) => Some(replace(&mut wakers[place], waker.clone())),
            None => {
                let waker = waker.clone();
                self.place = Some(wakers.len());
                wakers.push(waker);
                None
            }
        }
    }
}

impl<T: Clone> Future for Waiting<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let landing = Arc::clone(&self.landing);
        let mut state = lock(&landing.0);
        let left = match &mut *state {
            State::Over(told) => return Poll::Ready(told.clone()),
            State::Waiting(wakers) => self.swap(wakers, context.waker()),
        };
        drop(state);
        drop(left);
        Poll::Pending
    }
}

/// Who no longer waits holds no task until the landing.
impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        if self.place.is_some() {
            let landing = Arc::clone(&self.landing);
            let mut state = lock(&landing.0);
            let left = match &mut *state {
                State::Waiting(wakers) => self.swap(wakers, Waker::noop()),
                State::Over(_) => None,
            };
            drop(state);
            drop(left);
        }
    }
}
