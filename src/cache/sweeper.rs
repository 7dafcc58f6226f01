//! The one thread that gives back what has expired, for all caches of the process.
//!
//! A cache says when its next entry is due; the thread sleeps until the first of them, so it costs
//! nothing while nothing expires. A sweep looks at every entry of a cache: it is held apart from the
//! last one by [`PAUSE`], or by [`REST`] times what the last one took, so that sweeps take at most half
//! a per cent of a core.

use super::clock::Clock;
use super::due::Due;
use crate::caught::caught;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Least time between two sweeps of a cache.
const PAUSE: Duration = Duration::from_millis(250);

/// Between two sweeps, in times of what the first took.
const REST: u32 = 200;

/// What can be swept.
pub(super) trait Sweep: Send + Sync {
    /// Gives back what has expired.
    fn sweep(&self);
}

struct Known {
    cache: Weak<dyn Sweep>,
    due: Arc<Due>,
    clock: Clock,
    /// Not before.
    earliest: Instant,
}

#[derive(Default)]
struct State {
    caches: Vec<Known>,
    has_thread: bool,
    /// Something is due earlier than the thread knows.
    is_changed: bool,
}

/// Of one process: a forked child has neither the thread nor, for sure, the lock.
struct Sweeper {
    process: u32,
    state: Mutex<State>,
    changed: Condvar,
}

static CURRENT: AtomicPtr<Sweeper> = AtomicPtr::new(std::ptr::null_mut());

fn current() -> &'static Sweeper {
    let process = std::process::id();
    let mut known = CURRENT.load(Ordering::Acquire);
    loop {
        // SAFETY: what is stored here was leaked below, so it lives for ever.
        if let Some(sweeper) = unsafe { known.as_ref() }
            && sweeper.process == process
        {
            return sweeper;
        }
        let fresh = Box::into_raw(Box::new(Sweeper {
            process,
            state: Mutex::default(),
            changed: Condvar::new(),
        }));
        match CURRENT.compare_exchange(known, fresh, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: as above; it is not freed once it has been stored.
            Ok(_) => return unsafe { &*fresh },
            Err(other) => {
                // SAFETY: it was not stored, so nobody else has it.
                drop(unsafe { Box::from_raw(fresh) });
                known = other;
            }
        }
    }
}

/// Sweeps this cache from now on, for as long as it lives.
pub(super) fn register(cache: Weak<dyn Sweep>, due: Arc<Due>, clock: Clock) {
    let sweeper = current();
    let mut state = sweeper.lock();
    state.caches.retain(|known| known.cache.strong_count() > 0);
    state.caches.push(Known {
        cache,
        due,
        clock,
        earliest: Instant::now(),
    });
    if state.has_thread {
        return;
    }
    let thread = std::thread::Builder::new().name("plimsoll-sweep".into());
    match thread.spawn(|| sweeper.run()) {
        Ok(_) => state.has_thread = true,
        // The next cache tries again. Until then what has expired is found on access.
        Err(error) => {
            caught(|| tracing::warn!(%error, "no thread to sweep caches"));
        }
    }
}

/// Something is due earlier than before.
#[cold]
pub(super) fn wake() {
    let sweeper = current();
    sweeper.lock().is_changed = true;
    sweeper.changed.notify_one();
}

impl Sweeper {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        loop {
            state.caches.retain(|known| known.cache.strong_count() > 0);
            if state.caches.is_empty() {
                state.has_thread = false;
                return;
            }
            state.is_changed = false;
            match state.next() {
                Some((place, wait)) if wait.is_zero() => {
                    let cache = Weak::clone(&state.caches[place].cache);
                    drop(state);
                    let took = sweep(&cache);
                    state = self.lock();
                    state.rest(&cache, took);
                }
                // A cache that is dropped while nothing is due wakes nobody: it is forgotten, and the
                // thread ended, at the next registration or due time.
                Some((_, wait)) => {
                    let waited = self
                        .changed
                        .wait_timeout_while(state, wait, |state| !state.is_changed);
                    state = waited.map_or_else(|error| error.into_inner().0, |(state, _)| state);
                }
                None => {
                    let waited = self.changed.wait_while(state, |state| !state.is_changed);
                    state = waited.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl State {
    /// The cache that is due first, and how long until then.
    fn next(&self) -> Option<(usize, Duration)> {
        let now = Instant::now();
        let wait = |known: &Known| {
            let due = known.due.wait(|| known.clock.now())?;
            Some(due.max(known.earliest.saturating_duration_since(now)))
        };
        let waits = self.caches.iter().enumerate();
        waits
            .filter_map(|(place, known)| Some((place, wait(known)?)))
            .min_by_key(|(_, wait)| *wait)
    }

    fn rest(&mut self, cache: &Weak<dyn Sweep>, took: Duration) {
        let earliest = Instant::now() + PAUSE.max(took.saturating_mul(REST));
        let same = |known: &&mut Known| Weak::ptr_eq(&known.cache, cache);
        if let Some(known) = self.caches.iter_mut().find(same) {
            known.earliest = earliest;
        }
    }
}

/// A key whose drop panics does not end the thread that all caches need.
fn sweep(cache: &Weak<dyn Sweep>) -> Duration {
    let begun = Instant::now();
    // Its last owner may be this.
    let swept = caught(|| {
        if let Some(cache) = cache.upgrade() {
            cache.sweep();
        }
    });
    if swept.is_none() {
        // Who takes the log is the program's too.
        caught(|| tracing::error!("a key panicked while a cache was swept"));
    }
    begun.elapsed()
}
