//! Locks and shared ownership, from `std` in the program that ships, from loom in the model, and from shuttle
//! in larger ones.

#[cfg(all(plimsoll_loom, not(plimsoll_shuttle)))]
pub(super) use loom::sync::{Arc, Mutex, MutexGuard};
#[cfg(plimsoll_shuttle)]
pub(super) use shuttle::sync::{Arc, Mutex, MutexGuard};
use std::sync::PoisonError;
#[cfg(not(plimsoll_loom))]
pub(super) use std::sync::{Arc, Mutex, MutexGuard};

/// A lock whose holder panicked still holds whole values: nothing here runs foreign code inside.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes the calling thread from `park`.
#[cfg(not(plimsoll_loom))]
pub(super) fn thread_waker() -> std::task::Waker {
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
