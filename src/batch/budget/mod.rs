//! So many bytes for many to share: a semaphore that counts bytes.
//!
//! # Protocol
//!
//! All state is behind one lock, which is held for some arithmetic and never while foreign code runs:
//! wakers are cloned before it is taken, and woken and dropped after it is let go. Who asks takes what
//! fits if nobody waits, and otherwise gets a ticket at the end of the queue. Whoever makes room (gives
//! back, resizes, or leaves the queue) grants to the front of it for as long as that fits, so that no
//! grant waits for another event. A grant takes the ticket out of the queue and counts its bytes as held
//! at that moment: a future that finds its ticket gone has its permit, and one that is dropped before it
//! looks gives the bytes back. `model` shows it in every interleaving, `storm`
//! with more users in many.
//!
//! tokio's semaphore was not enough: its permits count to 2^32, it can shrink only by what is idle
//! (`forget_permits`), and what is larger than the whole waits for ever.

mod acquire;
#[cfg(all(test, plimsoll_loom, not(plimsoll_shuttle)))]
mod model;
mod queue;
#[cfg(all(test, plimsoll_shuttle))]
mod storm;

pub use self::acquire::{Acquire, Permit};

use self::queue::Queue;
#[cfg(not(plimsoll_loom))]
use super::error::SettingsError;
#[cfg(not(plimsoll_loom))]
use crate::waiting::block_on;
use crate::waiting::{Arc, Mutex, lock, wake_all};
use std::fmt;

/// A budget of bytes, shared by clones of it among tasks and threads.
///
/// ```
/// use plimsoll::batch::Budget;
///
/// # async fn import(file: Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
/// let budget = Budget::new(64 << 20)?;
/// let permit = budget.acquire(file.len() as u64).await;
/// // … at most 64 MiB of files are worked on at once …
/// drop(permit);
/// # Ok(())
/// # }
/// ```
///
/// - **Fair**: in the order of asking. A large request is not overtaken by small ones that would
///   fit, so it does not starve.
/// - **Larger than the whole**: such a request waits until nothing is held and then runs alone. (So
///   CockroachDB has it; it would wait for ever otherwise.)
/// - **Cancel-safe**: an [`Acquire`] that is dropped, whenever, gives back what it had, and its place.
/// - **Resized while held**: see [`resize`](Self::resize).
/// - A [`Permit`] gives its bytes back when it is dropped, also by a panic.
///
/// What a budget counts is what was asked for: it knows nothing of the heap. Who holds a permit and
/// waits for another of the same budget can wait for ever, as with any semaphore.
///
/// # Cost
///
/// To acquire and give back, some tens of nanoseconds; who waits allocates a place in the queue.
#[derive(Clone)]
pub struct Budget {
    queue: Arc<Mutex<Queue>>,
}

impl Budget {
    /// A budget of so many bytes: at least 1.
    ///
    /// # Errors
    ///
    /// When it is 0: nothing could run but one at a time, and a budget that was computed to nothing is
    /// a mistake.
    #[cfg(not(plimsoll_loom))]
    pub fn new(bytes: u64) -> Result<Budget, SettingsError> {
        SettingsError::unless(bytes > 0, "budget", bytes, "at least 1 byte")?;
        Ok(Budget::of(bytes))
    }

    pub(crate) fn of(bytes: u64) -> Budget {
        Budget {
            queue: Arc::new(Mutex::new(Queue::new(bytes))),
        }
    }

    /// Waits until so many bytes are free and nobody who asked before waits. 0 bytes are a request like
    /// any other.
    pub fn acquire(&self, bytes: u64) -> Acquire {
        Acquire::new(self.clone(), bytes)
    }

    /// A permit if it can be had at once: `None` when it does not fit, or somebody waits.
    #[must_use]
    pub fn try_acquire(&self, bytes: u64) -> Option<Permit> {
        let taken = lock(&self.queue).try_take(bytes);
        taken.then(|| Permit::new(self.clone(), bytes))
    }

    /// [`acquire`](Self::acquire) for a thread, which is blocked meanwhile: not for a task of an async
    /// runtime, nor for a job of rayon's pool, whose place others may need in order to give back what
    /// this waits for.
    #[cfg(not(plimsoll_loom))]
    pub fn acquire_blocking(&self, bytes: u64) -> Permit {
        loop {
            // Without a deadline it comes only with a permit.
            if let Some(permit) = block_on(self.acquire(bytes), None) {
                return permit;
            }
        }
    }

    /// [`acquire_blocking`](Self::acquire_blocking) for so long at the most; `None` when it was not
    /// granted by then. Any duration will do.
    #[cfg(not(plimsoll_loom))]
    #[must_use]
    pub fn acquire_within(&self, bytes: u64, time: std::time::Duration) -> Option<Permit> {
        let deadline = std::time::Instant::now().checked_add(time);
        block_on(self.acquire(bytes), deadline)
    }

    /// Makes it larger or smaller from now on: at least 1 byte.
    ///
    /// Permits that are held stay as they are. When they hold more than the new size, nothing is
    /// granted until enough was given back, and [`free`](Self::free) is 0 until then.
    ///
    /// # Errors
    ///
    /// When it is 0; the budget stays as it is.
    #[cfg(not(plimsoll_loom))]
    pub fn resize(&self, bytes: u64) -> Result<(), SettingsError> {
        SettingsError::unless(bytes > 0, "budget", bytes, "at least 1 byte")?;
        self.set_size(bytes);
        Ok(())
    }

    fn set_size(&self, bytes: u64) {
        lock(&self.queue).resize(bytes);
        self.grant();
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        lock(&self.queue).size()
    }

    /// Bytes that permits hold: more than the size after a request that is larger than it, or after
    /// it was made smaller.
    #[must_use]
    pub fn held(&self) -> u64 {
        lock(&self.queue).held()
    }

    /// Bytes that are not held.
    #[must_use]
    pub fn free(&self) -> u64 {
        let queue = lock(&self.queue);
        queue.size().saturating_sub(queue.held())
    }

    /// Requests that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        lock(&self.queue).waiting()
    }

    /// Grants to the front of the queue for as long as it fits. Each is woken without the lock, and no panic
    /// of a waker keeps the next one from its grant.
    fn grant(&self) {
        wake_all(std::iter::from_fn(|| lock(&self.queue).grant_one()));
    }

    fn give_back(&self, bytes: u64) {
        lock(&self.queue).give_back(bytes);
        self.grant();
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = lock(&self.queue);
        f.debug_struct("Budget")
            .field("size", &queue.size())
            .field("held", &queue.held())
            .field("waiting", &queue.waiting())
            .finish()
    }
}
