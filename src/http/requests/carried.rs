//! What other threads allocate for a request.
//!
//! While a request is polled, the thread knows it as its current one. What is wrapped there by
//! [`carry`] keeps a handle, and adds what it allocates wherever it runs. The handle is made when
//! the first is asked for: a request that never asks pays nothing.

use super::tally::Tally;
use pin_project_lite::pin_project;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

/// Added to by any thread.
#[derive(Debug, Default)]
pub(super) struct Carried {
    bytes: AtomicU64,
    allocations: AtomicU64,
}

impl Carried {
    fn add(&self, tally: Tally) {
        self.bytes.fetch_add(tally.bytes, Ordering::Relaxed);
        self.allocations
            .fetch_add(tally.allocations, Ordering::Release);
    }

    pub(super) fn tally(&self) -> Tally {
        let allocations = self.allocations.load(Ordering::Acquire);
        let bytes = self.bytes.load(Ordering::Relaxed);
        Tally { bytes, allocations }
    }
}

thread_local! {
    /// The handle of the request that is being polled, once one has been asked for.
    static CURRENT: RefCell<Option<Arc<Carried>>> = const { RefCell::new(None) };
    /// Whether one is being polled.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` with the request whose handle this is as the thread's current one.
pub(super) fn inside<R>(carried: &mut Option<Arc<Carried>>, work: impl FnOnce() -> R) -> R {
    /// Puts back what was before, also when `work` unwinds.
    struct Back<'a> {
        carried: &'a mut Option<Arc<Carried>>,
        outer: Option<Arc<Carried>>,
        was_inside: bool,
    }
    impl Drop for Back<'_> {
        fn drop(&mut self) {
            let outer = self.outer.take();
            let _ = CURRENT.try_with(|current| *self.carried = current.replace(outer));
            let _ = INSIDE.try_with(|inside| inside.set(self.was_inside));
        }
    }
    let own = carried.take();
    let _back = Back {
        carried,
        outer: CURRENT
            .try_with(|current| current.replace(own))
            .unwrap_or_default(),
        was_inside: INSIDE
            .try_with(|inside| inside.replace(true))
            .unwrap_or_default(),
    };
    work()
}

/// Whether this thread is in the request whose handle this is, and counts for it already.
fn is_current(handle: &Arc<Carried>) -> bool {
    let is_it = |current: &RefCell<Option<Arc<Carried>>>| {
        let current = current.borrow();
        current.as_ref().is_some_and(|own| Arc::ptr_eq(own, handle))
    };
    CURRENT.try_with(is_it).unwrap_or_default()
}

fn current() -> Option<Arc<Carried>> {
    let is_inside = INSIDE.try_with(Cell::get).unwrap_or_default();
    let handle = || {
        CURRENT.try_with(|current| {
            let mut current = current.borrow_mut();
            Arc::clone(current.get_or_insert_default())
        })
    };
    is_inside.then(handle)?.ok()
}

/// Work for another thread, whose allocations count for the request that it is wrapped in.
///
/// ```
/// # async fn handler() {
/// let rows = tokio::task::spawn_blocking(plimsoll::http::carry(|| vec![0u8; 4096])).await;
/// # drop(rows);
/// # }
/// ```
///
/// Outside a request it changes nothing, and where the request itself runs it. What comes after the
/// response has ended is not counted. Where one layer stands around another, it counts for the inner.
pub fn carry<R>(work: impl FnOnce() -> R) -> impl FnOnce() -> R {
    let carried = current();
    move || {
        let Some(handle) = carried.as_ref().filter(|handle| !is_current(handle)) else {
            return work();
        };
        let mut tally = Tally::default();
        // What it wraps in turn belongs to the same request.
        let mut own = Some(Arc::clone(handle));
        let result = tally.around(|| inside(&mut own, work));
        handle.add(tally);
        result
    }
}

/// A task whose allocations count for the request that it is wrapped in: [`carry`] for futures.
///
/// ```
/// # async fn handler() {
/// let found = tokio::spawn(plimsoll::http::carry_future(async { vec![0u8; 4096] })).await;
/// # drop(found);
/// # }
/// ```
pub fn carry_future<F: Future>(future: F) -> Carry<F> {
    Carry {
        future,
        carried: current(),
    }
}

pin_project! {
    /// A future whose allocations count for the request that it was wrapped in. Made by
    /// [`carry_future`].
    #[derive(Debug)]
    #[must_use = "a future does nothing until it is polled"]
    pub struct Carry<F> {
        #[pin]
        future: F,
        carried: Option<Arc<Carried>>,
    }
}

impl<F: Future> Future for Carry<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Some(handle) = this.carried.as_ref().filter(|handle| !is_current(handle)) else {
            return this.future.poll(context);
        };
        let mut tally = Tally::default();
        let mut own = Some(Arc::clone(handle));
        let polled = tally.around(|| inside(&mut own, || this.future.poll(context)));
        handle.add(tally);
        polled
    }
}
