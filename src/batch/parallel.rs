//! Items in parallel on rayon's pool, so many bytes of them at once.
//!
//! # Why it does not deadlock
//!
//! The thread that calls feeds the pool: it fetches an item, acquires the item's bytes, and only then
//! spawns the work. Work in the pool holds a permit and never asks for one, so it goes on whatever the
//! budget is. The feeder waits while it holds nothing, and how depends on where it is:
//!
//! - *Outside the pool* it blocks. Whoever holds permits is at work and gives them back.
//! - *On a thread of the pool*, as inside another job, the work that it waits for may need that very
//!   thread. So it runs other work of the pool while it waits, and it waits only for items of its own:
//!   when none of them is at work and the budget is still full, others hold it, who may in turn wait for
//!   this thread, so it runs the item itself, then and there, without a permit. That is over the budget by
//!   one item, and the price of never standing still.
//!
//! Items that are spawned wait in the pool's queue with their permits, so no more than twice as many as
//! there are threads are spawned at once: each thread finds its next without waiting for the feeder.

use super::Budget;
use super::budget::Permit;
use super::error::{Done, Reason, Stopped};
use super::gate::Pace;
use super::job::{Fetched, Job, held, is_measured};
use super::progress::Progress;
use super::settings::{Batches, Settings};
use super::size::Estimate;
use crate::measure;
use crate::waiting::{Mutex, lock, thread_waker};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// For each thread of the pool, items that are at work or wait for it.
const AHEAD: usize = 2;

/// How long a feeder on a thread of the pool sleeps when there is nothing to help with. It is woken
/// before that when it gets its permit.
const NAP: Duration = Duration::from_millis(1);

/// What an item takes while it is worked on, in bytes: a closure of the item, or [`Measured`].
///
/// Nobody else implements it: what it asks for may change.
pub trait ItemBytes<T>: sealed::Sealed<T> {
    #[doc(hidden)]
    fn bytes(&mut self, item: &T) -> Option<u64>;
}

impl<T, F: FnMut(&T) -> u64> ItemBytes<T> for F {
    fn bytes(&mut self, item: &T) -> Option<u64> {
        Some(self(item))
    }
}

/// As much as items before it took, by the counters of the threads that worked on them; the estimate
/// rises at once and falls slowly. The first is taken to need the
/// [`item_bytes`](super::BatchesBuilder::item_bytes) of the settings, or without them the whole budget, so
/// that it runs alone. Where nothing is measured and nothing is given, an item counts as its own size, and
/// at most twice as many as there are threads are at work.
///
/// ```
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// use plimsoll::batch::{Batches, Budget, ForEachWithin, Measured};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let budget = Budget::new(64 << 20)?;
/// let done = (0..100).for_each_within(&budget, &Batches::default(), Measured, |kib: usize| {
///     drop(std::hint::black_box(vec![0u8; kib << 10]));
/// })?;
/// assert_eq!(done.items, 100);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Measured;

impl<T> ItemBytes<T> for Measured {
    fn bytes(&mut self, _: &T) -> Option<u64> {
        None
    }
}

mod sealed {
    pub trait Sealed<T> {}
    impl<T, F: FnMut(&T) -> u64> Sealed<T> for F {}
    impl<T> Sealed<T> for super::Measured {}
}

/// Any iterator in parallel, within a budget of bytes.
pub trait ForEachWithin: Iterator + Sized
where
    Self::Item: Send,
{
    /// Runs `work` on each item, on rayon's current pool (`ThreadPool::install` chooses another), with at
    /// most as many bytes at work at once as the budget has. Comes back when all are done.
    ///
    /// ```
    /// use plimsoll::batch::{Batches, Budget, ForEachWithin};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let photos = vec![vec![0u8; 1000]; 20];
    /// let budget = Budget::new(64 << 20)?;
    /// photos.into_iter().for_each_within(
    ///     &budget,
    ///     &Batches::default(),
    ///     // What unpacking takes.
    ///     |photo: &Vec<u8>| 30 * photo.len() as u64,
    ///     |photo| { /* shrink it */ drop(photo) },
    /// )?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// An item that is larger than the budget runs alone. The budget may be shared with other jobs and
    /// tasks, and resized meanwhile. Of the settings count the monitor, pauses and stops (before each
    /// item), progress, and `item_bytes`; the size of batches does not, as there are none.
    ///
    /// On a thread of the pool it never waits for others than its own items, and can be over the budget
    /// by one item for that.
    ///
    /// # Errors
    ///
    /// When the job stops, as it was told to: items that were begun are finished, and the rest of the
    /// iterator is what to go on with.
    ///
    /// # Panics
    ///
    /// If `work`, `bytes` or the iterator does: no further item is begun, those that were are finished, every
    /// permit is given back, and the panic goes on.
    ///
    /// # Cost
    ///
    /// Some microseconds for an item, most of it between threads that wait for each other: for work that
    /// takes longer than that. For less, give it batches of items.
    fn for_each_within<B, W>(
        self,
        budget: &Budget,
        batches: &Batches,
        bytes: B,
        work: W,
    ) -> Result<Done, Stopped<Self>>
    where
        B: ItemBytes<Self::Item>,
        W: Fn(Self::Item) + Sync,
    {
        feed(self, budget, batches, bytes, &work)
    }
}

impl<I> ForEachWithin for I
where
    I: Iterator,
    I::Item: Send,
{
}

fn feed<I, B, W>(
    mut items: I,
    budget: &Budget,
    batches: &Batches,
    mut bytes: B,
    work: &W,
) -> Result<Done, Stopped<I>>
where
    I: Iterator,
    I::Item: Send,
    B: ItemBytes<I::Item>,
    W: Fn(I::Item) + Sync,
{
    let own_size = size_of::<I::Item>();
    let mut job = Job::new(batches, own_size);
    job.begin();
    let turns = Turns::new(budget);
    let tally = Tally::new(&job.settings, own_size as u64);
    let mut why = None;
    rayon_core::in_place_scope(|scope| {
        loop {
            let pace = match turns.pass(&mut job, &tally) {
                None => return,
                Some(Ok(pace)) => pace,
                Some(Err(reason)) => {
                    why = Some(reason);
                    return;
                }
            };
            let fetched = Fetched::begin();
            let Some(item) = items.next() else { return };
            let held = held(fetched.bytes(), 1, own_size);
            let weight = bytes.bytes(&item).unwrap_or_else(|| tally.estimate());
            let turn = turns.wait(weight);
            // What it waited for may have come from work that unwound, after it said so.
            if tally.has_panicked() {
                return;
            }
            let tally = &tally;
            if turn.bytes.is_none() {
                tally.work(held, || work(item));
            } else {
                scope.spawn(move |_| {
                    // Nor is one begun that was spawned before it.
                    if !tally.has_panicked() {
                        tally.work(held, || work(item));
                    }
                    drop(turn);
                });
            }
            if pace == Pace::Trickle {
                // The next hold begins when this one is done, and not before.
                turns.wait_for_all();
            }
        }
    });
    let done = tally.done(job.done());
    match why {
        None => {
            job.finish();
            Ok(done)
        }
        Some(reason) => Err(job.stopped_after(done, reason).with(items)),
    }
}

/// What the feeder waits for, and how.
struct Turns<'a> {
    budget: &'a Budget,
    /// A byte for each item that may be spawned: what is held are the feeder's own items.
    places: Budget,
    is_in_pool: bool,
}

/// An item's place among those that are spawned, and its bytes, which it has none of when it is to be
/// run by the feeder itself.
struct Turn {
    bytes: Option<Permit>,
    _place: Permit,
}

impl<'a> Turns<'a> {
    fn new(budget: &'a Budget) -> Turns<'a> {
        let places = AHEAD.saturating_mul(rayon_core::current_num_threads());
        Turns {
            budget,
            places: Budget::of(places.max(1) as u64),
            is_in_pool: rayon_core::current_thread_index().is_some(),
        }
    }

    /// Passes the job's gate; `None` once work has panicked. On a thread of the pool the pool's work
    /// goes on meanwhile.
    fn pass(&self, job: &mut Job, tally: &Tally) -> Option<Result<Pace, Reason>> {
        while !tally.has_panicked() {
            match job.gate.look() {
                Ok(passed) => return Some(passed),
                Err(time) if self.is_in_pool => help_or(|| std::thread::sleep(time.min(NAP))),
                Err(time) => std::thread::sleep(time),
            }
        }
        None
    }

    fn wait(&self, bytes: u64) -> Turn {
        let place = self.have(&self.places, 1, || true);
        let place = place.unwrap_or_else(|| unreachable!("own items end"));
        // One of the places is that of the item that waits.
        let own_work = || self.places.held() > 1;
        Turn {
            bytes: self.have(self.budget, bytes, own_work),
            _place: place,
        }
    }

    fn wait_for_all(&self) {
        drop(self.have(&self.places, self.places.size(), || true));
    }

    /// A permit. On a thread of the pool `None` when it would have to wait and may not, any more.
    fn have(&self, budget: &Budget, bytes: u64, may_wait: impl Fn() -> bool) -> Option<Permit> {
        if let Some(permit) = budget.try_acquire(bytes) {
            return Some(permit);
        }
        if !self.is_in_pool {
            return Some(budget.acquire_blocking(bytes));
        }
        let mut acquire = pin!(budget.acquire(bytes));
        let waker = thread_waker();
        let mut context = Context::from_waker(&waker);
        loop {
            // Asked first: an item of its own that ends in between gives back what is then granted.
            let may_wait = may_wait();
            if let Poll::Ready(permit) = acquire.as_mut().poll(&mut context) {
                return Some(permit);
            }
            if !may_wait {
                return None;
            }
            help_or(|| std::thread::park_timeout(NAP));
        }
    }
}

/// Runs other work of the pool, if there is some to be had here.
fn help_or(rest: impl FnOnce()) {
    if rayon_core::yield_now() != Some(rayon_core::Yield::Executed) {
        rest();
    }
}

/// What work on other threads adds to.
struct Tally {
    items: AtomicU64,
    bytes: AtomicU64,
    has_panicked: AtomicBool,
    estimate: Mutex<Estimate>,
    /// What an item of which nothing is known counts as.
    unknown: u64,
    is_measured: bool,
    progress: Progress,
}

impl Tally {
    fn new(settings: &Settings, own_size: u64) -> Tally {
        let is_measured = is_measured();
        Tally {
            items: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            has_panicked: AtomicBool::new(false),
            estimate: Mutex::new(Estimate::new(settings.item_bytes)),
            unknown: if is_measured { u64::MAX } else { own_size },
            is_measured,
            progress: settings.progress.clone(),
        }
    }

    fn has_panicked(&self) -> bool {
        self.has_panicked.load(Ordering::Relaxed)
    }

    fn estimate(&self) -> u64 {
        lock(&self.estimate).bytes().unwrap_or(self.unknown)
    }

    /// Works on an item that held so much when it was fetched, and notes what it took.
    fn work(&self, held: u64, work: impl FnOnce()) {
        /// Has the feeder stop when the work unwinds.
        struct Unwinding<'a>(&'a AtomicBool);
        impl Drop for Unwinding<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let unwinding = Unwinding(&self.has_panicked);
        let ((), found) = measure(work);
        std::mem::forget(unwinding);
        let bytes = held.saturating_add(found.peak_bytes);
        if self.is_measured {
            lock(&self.estimate).see(bytes);
        }
        self.items.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.progress.note(1, 1, bytes);
    }

    fn done(&self, done: Done) -> Done {
        let items = self.items.load(Ordering::Relaxed);
        Done {
            items,
            batches: items,
            bytes: self.bytes.load(Ordering::Relaxed),
            ..done
        }
    }
}
