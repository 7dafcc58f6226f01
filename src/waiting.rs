//! What waiting is made of: locks and shared ownership, from `std` in the program that ships, from loom in the
//! model, and from shuttle in larger ones; and a thread that waits as a task does.

use crate::caught::kept;
#[cfg(all(plimsoll_loom, not(plimsoll_shuttle)))]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
#[cfg(plimsoll_shuttle)]
pub(crate) use shuttle::sync::{Arc, Mutex, MutexGuard};
use std::panic::resume_unwind;
use std::sync::PoisonError;
#[cfg(not(plimsoll_loom))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

/// A lock whose holder panicked still holds whole values: foreign code that runs inside finds them so.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes each, also when waking another panics: what the first panicked with is passed on at the end.
pub(crate) fn wake_all(wakers: impl Iterator<Item = Waker>) {
    let mut panicked = None;
    for waker in wakers {
        kept(&mut panicked, || waker.wake());
    }
    if let Some(panic) = panicked
        && !std::thread::panicking()
    {
        resume_unwind(panic);
    }
}

/// Wakes the calling thread from `park`.
#[cfg(not(plimsoll_loom))]
pub(crate) fn thread_waker() -> Waker {
    struct Parked(std::thread::Thread);
    impl std::task::Wake for Parked {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
        fn wake_by_ref(self: &Arc<Self>) {
            self.0.unpark();
        }
    }
    Arc::new(Parked(std::thread::current())).into()
}

/// Runs a future on this thread, which is parked while it waits; `None` when the deadline passed.
#[cfg(not(plimsoll_loom))]
pub(crate) fn block_on<F: std::future::Future>(
    future: F,
    deadline: Option<std::time::Instant>,
) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let waker = thread_waker();
    let mut context = std::task::Context::from_waker(&waker);
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        match deadline {
            None => std::thread::park(),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(std::time::Instant::now());
                if left.is_zero() {
                    return None;
                }
                std::thread::park_timeout(left);
            }
        }
    }
}
